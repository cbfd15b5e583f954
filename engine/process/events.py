"""What the engine process tells the window: small frozen dataclasses, plain data, no torch."""

import signal
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import EngineLost, Message, SecateurError, WireError
from ..jobs import Progress


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine process has loaded its libraries and takes calls (calls made before are kept for it).

    Attributes:
        threads: How many threads it computes with, 0 unknown.
    """

    threads: int = 0


@dataclass(frozen=True, slots=True)
class Progressed:
    """A call got on. Progress is thinned to 30 a second, points of curves and what was made are not.

    Attributes:
        call: Number of the call.
        progress: The latest progress, with the latest `so_far`.
        points: `Progress.values` of everything since the event before, in order, empty ones left out.
        made: `Progress.made` in the same way.
    """

    call: int
    progress: Progress
    points: tuple[dict[str, float], ...] = ()
    made: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A call ended with a result, of the type that `answers.RESULTS` declares for it."""

    call: int
    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """A call was stopped by an error, or by the user (`jobs.Cancelled`); nothing was changed."""

    call: int
    error: SecateurError


@dataclass(frozen=True, slots=True)
class Logged:
    """Lines that the user's code or a library wrote to standard output or standard error."""

    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The engine process ended by itself; every call that was under way is gone.

    Attributes:
        exitcode: As `subprocess` gives it: negative for a signal.
        error: The sentence, with the last lines of its log as details.
        calls: Calls that will not be answered.
    """

    exitcode: int
    error: EngineLost
    calls: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no engine where one was asked for, and will be none; nothing was lost."""

    error: EngineLost


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection to an engine elsewhere broke; the engine goes on, and the connection is tried again.

    Attributes:
        host: The machine.
    """

    host: str


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection is there again; what was said meanwhile follows.

    Attributes:
        host: The machine.
    """

    host: str


Event: TypeAlias = Ready | Progressed | Finished | Failed | Logged | Lost | Refused | Disconnected | Reconnected


def lost_engine(exitcode: int, calls: tuple[int, ...], log: str, error: WireError | None = None) -> Lost:
    """A `Lost` that says in words how the process ended.

    Args:
        exitcode: As `subprocess` gives it.
        calls: Calls that will not be answered.
        log: Its last lines.
        error: What it said that cannot be read, where it was ended for that.
    """
    if error is not None:
        return Lost(0, EngineLost("engine.garbled", "{why}", log, why=error.message), calls)
    template = "The engine process ended unexpectedly ({cause}). Your work up to the last state is kept."
    return Lost(exitcode, EngineLost("engine.lost", template, log, cause=describe_exit(exitcode)), calls)


SIGNALS = {
    "SIGKILL": ("engine.killed", "signal {name}, often because memory ran out"),
    "SIGSEGV": ("engine.crashed", "signal {name}, a crash in native code"),
    "SIGABRT": ("engine.aborted", "signal {name}, an abort in native code"),
}
"""Name of a signal -> code and template of what it means."""
OTHER_SIGNAL = ("engine.signal", "signal {name}")


def describe_exit(exitcode: int) -> Message:
    """An exit code in words, e.g. "signal SIGKILL, often because memory ran out"."""
    if exitcode >= 0:
        return Message("engine.exit", "exit code {code}", {"code": exitcode})
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        return Message(*OTHER_SIGNAL, {"name": -exitcode})
    return Message(*SIGNALS.get(name, OTHER_SIGNAL), {"name": name})
