"""The window's end of the engine process: starts it, sends calls, gives events. Loads neither torch nor Qt.

Meant to be polled from one thread; `call`, `cancel` and `kill` may be called from any.
"""

import itertools
import queue
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import EngineLost, WireError
from .engine_process import SESSION, EngineProcess, Listener
from .events import Event, Failed, Finished, Logged, lost_engine
from .messages import Begin, Cancel, Close, call, read_event
from .plain_data import encode


class EngineClient:
    """A session in a process of its own.

    Attributes:
        place: The machine that it is on: "", this one.
        session: "module:name" of what makes the process's session from its folder.
        results: Name of a call -> type of its result; plain data for one that is not there, and what `answers` says of
            the window's own session where None is given.
    """

    def __init__(self, session: str = SESSION, results: Mapping[str, Any] | None = None) -> None:
        """Nothing runs before `prepare` or `start`."""
        self.place = ""
        self.session = session
        self.results = results
        self._events: queue.Queue[Event] = queue.Queue()
        self._numbers = itertools.count(1)
        self._calls = CallTypes(results)
        self._process: EngineProcess | None = None

    @property
    def alive(self) -> bool:
        """True while the engine process runs."""
        return self._process is not None and self._process.process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the engine, 0 before `prepare` and `start`."""
        return self._process.process.pid if self._process is not None else 0

    def prepare(self) -> None:
        """Start a process that loads its libraries, for the next `start`; returns at once."""
        self.close()
        # Events of a process that was closed are read by its own calls: it may still say something while it ends.
        calls = self._calls = CallTypes(self.results)

        def put_lost(exitcode: int, log: str, error: WireError | None) -> None:
            self._events.put(lost_engine(exitcode, tuple(sorted(calls.methods)), log, error))

        self._process = EngineProcess(
            self.session,
            Listener(
                message=lambda data: self._events.put(calls.read(data)),
                log=lambda text: self._events.put(Logged(text)),
                ended=put_lost,
                unread=self._events.qsize,
            ),
        )

    def start(self, folder: Path) -> None:
        """Work on a session folder (an earlier process is closed); returns at once, `Ready` follows."""
        if self._calls.begun or not self.alive:
            self.prepare()
        assert self._process is not None
        self._calls.begun = True
        self._process.send(encode(Begin(str(folder))))

    def call(self, method: str, *arguments: Any) -> int:
        """Ask for a method of the session; its number comes back at once, `Finished` or `Failed` follows.

        Raises:
            EngineLost: Nothing was started.
            TypeError: An argument is no plain data.
        """
        if self._process is None:
            raise EngineLost("engine.not_started", "The engine is not running. Start it first.")
        number = next(self._numbers)
        data = encode(call(number, method, arguments))
        self._calls.methods[number] = method
        self._process.send(data)
        return number

    def cancel(self, number: int) -> None:
        """Ask a call to stop; `Failed` with `Cancelled` follows unless it was done already."""
        if self._process is not None:
            self._process.send(encode(Cancel(number)))

    def poll(self, timeout: float = 0.0) -> Event | None:
        """The next event, None when there is none within `timeout` seconds."""
        return poll_events(self._events, timeout)

    def kill(self) -> None:
        """End the process at once, whatever it does; `Lost` follows."""
        if self._process is not None:
            self._process.process.kill()

    def close(self, timeout: float = 1.0) -> None:
        """End the process without an event: asked first, killed after `timeout` seconds."""
        process, self._process = self._process, None
        if process is not None:
            process.close(encode(Close()), timeout)
            # What it said before is about calls that have no caller any more.
            while self.poll() is not None:
                pass


def poll_events(events: "queue.Queue[Event]", timeout: float) -> Event | None:
    """The next event, None when there is none within `timeout` seconds."""
    try:
        return events.get(timeout=timeout) if timeout > 0 else events.get_nowait()
    except queue.Empty:
        return None


class CallTypes:
    """The calls that are under way, and the types of their results.

    Attributes:
        methods: Number of a call -> name of its method.
        begun: The engine has its folder.
    """

    def __init__(self, results: Mapping[str, Any] | None) -> None:
        """Take the types by name of a call; None for those of the window's own session."""
        self.methods: dict[int, str] = {}
        self.begun = False
        self._results = results

    def read(self, data: bytes | bytearray) -> Event:
        """An event of the engine; a call that it ends is under way no more. Raises `WireError`."""
        event = read_event(data, self._result_type)
        if isinstance(event, Finished | Failed):
            self.methods.pop(event.call, None)
        return event

    def _result_type(self, number: int) -> Any:
        method = self.methods[number]
        if self._results is not None:
            return self._results.get(method, Any)
        # Imported here: a window that starts does without the types of the results.
        from .answers import RESULTS

        return RESULTS[method]
