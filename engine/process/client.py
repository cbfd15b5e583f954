"""The window's end of the engine process: starts it, sends calls, gives events. Loads neither torch nor Qt.

Meant to be polled from one thread; `call`, `cancel` and `kill` may be called from any.
"""

import contextlib
import itertools
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import EngineLost, WireError
from .events import Event, Failed, Finished, Logged, garbled, lost
from .messages import Begin, Call, Cancel, Close, Request, call, read_event, request
from .wire import Wire

SESSION = "secateur.engine.process.window_session:WindowSession"
UNREAD = 500
"""Events that may wait to be read before log lines are left out."""


class EngineClient:
    """A session in a process of its own.

    Attributes:
        session: "module:name" of what makes the process's session from its folder.
        results: Name of a call -> type of its result; plain data for one that is not there, and what `answers` says of
            the window's own session where None is given.
    """

    def __init__(self, session: str = SESSION, results: Mapping[str, Any] | None = None) -> None:
        """Nothing runs before `prepare` or `start`."""
        self.session = session
        self.results = results
        self._events: queue.Queue[Event] = queue.Queue()
        self._numbers = itertools.count(1)
        self._engine: _Engine | None = None

    @property
    def alive(self) -> bool:
        """True while the engine process runs."""
        return self._engine is not None and self._engine.process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the engine, 0 before `prepare` and `start`."""
        return self._engine.process.pid if self._engine is not None else 0

    def prepare(self) -> None:
        """Start a process that loads its libraries, for the next `start`; returns at once."""
        self.close()
        self._engine = _Engine(_command(self.session), self._events, self.results)

    def start(self, folder: Path) -> None:
        """Work on a session folder (an earlier process is closed); returns at once, `Ready` follows."""
        if self._engine is None or self._engine.begun or not self.alive:
            self.prepare()
        assert self._engine is not None
        self._engine.begin(folder)

    def call(self, method: str, *arguments: Any) -> int:
        """Ask for a method of the session; its number comes back at once, `Finished` or `Failed` follows.

        Raises:
            EngineLost: Nothing was started.
            TypeError: An argument is no plain data.
        """
        if self._engine is None:
            raise EngineLost("engine.not_started", "The engine is not running. Start it first.")
        number = next(self._numbers)
        self._engine.call(call(number, method, arguments))
        return number

    def cancel(self, number: int) -> None:
        """Ask a call to stop; `Failed` with `Cancelled` follows unless it was done already."""
        if self._engine is not None:
            self._engine.send(Cancel(number))

    def poll(self, timeout: float = 0.0) -> Event | None:
        """The next event, None when there is none within `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout) if timeout > 0 else self._events.get_nowait()
        except queue.Empty:
            return None

    def kill(self) -> None:
        """End the process at once, whatever it does; `Lost` follows."""
        if self._engine is not None:
            self._engine.process.kill()

    def close(self, timeout: float = 1.0) -> None:
        """End the process without an event: asked first, killed after `timeout` seconds."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close(timeout)
            while self.poll() is not None:  # What it said before is about calls that nobody waits for any more.
                pass


class _Engine:
    """One engine process and the two threads that listen to it."""

    def __init__(self, command: list[str], events: "queue.Queue[Event]", results: Mapping[str, Any] | None) -> None:
        pipe, hidden = subprocess.PIPE, getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, creationflags=hidden)
        self.calls: dict[int, str] = {}
        self.begun = False
        self._results = results
        self._wire = Wire(cast("BinaryIO", self.process.stdout), cast("BinaryIO", self.process.stdin))
        self._log = _Log(cast("BinaryIO", self.process.stderr), events)
        self._events = events
        self._closing = False
        self._listener = threading.Thread(target=self._listen, name="engine events", daemon=True)
        self._listener.start()

    def begin(self, folder: Path) -> None:
        self.begun = True
        self.send(Begin(str(folder)))

    def call(self, asked: Call) -> None:
        self.calls[asked.number] = asked.method
        self.send(asked)

    def send(self, what: Request) -> None:
        """Hand a message on, also to a process that has died."""
        with contextlib.suppress(OSError, ValueError):  # It died: `Lost` tells.
            self._wire.send(request(what))

    def close(self, timeout: float) -> None:
        """Ask the process to end, kill it after `timeout` seconds, and stop listening."""
        self._closing = True
        self.send(Close())
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._listener.join(timeout)
        with contextlib.suppress(OSError):
            self._wire.sink.close()

    def _listen(self) -> None:
        try:
            while True:
                event = read_event(self._wire.receive(), self._result)
                if isinstance(event, Finished | Failed):
                    self.calls.pop(event.call, None)
                if not self._closing:
                    self._events.put(event)
        except (EOFError, OSError):
            self._ended()
        except WireError as error:
            self.process.kill()
            self._ended(error)

    def _result(self, number: int) -> Any:
        """Type of a call's result; raises KeyError for one that was not made, or is over."""
        method = self.calls[number]
        if self._results is not None:
            return self._results.get(method, Any)
        from .answers import RESULTS  # Here, for a window that starts needs it for nothing.

        return RESULTS[method]

    def _ended(self, error: WireError | None = None) -> None:
        exitcode = self.process.wait()
        self._log.thread.join(1.0)
        self._wire.source.close()
        calls, log = tuple(sorted(self.calls)), "\n".join(self._log.tail)
        if not self._closing:
            self._events.put(lost(exitcode, calls, log) if error is None else garbled(error, calls, log))


class _Log:
    """Reads what the process prints; keeps the last lines for the case that it dies."""

    def __init__(self, source: BinaryIO, events: "queue.Queue[Event]") -> None:
        self.tail: deque[str] = deque(maxlen=40)
        self._source = source
        self._events = events
        self._left_out = 0
        self.thread = threading.Thread(target=self._read, name="engine log", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        rest = b""
        with self._source:
            while data := os.read(self._source.fileno(), 65536):
                *lines, rest = (rest + data).split(b"\n")
                self._tell(lines)
        self._tell([rest] if rest else [])

    def _tell(self, lines: list[bytes]) -> None:
        texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
        self.tail.extend(texts)
        if self._events.qsize() > UNREAD:  # Nobody reads as fast as this is printed.
            self._left_out += len(texts)
        elif texts:
            omitted = [f"({self._left_out} lines left out)"] if self._left_out else []
            self._left_out = 0
            self._events.put(Logged("\n".join(omitted + texts)))


def _command(session: str) -> list[str]:
    """-P: the folder that the window was started from is not searched for modules, it may hold another `secateur`."""
    return [sys.executable, "-P", "-m", "secateur.engine.process.worker", session]
