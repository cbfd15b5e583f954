"""The inspector's *What it is worth*: what a trial is asked for, what came of it, and where its samples are seen."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from secateur.app.document.changes_query import TRIALS, ChangesQuery, Trial, TrialQuery
from secateur.app.document.document import Selection
from secateur.app.panels.changes import ChangesPanel
from secateur.app.panels.inspector import InspectorPanel
from secateur.engine.inspection.changes import Changes
from secateur.engine.tasks.protocol import Split
from tests.app.playing import Player, Window

from .test_changes import changes, cut

CONV, NUMBER = "layer1.0.conv1", 2


@pytest.fixture
def inspector(shown, player: Player) -> InspectorPanel:
    panel = shown(InspectorPanel(player.workbench), 320, 900)
    select(player, 0)
    return panel


def select(player: Player, *numbers: int) -> None:
    """Structures of a set, by their places in it."""
    first = player.document.analysis.sets[NUMBER].first  # type: ignore[union-attr]
    several = tuple(first + number for number in numbers) if len(numbers) > 1 else ()
    player.document.select(Selection(CONV, NUMBER, first + numbers[0] if numbers else -1, several))


def trial(**further: object) -> Changes:
    return replace(changes(), after="trial", **further)  # type: ignore[arg-type]


def asked_without(player: Player) -> list[int]:
    """Places in the set of what the last trial is asked to be without."""
    state, removed = player.link.asked("try_without")
    assert state == player.document.contents.present
    return (np.flatnonzero(removed) - player.document.analysis.sets[NUMBER].first).tolist()  # type: ignore[union-attr]


def test_what_is_selected_is_tried_and_nothing_is_made(qtbot, inspector: InspectorPanel, player: Player) -> None:
    section, before = inspector.trial, dict(player.document.contents.states)
    assert section.act.text() == "Try without it" and not section.details.isVisible()
    qtbot.mouseClick(section.act, Qt.MouseButton.LeftButton)
    assert asked_without(player) == [0]
    player.answer("try_without", trial())
    assert section.figure.text().endswith("points") and "600 samples of the val split" in section.words.text()
    assert not section.act.isVisible() and section.details.isVisible()
    assert player.sentences[-1].startswith("top-1 on the val split (n = 600)"), "said wherever a person looks"
    assert player.document.contents.states.keys() == before.keys() and not player.document.marked.any()


def test_some_samples_come_first_and_the_rest_can_be_cancelled(qtbot, inspector, player: Player) -> None:
    section = inspector.trial
    qtbot.mouseClick(section.act, Qt.MouseButton.LeftButton)
    player.make("try_without", trial(count=256))
    assert "256 samples" in section.words.text() and section.act.text() == "Cancel"
    qtbot.mouseClick(section.act, Qt.MouseButton.LeftButton)
    player.stop("try_without")
    qtbot.waitUntil(lambda: "part of the split" in section.words.text())
    assert section.act.text() == "Try without it", "the rest can be had again"
    qtbot.mouseClick(section.act, Qt.MouseButton.LeftButton)
    player.answer("try_without", trial())
    assert "part of the split" not in section.words.text()


def test_several_and_marks_are_tried_together(inspector: InspectorPanel, player: Player) -> None:
    """What is selected comes before what is marked."""
    player.document.plan.mark(player.document.analysis.sets[NUMBER].first + np.array([4, 5]), True)  # type: ignore[union-attr]
    select(player, 1, 2, 3)
    assert inspector.trial.act.text() == "Try without these 3"
    player.workbench.changes.try_without()
    assert asked_without(player) == [1, 2, 3]
    player.answer("try_without", trial())
    select(player)
    assert inspector.trial.act.text() == "Try without the 2 marked"
    player.workbench.changes.try_without()
    assert asked_without(player) == [4, 5]


def test_a_known_trial_is_shown_and_not_measured_again(inspector: InspectorPanel, player: Player) -> None:
    player.workbench.changes.try_without()
    player.answer("try_without", trial())
    select(player, 7)
    assert inspector.trial.act.isVisible() and not inspector.trial.figure.isVisible()
    select(player, 0)
    assert inspector.trial.figure.isVisible()
    asked = len(player.link.calls)
    player.workbench.changes.try_without()
    assert len(player.link.calls) == asked


def test_its_classes_and_samples_are_seen_in_the_changes_panel(shown, inspector, player: Player) -> None:
    """As of a state; it is of one state on one split, and goes when another side is chosen."""
    window, panel = Window(player.workbench), shown(ChangesPanel(player.workbench), 760, 460)
    player.workbench.changes.try_without()
    player.answer("try_without", trial())
    inspector.trial.details.click()
    assert window.fronts == ["changes"]
    assert panel.query == ChangesQuery("s0", "trial", Split.VAL) and panel.table.isVisible()
    assert panel.boxes[1].currentText() == "trial without 1" and not panel.boxes[0].isEnabled()
    assert panel.boxes[0].findData("trial") < 0, "no state is compared with less of it the other way round"
    panel.boxes[1].setCurrentIndex(0)
    panel.boxes[1].activated.emit(0)
    assert panel.query is not None and panel.query.after == "s0" and panel.boxes[0].isEnabled()


def test_trials_go_with_what_they_were_measured_on(inspector: InspectorPanel, player: Player) -> None:
    """A state that is measured anew, other data; and of very many the oldest."""
    known = player.document.contents.changes
    player.workbench.changes.try_without()
    player.answer("try_without", trial())
    cut(player)
    assert inspector.trial.figure.isHidden(), "another state is present"
    known.forget("s1")
    assert known.trials
    known.forget("s0")
    assert not known.trials
    for number in range(TRIALS + 3):
        known.take_trial(Trial(TrialQuery.of("s0", np.array([number])), trial(), True))
    assert len(known.trials) == TRIALS and known.tried is not None and known.tried.query.structures.tolist() == [52]


def test_without_data_nothing_is_offered(shown, player: Player) -> None:
    player.document.contents.task = None
    panel = shown(InspectorPanel(player.workbench), 320, 900)
    select(player, 0)
    assert panel.trial.isHidden()
