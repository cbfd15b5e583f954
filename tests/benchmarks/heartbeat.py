"""How long the window is ever without an answer: `python -m tests.benchmarks.heartbeat`.

A 10 ms timer beats in the interface's thread while torch is imported in the engine, while a model is opened, planned,
cut and fine-tuned, and with a data set in slow Python. Prints the longest gap of each phase (bar: 100 ms) and the time
from the start of a process to its first painted window (bar: 1 s).
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
FIRST_BAR = 1.0
"""Seconds from start to the first painted window."""
LIMIT = 600.0


@dataclass
class Heart:
    """The longest gap between beats, by phase, and the most that this thread computed in any gap: seconds.

    A long gap in a phase in which the thread never computed for long is another program's doing.
    """

    phase: str = "start"
    last: tuple[float, float] | None = None
    longest: dict[str, tuple[float, float]] = field(default_factory=dict)

    def beat(self) -> None:
        now = time.perf_counter(), time.thread_time()
        if self.last is not None:
            gap = now[0] - self.last[0], now[1] - self.last[1]
            before = self.longest.get(self.phase, (0.0, 0.0))
            self.longest[self.phase] = max(gap[0], before[0]), max(gap[1], before[1])
        self.last = now


def measure() -> dict[str, tuple[float, float]]:
    """The longest gap of each phase, and the most computing in one, in seconds."""
    from PySide6.QtCore import QEventLoop, Qt, QTimer

    from secateur.app.start import make_application, make_window
    from secateur.engine.tasks.protocol import TaskSpec

    application = make_application()
    window, heart = make_window(), Heart()
    document = window.document
    timer = QTimer(interval=10, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(heart.beat)

    def until(phase, condition) -> None:
        heart.phase, end = phase, time.monotonic() + LIMIT
        while not condition() or document.views.busy:
            if time.monotonic() > end:
                raise TimeoutError(phase)
            application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    window.show()
    timer.start()
    until("first paint and panels", lambda: window.area is not None)
    until("torch is imported", lambda: document.work.engine == "engine ready")
    window.open_source("bundled:resnet")
    until("opening, scoring, measuring", lambda: document.scores is not None and not document.jobs)
    document.suggest_plan()
    until("planning", lambda: document.marked.any())
    document.cut()
    until("cutting", lambda: not document.jobs)
    document.recover(replace(document.recovery, epochs=1))
    until("fine-tuning", lambda: not document.busy)
    until("after it", lambda: not document.jobs)
    document.attach_task(TaskSpec("file", str(Path(__file__).with_name("slow_task.py"))))
    until("slow data, evaluating", lambda: not document.jobs)
    document.recover(replace(document.recovery, epochs=2))
    until("slow data, fine-tuning", lambda: not document.busy)
    timer.stop()
    window.close()
    application.processEvents()
    return heart.longest


FIRST = """
import time
from secateur.app.start import make_application, make_window
application = make_application()
window = make_window()
window.painted.connect(lambda: print(time.time(), flush=True))
window.painted.connect(application.quit)
window.show()
application.exec()
window.close()
"""


def first_window() -> float:
    """Seconds from the start of a process to its first painted window, the best of three (files are in the cache)."""
    times = []
    for _ in range(3):
        begin = time.time()
        done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, timeout=120, check=True)
        times.append(float(done.stdout.split()[0]) - begin)
    return min(times)


def main() -> int:
    """Measure and print; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Measures how long the window is ever without an answer.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    kept = tempfile.mkdtemp()
    os.environ.update(XDG_DATA_HOME=f"{kept}/data", XDG_CONFIG_HOME=f"{kept}/config")
    first, gaps = first_window(), measure()
    if arguments.json:
        sys.stdout.write(json.dumps({"first_window": first, "gaps": gaps}) + "\n")
    else:
        sys.stdout.write(f"first painted window  {first:6.2f} s   (bar {FIRST_BAR} s)\n")
        for phase, (gap, own) in gaps.items():
            sys.stdout.write(
                f"{phase:28}{gap * 1000:6.0f} ms; computing at most {own * 1000:3.0f} ms  (bar {BAR * 1000:.0f} ms)\n"
            )
    return int(first > FIRST_BAR or max(gap for gap, _ in gaps.values()) > BAR)


if __name__ == "__main__":
    sys.exit(main())
