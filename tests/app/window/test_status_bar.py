"""The line at the bottom keeps saying what was verified of the present state, whatever else is announced."""

from dataclasses import replace

import pytest

from secateur.app.document.job_state import JobView
from secateur.app.panels.history import HistoryPanel
from secateur.app.text.format import rough
from secateur.app.window.status_bar import StatusBar
from secateur.engine.session.states import StateKind
from secateur.engine.surgery.cut.edits import Check, Verification
from tests.app import stand_in

CHECKS = (
    Check("removal", 3.2e-7, 0.4, 1e-4, "float32"),
    Check("permutation", 1e-15, None, 1e-9, "float64"),
)


@pytest.fixture
def document(dressed):
    document = stand_in.travelled()
    cut = document.contents.states["s1"]
    document.contents.states["s1"] = replace(cut, verification=Verification(CHECKS, ("batch 3: one size only",)))
    return document


def test_the_verification_of_the_present_cut_stays_while_other_things_are_announced(qtbot, document) -> None:
    line = StatusBar(document.workbench)
    qtbot.addWidget(line)
    assert document.state is not None and document.state.kind is StateKind.RECOVERED
    document.announced.emit("Saved in a folder")
    assert "cut verified: equals the masked original, 3e-7" in line.facts.text()
    assert line.word.text() == "Saved in a folder"
    tip = line.facts.toolTip()
    assert "nothing about accuracy" in tip and "permutation: 1e-15" in tip and "batch 3: one size only" in tip


def test_the_original_is_not_said_to_be_verified(qtbot, document) -> None:
    line = StatusBar(document.workbench)
    qtbot.addWidget(line)
    document.plan.go_to("s0")
    assert "nothing cut yet" in line.facts.text() and "verified" not in line.facts.text()


def test_the_history_shows_the_verification_of_each_cut(qtbot, document) -> None:
    history = HistoryPanel(document)
    qtbot.addWidget(history)
    model = history.view.model()
    original = model.index(0, 0)
    cut = model.index(0, 0, original)
    assert model.index(0, 5).data() == "" and model.index(cut.row(), 5, original).data() == "3e-7"


def test_differences_are_written_short() -> None:
    assert [rough(v) for v in (0.0, 3.2e-7, 9.6e-4)] == ["0", "3e-7", "1e-3"]


def test_a_lost_connection_is_said_while_a_job_runs_on_the_other_machine(qtbot, document) -> None:
    line = StatusBar(document.workbench)
    qtbot.addWidget(line)
    document.take_jobs((JobView(1, "Recover", "epoch 2 of 8", 1, 4, 30.0, 90.0),), None)
    ready = replace(document.engine, text="engine ready", ready=True, place="gpu")
    for engine, says in (
        (ready, "Recover: epoch 2 of 8"),
        (replace(ready, text="no connection to gpu", ready=False), "no connection to gpu"),
        (replace(ready, text="starting the engine", ready=False, place=""), "Recover: epoch 2 of 8"),
    ):
        document.take_engine(engine)
        document.dispatcher.settle()
        assert line.facts.text().startswith(says)


def test_a_job_that_comes_and_goes_moves_nothing_above_the_line(qtbot, document) -> None:
    line = StatusBar(document.workbench)
    qtbot.addWidget(line)
    line.show()
    document.jobs = (JobView(1, "Recover", "epoch 1 of 2", 1, 2, 9.0, 9.0),)
    line.running.refresh()
    assert line.running.isVisible()
    with_job = line.sizeHint().height(), line.minimumSizeHint().height()
    document.jobs = ()
    line.running.refresh()
    assert line.running.isHidden()
    assert (line.sizeHint().height(), line.minimumSizeHint().height()) == with_job
