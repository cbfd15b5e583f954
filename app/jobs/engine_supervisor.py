"""What the engine's thread does: sends calls, waits for events, sees that a cancel is obeyed, starts again when lost.

What waits stays in the job queue, which sends one call at a time. No Qt here: it speaks through a callable, so that
tests run it without a thread.
"""

import queue
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
        tell: Called with (kind, ticket, payload); kinds are the names of the signals of `EngineLink`.
        orders: Calls of the window: (what, ...).
        flying: Number of a call -> ticket, of what was sent; ticket -1 brings back the session.
        overdue: Ticket -> time by which it must have obeyed a cancel.
        folder: Of the session.
        opened: Something is open in it.
        losses: Of engines, without a finished call between them.
        running: It serves.
        connected: What is asked arrives; False while the connection to an engine elsewhere is tried again.
    """

    client: Client
    tell: Callable[[str, int, Any], None]
    orders: "queue.SimpleQueue[tuple[Any, ...]]" = field(default_factory=queue.SimpleQueue)
    flying: dict[int, int] = field(default_factory=dict[int, int])
    overdue: dict[int, float] = field(default_factory=dict[int, float])
    folder: Path | None = None
    opened: bool = False
    losses: int = 0
    running: bool = True
    connected: bool = True

    def run(self) -> None:
        """Serve until told to stop."""
        while self.running:
            self.turn()
        self.client.close()

    def turn(self) -> None:
        """Take what the window ordered, then what the engine said."""
        with suppress(queue.Empty):
            order = self.orders.get_nowait() if self.flying else self.orders.get(timeout=NAP)
            while True:
                self._obey(*order)
                order = self.orders.get_nowait()
        event = self.client.poll(0.02 if self.flying else 0.0)
        while event is not None and self.running:
            self._take_event(event)
            event = self.client.poll()
        if self.connected and any(time.monotonic() > limit for limit in self.overdue.values()):
            self.client.kill()
            self.overdue = dict.fromkeys(self.overdue, float("inf"))

    def _obey(self, what: str, *arguments: Any) -> None:
        match what:
            case "start":
                self.folder = arguments[0]
                self.client.start(arguments[0])
            case "call":
                ticket, method, given = arguments
                try:
                    self.flying[self.client.call(method, *given)] = ticket
                except SecateurError as error:
                    self.tell("failed", ticket, error)
            case "cancel":
                for call in [call for call, ticket in self.flying.items() if ticket == arguments[0]]:
                    self.client.cancel(call)
                    self.overdue.setdefault(arguments[0], time.monotonic() + PATIENCE)
            case _:
                self.running = False

    def _take_event(self, event: Event) -> None:
        match event:
            case Ready():
                self.tell("ready", 0, event.threads)
            case Progressed():
                if (ticket := self.flying.get(event.call)) is not None:
                    self.tell("progressed", ticket, event)
            case Finished():
                self._end_call("finished", event.call, event.result)
            case Failed():
                self._end_call("failed", event.call, event.error)
            case Logged():
                self.tell("logged", 0, event.text)
            case Lost():
                # The next engine is reached by a new connection.
                self.connected = True
                self._take_loss(event)
            case Refused():
                self._give_up(event.error)
            case Disconnected():
                self.connected = False
                self.tell("disconnected", 0, event.host)
            case Reconnected():
                self.connected = True
                self.overdue = dict.fromkeys(self.overdue, time.monotonic() + PATIENCE)
                self.tell("reconnected", 0, event.host)

    def _end_call(self, how: str, call: int, payload: Any) -> None:
        ticket = self.flying.pop(call, None)
        if ticket is None:
            return
        self.overdue.pop(ticket, None)
        if ticket < 0:
            how = "restored" if how == "finished" else "given_up"
            # Calls sent meanwhile are about a session that is not there.
            if how == "given_up":
                self._break_off(payload)
        elif how == "finished" and ticket < ASIDE:
            self.losses, self.opened = 0, True
            if isinstance(payload, OpenedModel) and payload.folder:
                # A lost engine is restored from the folder of the model that is open now.
                self.folder = Path(payload.folder)
        self.tell(how, max(ticket, 0), payload)

    def _take_loss(self, event: Lost) -> None:
        self.losses += 1
        asked = set(self.overdue)
        folder = self.folder if self.losses <= LOSSES else None
        again = folder is not None
        self.tell("lost", 0, (event.error, bool(asked), again, again and self.opened))
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
        self.tell("given_up", 0, error)

    def _break_off(self, error: SecateurError, cancelled: Collection[int] = ()) -> None:
        """What was sent never comes back; what was to be stopped, is."""
        broken, self.flying, self.overdue = self.flying, {}, {}
        for ticket in broken.values():
            if ticket >= 0:
                self.tell("failed", ticket, Cancelled() if ticket in cancelled else error)
