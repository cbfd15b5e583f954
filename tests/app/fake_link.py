"""A link whose engine is the test itself: it looks at the calls and answers them."""

from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal


class FakeLink(QObject):
    """Has the signals of `EngineLink`; answers nothing by itself."""

    ready = Signal(int)
    progressed = Signal(object, object)
    finished = Signal(object, object)
    failed = Signal(object, object)
    lost = Signal(object, bool, bool)
    restored = Signal()
    given_up = Signal(object)
    logged = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[int, tuple[str, tuple[Any, ...]]] = {}
        self.cancelled: list[int] = []
        self.moved: list[tuple[int, int]] = []
        self.closed = False

    def start(self, folder: Path) -> None:
        self.folder = folder

    def call(self, method: str, *arguments: Any) -> int:
        self.calls[len(self.calls) + 1] = (method, arguments)
        return len(self.calls)

    def cancel(self, ticket: int) -> None:
        self.cancelled.append(ticket)

    def move(self, ticket: int, before: int) -> None:
        self.moved.append((ticket, before))

    def close(self) -> None:
        self.closed = True

    def last(self, method: str) -> int:
        """The number of the last call of a method."""
        return max(n for n, (name, _) in self.calls.items() if name == method)

    def asked(self, method: str) -> tuple[Any, ...]:
        """The arguments of the last call of a method."""
        return self.calls[self.last(method)][1]
