"""How long the window is ever without an answer: `python -m tests.benchmarks.heartbeat`.

A 10 ms timer beats in the interface's thread while torch is imported in the engine, while a model is opened, planned,
cut and fine-tuned with each view in front in turn, and with a data set in slow Python. Prints the longest gap of each
phase (bar: 100 ms), the share of gaps above 50 ms (bar: 1 %), and the times from the start of a process to its first
painted window (bar: 1 s) and to the sample opened and scored (bar: 4 s). `--walk STEPS` walks at random in place of
that, and counts the silences. `--delay SECONDS --rate BYTES` puts the engine behind a connection with that delay in
either direction and so many bytes a second, and opens the shape of Llama-2-7B as well (bars: 50 ms, and its first rows
1 s after the analysis is there).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

BAR = 0.1
"""Seconds that the window may be without an answer."""
SHORT, SELDOM = 0.05, 0.01
"""Seconds above which a gap may be only in that share of all."""
ROWS_BAR = 1.0
"""Seconds from the analysis of a large model elsewhere to its first rows here."""
FIRST_BAR, SCORED_BAR = 1.0, 4.0
"""Seconds from start to the first painted window, and to the sample opened and scored."""
VIEWS = ("tradeoff", "layers", "graph", "heads", "sensitivity", "recovery", "samples", "jobs", "history", "log")
"""What is brought to the front in turn while a job runs."""
TURN = 1.5
"""Seconds for which each view is in front."""
LIMIT = 600.0


@dataclass
class Heart:
    """The longest gap between beats, by phase, and the most that this thread computed in any gap: seconds.

    A long gap in a phase in which the thread never computed for long is another program's doing.

    Attributes:
        gaps: All gaps of a phase, and what this thread computed in each.
    """

    phase: str = "start"
    last: tuple[float, float] | None = None
    longest: dict[str, tuple[float, float]] = field(default_factory=dict)
    gaps: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def beat(self) -> None:
        now = time.perf_counter(), time.thread_time()
        if self.last is not None:
            gap = now[0] - self.last[0], now[1] - self.last[1]
            before = self.longest.get(self.phase, (0.0, 0.0))
            self.longest[self.phase] = max(gap[0], before[0]), max(gap[1], before[1])
            self.gaps.setdefault(self.phase, []).append(gap)
        self.last = now

    def above(self, bar: float, phase: str, own: bool = False) -> int:
        """How many gaps of a phase were longer; `own`: in which this thread computed longer."""
        return sum(gap[own] > bar for gap in self.gaps.get(phase, []))


def measure(engine=None) -> Heart:
    """Every gap of each phase; `engine` is one elsewhere, None for one of its own."""
    from PySide6.QtCore import QEventLoop, Qt, QTimer

    from secateur.app.startup.application import make_application, make_window
    from secateur.engine.tasks.protocol import TaskSpec

    application = make_application()
    window, heart = make_window(engine), Heart()
    document = window.document
    workbench = window.workbench
    timer = QTimer(interval=10, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(heart.beat)

    def until(phase, condition) -> None:
        heart.phase, end = phase, time.monotonic() + LIMIT
        while not condition() or document.dispatcher.busy:
            if time.monotonic() > end:
                raise TimeoutError(phase)
            application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    window.show()
    timer.start()
    until("first paint and panels", lambda: window.area is not None)
    until("torch is imported", lambda: document.engine.text == "engine ready")
    window.open_source("bundled:resnet")
    until("opening, scoring, measuring", lambda: document.scores is not None and not document.jobs)
    workbench.plan.suggest()
    until("planning", lambda: document.marked.any())
    workbench.states.cut()
    until("cutting", lambda: not document.jobs)
    workbench.states.recover(replace(document.recovery, epochs=3))
    for module in VIEWS:
        end = time.monotonic() + TURN
        window.area.show_tab(module)
        until(f"fine-tuning, {module} in front", lambda end=end: time.monotonic() > end or not document.busy)
    until("fine-tuning", lambda: not document.busy)
    until("after it", lambda: not document.jobs)
    workbench.model.attach_task(TaskSpec("file", str(Path(__file__).with_name("slow_task.py"))))
    until("slow data, evaluating", lambda: not document.jobs)
    workbench.states.recover(replace(document.recovery, epochs=2))
    until("slow data, fine-tuning", lambda: not document.busy)
    timer.stop()
    window.leave()
    application.processEvents()
    return heart


def elsewhere(home: Path, session: str, delay: float, rate: float):
    """An engine behind a slow connection."""
    from secateur.engine.process.remote.client import RemoteClient
    from secateur.engine.subprocesses.ssh import Address

    from .slow_link import machine_behind

    commands = machine_behind(home, session, delay, rate)
    os.environ["PATH"] = f"{commands}:{os.environ['PATH']}"
    return RemoteClient(Address("far"))


def open_large(engine, stamp: Path) -> tuple[Heart, dict[str, float]]:
    """Every gap while a large model comes from elsewhere, and the seconds from its analysis to rows, and to scores."""
    from PySide6.QtCore import QEventLoop, Qt, QTimer

    from secateur.app.startup.application import make_application, make_window
    from secateur.engine.sources.protocol import ModelSpec

    application = make_application()
    window, heart = make_window(engine), Heart("large: opening")
    document = window.document
    timer = QTimer(interval=10, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(heart.beat)
    window.show()
    while window.area is None or not document.engine.ready:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    timer.start()
    window.open(ModelSpec("large"))
    while not window.area.isVisible() or window.area.panels["tree"].model.rowCount() == 0:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    times = {"first rows of the large model": time.time() - float(stamp.read_text())}
    heart.phase = "large: scores come"
    while document.scores is None or document.dispatcher.busy:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    times["its scores"] = time.time() - float(stamp.read_text())
    timer.stop()
    window.leave()
    return heart, times


def walk(steps: int, seed: int) -> tuple[Heart, list[str]]:
    """Every gap of a walk at random on the sample with its jobs, and the steps with a silence of this thread's own."""
    from PySide6.QtCore import QEventLoop, Qt, QTimer

    from secateur.app.startup.application import make_application, make_window
    from tests.app.walk import Walker

    application = make_application()
    window, heart = make_window(), Heart("walking")
    timer = QTimer(interval=10, timerType=Qt.TimerType.PreciseTimer)
    window.show()
    while window.area is None:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    window.open_source("bundled:resnet")
    while window.document.scores is None or window.document.dispatcher.busy:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    timer.timeout.connect(heart.beat)
    timer.start()
    walker, slow, seen = Walker(window, seed), list[str](), [0]

    def told(step: str) -> None:
        application.processEvents()
        heart.beat()
        gaps = heart.gaps.get("walking", [])
        gap = max(gaps[seen[0] :], key=lambda one: one[1], default=(0.0, 0.0))
        seen[0] = len(gaps)
        if gap[1] > BAR:
            slow.append(f"{gap[0] * 1000:5.0f} ms, computing {gap[1] * 1000:4.0f} ms: {step}")

    walker.tell = told
    walker.walk(steps)
    timer.stop()
    walker.tidy()
    for job in window.document.jobs:
        window.workbench.runner.cancel(job.id)
    while window.document.jobs:  # with one the window would ask before it closes
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    window.close()
    return heart, slow


FIRST = """
import time
from secateur.engine.process.client import EngineClient
engine = EngineClient()
engine.prepare()
from secateur.app.startup.application import make_application, make_window
application = make_application()
window = make_window(engine)
window.painted.connect(lambda: print(time.time(), flush=True))
window.painted.connect(application.quit)
window.show()
application.exec()
window.close()
"""


SCORED = """
import time
from secateur.engine.process.client import EngineClient
engine = EngineClient()
engine.prepare()
from PySide6.QtCore import QTimer
from secateur.app.startup.application import make_application, make_window
application = make_application()
window = make_window(engine)
window.painted.connect(lambda: window.open_source("bundled:resnet"))
timer = QTimer(interval=20)
told = []
def look():
    document = window.document
    if window.area is None or not window.area.isVisible() or document.dispatcher.busy:
        return
    if not told and document.shown_scores is not None:
        told.append(time.time())
    if document.scores is not None:
        print(*told, time.time(), flush=True)
        application.quit()
timer.timeout.connect(look)
timer.start()
window.show()
application.exec()
window.close()
"""


def seconds(script: str) -> list[float]:
    """From the start of a process to each time that it prints, the best of three (files are in the cache)."""
    times = []
    for _ in range(3):
        begin = time.time()
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
        times.append([float(one) - begin for one in done.stdout.split()])
    return min(times, key=lambda found: found[-1])


def main() -> int:
    """Measure and print; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Measures how long the window is ever without an answer.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--walk", type=int, default=0, metavar="STEPS", help="walk at random, so many steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds of a connection to the engine")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second of a connection to the engine")
    parser.add_argument("--keep", type=Path, help="folder that keeps the large analysis for the next run")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    kept = tempfile.mkdtemp()
    os.environ.update(XDG_DATA_HOME=f"{kept}/data", XDG_CONFIG_HOME=f"{kept}/config", HOME=kept)
    if arguments.walk:
        return _tell_walk(*walk(arguments.walk, arguments.seed))
    if arguments.rate:
        return _measure_elsewhere(Path(kept), arguments.keep or Path(kept), arguments.delay, arguments.rate)
    (first,), (partly, scored), heart = seconds(FIRST), seconds(SCORED), measure()
    if arguments.json:
        told = {"first_window": first, "scored_in_part": partly, "scored": scored, "gaps": heart.longest}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        sys.stdout.write(f"first painted window      {first:6.2f} s   (bar {FIRST_BAR} s)\n")
        sys.stdout.write(f"sample opened and scored  {scored:6.2f} s   (bar {SCORED_BAR} s); in part {partly:.2f} s\n")
        for phase in heart.gaps:
            _tell(heart, phase)
    missed = any(heart.above(BAR, phase) or seldom(heart, phase) > SELDOM for phase in heart.gaps)
    return int(first > FIRST_BAR or scored > SCORED_BAR or missed)


def _measure_elsewhere(home: Path, keep: Path, delay: float, rate: float) -> int:
    from secateur.engine.process.engine_process import SESSION

    from .large_session import KEPT, STAMP

    stamp = home / "stamp"
    os.environ.update({KEPT: str(keep), STAMP: str(stamp)})
    large, times = open_large(
        elsewhere(home / "large", "tests.benchmarks.large_session:LargeSession", delay, rate), stamp
    )
    heart = measure(elsewhere(home / "far", SESSION, delay, rate))
    for name, seconds_ in times.items():
        sys.stdout.write(f"{name:36}{seconds_:6.2f} s after the analysis\n")
    for one in (large, heart):
        for phase in one.gaps:
            _tell(one, phase)
    missed = any(one.above(SHORT, phase) for one in (large, heart) for phase in one.gaps)
    return int(missed or times["first rows of the large model"] > ROWS_BAR)


def seldom(heart: Heart, phase: str) -> float:
    """The share of a phase's gaps that is above the lower bar."""
    return heart.above(SHORT, phase) / max(len(heart.gaps[phase]), 1)


def _tell(heart: Heart, phase: str) -> None:
    gap, own = heart.longest[phase]
    sys.stdout.write(
        f"{phase:36}{gap * 1000:6.0f} ms; computing at most {own * 1000:4.0f} ms  (bar {BAR * 1000:.0f} ms); "
        f"{100 * seldom(heart, phase):.2f} % above {SHORT * 1000:.0f} ms\n"
    )


def _tell_walk(heart: Heart, slow: list[str]) -> int:
    _tell(heart, "walking")
    silences, own = heart.above(BAR, "walking"), heart.above(BAR, "walking", own=True)
    sys.stdout.write(f"{silences} silences above {BAR * 1000:.0f} ms, {own} of them of this thread's own computing\n")
    sys.stdout.write("".join(f"  {line}\n" for line in slow))
    return int(silences > 0)


if __name__ == "__main__":
    sys.exit(main())
