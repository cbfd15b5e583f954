"""A link whose engine is the test itself: it looks at the calls and answers them."""

from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from secateur.app.document.document import Document
from secateur.app.jobs.job_queue import JobQueue, QueuedJob
from secateur.app.jobs.workbench import Workbench
from secateur.app.storage.autosave.remote_engine import RemoteEngine


class FakeLink(QObject):
    """Has the signals of `EngineLink`; answers nothing by itself.

    Attributes:
        calls: By number every job that was asked for, as (method, arguments); those that wait for their turn, too.
        sent: The numbers of those that the engine got, in order.
        cancelled: The numbers of those that the engine was asked to stop.
        place: The machine of the engine, "" for this one.
        engine: That machine's, None for this one's.
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

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[int, tuple[str, tuple[Any, ...]]] = {}
        self.sent: list[int] = []
        self.cancelled: list[int] = []
        self.place = ""
        self.engine: RemoteEngine | None = None
        self.client = self
        self.closed = False

    def start(self, folder: Path) -> None:
        self.folder = folder

    def call(self, ticket: int, method: str, *arguments: Any) -> None:
        self.calls[ticket] = (method, arguments)
        self.sent.append(ticket)

    def cancel(self, ticket: int) -> None:
        self.cancelled.append(ticket)

    def close(self) -> None:
        self.closed = True

    def watch(self, queue: JobQueue) -> None:
        """Write down what is put into a queue, too."""
        add = queue.add

        def noted(job: QueuedJob, ahead: bool = False) -> int:
            number = add(job, ahead)
            self.calls[number] = (job.method, job.arguments)
            return number

        queue.add = noted

    def last(self, method: str) -> int:
        """The number of the last call of a method."""
        return max(n for n, (name, _) in self.calls.items() if name == method)

    def asked(self, method: str) -> tuple[Any, ...]:
        """The arguments of the last call of a method."""
        return self.calls[self.last(method)][1]


def workbench_on(link: FakeLink, document: Document | None = None) -> Workbench:
    """A workbench whose engine is the test."""
    made = Workbench(link, document)
    link.watch(made.runner.queue)
    return made
