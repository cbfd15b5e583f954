"""The engine process: takes calls over its standard input, runs them one after the other on a session, sends events.

Its own file because it is started as `python -m`: torch, the model and the user's code live here, so that neither a
slow import nor a crash of theirs touches the window. What they print goes to standard error: the window's log.
"""

import contextlib
import faulthandler
import gc
import importlib
import inspect
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import SecateurError, WireError, unexpected
from ..jobs import Cancelled, Progress, check
from ..machine.operating_system import step_behind
from ..machine.out_of_memory import lack_of_memory
from ..storage.file_limits import unusable
from .events import Failed, Finished, Progressed, Ready
from .messages import Begin, Call, Cancel, Quiet, Request, event_bytes, read_arguments
from .plain_data import decode
from .wire import Wire

INTERVAL = 1 / 30
"""Seconds between two progress messages."""


class Outbox:
    """Posts events over a wire, progress merged."""

    def __init__(self, wire: Wire) -> None:
        """Start the posting thread."""
        self._wire = wire
        self._news = threading.Condition()
        self._waiting: Progressed | None = None
        self._quiet = False
        threading.Thread(target=self._post, name="outbox", daemon=True).start()

    def progress(self, call: int, progress: Progress) -> None:
        """Leave a job's progress to be posted within `INTERVAL`."""
        with self._news:
            before = self._waiting
            points, made = (before.points, before.made) if before is not None else ((), ())
            if before is not None and progress.so_far is None:
                progress = replace(progress, so_far=before.progress.so_far)
            points = (*points, progress.values) if progress.values else points
            self._waiting = Progressed(
                call, progress, points, made if progress.made is None else (*made, progress.made)
            )
            self._news.notify()

    def quiet(self, on: bool) -> None:
        """Keep progress back, merged, until its job ends or somebody listens again."""
        with self._news:
            self._quiet = on
            self._news.notify()

    def send(self, event: Ready | Finished | Failed) -> None:
        """Post an event at once, after the progress that was waiting.

        Raises:
            TypeError, OverflowError: Something in it is no plain data; nothing was sent of it.
        """
        data = event_bytes(event)
        with self._news:
            self._flush()
            self._wire.send(data)

    def _post(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting is not None and not self._quiet)
                self._flush()
            # Progress that comes meanwhile is merged into one message.
            time.sleep(INTERVAL)

    def _flush(self) -> None:
        if self._waiting is not None:
            event, self._waiting = self._waiting, None
            try:
                data = event_bytes(event)
            except (TypeError, OverflowError) as error:
                # Only this is left out; later progress and the result are sent.
                sys.stderr.write(f"Progress of call {event.call} cannot be sent: {error}\n")
            else:
                self._wire.send(data)


BEHIND = 5
"""How much the engine steps back: a job may take every core that the window does not want at the moment."""
GARBLED = 3
"""Exit code where what came is no message."""


class Served(Protocol):
    """What the process works on.

    Attributes:
        calls: What the window may call, by name; what returns a job takes a `token`.
        at_once: Those of them that are answered while another one runs: they touch nothing of the session.
    """

    calls: Mapping[str, Callable[..., Any]]
    at_once: Collection[str]

    def close(self) -> None:
        """It was the last call."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What to run, by name, with the event that stops it."""

    call: Call
    token: threading.Event


class Inbox:
    """Reads control messages in a thread of its own, so that a cancel arrives while a job runs.

    Attributes:
        folder: Where the session goes, once the window has said so; None where it closes without one.
        calls: Calls in the order they came.
        session: What answers, in the thread that reads, calls that must not wait for the running one; None before it
            has been made.
    """

    def __init__(self, wire: Wire, outbox: Outbox) -> None:
        """Start reading."""
        self.folder: queue.Queue[Path | None] = queue.Queue()
        self.calls: queue.Queue[Asked | None] = queue.Queue()
        self.session: Served | None = None
        self._tokens: dict[int, threading.Event] = {}
        self._wire, self._outbox = wire, outbox
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def done(self, number: int) -> None:
        """Forget a call that was answered."""
        self._tokens.pop(number, None)

    def _read(self) -> None:
        while True:
            try:
                self._take(decode(self._wire.receive(), Request))
            except WireError as error:
                sys.stderr.write(f"{error}\n")
                os._exit(GARBLED)
            except (EOFError, OSError):
                # The window is gone, so the job has no reader.
                os._exit(0)

    def _take(self, asked: Request) -> None:
        if isinstance(asked, Call):
            if self.session is not None and asked.method in self.session.at_once:
                return _send(self._outbox, _answer(self.session, Asked(asked, threading.Event()), self._outbox))
            token = self._tokens[asked.number] = threading.Event()
            self.calls.put(Asked(asked, token))
        elif isinstance(asked, Begin):
            self.folder.put(Path(asked.folder))
        elif isinstance(asked, Cancel):
            if token := self._tokens.get(asked.number):
                token.set()
        elif isinstance(asked, Quiet):
            self._outbox.quiet(asked.on)
        else:
            self.folder.put(None)
            self.calls.put(None)


def serve(session: Served, inbox: Inbox, outbox: Outbox) -> None:
    """Run calls until the window says that it was the last."""
    while (asked := inbox.calls.get()) is not None:
        _send(outbox, _answer(session, asked, outbox))
        inbox.done(asked.call.number)
    session.close()


def _send(outbox: Outbox, event: Finished | Failed) -> None:
    try:
        outbox.send(event)
    except (TypeError, OverflowError) as error:
        # The result is no plain data.
        outbox.send(Failed(event.call, unexpected(error)))


def _answer(session: Served, asked: Asked, outbox: Outbox) -> Finished | Failed:
    number = asked.call.number
    try:
        return Finished(number, run(session, asked, outbox))
    except SecateurError as error:
        return Failed(number, lack_of_memory(error) or error)
    except BaseException as error:
        # Also the SystemExit of a user's code: it ends the call, not the engine.
        return Failed(number, lack_of_memory(error) or unusable(error) or unexpected(error))


def run(session: Served, asked: Asked, outbox: Outbox) -> Any:
    """Run one call; a job is looked after between its steps. Raises what the call raises."""
    check(asked.token)
    call = asked.call
    method = session.calls.get(call.method)
    if method is None:
        raise SecateurError("engine.unknown_call", "Unknown engine call {name}.", name=call.method)
    arguments = read_arguments(method, call.arguments)
    if not inspect.isgeneratorfunction(method):
        return method(*arguments)
    job = method(*arguments, token=asked.token)
    with contextlib.closing(job):
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                return stop.value
            outbox.progress(call.number, progress)
            if asked.token.is_set():
                raise Cancelled


def connect() -> Wire:
    """Take standard input and output for the wire and give the user's code standard error for both.

    Done on file descriptors, so that what native code prints cannot get between the messages.
    """
    source, sink = os.dup(0), os.dup(1)
    # Code of the user that reads standard input gets its end at once, and none of the window's messages.
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    return Wire(os.fdopen(source, "rb"), os.fdopen(sink, "wb"))


def main() -> None:
    """Serve until the window closes the pipe or says goodbye."""
    faulthandler.enable()
    # Ctrl-C in a terminal is for the window, which then stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    step_behind(BEHIND)
    wire = connect()
    outbox = Outbox(wire)
    inbox = Inbox(wire, outbox)
    # What makes a session, "module:name"; nothing that is made meanwhile is ever garbage, so none is looked for.
    module, _, name = (sys.argv[1]).partition(":")
    gc.disable()
    make = getattr(importlib.import_module(module), name)
    gc.freeze()
    gc.enable()
    if (folder := inbox.folder.get()) is not None:
        session = make(folder)
        inbox.session = session
        # The number of torch, without loading torch for a session that does not use it.
        torch: Any = sys.modules.get("torch")
        outbox.send(Ready(torch.get_num_threads() if torch is not None else 0))
        serve(session, inbox, outbox)


if __name__ == "__main__":
    main()
