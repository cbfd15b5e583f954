"""Whether the time that a job is said to take still can be trusted: `python -m tests.benchmarks.time_left`.

Does in a window what a person does with the sample: open it, cut, recover, measure the sensitivity, sweep, make
baselines, search, export. Each time that the window is told how long a job still takes, that is noted, and compared
with how long it took then. Prints for each job of more than a few seconds the share of its time, after the first tenth
of it, in which what was said was right within a factor of two (bar: 90 %), wrong, or not said.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

FACTOR, FIRST = 2.0, 0.1
"""By how much the time left may be wrong, and after which share of a job's time."""
BAR = 0.9
"""Share of a job's time in which it must be right."""
SHORT = 3.0
"""Seconds below which nobody waits."""
LAST = 1.5
"""Seconds before the end of a job in which any time below their double is right: the window says "a few seconds"."""
LIMIT = 900.0
LOOK = 100
"""Milliseconds between two looks at what the window says."""
ARROW = " > "


@dataclass
class Course:
    """What was said of a job.

    Attributes:
        method: Of the session.
        title: In words.
        seconds: How long it took.
        said: (seconds since its turn, seconds said to be left, -1 for nothing said, code of the progress, done, total).
    """

    method: str
    title: str
    seconds: float = 0.0
    said: list[tuple[float, float, str, int, int]] = field(default_factory=list)

    def shares(self) -> tuple[float, float]:
        """The shares of its time after the first tenth in which the time left was right, and in which none was said."""
        right = none = whole = 0.0
        for span, at, left in self._spans():
            whole += span
            none += span if left < 0 else 0.0
            right += span if self._right(self.seconds - at, left) else 0.0
        return (right / whole, none / whole) if whole else (1.0, 0.0)

    def _spans(self) -> Iterator[tuple[float, float, float]]:
        """(how long it stood, when in the middle of that, what it said)."""
        begin = FIRST * self.seconds
        for one, following in zip(self.said, [*[said[0] for said in self.said[1:]], self.seconds], strict=True):
            since, until = max(one[0], begin), min(following, self.seconds)
            if until > since:
                yield until - since, one[0], one[1]

    @staticmethod
    def _right(left: float, said: float) -> bool:
        near = left <= LAST and 0 <= said <= 2 * LAST
        return near or (said > 0 and left / FACTOR <= said <= left * FACTOR)


def measure(jobs: tuple[str, ...]) -> Iterator[Course]:
    """The course of each job that a person waits for, once it has ended."""
    from PySide6.QtCore import QEventLoop, QTimer

    from secateur.app.startup.application import make_application, make_window
    from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
    from secateur.engine.planning.protocol import Cost
    from secateur.engine.workflows.budget_search import LossLimit

    application = make_application()
    window = make_window()
    document, workbench = window.document, window.workbench
    queue = workbench.runner.queue
    courses: dict[int, Course] = {}
    ended: list[Course] = []

    def look() -> None:
        now = time.monotonic()
        running = {view.id: view for view in document.jobs if not view.place}
        for number in courses.keys() - running.keys():
            ended.append(courses.pop(number))
        for number, view in running.items():
            job = queue.get(number)
            if job is not None:
                course = courses.setdefault(number, Course(view.method, view.title))
                course.seconds = now - job.turn
                course.said.append((now - job.turn, view.left, job.progress.message.code, view.done, view.total))

    def until(condition) -> None:
        end = time.monotonic() + LIMIT
        while not condition() or document.dispatcher.busy:
            if time.monotonic() > end:
                raise TimeoutError
            application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    def rest() -> None:
        until(lambda: not document.jobs)

    timer = QTimer(interval=LOOK)
    timer.timeout.connect(look)
    timer.start()
    window.show()
    until(lambda: window.area is not None and document.engine.ready)
    window.open_source("bundled:resnet")
    until(lambda: document.scores is not None and not document.jobs)
    workbench.plan.suggest()
    until(lambda: document.marked.any())
    settings = document.recovery
    begin = document.contents.present
    starts = {
        "cut": workbench.states.cut,
        "recover": lambda: workbench.states.recover(replace(settings, epochs=3)),
        "again": lambda: workbench.states.recover(replace(settings, epochs=2)),
        "sensitivity": workbench.sensitivity.start,
        "baselines": lambda: workbench.baselines.start(
            [BaselineSpec(BaselineKind.RANDOM), BaselineSpec(BaselineKind.SCRATCH)]
        ),
        "export": lambda: workbench.states.export("onnx", str(Path(tempfile.mkdtemp()) / "net.onnx")),
        "sweep": lambda: workbench.sweep.start((0.8, 0.6, 0.4), recovery=replace(settings, epochs=1)),
        "search": lambda: workbench.search.start(LossLimit(0.01, Cost.MACS, 3, 1), 1.0, replace(settings, epochs=2)),
    }
    for name in jobs or starts:
        if name == "sweep":
            document.plan.enter(begin, "back")
            until(lambda: document.scores is not None and not document.jobs)
        starts[name]()
        rest()
        yield from (one for one in ended if one.seconds >= SHORT)
        ended.clear()
    timer.stop()
    window.close()
    application.processEvents()


def main() -> int:
    """Measure and print; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Measures whether the time left of jobs can be trusted.")
    parser.add_argument("jobs", nargs="*", help="cut, recover, again, sensitivity, baselines, export, sweep, search")
    parser.add_argument("--json", metavar="FILE", help="write everything that was said to a file")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    kept = tempfile.mkdtemp()
    os.environ.update(XDG_DATA_HOME=f"{kept}/data", XDG_CONFIG_HOME=f"{kept}/config", HOME=kept)
    courses: list[Course] = []
    for course in measure(tuple(arguments.jobs)):
        courses.append(course)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps([asdict(one) for one in courses]), encoding="utf-8")
        right, none = course.shares()
        words = f"{100 * right:4.0f} % right  {100 * none:4.0f} % unknown  {course.seconds:6.1f} s  {course.title}"
        sys.stdout.write(words + "\n")
        sys.stdout.flush()
    return int(any(course.shares()[0] < BAR for course in courses))


if __name__ == "__main__":
    sys.exit(main())
