"""Merged progress loses nothing that somebody waits for."""

import threading
import time

from secateur.engine.jobs import Progress
from secateur.engine.process.events import Event, Finished, Progressed
from secateur.engine.process.messages import read_event
from secateur.engine.process.worker import Outbox
from secateur.engine.workflows.budget_search import Trial


class Held:
    """A wire that sends nothing before it may."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.open = threading.Event()

    def send(self, data: bytes) -> None:
        self.open.wait(10)
        self.sent.append(read_event(data, lambda _: str))


def test_the_last_of_what_is_so_far_and_all_that_was_made_are_told() -> None:
    wire = Held()
    outbox = Outbox(wire)  # type: ignore[arg-type]
    wire.open.set()
    first, second, x, y = (Trial(share, "") for share in (0.1, 0.2, 0.3, 0.4))
    with outbox._news:  # as if the job were faster than the posting thread
        outbox.progress(1, Progress("first", 1, so_far=first, made=x))
        outbox.progress(1, Progress("second", 2, so_far=second))
        outbox.progress(1, Progress("third", 3, made=y))
        outbox.send(Finished(1, "c"))
    told = [one for one in wire.sent if isinstance(one, Progressed)]
    assert [(one.progress.text, one.progress.so_far, one.made) for one in told] == [("third", second, (x, y))]
    assert wire.sent[-1] == Finished(1, "c")


def test_progress_that_cannot_be_told_costs_neither_what_follows_nor_the_result(capsys) -> None:
    wire = Held()
    outbox = Outbox(wire)  # type: ignore[arg-type]
    wire.open.set()
    odd = Trial(0.1, "h\udce9me")
    with outbox._news:
        outbox.progress(1, Progress("no plain data", made=lambda: None))
        outbox.send(Finished(1, "first"))
        outbox.progress(2, Progress("h\udce9me", so_far=odd, made=odd))
        outbox.send(Finished(2, "second"))
    told = [one for one in wire.sent if isinstance(one, Progressed)]
    assert [(one.progress.text, one.progress.so_far, one.made) for one in told] == [("h\udce9me", odd, (odd,))]
    assert [one for one in wire.sent if isinstance(one, Finished)] == [Finished(1, "first"), Finished(2, "second")]
    assert "Progress of call 1 cannot be sent" in capsys.readouterr().err
    outbox.progress(3, Progress("by the thread", made=lambda: None))
    while "call 3" not in capsys.readouterr().err:
        time.sleep(0.001)
    outbox.progress(3, Progress("the next"))
    while not any(isinstance(one, Progressed) and one.progress.text == "the next" for one in list(wire.sent)):
        time.sleep(0.001)
