"""Commands of the Mark menu, each as a hand gives it in the window: menu, dialog, and what the screen says then."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLineEdit

from secateur.app.commands import command_named
from secateur.app.dialogs.mark import MarkDialog
from secateur.app.document.aspects import Selection
from secateur.app.jobs.workbench import Workbench
from secateur.app.panels.tree.model import Column
from secateur.app.window.command_palette import CommandPalette
from secateur.app.window.main_window import MainWindow
from secateur.engine.planning.selection_rules import StructureChoice
from secateur.engine.structures.analysis import Kind
from tests.app.branches import begin, begun
from tests.app.whole import own_home

CONV = "layer1.0.conv1"


@pytest.fixture(scope="module")
def one_window(qapp, tmp_path_factory) -> Iterator[MainWindow]:
    """It takes longer to build than all that a test does with it."""
    with own_home(tmp_path_factory):
        window = MainWindow(Workbench(None, begun()))
        yield window
        window.close()
        window.deleteLater()


@pytest.fixture
def window(qtbot, dressed, one_window) -> Iterator[MainWindow]:
    """A window in which the model has just been opened."""
    one_window.show()
    qtbot.waitUntil(lambda: one_window.area is not None)
    begin(one_window.document)
    yield one_window
    tree = one_window.area.panels["tree"]
    tree.search.clear()
    tree.filter()
    one_window.document.select(Selection())
    one_window.area.tabs["middle"].bar.setCurrentIndex(0)
    one_window.hide()


def give(window: MainWindow, name: str) -> Any:
    """Run a command as its menu entry does; the dialog that it opens, None where it opens none."""
    window.commands.refresh()
    action = window.commands.by_id[name]
    assert action.isEnabled(), action.toolTip()
    action.trigger()
    return next((w for w in QApplication.topLevelWidgets() if isinstance(w, MarkDialog) and w.isVisible()), None)


def type_into(qtbot, line: QLineEdit, text: str) -> None:
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)


def accept(qtbot, dialog: MarkDialog) -> None:
    assert dialog.accept_button.isEnabled(), dialog.missing.text()
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)


def place(window: MainWindow, module: str) -> slice:
    return next(s.structures for s in window.document.analysis.sets if s.module == module and s.count > 1)


def test_mark_the_lowest(window, qtbot) -> None:
    dialog = give(window, "mark.lowest")
    type_into(qtbot, dialog.names, "layer2")
    type_into(qtbot, dialog.value, "25")
    assert "48 structures in 3 layers" in dialog.effect.text()
    accept(qtbot, dialog)
    document = window.document
    assert document.marked.sum() == 48 and document.history.undo_text == "mark 48 structures in layer2"
    scores, where = document.scores, place(window, "layer2.0.conv1")
    inside = document.marked[where]
    assert scores[where][inside].max() < scores[where][~inside].min()
    document.plan.undo()
    assert not document.marked.any()


def test_layers_that_have_nothing_of_what_is_meant_are_not_counted(window, qtbot) -> None:
    dialog = give(window, "mark.lowest")
    dialog.which.setCurrentIndex(dialog.which.findData(str(StructureChoice.NUMBERS)))
    dialog.which.activated.emit(dialog.which.currentIndex())
    type_into(qtbot, dialog.value, "100-101")
    layers = [one for one in window.document.analysis.sets if one.count > 100]
    assert f"{2 * len(layers)} structures in {len(layers)} layers." in dialog.effect.text()
    dialog.reject()


@pytest.mark.parametrize("which", [StructureChoice.LOWEST_EACH, StructureChoice.KEEP_COUNT])
def test_what_is_no_finite_number_is_refused_in_words(window, qtbot, which) -> None:
    dialog = give(window, "mark.lowest")
    dialog.which.setCurrentIndex(dialog.which.findData(str(which)))
    dialog.which.activated.emit(dialog.which.currentIndex())
    for wrong in ("nan", "inf"):
        type_into(qtbot, dialog.value, wrong)
        assert dialog.missing.text().startswith("Enter a") and not dialog.accept_button.isEnabled()
    dialog.reject()


def test_mark_below_a_score(window, qtbot) -> None:
    dialog = give(window, "mark.below")
    type_into(qtbot, dialog.names, CONV)
    type_into(qtbot, dialog.value, "0.2")
    accept(qtbot, dialog)
    where = place(window, CONV)
    assert (window.document.marked[where] == (window.document.scores[where] < 0.2)).all()


def test_mark_a_range_of_scores(window, qtbot) -> None:
    dialog = give(window, "mark.between")
    type_into(qtbot, dialog.names, CONV)
    type_into(qtbot, dialog.value, "0.1, 0.2")
    accept(qtbot, dialog)
    where = place(window, CONV)
    scores = window.document.scores[where]
    assert (window.document.marked[where] == ((scores >= 0.1) & (scores <= 0.2))).all()


def test_mark_a_range_of_numbers_in_the_selected_layer(window, qtbot) -> None:
    window.document.select(Selection(CONV, 2))
    dialog = give(window, "mark.range")
    assert dialog.names.text() == CONV
    type_into(qtbot, dialog.value, "3-5, 9")
    accept(qtbot, dialog)
    assert np.flatnonzero(window.document.marked[place(window, CONV)]).tolist() == [3, 4, 5, 9]


def test_mark_a_kind(window, qtbot) -> None:
    dialog = give(window, "mark.kind")
    dialog.kind.setCurrentIndex(dialog.kind.findData(str(Kind.BLOCK)))
    dialog.check()
    accept(qtbot, dialog)
    document = window.document
    marked = {document.analysis.set_of(int(s)).kind for s in np.flatnonzero(document.marked)}
    assert marked == {Kind.BLOCK} and document.marked.sum() == 4


def test_keep_half_for_a_pattern_is_read_back_from_the_tree(window, qtbot) -> None:
    dialog = give(window, "mark.keep_pattern")
    type_into(qtbot, dialog.names, "layer3.*.conv1")
    type_into(qtbot, dialog.value, "50")
    accept(qtbot, dialog)
    window.document.dispatcher.settle()
    model = window.area.panels["tree"].model
    for name in ("layer3.0.conv1", "layer3.1.conv1"):
        assert model.index_of(name).siblingAtColumn(Column.KEEPS).data() == "64 of 128"
    assert model.index_of("layer2.0.conv1").siblingAtColumn(Column.KEEPS).data() == "64 of 64"
    assert window.document.history.undo_text == "keep 50 % of layer3.*.conv1"


def test_keep_a_number_is_typed_into_the_tree_also_where_a_filter_hid_the_layer(window, qtbot) -> None:
    panel = window.area.panels["tree"]
    panel.search.setText("layer3")
    panel.filter()
    window.document.select(Selection(CONV, 2))
    window.document.dispatcher.settle()
    give(window, "mark.keep")
    editor = panel.view.viewport().findChild(QLineEdit)
    qtbot.keyClicks(editor, "16")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.document.marked.sum() == 16)


def test_invert_marks(window) -> None:
    document = window.document
    where = place(window, CONV)
    document.plan.mark(np.arange(where.start, where.start + 5), True)
    document.select(Selection(CONV, 2))
    give(window, "mark.invert")
    assert np.flatnonzero(~document.marked[where]).tolist() == [0, 1, 2, 3, 4]
    document.select(Selection())
    give(window, "mark.invert")
    assert np.flatnonzero(document.marked[where]).tolist() == [0, 1, 2, 3, 4]


def test_grow_marks_to_whole_groups(window) -> None:
    document = window.document
    where = place(window, CONV)
    document.plan.mark([where.start, where.start + 1], True)
    assert window.commands.by_id["mark.grow"].text() == "Align widths to multiples of 16"
    give(window, "mark.grow")
    assert (~document.marked[where]).sum() == 16 and document.marked[where][:2].all()


def test_lock_a_pattern(window, qtbot) -> None:
    dialog = give(window, "mark.lock_pattern")
    type_into(qtbot, dialog.names, "/conv1$/")
    assert dialog.accept_button.text() == "Lock"
    accept(qtbot, dialog)
    document = window.document
    for one in document.analysis.sets:
        assert document.locked[one.structures].all() == (one.module.endswith("conv1") and one.count > 1)


def test_spare_by_a_rule(window, qtbot) -> None:
    document = window.document
    where = place(window, CONV)
    document.plan.mark(np.arange(where.start, where.start + 10), True)
    dialog = give(window, "mark.range")
    dialog.then.setCurrentIndex(dialog.then.findData("unmark"))
    type_into(qtbot, dialog.names, CONV)
    type_into(qtbot, dialog.value, "0-3")
    accept(qtbot, dialog)
    assert np.flatnonzero(document.marked[where]).tolist() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("names", "value", "words"),
    [
        ("layer1.0.conv2", "20", "coupled to conv1"),
        ("nosuch", "20", "No layer with that name"),
        ("/conv[/", "20", "regular expression"),
        ("", "120", "from 0 to 100"),
        ("", "many", "from 0 to 100"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_pressed(window, qtbot, names, value, words) -> None:
    dialog = give(window, "mark.lowest")
    type_into(qtbot, dialog.names, names)
    type_into(qtbot, dialog.value, value)
    assert words in dialog.missing.text() and not dialog.accept_button.isEnabled()
    dialog.reject()
    assert not window.document.marked.any()


def test_every_mark_command_stands_in_the_palette(window, qtbot) -> None:
    palette = CommandPalette(window)
    qtbot.addWidget(palette)
    palette.fill("keep by pattern")
    assert palette.list.topLevelItem(0).text(0) == "Keep by pattern..."
    palette.fill("invert marks")
    assert palette.list.topLevelItem(0).text(1) == command_named("mark.invert").enabled(window.document)


def test_a_comparison_comes_to_the_front_and_a_command_brings_it_back(window, qtbot) -> None:
    document, tabs = window.document, window.area.tabs["middle"]
    document.compare(None, None)
    qtbot.waitUntil(window.area.panels["compare"].isVisible)
    tabs.bar.setCurrentIndex(0)
    window.commands.by_id["view.compare"].trigger()
    assert window.area.panels["compare"].isVisible()


def test_two_ratings_are_compared_from_the_menu(window, qtbot) -> None:
    from secateur.app.dialogs.compare_criteria import CompareCriteria

    give(window, "edit.ratings")
    page = next(w for w in QApplication.topLevelWidgets() if isinstance(w, CompareCriteria))
    assert page.isVisible() and page.boxes[0].currentData() == window.document.criterion
    page.close()
