"""Commands, clicks and keys at random: no exception, and undo back to the start gives the original."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from secateur.app.startup import application as program
from secateur.app.window.main_window import MainWindow
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.resources import samples
from tests.app.demo_analysis import small_resnet
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.model_walk import walk_through_models
from tests.app.stand_in import state_of, task_info
from tests.app.walk import Answers, Walker

STEPS, FEW = 2000, 100
WALKS, SHORT, LENGTH = 100, 2, 40
LONG = 900_000
"""Milliseconds that a step may take on a busy machine."""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What dialogs offer to write lies here."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")


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


@pytest.fixture
def window(qtbot, dressed) -> Iterator[tuple[MainWindow, Answers]]:
    """The window as it comes up, without a model."""
    link = FakeLink()
    made = MainWindow(workbench_on(link))
    qtbot.addWidget(made)
    made.resize(1440, 900)
    made.show()
    qtbot.waitUntil(lambda: made.area is not None)
    yield made, Answers(made.workbench, link)
    made.leave()


def test_a_few_walks_from_model_to_model_show_nothing_that_is_not_so(window, qtbot) -> None:
    made, answers = window
    for seed in range(SHORT):
        with qtbot.captureExceptions() as exceptions:
            account = walk_through_models(made, answers, seed, LENGTH)
        assert not exceptions, account


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_walks_from_model_to_model_show_nothing_that_is_not_so(window, qtbot) -> None:
    made, answers = window
    first = int(os.environ.get("WALK_SEED", "100"))
    for seed in range(first, first + int(os.environ.get("WALKS", WALKS))):
        with qtbot.captureExceptions() as exceptions:
            account = walk_through_models(made, answers, seed, LENGTH)
        assert not exceptions, account


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
    qtbot.waitUntil(lambda: document.contents.last_export is not None and not document.jobs, timeout=LONG)
    written = next(Path(f) for f in document.contents.last_export.files if f.endswith(".safetensors"))
    found, original = load_file(written), load_file(samples.weights("resnet"))
    assert found.keys() == original.keys()
    assert all(found[name].tobytes() == original[name].tobytes() for name in original)
    window.close()
    QApplication.processEvents()
