"""What the engine's thread does: sends calls, waits for events, sees that a cancel is obeyed, starts again when lost.

The engine works on one call at a time. What waits stays here, so that it can be taken back at once or put elsewhere in
the queue, and is not lost with a process that dies. No Qt here: it speaks through a callable, so that tests run it
without a thread.
"""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.process.events import Event, Failed, Finished, Logged, Lost, Progressed, Ready
from secateur.engine.session.states import OpenedModel

PATIENCE = 3.0
"""Seconds a job may take to obey a cancel before its process is killed."""
LOSSES = 3
"""Losses in a row, without a finished call between them, after which the engine is not started again."""
NAP = 0.25
"""Seconds the thread sleeps where nothing is under way."""


class Client(Protocol):
    """What of `EngineClient` is used here."""

    def start(self, folder: Path) -> None:
        """Start a process."""
        ...

    def call(self, method: str, *arguments: Any) -> int:
        """Send a call."""
        ...

    def cancel(self, call: int) -> None:
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
        flying: Number of a call -> ticket, of the one that was sent.
        waiting: (ticket, method, arguments) of what was not sent yet, in the order in which it will be.
        overdue: Ticket -> time by which it must have obeyed a cancel.
    """

    client: Client
    tell: Callable[[str, int, Any], None]
    orders: "queue.SimpleQueue[tuple[Any, ...]]" = field(default_factory=queue.SimpleQueue)
    flying: dict[int, int] = field(default_factory=dict[int, int])
    waiting: list[tuple[int, str, tuple[Any, ...]]] = field(default_factory=list[tuple[int, str, tuple[Any, ...]]])
    overdue: dict[int, float] = field(default_factory=dict[int, float])
    folder: Path | None = None
    opened: bool = False
    losses: int = 0
    running: bool = True

    def run(self) -> None:
        """Serve until told to stop."""
        while self.running:
            self.turn()
        self.client.close()

    def turn(self) -> None:
        """Take what the window ordered, then what the engine said."""
        self._take_orders(wait=not self.flying)
        event = self.client.poll(0.02 if self.flying else 0.0)
        while event is not None and self.running:
            self._hear(event)
            event = self.client.poll()
        if any(time.monotonic() > limit for limit in self.overdue.values()):
            self.client.kill()
            self.overdue = dict.fromkeys(self.overdue, float("inf"))

    def _take_orders(self, wait: bool) -> None:
        try:
            order = self.orders.get(timeout=NAP) if wait else self.orders.get_nowait()
            while True:
                self._obey(*order)
                order = self.orders.get_nowait()
        except queue.Empty:
            return

    def _obey(self, what: str, *arguments: Any) -> None:
        match what:
            case "start":
                self.folder = arguments[0]
                self.client.start(arguments[0])
            case "call":
                self.waiting.append(arguments)
                self._send_next()
            case "cancel":
                self._cancel(arguments[0])
            case "move":
                self._move(*arguments)
            case _:
                self.running = False

    def _send_next(self) -> None:
        """Send what waits longest, unless the engine is at work."""
        while self.waiting and not self.flying:
            ticket, method, arguments = self.waiting.pop(0)
            try:
                self.flying[self.client.call(method, *arguments)] = ticket
            except SecateurError as error:
                self.tell("failed", ticket, error)

    def _cancel(self, ticket: int) -> None:
        waits = [call for call in self.waiting if call[0] == ticket]
        for call in waits:
            self.waiting.remove(call)
            self.tell("failed", ticket, Cancelled())
        for call, flying in self.flying.items():
            if flying == ticket:
                self.client.cancel(call)
                self.overdue.setdefault(ticket, time.monotonic() + PATIENCE)

    def _move(self, ticket: int, before: int) -> None:
        """Put what waits before another, or (0) behind all; what was sent meanwhile stays where it is."""
        tickets = [call[0] for call in self.waiting]
        if ticket not in tickets or (before and before not in tickets) or ticket == before:
            return
        call = self.waiting.pop(tickets.index(ticket))
        tickets.remove(ticket)
        self.waiting.insert(tickets.index(before) if before else len(tickets), call)

    def _hear(self, event: Event) -> None:
        match event:
            case Ready():
                self.tell("ready", 0, event.threads)
            case Progressed():
                if (ticket := self.flying.get(event.call)) is not None:
                    self.tell("progressed", ticket, event)
            case Finished():
                self._ended("finished", event.call, event.result)
            case Failed():
                self._ended("failed", event.call, event.error)
            case Logged():
                self.tell("logged", 0, event.text)
            case Lost():
                self._lost(event)

    def _ended(self, how: str, call: int, payload: Any) -> None:
        ticket = self.flying.pop(call, None)
        if ticket is None:
            return
        self.overdue.pop(ticket, None)
        if ticket < 0:
            how = "restored" if how == "finished" else "given_up"
            if how == "given_up":
                self._forsake(payload)
        elif how == "finished":
            self.losses, self.opened = 0, True
            if isinstance(payload, OpenedModel) and payload.folder:
                self.folder = Path(payload.folder)  # where it is to be restored from
        self.tell(how, max(ticket, 0), payload)
        self._send_next()

    def _lost(self, event: Lost) -> None:
        self.losses += 1
        asked = set(self.overdue)
        broken, self.flying, self.overdue = self.flying, {}, {}
        again = self.losses <= LOSSES and self.folder is not None
        self.tell("lost", 0, (event.error, bool(asked), again))
        for ticket in broken.values():
            if ticket >= 0:
                self.tell("failed", ticket, Cancelled() if ticket in asked else event.error)
        if not (again and self.opened):  # What waits is about a session that does not come back.
            self._forsake(event.error)
        if again:
            self._start_again()
        else:
            self.client.close()
            template = (
                "The engine ended {count} times in a row and was not restarted. Close the window and start Secateur "
                "again."
            )
            self.tell("given_up", 0, EngineLost("engine.given_up", template, event.error.details, count=self.losses))

    def _forsake(self, error: SecateurError) -> None:
        """What waits will never have its turn."""
        waiting, self.waiting = self.waiting, []
        for ticket, _, _ in waiting:
            self.tell("failed", ticket, error)

    def _start_again(self) -> None:
        assert self.folder is not None
        self.client.start(self.folder)
        if self.opened:
            told = ("", (), True)  # where it is; nothing moved; this window opened its code already
            self.flying[self.client.call("restore", *told)] = -1  # what waits goes on after it
