"""Commands, clicks and keys at random: no exception, and undo back to the start gives the original."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication

from secateur.app.jobs.workbench import Workbench
from secateur.app.startup import application as program
from secateur.app.window.main_window import MainWindow
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.process.events import Progressed
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import Timing
from secateur.resources import samples
from tests.app.demo_analysis import scores_of, small_resnet
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.playing import top1
from tests.app.stand_in import state_of, task_info
from tests.app.walk import Walker

STEPS, FEW = 2000, 100
LONG = 900_000
"""Milliseconds that a step may take on a busy machine."""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What dialogs offer to write lies here."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")


class Answers:
    """Plays the engine: answers the call that is at its turn, lets it go on for a while, or gives up on it."""

    def __init__(self, workbench: Workbench, link: FakeLink) -> None:
        self.workbench, self.document, self.link = workbench, workbench.document, link
        self.made = 0

    def step(self, draw: random.Random) -> str:
        jobs = self.workbench.runner.queue.jobs()
        if not jobs:
            return "engine rests"
        job, chance = jobs[0], draw.random()
        if job.id in self.link.cancelled:
            self.link.failed.emit(job.id, Cancelled())
            return f"engine obeys: {job.method}"
        if chance < 0.3:
            done = draw.randrange(100)
            values = {"step": float(done), "loss": draw.random()} if job.method == "recover" else {}
            self.link.progressed.emit(job.id, Progressed(1, Progress("on the way", done, 100), (values,), ()))
            return f"engine goes on: {job.method}"
        result = self.result(job.method, self.link.calls[job.id][1])
        if result is None:
            self.link.failed.emit(job.id, Cancelled())
        else:
            self.link.finished.emit(job.id, result)
        return f"engine answers: {job.method}"

    def result(self, method: str, arguments: tuple) -> object:
        document, analysis = self.document, self.document.analysis
        assert analysis is not None
        if method == "score":
            removed = analysis.empty()
            return np.where(removed, np.nan, scores_of(analysis))
        if method == "evaluate":
            return top1(0.9)
        if method == "measure":
            return tuple(Timing(arguments[1], 0.7, 0.6, 0.8, 100, "2 cores") for _ in arguments[0])
        if method in ("cut", "recover"):
            self.made += 1
            kind = StateKind.CUT if method == "cut" else StateKind.RECOVERED
            removed = arguments[1] if method == "cut" else document.removed
            return state_of(analysis, f"s{self.made}", arguments[0], kind, removed, 0.85, 0.5)
        return None


@pytest.fixture
def played(qtbot, dressed) -> Iterator[tuple[MainWindow, Answers]]:
    link = FakeLink()
    window = MainWindow(workbench_on(link))
    qtbot.addWidget(window)
    window.resize(1440, 900)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None)
    analysis = small_resnet()
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914, 0.76)
    window.document.adopt(OpenedModel("net", analysis, state, (), task_info()), ModelSpec("net.py:make"))
    window.workbench.plan.score()
    qtbot.waitUntil(window.area.isVisible)
    yield window, Answers(window.workbench, link)
    window.close()


@pytest.mark.end_to_end
@pytest.mark.parametrize("seed", range(3))
def test_a_short_walk_raises_nothing_and_leads_back(played, qtbot, seed: int) -> None:
    window, answers = played
    walker = Walker(window, seed, {"engine": (4.0, answers.step)})
    with qtbot.captureExceptions() as exceptions:
        walker.walk(FEW)
        walker.tidy()
        while window.document.jobs:
            answers.step(walker.random)
        walker.undo_all()
    assert not exceptions, walker.account()
    document = window.document
    assert document.state is document.original and not document.marked.any() and not document.locked.any()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_steps_with_jobs_lead_back_to_the_original_weights(qtbot, dressed, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    window = program.make_window()
    qtbot.addWidget(window)
    window.resize(1440, 900)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None, timeout=LONG)
    document = window.document
    workbench = window.workbench
    window.open_source("bundled:resnet")
    qtbot.waitUntil(lambda: document.scores is not None, timeout=LONG)
    walker = Walker(window, seed=int(os.environ.get("WALK_SEED", "1")))
    trace = (tmp_path / "steps.txt").open("w", buffering=1)
    walker.tell = lambda step: print(step, file=trace)
    with qtbot.captureExceptions() as exceptions, trace:
        walker.walk(STEPS)
        walker.tidy()
        qtbot.waitUntil(lambda: not document.busy, timeout=LONG)
        walker.undo_all()
        qtbot.waitUntil(lambda: not document.busy, timeout=LONG)
    assert not exceptions, "\n".join([*(str(one) for one in exceptions), walker.account()])
    assert document.state is document.original and not document.marked.any()
    walker.tidy()
    qtbot.waitUntil(lambda: not document.jobs, timeout=LONG)
    workbench.states.export("pytorch", str(tmp_path / "back"))
    qtbot.waitUntil(lambda: document.last_export is not None and not document.jobs, timeout=LONG)
    written = next(Path(f) for f in document.last_export.files if f.endswith(".safetensors"))
    found, original = load_file(written), load_file(samples.weights("resnet"))
    assert found.keys() == original.keys()
    assert all(found[name].tobytes() == original[name].tobytes() for name in original)
    window.close()
    QApplication.processEvents()
