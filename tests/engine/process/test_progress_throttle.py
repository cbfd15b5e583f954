"""Merged progress loses nothing that somebody waits for."""

import threading
from typing import Any

from secateur.engine.jobs import Progress
from secateur.engine.process.events import Finished, Progressed
from secateur.engine.process.progress_throttle import Outbox


class Held:
    """A wire that sends nothing before it may."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.open = threading.Event()

    def send(self, message: Any) -> None:
        self.open.wait(10)
        self.sent.append(message)


def test_the_last_of_what_is_so_far_and_all_that_was_made_are_told() -> None:
    wire = Held()
    outbox = Outbox(wire)  # type: ignore[arg-type]
    wire.open.set()
    with outbox._news:  # as if the job were faster than the posting thread
        outbox.progress(1, Progress("first", 1, so_far="a", made="x"))
        outbox.progress(1, Progress("second", 2, so_far="b"))
        outbox.progress(1, Progress("third", 3, made="y"))
        outbox.send(Finished(1, "c"))
    told = [one for one in wire.sent if isinstance(one, Progressed)]
    assert [(one.progress.text, one.progress.so_far, one.made) for one in told] == [("third", "b", ("x", "y"))]
    assert wire.sent[-1] == Finished(1, "c")
