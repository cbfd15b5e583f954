"""The tree as a hand uses it: keys, clicks, the filter box, hover."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLineEdit

from secateur.app.commands.registry import command_named
from secateur.app.document.aspects import Selection
from secateur.app.panels.inspector.panel import InspectorPanel
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.model import Column
from secateur.app.text.format import share
from secateur.app.theme import Scheme, Sizes, theme
from secateur.engine.structures.analysis import Kind
from tests.app.demo_analysis import wide
from tests.app.playing import Window
from tests.app.stand_in import StandIn, opened
from tests.app.turns import settle

CONV = "layer1.0.conv1"


@pytest.fixture
def panel(qtbot, dressed) -> TreePanel:
    panel = TreePanel(opened())
    qtbot.addWidget(panel)
    panel.resize(430, 600)
    panel.show()
    panel.document.select(Selection(CONV, 2))
    panel.view.setExpanded(panel.model.index_of(CONV), True)
    return panel


def click(qtbot, panel: TreePanel, structure: int, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    view = panel.view
    index = panel.model.index_of(CONV, 2, structure)
    view.scrollTo(index)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifier, view.visualRect(index).center())


def test_a_click_selects_in_the_document(panel, qtbot) -> None:
    structure = panel.document.analysis.sets[2].first + 3
    click(qtbot, panel, structure)
    assert panel.document.selection == Selection(CONV, 2, structure)


def test_space_marks_what_is_selected_and_spares_it_again(panel, qtbot) -> None:
    first = panel.document.analysis.sets[2].first
    click(qtbot, panel, first + 1)
    click(qtbot, panel, first + 3, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    assert panel.document.marked.nonzero()[0].tolist() == [first + 1, first + 2, first + 3]
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    assert not panel.document.marked.any()


def test_delete_marks(panel, qtbot) -> None:
    first = panel.document.analysis.sets[2].first
    click(qtbot, panel, first)
    qtbot.keyClick(panel.view, Qt.Key.Key_Delete)
    qtbot.keyClick(panel.view, Qt.Key.Key_Delete)
    assert panel.document.marked.nonzero()[0].tolist() == [first]


def test_delete_on_a_layer_says_what_to_do_instead(panel, qtbot) -> None:
    panel.document.select(Selection("layer1"))
    panel.view.show_selection(Selection("layer1"))
    qtbot.keyClick(panel.view, Qt.Key.Key_Delete)
    assert panel.hint.isVisible() and "enter how many to keep" in panel.hint.text()
    assert not panel.document.marked.any()


def test_asking_twice_for_how_many_a_layer_keeps_leaves_what_is_being_typed(panel, qtbot) -> None:
    panel.document.select(Selection(CONV, 2))
    panel.edit_keeps()
    editor = panel.view.viewport().findChild(QLineEdit)
    panel.view.edit_keeps()  # Qt warns of an edit that fails
    assert editor is not None and panel.view.viewport().findChild(QLineEdit) is editor


def test_return_edits_how_many_a_layer_keeps(panel, qtbot) -> None:
    panel.view.setFocus()
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    editor = panel.view.viewport().findChild(QLineEdit)
    assert editor.text() == "32" and editor.selectedText() == "32"
    qtbot.keyClicks(editor, "16")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.document.marked.sum() == 16)
    assert panel.model.index_of(CONV).siblingAtColumn(Column.KEEPS).data() == "16 of 32"


def test_typing_filters_after_a_pause_and_chips_count(panel, qtbot) -> None:
    assert panel.chips[""].text() == "All 676"
    assert panel.chips["fixed"].text() == "Fixed 1"
    qtbot.keyClicks(panel.search, "layer3.1")
    qtbot.waitUntil(lambda: panel.model.rowCount() == 1)
    panel.search.clear()
    panel.document.plan.mark([40, 41], True)
    qtbot.mouseClick(panel.chips["marked"], Qt.MouseButton.LeftButton)
    assert panel.chips["marked"].text() == "Marked 2"
    assert panel.model.rowCount(panel.model.index_of(CONV)) == 2


def test_a_filter_without_a_match_says_so(panel, qtbot) -> None:
    qtbot.keyClicks(panel.search, "nosuchlayer")
    qtbot.waitUntil(lambda: panel._nothing.isVisible())


def test_open_rows_stay_open_through_a_filter(panel) -> None:
    panel.search.setText("layer1")
    panel.filter()
    assert panel.view.isExpanded(panel.model.index_of(CONV))


def test_the_structure_under_the_mouse_is_hovered(panel, qtbot) -> None:
    structure = panel.document.analysis.sets[2].first + 2
    index = panel.model.index_of(CONV, 2, structure)
    panel.view.scrollTo(index)
    qtbot.mouseMove(panel.view.viewport(), panel.view.visualRect(index).center())
    assert panel.document.contents.hovered == structure
    qtbot.mouseMove(panel.view.viewport(), QPoint(20, 5))


def test_the_context_menu_offers_what_can_be_done(panel, qtbot) -> None:
    click(qtbot, panel, panel.document.analysis.sets[2].first)
    menu = panel.view.menu()
    offered = {a.text().split("\t")[0]: a.isEnabled() for a in menu.actions() if a.text()}
    assert offered == {
        "Copy image": True,
        "Copy data": True,
        "Try without it": True,
        "Save plot...": True,
        "Mark for removal": True,
        "Unmark": True,
        "Keep a number \u2026": False,
        "Keep by pattern \u2026": True,
        "Invert marks": True,
        "Lock": True,
        "Unlock": True,
    }
    next(a for a in menu.actions() if a.text() == "Lock").trigger()
    assert panel.document.locked.sum() == 1
    menu.deleteLater()


def test_locking_a_layer_locks_all_of_it(panel) -> None:
    panel.view.show_selection(Selection(CONV, 2))
    panel.view.lock(True)
    assert panel.document.locked[panel.document.analysis.sets[2].structures].all()
    assert panel.model.index_of(CONV).siblingAtColumn(Column.KEEPS).data() == "32 of 32, locked"


def test_an_empty_window_says_what_the_tree_is_for(qtbot, dressed) -> None:
    panel = TreePanel(StandIn())
    qtbot.addWidget(panel)
    panel.show()
    assert not panel.view.isVisible()


def test_the_widest_number_of_kept_structures_is_shown_whole(qtbot, dressed) -> None:
    panel = TreePanel(opened(wide(2, 14336), task=False, scored=False))
    qtbot.addWidget(panel)
    panel.show()
    for width in (280, 430):
        panel.resize(width, 400)
        room = panel.view.columnWidth(Column.KEEPS) - 6
        assert panel.view.fontMetrics().horizontalAdvance("14336 of 14336") <= room


def header_click(qtbot, panel: TreePanel, column: Column) -> None:
    header = panel.view.header()
    where = QPoint(header.sectionViewportPosition(column) + 8, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)


@pytest.mark.parametrize("width", [340, 480])
def test_small_shares_are_shown_whole(panel, qtbot, width: int) -> None:
    panel.resize(width, 400)
    settle(qtbot, panel.document)
    view = panel.view
    widest = max(view.fontMetrics().horizontalAdvance(share(part)) for part in (0.00014, 0.00088, 0.00001))
    assert not view.isColumnHidden(Column.SHARE) and widest + 6 <= view.columnWidth(Column.SHARE)


def test_what_a_filter_finds_is_opened_counted_and_closed_again(panel, qtbot) -> None:
    panel.view.collapseAll()
    panel.view.open_rows.open.clear()
    expected = int(((panel.document.scores < 0.08) & _inside(panel, "layer3.0.conv1")).sum())
    qtbot.keyClicks(panel.search, "layer3.0.conv1 score < 0.08")
    qtbot.waitUntil(lambda: panel.found.isVisible())
    assert panel.found.text() == f"{expected} structures in 1 layer found"
    assert panel.view.isExpanded(panel.model.index_of("layer3.0.conv1"))
    panel.search.clear()
    panel.filter()
    assert not panel.found.isVisible()
    assert not panel.view.isExpanded(panel.model.index_of("layer3"))


def _inside(panel: TreePanel, module: str):
    mask = panel.document.analysis.empty()
    for one in panel.document.analysis.sets:
        mask[one.structures] |= one.module == module
    return mask


def test_a_heading_sorts_by_a_click_and_a_third_click_puts_it_back(panel, qtbot) -> None:
    first = panel.model.index(0, 0).data()
    header_click(qtbot, panel, Column.SHARE)
    assert panel.model.index(0, 0).data() != first and panel.view.header().isSortIndicatorShown()
    header_click(qtbot, panel, Column.SHARE)
    header_click(qtbot, panel, Column.SHARE)
    assert panel.model.index(0, 0).data() == first and not panel.view.header().isSortIndicatorShown()


def test_columns_are_chosen_in_the_heading_and_remembered(panel, qtbot) -> None:
    view = panel.view
    assert view.isColumnHidden(Column.SHAPE) and view.isColumnHidden(Column.TIME)
    menu = view.columns.menu()
    next(a for a in menu.actions() if a.text() == "Shape").trigger()
    assert not view.isColumnHidden(Column.SHAPE)
    again = TreePanel(opened())
    qtbot.addWidget(again)
    again.resize(430, 600)
    again.show()
    assert not again.view.isColumnHidden(Column.SHAPE)
    again.view.columns.choose_none()
    assert again.view.isColumnHidden(Column.SHAPE)
    menu.deleteLater()


def test_the_colours_of_scores_have_a_legend(panel) -> None:
    scale, scores = panel.model.figures.scale, panel.document.scores
    assert panel.range.ends == (f"by rank: {scale.text(scores.min())}", scale.text(scores.max()))


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_another_look_leaves_the_tree_where_it_was(panel, qtbot, share: float) -> None:
    view, bar = panel.view, panel.view.verticalScrollBar()
    view.expandAll()
    click(qtbot, panel, 3)
    click(qtbot, panel, 7, Qt.KeyboardModifier.ShiftModifier)
    view.setExpanded(panel.model.index_of("layer3"), False)
    bar.setValue(round(share * bar.maximum()))
    seen = list[tuple[int, list[int], list[bool]]]()
    for scheme, larger in ((Scheme.LIGHT, 0), (Scheme.DARK, 0), (Scheme.DARK, 3), (Scheme.LIGHT, 0)):
        theme().switch(scheme, Sizes().body + larger)
        qtbot.waitUntil(lambda: not theme().switching)
        settle(qtbot, panel.document)
        opened_rows = [view.isExpanded(panel.model.index_of(name)) for name in ("layer1", CONV, "layer3")]
        chosen = [index.internalId() for index in view.selectionModel().selectedRows()]
        seen.append((view.indexAt(QPoint(0, 0)).internalId(), chosen, opened_rows))
    assert len(seen[0][1]) == 5 and bar.value() > 100
    assert seen == seen[:1] * 4


def test_following_a_selection_of_several_leaves_it_as_it_is(panel) -> None:
    document = panel.document
    first = document.analysis.sets[2].first
    several = Selection(CONV, 2, first + 3, (first + 3, document.analysis.sets[3].first))
    document.select(several)
    assert document.selection == several
    assert panel.model.selection(panel.view.currentIndex()) == replace(several, several=())
    panel.view.setCurrentIndex(panel.model.index_of(CONV, 2, first + 1))
    assert document.selection == Selection(CONV, 2, first + 1)


def test_commands_and_buttons_act_on_all_that_is_selected(panel, qtbot) -> None:
    document, window = panel.document, Window(panel.document.workbench)
    qtbot.addWidget(window)
    inspector = InspectorPanel(document.workbench)
    qtbot.addWidget(inspector)
    first = document.analysis.sets[2].first
    chosen = [first + 1, first + 2, first + 3]
    click(qtbot, panel, first + 1)
    click(qtbot, panel, first + 3, Qt.KeyboardModifier.ShiftModifier)
    assert document.selection.several == tuple(chosen)
    command_named("edit.mark").run(window)
    assert document.marked.nonzero()[0].tolist() == chosen
    command_named("edit.lock").run(window)
    assert document.locked.nonzero()[0].tolist() == chosen and not document.marked.any()
    qtbot.mouseClick(inspector.lock, Qt.MouseButton.LeftButton)
    assert not document.locked.any()
    qtbot.mouseClick(inspector.mark, Qt.MouseButton.LeftButton)
    assert document.marked.nonzero()[0].tolist() == chosen
    click(qtbot, panel, first + 2, Qt.KeyboardModifier.ControlModifier)
    command_named("edit.mark").run(window)
    assert document.marked.nonzero()[0].tolist() == [first + 2]


def test_layers_that_are_selected_together_are_locked_together(panel, qtbot) -> None:
    document, window = panel.document, Window(panel.document.workbench)
    qtbot.addWidget(window)
    one, other = [each for each in document.analysis.sets if each.kind is Kind.FILTER][:2]
    view = panel.view
    for name, modifier in ((CONV, Qt.KeyboardModifier.NoModifier), (other.module, Qt.KeyboardModifier.ControlModifier)):
        index = panel.model.index_of(name)
        view.scrollTo(index)
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifier, view.visualRect(index).center())
    command_named("edit.lock").run(window)
    locked = document.locked
    assert locked[one.structures].all() and locked[other.structures].all() and locked.sum() == one.count + other.count


def test_rows_that_a_filter_takes_away_are_no_longer_selected(panel, qtbot) -> None:
    first = panel.document.analysis.sets[2].first
    click(qtbot, panel, first + 1)
    click(qtbot, panel, first + 3, Qt.KeyboardModifier.ShiftModifier)
    assert len(panel.document.selection.several) == 3
    panel.search.setText("layer1")
    panel.filter()
    assert panel.document.selection.several == ()
    assert [panel.model.selection(i) for i in panel.view.selectionModel().selectedRows()] == [panel.document.selection]


def test_the_lock_is_drawn_and_spoken_of(panel, qtbot) -> None:
    document = panel.document
    row = panel.model.index_of(CONV)
    before = panel.view.grab().toImage()
    document.plan.lock([document.analysis.sets[2].first], True)
    area = panel.view.visualRect(row.siblingAtColumn(0)).translated(panel.view.viewport().pos())
    after = panel.view.grab().toImage()
    assert before.copy(area) != after.copy(area)
    assert "1 locked" in row.data(Qt.ItemDataRole.AccessibleTextRole)
