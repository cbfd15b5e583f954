"""The Changes panel: what it says before there is something to compare, its tables, its samples and its plot."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QGuiApplication

from secateur.app.document.changes_query import ChangesQuery
from secateur.app.panels.changes import ChangesPanel
from secateur.app.panels.changes.panel import AHEAD, CONFUSIONS, GROUPS, PLOT, SAMPLES
from secateur.app.theme import tokens
from secateur.engine.errors import SecateurError
from secateur.engine.inspection.changes import Changes, compare
from secateur.engine.jobs import Cancelled
from secateur.engine.session.states import StateKind
from secateur.engine.tasks.predictions import PredictionKind, Predictions
from secateur.engine.tasks.protocol import Metric, Sample, Split
from tests.app.playing import Player, top1
from tests.app.stand_in import opened, state_of, task_info

LEFT = Qt.MouseButton.LeftButton
Shown = Callable[..., ChangesPanel]

CLASSES = task_info().classes
METRICS = (Metric("top-1", 0.9, 600, 0.012, Split.VAL), Metric("top-1", 0.85, 600, 0.015, Split.VAL))


def predictions(seed: int, wrong: float, paying: int = -1) -> Predictions:
    """Of 600 samples in ten classes; every other one of a class that pays is wrong."""
    random = np.random.default_rng(seed)
    targets = np.arange(600) % 10
    predicted = np.where(random.random(600) < wrong, random.integers(0, 10, 600), targets)
    pays = (targets == paying) & (np.arange(600) // 10 % 2 == 0)
    predicted = np.where(pays, (targets + 1) % 10, predicted)
    confidence = random.uniform(0.5, 1, 600).astype(np.float32)
    columns = {"target": targets, "predicted": predicted, "confidence": confidence, "true_confidence": confidence / 2}
    return Predictions(PredictionKind.CLASSES, {**columns, "loss": -np.log(confidence)}, CLASSES)


def changes(paying: int = 6, slices: bool = False) -> Changes:
    """From s0 to s1; one class pays."""
    named = {"site": np.where(np.arange(600) < 300, "north", "south").astype(np.str_)} if slices else {}
    before, after = predictions(1, 0.08), predictions(2, 0.1, paying)
    return compare(before, after, names=("s0", "s1"), metrics=METRICS, slices=named)


QUERY = ChangesQuery("s0", "s1", Split.VAL)


def cut(player: Player, kept: bool = False) -> None:
    """A second state is present; what both predicted was kept, or not."""
    analysis = player.document.analysis
    assert analysis is not None
    state = state_of(analysis, "s1", "s0", StateKind.CUT, analysis.empty(), 0.85)
    player.document.contents.states["s1"] = state
    player.document.plan.enter("s1", "cut")
    if kept:
        for name in ("s0", "s1"):
            one = player.document.contents.states[name]
            metrics = tuple(replace(metric, predictions="0" * 64) for metric in one.metrics)
            player.document.contents.states[name] = replace(one, metrics=metrics)
    player.settle()


def compared(player: Player, shown: Shown, found: Changes | None = None, **size: int) -> ChangesPanel:
    """The panel with a comparison."""
    cut(player)
    player.document.contents.changes.take(QUERY, found or changes())
    return shown(ChangesPanel(player.workbench), **(size or {"width": 760, "height": 460}))


def words_of(panel: ChangesPanel) -> str:
    """What is said while there is nothing to show."""
    return panel.empty._sentence.text()


def cells(panel: ChangesPanel, column: int) -> list[str]:
    """A column as it is shown."""
    return [panel.model.index(row, column).data() for row in range(panel.model.rowCount())]


def test_without_data_it_asks_for_them(shown: Shown, dressed) -> None:
    document = opened(task=False)
    panel = shown(ChangesPanel(document.workbench))
    assert "Attach data" in words_of(panel) and panel.empty.step.isVisible()
    assert not panel.boxes[0].isVisible()


def test_the_original_alone_is_compared_with_nothing(shown: Shown, player: Player) -> None:
    panel = shown(ChangesPanel(player.workbench))
    assert "Cut the model" in words_of(panel) and not panel.empty.step.isVisible()


def test_what_was_not_predicted_is_evaluated_when_a_person_asks(qtbot, shown: Shown, player: Player) -> None:
    """With progress and a button to cancel it; a failure is a sentence, and can be tried again."""
    cut(player)
    panel = shown(ChangesPanel(player.workbench))
    assert "val split" in words_of(panel)
    qtbot.mouseClick(panel.empty.step, LEFT)
    assert player.link.asked("changes") == ("s0", "s1", Split.VAL)
    qtbot.waitUntil(lambda: panel.empty.step.text() == "Cancel")
    player.link.failed.emit(player.link.last("changes"), SecateurError("x", "The outputs contain NaN. Check them."))
    qtbot.waitUntil(lambda: words_of(panel) == "The outputs contain NaN. Check them.")
    qtbot.mouseClick(panel.empty.step, LEFT)
    player.link.failed.emit(player.link.last("changes"), Cancelled())
    qtbot.waitUntil(lambda: panel.empty.step.text() == "Try again")
    qtbot.mouseClick(panel.empty.step, LEFT)
    player.answer("changes", changes())
    qtbot.waitUntil(lambda: panel.table.isVisible())


def test_what_is_kept_is_compared_unasked(qtbot, shown: Shown, player: Player) -> None:
    """As soon as the panel is seen, and never before."""
    cut(player, kept=True)
    panel = ChangesPanel(player.workbench)
    assert not any(method == "changes" for method, _ in player.link.calls.values())
    shown(panel)
    assert player.link.asked("changes") == ("s0", "s1", Split.VAL)
    player.answer("changes", changes())
    qtbot.waitUntil(lambda: panel.table.isVisible())


def test_classes_that_lost_most_come_first_and_the_one_that_pays_is_marked(shown: Shown, player: Player) -> None:
    """In colour and in words."""
    panel = compared(player, shown)
    assert cells(panel, 0)[0] == CLASSES[6] and len(cells(panel, 0)) == 10
    assert cells(panel, 6) == ["worse than the rest", *[""] * 9]
    colour = panel.model.index(0, 0).data(Qt.ItemDataRole.ForegroundRole)
    assert colour.name() == tokens().marked and panel.model.index(1, 0).data(Qt.ItemDataRole.ForegroundRole) is None
    assert "worse than the rest (1)" in panel._said.text() and CLASSES[6] in panel._said.text()


def test_a_click_on_a_heading_sorts(qtbot, shown: Shown, player: Player) -> None:
    """Unknown values stay last in both directions."""
    panel = compared(player, shown)
    panel.table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    values = [float(text.rstrip(" %")) for text in cells(panel, 2)]
    assert values == sorted(values, reverse=True)
    panel.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert cells(panel, 0) == list(CLASSES)


def test_samples_are_filtered_by_outcome_and_class(qtbot, shown: Shown, player: Player) -> None:
    """And those near the current one are read, to be looked at."""
    found = changes()
    panel = compared(player, shown, found)
    qtbot.mouseClick(panel.pages[SAMPLES], LEFT)
    assert found.samples is not None and found.mcnemar is not None
    assert panel.model.rowCount() == 600 and cells(panel, 1)[0] == "lost" and "McNemar" in panel._said.text()
    panel.outcome.setCurrentIndex(panel.outcome.findData(1))
    panel.outcome.activated.emit(0)
    assert set(cells(panel, 1)) == {"gained"} and panel.model.rowCount() == found.mcnemar.gained
    panel.outcome.setCurrentIndex(panel.outcome.findData(-1))
    panel.of_class.setCurrentIndex(panel.of_class.findData(6))
    panel.of_class.activated.emit(0)
    assert set(cells(panel, 2)) == {CLASSES[6]} and set(cells(panel, 1)) == {"lost"}
    lost = (found.samples.outcomes < 0) & (found.samples.targets == 6)
    assert panel.model.rowCount() == lost.sum() and f"{lost.sum()} samples" in panel._count.text()


def test_the_current_sample_is_shown_with_what_both_predict(qtbot, shown: Shown, player: Player) -> None:
    """Once it is read; the next ones are read with it."""
    found = changes()
    panel = compared(player, shown, found)
    qtbot.mouseClick(panel.pages[SAMPLES], LEFT)
    assert found.samples is not None
    rows = tuple(found.samples.rows[:AHEAD].tolist())
    assert player.link.asked("samples") == (Split.VAL, rows)
    assert panel.card.isVisible() and panel.card._picture is None
    pixels = np.zeros((28, 28), np.uint8)
    player.answer("samples", tuple(Sample(pixels, "a", "", (1, 28, 28), 0, 1) for _ in rows))
    qtbot.waitUntil(lambda: panel.card._picture is not None)
    assert CLASSES[found.samples.targets[0]] in panel.card._words.text() and "cut s1: " in panel.card._words.text()
    qtbot.keyClick(panel.table, Qt.Key.Key_Down)
    assert panel.table.currentIndex().row() == 1 and panel.card._picture is not None


def test_the_current_sample_stays_when_the_table_is_sorted(qtbot, shown: Shown, player: Player) -> None:
    panel = compared(player, shown)
    qtbot.mouseClick(panel.pages[SAMPLES], LEFT)
    panel.table.setCurrentIndex(panel.model.index(3, 0))
    before = panel.table.currentIndex().data()
    panel.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert panel.table.currentIndex().data() == before


def test_slices_are_chosen_in_a_list(qtbot, shown: Shown, player: Player) -> None:
    panel = compared(player, shown, changes(slices=True))
    assert [panel.by.itemText(n) for n in range(panel.by.count())] == ["by class", "by site"]
    panel.by.setCurrentIndex(1)
    panel.by.activated.emit(1)
    assert sorted(cells(panel, 0)) == ["north", "south"]


def test_confusions_and_calibration_have_pages(qtbot, shown: Shown, player: Player) -> None:
    panel = compared(player, shown)
    qtbot.mouseClick(panel.pages[CONFUSIONS], LEFT)
    # What class 6 is taken for since, 30 times.
    assert cells(panel, 0)[0] == CLASSES[6] and cells(panel, 1)[0] == CLASSES[7]
    qtbot.mouseClick(panel.pages[PLOT], LEFT)
    assert panel.plot.isVisible() and not panel.table.isVisible()
    table = panel.plot.table()
    assert np.sum(table.columns[0]) == np.sum(table.columns[3]) == 600
    assert panel.drawings()[0].shown()


def test_rows_are_copied_as_they_are_listed(qtbot, shown: Shown, player: Player) -> None:
    """Numbers in full, and the same names of columns as in the file of the command line."""
    panel = compared(player, shown)
    qtbot.mouseClick(panel.copy, LEFT)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "class,n,before,after,difference,standard_error,p,worse" and len(lines) == 11
    assert lines[1].startswith(f"{CLASSES[6]},60,")
    qtbot.mouseClick(panel.pages[SAMPLES], LEFT)
    panel.copy_csv()
    assert len(QGuiApplication.clipboard().text().splitlines()) == 601


def test_other_states_are_chosen_by_hand(qtbot, shown: Shown, player: Player) -> None:
    panel = compared(player, shown)
    panel.boxes[1].setCurrentIndex(panel.boxes[1].findData("s0"))
    panel.boxes[1].activated.emit(0)
    qtbot.waitUntil(lambda: "same" in words_of(panel) and panel.empty.isVisible())


def test_a_regression_has_residuals_and_no_classes(qtbot, shown: Shown, player: Player) -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=300)
    tables = [
        Predictions(PredictionKind.NUMBERS, {"loss": noise**2, "target": target, "predicted": target + noise})
        for noise in (random.normal(0, 0.1, 300), random.normal(0.1, 0.2, 300))
    ]
    first, second = (Metric("RMSE", value, 300, 0.01, Split.VAL, False, False) for value in (0.1, 0.2))
    panel = compared(player, shown, compare(*tables, names=("s0", "s1"), metrics=(first, second)))
    assert not panel.pages[GROUPS].isVisible() and not panel.pages[CONFUSIONS].isVisible()
    assert panel.pages[SAMPLES].isChecked() and panel.pages[PLOT].text() == "Residuals"
    qtbot.mouseClick(panel.pages[PLOT], LEFT)
    assert np.sum(panel.plot.table().columns[2]) == 300


def test_a_new_evaluation_makes_a_comparison_old(shown: Shown, player: Player) -> None:
    """And other data does away with all of them."""
    cut(player, kept=True)
    known = player.document.contents.changes
    known.take(QUERY, changes())
    player.document.take_measurements("s1", metrics=(top1(0.85),))
    assert known.results == {}


@pytest.mark.parametrize("index", [QModelIndex()])
def test_no_cell_is_nothing(shown: Shown, player: Player, index: QModelIndex) -> None:
    panel = compared(player, shown)
    assert panel.model.data(index) is None and panel.model.rowCount(panel.model.index(0, 0)) == 0


def test_the_model_is_one_that_qt_takes(qtmodeltester, shown: Shown, player: Player) -> None:
    panel = compared(player, shown)
    qtmodeltester.check(panel.model)
