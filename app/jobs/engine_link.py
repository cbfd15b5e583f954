"""The window's side of the link: calls return at once, the engine's words come as signals in the window's thread.

`Supervisor` is what the link's thread does: it sends calls, waits for events, sees that a cancel is obeyed, and starts
an engine again that was lost. It uses no Qt, so that tests run it without a thread. What waits stays in the job queue,
which sends one call at a time.
"""

import queue
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.process.events import (
    Disconnected,
    Event,
    Failed,
    Finished,
    Logged,
    Lost,
    Progressed,
    Ready,
    Reconnected,
    Refused,
)
from secateur.engine.session.states import OpenedModel

from ..storage.autosave.remote_engine import RemoteEngine

PATIENCE = 3.0
"""Seconds a job may take to obey a cancel before its process is killed."""
LOSSES = 3
"""Losses in a row, without a finished call between them, after which the engine is not started again."""
ASIDE = 1 << 40
"""Tickets from here on are of calls that the engine answers while a job runs, and that touch nothing of the session."""
NAP = 0.25
"""Seconds the thread sleeps where nothing is under way."""


class Client(Protocol):
    """What of `EngineClient` is used here."""

    @property
    def place(self) -> str:
        """The machine that the engine is on, "" for this one."""
        ...

    def start(self, folder: Path) -> None:
        """Start a process."""
        ...

    def call(self, method: str, *arguments: Any) -> int:
        """Send a call."""
        ...

    def cancel(self, number: int) -> None:
        """Ask a call to stop."""
        ...

    def poll(self, timeout: float = 0.0) -> Event | None:
        """The next event."""
        ...

    def kill(self) -> None:
        """End the process."""
        ...

    def close(self, timeout: float = 1.0) -> None:
        """End the process without an event."""
        ...


@dataclass(slots=True)
class Supervisor:
    """The state of the thread.

    Attributes:
        client: The engine.
        tell: Called with the name of a signal of `EngineLink`, and its arguments.
        orders: What the window asks for: methods of this with their arguments, called in the thread.
        flying: Number of a call -> ticket, of what was sent; ticket -1 brings back the session.
        overdue: Ticket -> time by which it must have obeyed a cancel.
        folder: Of the session.
        opened: Something is open in it.
        losses: Of engines, without a finished call between them.
        running: It serves.
        connected: What is asked arrives; False while the connection to an engine elsewhere is tried again.
    """

    client: Client
    tell: Callable[..., None]
    orders: "queue.SimpleQueue[Callable[[], None]]" = field(default_factory=queue.SimpleQueue)
    flying: dict[int, int] = field(default_factory=dict[int, int])
    overdue: dict[int, float] = field(default_factory=dict[int, float])
    folder: Path | None = None
    opened: bool = False
    losses: int = 0
    running: bool = True
    connected: bool = True

    def run(self) -> None:
        """Serve until it is stopped."""
        while self.running:
            self.turn()
        self.client.close()

    def turn(self) -> None:
        """Take what the window ordered, then what the engine said."""
        with suppress(queue.Empty):
            order = self.orders.get_nowait() if self.flying else self.orders.get(timeout=NAP)
            while True:
                order()
                order = self.orders.get_nowait()
        event = self.client.poll(0.02 if self.flying else 0.0)
        while event is not None and self.running:
            self._take_event(event)
            event = self.client.poll()
        if self.connected and any(time.monotonic() > limit for limit in self.overdue.values()):
            # `Lost` follows; infinity keeps these tickets known as cancelled until then, and kills no second time.
            self.client.kill()
            self.overdue = dict.fromkeys(self.overdue, float("inf"))

    def start(self, folder: Path) -> None:
        """Start an engine on a session's folder."""
        self.folder = folder
        self.client.start(folder)

    def call(self, ticket: int, method: str, arguments: tuple[Any, ...]) -> None:
        """Send a call."""
        try:
            self.flying[self.client.call(method, *arguments)] = ticket
        except SecateurError as error:
            self.tell("failed", ticket, error)

    def cancel(self, ticket: int) -> None:
        """Ask a call to stop, and see that it does."""
        for call in [call for call, one in self.flying.items() if one == ticket]:
            self.client.cancel(call)
            self.overdue.setdefault(ticket, time.monotonic() + PATIENCE)

    def stop(self) -> None:
        """Serve no longer."""
        self.running = False

    def _take_event(self, event: Event) -> None:
        match event:
            case Ready():
                self.tell("ready", event.threads)
            case Progressed():
                if (ticket := self.flying.get(event.call)) is not None:
                    self.tell("progressed", ticket, event)
            case Finished():
                self._end_call("finished", event.call, event.result)
            case Failed():
                self._end_call("failed", event.call, event.error)
            case Logged():
                self.tell("logged", event.text)
            case Lost():
                # The next engine is reached by a new connection.
                self.connected = True
                self._take_loss(event)
            case Refused():
                self._give_up(event.error)
            case Disconnected():
                self.connected = False
                self.tell("disconnected", event.host)
            case Reconnected():
                self.connected = True
                # A cancel could not be obeyed while there was no connection.
                self.overdue = dict.fromkeys(self.overdue, time.monotonic() + PATIENCE)
                self.tell("reconnected", event.host)

    def _end_call(self, how: str, call: int, payload: Any) -> None:
        ticket = self.flying.pop(call, None)
        if ticket is None:
            return
        self.overdue.pop(ticket, None)
        if ticket < 0 and how == "finished":
            return self.tell("restored")
        if ticket < 0:
            # Calls sent meanwhile are about a session that is not there.
            self._break_off(payload)
            return self.tell("given_up", payload)
        if how == "finished" and ticket < ASIDE:
            self.losses, self.opened = 0, True
            if isinstance(payload, OpenedModel) and payload.folder:
                # A lost engine is restored from the folder of the model that is open now.
                self.folder = Path(payload.folder)
        self.tell(how, ticket, payload)

    def _take_loss(self, event: Lost) -> None:
        self.losses += 1
        asked = set(self.overdue)
        # An engine that dies each time would be started for ever.
        folder = self.folder if self.losses <= LOSSES else None
        again = folder is not None
        self.tell("lost", event.error, bool(asked), again, again and self.opened)
        self._break_off(event.error, asked)
        if folder is not None:
            self.client.start(folder)
            if self.opened:
                # Where it is; nothing moved; this window opened its code already, as it was then.
                self.flying[self.client.call("restore", "", (), True, True)] = -1
        else:
            template = (
                "The engine ended {count} times in a row and was not restarted. Close the window and start Secateur "
                "again."
            )
            self._give_up(EngineLost("engine.given_up", template, event.error.details, count=self.losses))

    def _give_up(self, error: EngineLost) -> None:
        self._break_off(error)
        self.client.close()
        self.tell("given_up", error)

    def _break_off(self, error: SecateurError, cancelled: Collection[int] = ()) -> None:
        """What was sent never comes back; what was to be stopped, is."""
        broken, self.flying, self.overdue = self.flying, {}, {}
        for ticket in broken.values():
            if ticket >= 0:
                self.tell("failed", ticket, Cancelled() if ticket in cancelled else error)


class _EngineThread(QThread):
    """The one long-lived thread that owns the client.

    Signals:
        said: (name of a signal of `EngineLink`, its arguments).
    """

    said = Signal(str, object)

    def __init__(self, client: Client, parent: QObject) -> None:
        super().__init__(parent)
        self.supervisor = Supervisor(client, lambda kind, *arguments: self.said.emit(kind, arguments))

    def run(self) -> None:
        """Serve until it is stopped (in the new thread)."""
        self.supervisor.run()


class EngineLink(QObject):
    """Calls to the engine process.

    Signals:
        ready: The engine has loaded its libraries and computes with this many threads.
        progressed: (ticket, events.Progressed).
        finished: (ticket, result).
        failed: (ticket, SecateurError).
        lost: (EngineLost, asked by a cancel, is started again, gets back its session).
        restored: The engine has the document's states again.
        given_up: SecateurError: it could not be restored.
        disconnected: The connection to the engine on this machine broke; it is tried again, and the engine goes on.
        reconnected: The connection to the engine on this machine is there again.
        logged: Text that the user's code or a library printed.
    """

    ready = Signal(int)
    progressed = Signal(object, object)
    finished = Signal(object, object)
    failed = Signal(object, object)
    lost = Signal(object, bool, bool, bool)
    restored = Signal()
    given_up = Signal(object)
    disconnected = Signal(str)
    reconnected = Signal(str)
    logged = Signal(str)

    def __init__(self, client: Client | None = None, parent: QObject | None = None) -> None:
        """Own a client (the real one by default); nothing runs before `start`."""
        super().__init__(parent)
        if client is None:
            from secateur.engine.process.client import EngineClient

            client = EngineClient()
        self.client = client
        self._thread = _EngineThread(client, self)
        self._thread.said.connect(self._on_said, Qt.ConnectionType.QueuedConnection)

    @property
    def place(self) -> str:
        """The machine that it runs on, "" for this one."""
        return self.client.place

    @property
    def engine(self) -> RemoteEngine | None:
        """How a later window finds it again, None for this machine's, which ends with the window."""
        address: Any = getattr(self.client, "address", None)
        return None if address is None else RemoteEngine(str(address), str(getattr(self.client, "name", "")))

    @property
    def pid(self) -> int:
        """Process id of the engine, 0 before it started."""
        return int(getattr(self.client, "pid", 0))

    def start(self, folder: Path) -> None:
        """Start the engine process on a session folder."""
        self._order(partial(self._thread.supervisor.start, folder))
        if not self._thread.isRunning():
            self._thread.start()

    def call(self, ticket: int, method: str, *arguments: Any) -> None:
        """Ask for a method of the session; the ticket comes back in `progressed`, `finished` and `failed`.

        The engine works on one call at a time: who calls (the job queue) waits for the end of one before the next.
        """
        self._order(partial(self._thread.supervisor.call, ticket, method, arguments))

    def cancel(self, ticket: int) -> None:
        """Ask a call to stop; if it does not within seconds, the process is killed and the session restored."""
        self._order(partial(self._thread.supervisor.cancel, ticket))

    def close(self) -> None:
        """End thread and process; the process is asked first, then killed."""
        if self._thread.isRunning():
            self._order(self._thread.supervisor.stop)
            self._thread.wait()
        else:
            self.client.close()

    def _order(self, order: Callable[[], None]) -> None:
        self._thread.supervisor.orders.put(order)

    @Slot(str, object)
    def _on_said(self, kind: str, arguments: tuple[Any, ...]) -> None:
        getattr(self, kind).emit(*arguments)
