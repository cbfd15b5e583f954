"""A window in a process of its own that works through a list of steps and writes down what it shows after each.

`python -m tests.app.storage.autosave.victim FOLDER [restore]`: whoever started it may kill it, or its engine, at any
moment. With `restore` it waits for what the last one left, restores it as a hand would, and goes on
with the steps that remain.

FOLDER holds `model.py` and `data.npz`; `steps.txt` gets a line for each moment: number of steps done, a digest of all
that a person would have to do again, and when that was (`time.time`). `pids.txt` gets the process ids of window and
engine.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from secateur.app.document.aspects import Goal, Selection
from secateur.app.jobs import state_jobs
from secateur.app.jobs.engine_link import EngineLink
from secateur.app.jobs.workbench import Workbench
from secateur.app.startup import application
from secateur.app.window.main_window import MainWindow
from secateur.engine.process.client import EngineClient
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec
from tests.warm_start import warm_start

LIMIT = 300.0
PAUSE = 0.2
"""Seconds between two steps."""
WARM = "SECATEUR_TESTS_WARM"
"""In the environment: the folder of a template (`tests/warm_start`) that its engines are forks of."""
RECOVERY = RecoverySettings(epochs=4, threads=1)


class Worker:
    """Drives a window and keeps the list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.application = application.make_application()
        client = EngineClient("tests.app.storage.autosave.quick_session:quick")
        self.window = MainWindow(Workbench(EngineLink(client)))
        self.workbench, self.document = self.window.workbench, self.window.document
        self.window.show()
        self.wait(lambda: self.window.area is not None)
        self.wait(lambda: self.workbench.runner.link.pid)
        (folder / "pids.txt").write_text(f"{os.getpid()} {self.workbench.runner.link.pid}")

    def wait(self, condition: Callable[[], object]) -> None:
        """Serve events until something holds."""
        end = time.monotonic() + LIMIT
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.document.messages.lines()[-5:])
            self.application.processEvents()
            time.sleep(0.002)

    def quiet(self) -> None:
        """No job runs, and none is about to go on."""
        document = self.document
        workbench = self.workbench
        self.wait(lambda: not document.jobs and not workbench.runner.interrupted and document.scores is not None)

    def rest(self) -> None:
        """No hand is quicker than this."""
        end = time.monotonic() + PAUSE
        self.wait(lambda: time.monotonic() > end)

    def open(self) -> None:
        """The model that lies in the folder."""
        task = TaskSpec("arrays", str(self.folder / "data.npz"), batch=16)
        self.window.open(ModelSpec(f"{self.folder / 'model.py'}:make", task=task))
        self.wait(lambda: self.document.analysis is not None)
        self.quiet()

    def restore(self) -> None:
        """Press the button that the bar offers."""
        self.wait(lambda: self.window.restore_bar.isVisible())
        buttons = self.window.restore_bar.findChildren(QPushButton)
        QTest.mouseClick(next(b for b in buttons if b.text() == "Restore"), Qt.MouseButton.LeftButton)
        self.wait(lambda: self.document.analysis is not None)

    def note(self, line: str) -> None:
        """On the disk before anything else is done."""
        with (self.folder / "steps.txt").open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def digest(self) -> str:
        """Of all that a person would have to do again; `facts.txt` has it in full."""
        document, history = self.document, self.document.history
        facts: list[Any] = [document.contents.present, [s.weights for s in document.states]]
        facts += [np.packbits(m).tobytes().hex() for m in (document.marked, document.locked, document.contents.by_hand)]
        facts += [
            repr(document.goal),
            repr(document.selection),
            document.criterion,
            [e.text for e in history.entries],
            history.position,
        ]
        text = json.dumps(facts)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        with (self.folder / "facts.txt").open("a") as file:
            file.write(f"{digest} {text}\n")
        return digest

    def step(self, number: int) -> None:
        """One step of the list; what an engine that was lost did not finish is asked for again, as a person would."""
        document, random = self.document, np.random.default_rng(number)
        workbench = self.workbench
        match number % 12:
            case 8:
                states = len(document.states)
                while len(document.states) == states:
                    workbench.states.cut()
                    self.quiet()
            case 9:
                states = len(document.states)
                while len(document.states) == states:
                    workbench.states.recover(RECOVERY)
                    self.quiet()
            case 3:
                document.plan.set_goal(Goal(float(random.uniform(0.4, 0.9)), 0.5))
            case 5:
                document.plan.undo()
            case 6:
                document.plan.redo()
            case 7:
                document.select(Selection(document.analysis.sets[0].module, 0, -1))
            case 4:
                document.plan.lock([int(random.integers(document.analysis.count))], True)
            case _:
                free = np.flatnonzero(~(document.removed | document.marked | document.locked))
                sets = document.analysis.set_numbers()[free]
                wide = free[np.isin(sets, [n for n, s in enumerate(document.analysis.sets) if s.count > 8])]
                document.plan.mark([int(random.choice(wide))], True)
        self.quiet()


def main() -> None:
    """Open or restore, then every step that is left; engines are started as ever, or warm."""
    state_jobs.CHEAP = 0  # no latencies: they would take longer than all else
    template = os.environ.get(WARM)
    with warm_start(Path(template)) if template else nullcontext():
        work(Path(sys.argv[1]), int(sys.argv[2]))


def work(folder: Path, count: int) -> None:
    """All of it, in a window of its own."""
    worker = Worker(folder)
    known = json.loads((folder / "known.json").read_text()) if (folder / "known.json").exists() else []
    done = 0
    if "restore" in sys.argv:
        worker.restore()
        worker.wait(lambda: worker.document.jobs or worker.document.scores is not None)
        begun = worker.digest()
        worker.quiet()
        found = worker.digest()
        worker.note(f"restored {begun} {found}")
        noted = len([line for line in (folder / "steps.txt").read_text().splitlines() if line[0].isdigit()]) - 1
        same = [number for number, digest in enumerate(known) if digest == found]
        done = min(same, key=lambda number: abs(number - noted), default=-1)
        worker.note(f"at {done}")
    else:
        worker.open()
        worker.note(f"0 {worker.digest()} {time.time()}")
    for number in range(done, count) if done >= 0 else ():
        worker.step(number)
        worker.note(f"{number + 1} {worker.digest()} {time.time()}")
        worker.rest()
    worker.note("end")
    worker.window.close()
    QApplication.processEvents()


if __name__ == "__main__":
    main()
