"""The Heads tab: layers by heads; a click or a rubber band marks; groups are seen as groups; states have signs."""

from functools import cache

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QAccessible
from torch import nn

from secateur.app.document.aspects import Aspect, Selection
from secateur.app.panels.heads import HeadsPanel
from secateur.app.panels.heads.model import HeadsModel, heads_of
from secateur.app.theme import tokens
from secateur.app.widgets.score_map import ScoreScale
from secateur.engine import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from tests.app.panels.screen_reader import spoken
from tests.app.stand_in import StandIn, opened

LEFT = Qt.MouseButton.LeftButton
WIDTH, HEADS, SIZE = 12, 4, 3


class Attention(nn.Module):
    """Four heads of three dimensions, for as many key/value groups as are said; `mixed` runs along the heads."""

    def __init__(self, groups: int, mixed: bool = False):
        super().__init__()
        self.groups, self.mixed = groups, mixed
        self.q_proj = nn.Linear(WIDTH, HEADS * SIZE)
        self.k_proj, self.v_proj = (nn.Linear(WIDTH, groups * SIZE) for _ in range(2))
        self.o_proj = nn.Linear(HEADS * SIZE, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, HEADS, SIZE).transpose(1, 2)
        k, v = (p(x).view(batch, length, self.groups, SIZE).transpose(1, 2) for p in (self.k_proj, self.v_proj))
        if self.groups < HEADS:
            k, v = (t.repeat_interleave(HEADS // self.groups, 1) for t in (k, v))
        y = (q @ k.mT).softmax(-1) @ v
        if self.mixed:
            y = y.cumsum(1)
        return x + self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class Net(nn.Module):
    def __init__(self, *blocks: nn.Module):
        super().__init__()
        self.stem, self.blocks, self.head = nn.Linear(5, WIDTH), nn.Sequential(*blocks), nn.Linear(WIDTH, 3)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean(1))


def analysed(*blocks: nn.Module) -> Analysis:
    torch.manual_seed(0)
    return analyse(Net(*blocks).eval(), (torch.randn(2, 6, 5),))


@cache
def plain() -> Analysis:
    return analysed(Attention(HEADS), Attention(HEADS), Attention(HEADS))


@cache
def grouped() -> Analysis:
    return analysed(Attention(2))


@pytest.fixture
def opened_map(shown):
    return lambda document, width=560, height=320: shown(HeadsPanel(document), width, height)


def heads(analysis: Analysis, layer: int) -> int:
    """The first head of a layer."""
    return [one for one in analysis.sets if one.kind is Kind.HEAD][layer].first


def area(panel: HeadsPanel, row: int, cell: int) -> QRect:
    return panel.view.visualRect(panel.model.at((row, cell)))


def middle(panel: HeadsPanel, row: int, cell: int) -> QPoint:
    return area(panel, row, cell).center()


def test_a_row_for_each_layer_and_a_cell_for_each_head(opened_map) -> None:
    panel = opened_map(opened(plain()))
    assert [(row.module, row.count, row.span) for row in panel.model.rows] == [(f"blocks.{n}", 4, 1) for n in range(3)]
    scores = panel.document.scores
    first = heads(plain(), 1)
    lower = [(scores < scores[first + cell]).sum() for cell in range(4)]
    assert [panel.model.look((1, cell))[0] for cell in range(4)] == pytest.approx(np.array(lower) / (len(scores) - 1))
    assert panel.model.scale == ScoreScale.of(scores), "one scale for heads and tree"


def test_a_click_marks_and_selects_and_another_spares(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    structure = heads(plain(), 1) + 2
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 1, 2))
    assert np.flatnonzero(document.marked).tolist() == [structure]
    assert document.selection.structure == structure and panel.view.current == (1, 2)
    assert panel.model.look((1, 2))[1] == "marked" and "marked" in panel.model.words_of(1, 2)
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 1, 2))
    assert not document.marked.any()
    document.plan.undo()
    assert document.marked.sum() == 1


def test_a_rubber_band_marks_all_that_it_touches_but_what_is_locked(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    document.plan.lock([heads(plain(), 1) + 1], True)
    start, end = middle(panel, 0, 0), middle(panel, 1, 2)
    viewport = panel.view.viewport()
    qtbot.mousePress(viewport, LEFT, pos=start)
    qtbot.mouseMove(viewport, end)
    qtbot.mouseRelease(viewport, LEFT, pos=end)
    wanted = [heads(plain(), 0) + n for n in range(3)] + [heads(plain(), 1), heads(plain(), 1) + 2]
    assert np.flatnonzero(document.marked).tolist() == wanted
    locked = heads(plain(), 1) + 1
    assert list(document.selection.several) == sorted([*wanted, locked]), "the inspector shows all of them"
    qtbot.mousePress(viewport, LEFT, pos=start)
    qtbot.mouseMove(viewport, end)
    qtbot.mouseRelease(viewport, LEFT, pos=end)
    assert not document.marked.any()


def test_escape_drops_the_rubber_band(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    viewport = panel.view.viewport()
    qtbot.mousePress(viewport, LEFT, pos=middle(panel, 0, 0))
    qtbot.mouseMove(viewport, middle(panel, 1, 2))
    qtbot.keyClick(panel.view, Qt.Key.Key_Escape)
    qtbot.mouseRelease(viewport, LEFT, pos=middle(panel, 1, 2))
    assert not document.marked.any()


def test_keys_reach_every_head_and_mark(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_End):
        qtbot.keyClick(panel.view, key)
    assert document.selection.structure == heads(plain(), 1) + 3
    focused = spoken(panel.view, 1, 3)
    assert focused.text(QAccessible.Text.Name).startswith("blocks.1, head 3, score") and focused.state().selected
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    assert document.marked[heads(plain(), 1) + 3]
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    qtbot.keyClick(panel.view, Qt.Key.Key_Up)
    qtbot.keyClick(panel.view, Qt.Key.Key_Delete)
    assert np.flatnonzero(document.marked).tolist() == [heads(plain(), 0) + 3]


def test_the_selection_of_the_tree_is_framed(opened_map) -> None:
    document = opened(plain())
    panel = opened_map(document)
    one = document.analysis.sets[panel.model.rows[2].set_number]
    document.select(Selection(one.module, panel.model.rows[2].set_number, one.first + 1))
    assert panel.view.current == (2, 1)
    document.select(Selection("stem", -1))
    assert panel.view.current is None


def test_key_value_groups_are_as_wide_as_the_query_heads_they_serve(opened_map, qtbot) -> None:
    document = opened(grouped())
    panel = opened_map(document)
    groups, within = panel.model.rows
    assert (groups.count, groups.span, within.count, within.within) == (2, 2, 2, True)
    kinds = [document.analysis.sets[row.set_number].kind for row in panel.model.rows]
    assert kinds == [Kind.KV_GROUP, Kind.HEAD]
    assert area(panel, 0, 0).width() == 2 * panel.view.columnWidth(0)
    assert "serves query heads 2 to 3" in panel.model.words_of(0, 1) and "of each group" in panel.model.words_of(1, 0)
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 0, 1))
    assert np.flatnonzero(document.marked).tolist() == [groups.first + 1]


@pytest.mark.parametrize("state", ["marked", "locked", "removed"])
def test_a_state_is_seen_without_its_colour(opened_map, state) -> None:
    """In grey, on the same score, every state has another picture."""
    document = opened(plain())
    document.scores[:] = 0.5
    panel = opened_map(document)
    first = heads(plain(), 0)
    if state == "marked":
        document.plan.mark([first], True)
    elif state == "locked":
        document.plan.lock([first], True)
    else:
        document.contents.removed = document.removed.copy()
        document.contents.removed[first] = True
    panel.model.refresh()
    image = panel.view.viewport().grab().toImage()
    areas = [area(panel, 0, cell).adjusted(2, 5, -4, -5) for cell in (0, 1)]
    greys = [
        [image.pixelColor(x, y).lightness() for x in range(a.left(), a.right()) for y in range(a.top(), a.bottom())]
        for a in areas
    ]
    assert panel.model.look((0, 0))[1] == state
    assert np.count_nonzero(np.abs(np.subtract(greys[0], greys[1])) > 40) > 20


def test_layers_whose_heads_are_fixed_are_shown_and_passed_over_by_keys(opened_map, qtbot) -> None:
    analysis = analysed(Attention(HEADS), Attention(HEADS, mixed=True))
    rows = heads_of(analysis)
    assert [(row.module, row.set_number >= 0) for row in rows] == [("blocks.0", True), ("blocks.1", False)]
    panel = opened_map(opened(analysis))
    assert panel.model.words_of(1, -1) == "blocks.1 is fixed: none of its heads can be removed separately."
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert panel.view.current == (0, 0)


def test_a_fixed_layer_has_its_sign_and_the_word(opened_map) -> None:
    panel = opened_map(opened(analysed(Attention(HEADS), Attention(HEADS, mixed=True))))
    row, image = panel.view.visualRect(panel.model.index(1, 0)), panel.view.viewport().grab().toImage()
    ground, muted = image.pixelColor(row.left() + 2, row.top() + 1), panel.view.palette().placeholderText().color()
    assert row.width() == HEADS * panel.view.columnWidth(0)
    halves = (range(row.left(), row.left() + 40), range(row.right() - 30, row.right()))
    sign, word = ({image.pixelColor(x, y).name() for x in xs for y in range(row.top(), row.bottom())} for xs in halves)
    assert tokens().line in sign and tokens().line not in word and muted != ground and muted.name() in word


def test_the_picture_of_all_heads_has_groups_and_all_rows(opened_map) -> None:
    panel = opened_map(opened(analysed(*(Attention(2) for _ in range(9)))))
    whole = panel.view.whole()
    assert whole.columnSpan(0, 0) == 2 and whole.columnSpan(1, 0) == 1
    image, seen = panel.drawings()[0].image(1.0), panel.view.viewport()
    whole.grab()  # lays it out
    last = whole.visualRect(panel.model.at((17, 1)))
    assert not seen.rect().contains(area(panel, 17, 1)) and image.height() >= 18 * whole.rowHeight(0)
    where = last.center() + whole.viewport().geometry().topLeft()
    assert image.pixelColor(where.x() - 8, where.y()) != image.pixelColor(image.width() - 2, where.y())


def test_without_heads_or_a_model_it_says_so(opened_map) -> None:
    assert "has no removable attention heads" in opened_map(opened())._empty._sentence.text()
    panel = opened_map(StandIn())
    assert "Open a model" in panel._empty._sentence.text() and not panel.view.isVisible()


def test_another_model_begins_without_a_selected_head(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    qtbot.keyClick(panel.view, Qt.Key.Key_End)
    assert panel.view.current is not None
    document.contents.analysis = opened().analysis  # one without heads
    document.announce(*Aspect)
    qtbot.waitUntil(lambda: panel.view.current is None)
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert panel.view.current is None


def test_shift_and_arrows_select_several_and_space_marks_and_unmarks_them(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    qtbot.keyClick(panel.view, Qt.Key.Key_Right)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down):
        qtbot.keyClick(panel.view, key, Qt.KeyboardModifier.ShiftModifier)
    wanted = [heads(plain(), layer) + head for layer in (0, 1) for head in (0, 1)]
    assert document.selection.structure == wanted[-1] and not document.marked.any()
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    assert np.flatnonzero(document.marked).tolist() == wanted
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    assert not document.marked.any()
    qtbot.keyClick(panel.view, Qt.Key.Key_Delete)
    assert np.flatnonzero(document.marked).tolist() == wanted


def test_shift_and_a_click_select_and_mark_nothing(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    qtbot.keyClick(panel.view, Qt.Key.Key_Right)
    qtbot.mouseClick(panel.view.viewport(), LEFT, Qt.KeyboardModifier.ShiftModifier, middle(panel, 2, 1))
    assert panel.view.current == (2, 1) and not document.marked.any()
    assert len(panel.view.selectionModel().selectedIndexes()) == 6


def test_control_home_and_end_reach_the_first_and_the_last_head_and_letters_a_layer(opened_map, qtbot) -> None:
    panel = opened_map(opened(plain()))
    qtbot.keyClick(panel.view, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    assert panel.view.current == (0, 0)  # the first key begins
    qtbot.keyClick(panel.view, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    assert panel.view.current == (2, 3)
    qtbot.keyClick(panel.view, Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier)
    assert panel.view.current == (0, 0)
    qtbot.keyClick(panel.view, Qt.Key.Key_Right)
    qtbot.keyClicks(panel.view, "1")
    assert panel.view.current == (1, 1)


def test_keys_go_through_key_value_groups_one_by_one(opened_map, qtbot) -> None:
    panel = opened_map(opened(grouped()))
    reached = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Left):
        qtbot.keyClick(panel.view, key)
        reached.append(panel.view.current)
    assert reached == [(0, 0), (0, 1), (0, 1), (1, 1), (1, 0)]


def test_the_head_under_the_mouse_is_hovered_and_explained(opened_map, qtbot) -> None:
    document = opened(plain())
    panel = opened_map(document)
    qtbot.mouseMove(panel.view.viewport(), middle(panel, 1, 2))
    assert document.contents.hovered == heads(plain(), 1) + 2
    words = panel.model.at((1, 2)).data(Qt.ItemDataRole.ToolTipRole)
    assert words.startswith("blocks.1, head 2\nscore ")
    qtbot.mouseMove(panel.view.viewport(), QPoint(panel.view.viewport().width() - 4, 4))
    assert document.contents.hovered == -1


def test_a_screen_reader_finds_layers_heads_and_what_is_fixed(opened_map) -> None:
    panel = opened_map(opened(analysed(Attention(HEADS), Attention(HEADS, mixed=True))))
    assert QAccessible.queryAccessibleInterface(panel.view).role() is QAccessible.Role.Table
    told = [spoken(panel.view, *place).text(QAccessible.Text.Name) for place in ((-1, 3), (0, -1), (0, 3), (1, 0))]
    assert told[:2] == ["3", "blocks.0"] and told[2].startswith("blocks.0, head 3, score ")
    assert told[3] == "blocks.1 is fixed: none of its heads can be removed separately."


def test_only_the_heads_that_are_seen_are_asked_for(opened_map, monkeypatch) -> None:
    panel = opened_map(opened(analysed(*(Attention(HEADS) for _ in range(40)))))
    panel.view.verticalScrollBar().setValue(20 * panel.view.rowHeight(0))
    asked: list[int] = []
    look = HeadsModel.look
    monkeypatch.setattr(HeadsModel, "look", lambda model, place: asked.append(place[0]) or look(model, place))
    panel.view.viewport().grab()
    assert min(asked) == 20 and len(set(asked)) < 12 and len(asked) == len(set(asked)) * HEADS


def test_the_model_keeps_qts_rules(opened_map, qtmodeltester) -> None:
    qtmodeltester.check(opened_map(opened(grouped())).model)
