"""The Graph tab: boxes where the layout has them, blocks that fold, lines for what skips and what is coupled."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QWheelEvent
from PySide6.QtWidgets import QApplication
from torch import nn

from secateur.app.document.aspects import Selection
from secateur.app.panels.graph import GraphPanel
from secateur.app.panels.graph import panel as panel_module
from secateur.app.panels.graph.boxes import blocks_of, boxes_of, transitive_reduction
from secateur.app.panels.graph.layout import Layout, lanes, lay_out
from secateur.engine import analyse
from secateur.engine.structures.analysis import Analysis
from tests.app.stand_in import StandIn, opened
from tests.waiting import PATIENCE

LEFT = Qt.MouseButton.LeftButton


class Branch(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, x):
        return x + self.two(self.one(x).relu())


class Net(nn.Module):
    """Two stages of residual blocks, a layer between them, and two that run side by side."""

    def __init__(self):
        super().__init__()
        self.stem, self.between = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 1)
        self.first = nn.Sequential(Branch(8), Branch(8))
        self.second = nn.Sequential(Branch(12), Branch(12))
        self.left, self.right, self.fc = nn.Conv2d(12, 4, 1), nn.Conv2d(12, 4, 1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.second(self.between(self.first(self.stem(x)))).mean((2, 3), keepdim=True)
        return self.fc(torch.cat([self.left(x), self.right(x)], 1).flatten(1))


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(Net().eval(), (torch.randn(2, 3, 4, 4),), "net")


@pytest.fixture
def document(analysis, dressed) -> Iterator[StandIn]:
    made = opened(analysis)
    yield made
    made.workbench.close()


@pytest.fixture
def panel(document, shown) -> GraphPanel:
    return settled(shown(GraphPanel(document.workbench), 720, 500))


def settled(panel: GraphPanel) -> GraphPanel:
    """Once what is laid out is shown."""
    assert panel.workbench.layouts.flush(PATIENCE)
    QApplication.processEvents()
    return panel


def box(panel: GraphPanel, path: str) -> int:
    return panel.model.boxes.of_path[path]


def middle(panel: GraphPanel, path: str) -> QPoint:
    return panel.view.visualRect(panel.model.index(box(panel, path), 0)).center()


def shown_paths(panel: GraphPanel) -> set[str]:
    return set(panel.model.boxes.of_path)


def click(qtbot, panel: GraphPanel, where: QPoint) -> None:
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=where)


# What is drawn.


def test_edges_that_a_longer_way_replaces_are_drawn_as_skips() -> None:
    needed, others = transitive_reduction(5, {(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (1, 4), (4, 1)})
    assert needed == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert others == ((0, 2), (1, 4), (4, 1))  # residual connections, and one that leads back


def test_every_edge_of_the_model_is_seen_however_blocks_are_folded(analysis) -> None:
    blocks = blocks_of(analysis.graph)
    assert [path for path in blocks.paths if path] == ["first", "second", "first.0", "first.1", "second.0", "second.1"]
    for folded in (frozenset[int](), frozenset({1, 6}), frozenset(range(1, 7))):
        boxes = boxes_of(blocks, folded)
        ends = {(int(boxes.of_node[a]), int(boxes.of_node[b])) for a, b in analysis.graph.edges}
        assert {*boxes.edges, *boxes.skips} == {(a, b) for a, b in ends if a != b}
        assert not any(boxes.open(end) for edge in ends for end in edge)


def test_boxes_of_a_block_lie_inside_it_beside_each_other_and_edges_lead_down(analysis) -> None:
    boxes = boxes_of(blocks_of(analysis.graph), frozenset())
    layout = lay_out(boxes, ())
    low, high = layout.places[:, :2], layout.places[:, :2] + layout.places[:, 2:]
    for one in range(len(boxes)):
        around = int(boxes.around[one])
        if around >= 0:
            assert (low[one] > low[around]).all() and (high[one] < high[around]).all()
        for other in range(one):
            if boxes.around[other] == around:
                assert (low[one] >= high[other]).any() or (low[other] >= high[one]).any(), (one, other)
    assert all(high[a, 1] <= low[b, 1] for a, b in boxes.edges)
    for (a, b), points in zip(boxes.edges, layout.edges, strict=True):
        assert points[0, 1] == high[a, 1] and points[-1, 1] == low[b, 1]
    assert (high <= layout.size).all() and (low >= 0).all()
    _assert_lanes_pass_beside(layout)


def _assert_lanes_pass_beside(layout: Layout) -> None:
    """The line of a skip stands at the right of what it joins, with an end at each box."""
    assert len(layout.skips) == 4
    for bus in layout.skips:
        assert bus.lane > bus.ends[:, 0].max() and len(bus.ends) == len(bus.boxes) == 2


def test_spans_that_overlap_have_lanes_of_their_own() -> None:
    assert lanes([(0, 9), (1, 3), (4, 6), (2, 5)]) == [2, 0, 0, 1]


def test_lists_of_modules_that_run_in_turn_are_no_blocks() -> None:
    class Turns(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.ModuleList(nn.Linear(4, 4) for _ in range(2)) for _ in range(2))

        def forward(self, x):
            for a, b in zip(self.a, self.b):
                x = b(a(x).relu()).relu()
            return x

    blocks = blocks_of(analyse(Turns().eval(), (torch.randn(2, 4),)).graph)
    assert blocks.paths == ("",)


# Hands.


def test_a_click_selects_everywhere_and_the_selection_elsewhere_is_shown(panel, qtbot, document) -> None:
    panel.unfold_all()
    settled(panel)
    click(qtbot, panel, middle(panel, "first.0.one"))
    layers = panel.model.layers.layers
    number = int(layers.sets[layers.row_of["first.0.one"]])
    assert number >= 0 and document.selection == Selection("first.0.one", number)
    document.select(Selection("fc", -1))
    assert panel.view.current == box(panel, "fc")
    assert panel.view.viewport().rect().contains(middle(panel, "fc"))
    panel.fold_all()
    settled(panel)
    document.select(Selection("second.1.two", -1))
    assert panel.view.current == box(panel, "second")  # that is where it is
    click(qtbot, panel, middle(panel, "first"))
    assert document.selection.module == "first"


def test_boxes_of_all_structures_that_are_selected_together_are_framed(panel, document) -> None:
    panel.unfold_all()
    settled(panel)
    panel.view.fit()
    sets = {one.module: one for one in document.analysis.sets if one.dim >= 0}
    one, other = sets["first.0.one"], sets["second.1.one"]
    document.select(Selection(one.module, -1, one.first, (one.first, one.first + 1, other.first)))
    assert panel.model.boxes_with(document.selection.several) == {box(panel, one.module), box(panel, other.module)}
    before = panel.view.viewport().grab().toImage()
    document.select(Selection(one.module, -1, one.first))
    assert panel.view.viewport().grab().toImage() != before


def test_a_join_that_is_clicked_stays_selected(panel, qtbot, document) -> None:
    panel.unfold_all()
    settled(panel)
    boxes = panel.model.boxes
    join = next(n for n in range(len(boxes)) if boxes.join(n))
    click(qtbot, panel, panel.view.visualRect(panel.model.index(join, 0)).center())
    assert panel.view.current == join and document.selection.module == "first.0"
    assert "addition in first.0" in panel.model.words(join)


def test_blocks_fold_by_their_arrow_by_a_double_click_and_by_keys(panel, qtbot) -> None:
    panel.unfold_all()
    settled(panel)
    area = panel.view.visualRect(panel.model.index(box(panel, "first.0"), 0))
    click(qtbot, panel, area.topLeft() + QPoint(10, area.height() // 2))
    settled(panel)
    assert "first.0.one" not in shown_paths(panel) and "first.1.one" in shown_paths(panel)
    kept = panel.view.visualRect(panel.model.index(box(panel, "first.0"), 0)).topLeft()
    assert abs(kept.y() - area.y()) <= 1  # it did not jump away under the mouse
    qtbot.mouseDClick(panel.view.viewport(), LEFT, pos=middle(panel, "first.0"))
    settled(panel)
    assert "first.0.one" in shown_paths(panel)
    panel.view.setFocus()
    panel.view.show_current(box(panel, "second"))
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    settled(panel)
    assert "second.0" not in shown_paths(panel) and "second" in shown_paths(panel)


def test_arrow_keys_follow_the_edges_and_go_to_what_is_beside(panel, qtbot, document) -> None:
    panel.unfold_all()
    settled(panel)
    panel.view.show_current(box(panel, "first.0.one"))
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert document.selection.module == "first.0.two"
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert panel.model.boxes.join(panel.view.current)
    qtbot.keyClick(panel.view, Qt.Key.Key_Up)
    assert document.selection.module == "first.0.two"
    pair = sorted(("left", "right"), key=lambda path: middle(panel, path).x())
    panel.view.show_current(box(panel, pair[0]))
    qtbot.keyClick(panel.view, Qt.Key.Key_Right)
    assert document.selection.module == pair[1]
    qtbot.keyClick(panel.view, Qt.Key.Key_Home)
    assert panel.view.current == 0
    qtbot.keyClicks(panel.view, "fc")
    assert document.selection.module == "fc"


def test_search_finds_folded_layers_and_return_goes_from_one_to_the_next(panel, qtbot, document) -> None:
    panel.fold_all()
    settled(panel)
    qtbot.keyClicks(panel.search, "two")
    assert panel.found.text() == "4 found"
    reached = []
    for _ in range(5):
        qtbot.keyClick(panel.search, Qt.Key.Key_Return)
        settled(panel)
        reached.append(document.selection.module)
    assert reached == ["first.0.two", "first.1.two", "second.0.two", "second.1.two", "first.0.two"]
    assert panel.view.viewport().rect().contains(middle(panel, "first.0.two"))


def test_the_wheel_scrolls_ctrl_zooms_where_the_mouse_is_and_a_drag_moves(panel, qtbot) -> None:
    panel.unfold_all()
    settled(panel)
    view, scale = panel.view, panel.view.scale
    where = middle(panel, "stem")
    wheel(view, where, 120, Qt.KeyboardModifier.ControlModifier)
    assert view.scale > scale and (middle(panel, "stem") - where).manhattanLength() <= 3
    before = middle(panel, "first.0.one")
    wheel(view, where, -120)
    assert view.scale > scale and middle(panel, "first.0.one").y() < before.y()
    start = QPoint(30, 300)
    before = middle(panel, "first.0.one")
    qtbot.mousePress(view.viewport(), LEFT, pos=start)
    qtbot.mouseMove(view.viewport(), start - QPoint(0, 20))
    qtbot.mouseMove(view.viewport(), start - QPoint(0, 60))
    qtbot.mouseRelease(view.viewport(), LEFT, pos=start - QPoint(0, 60))
    assert abs(before.y() - middle(panel, "first.0.one").y() - 60) <= 1
    qtbot.mouseClick(panel.buttons["fit"], LEFT)
    seen = [view.visualRect(panel.model.index(n, 0)) for n in range(panel.model.rowCount())]
    assert all(view.viewport().rect().contains(rect) for rect in seen)


def wheel(view, where: QPoint, turn: int, keys=Qt.KeyboardModifier.NoModifier) -> None:
    place = QPointF(where)
    event = QWheelEvent(
        place, view.viewport().mapToGlobal(place), QPoint(), QPoint(0, turn), LEFT.NoButton, keys,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view.viewport(), event)


# The plan.


def test_a_plan_fills_the_boxes_as_far_as_it_keeps_them(panel, document) -> None:
    panel.unfold_all()
    settled(panel)
    layers = panel.model.layers.layers
    document.plan.keep(int(layers.sets[layers.row_of["first.0.one"]]), 4)
    one, stem = box(panel, "first.0.one"), box(panel, "stem")
    figures = panel.model.figures
    assert figures.kept[one] == pytest.approx(4 / 16) and figures.present[one] == 1 and figures.kept[stem] == 1
    assert figures.width[one] == pytest.approx(16 / 24) and figures.width[stem] == pytest.approx(8 / 24)
    assert panel.model.keeps(one) == "4 of 16"
    panel.fold_all()
    settled(panel)
    first = box(panel, "first")
    assert panel.model.figures.outputs[first].tolist() == [4 + 8 + 16 + 8, 16 + 8 + 16 + 8]
    assert panel.model.keeps(first) == "keeps 75 %"


def test_scores_are_those_of_the_tree(panel, document) -> None:
    panel.unfold_all()
    settled(panel)
    rows, figures = panel.model.layers.rows, panel.model.layers.figures
    for path in ("first.0.one", "first.0", "second"):
        expected = figures.node_scale.fraction(float(figures.node_scores[rows.modules.index(path)]))
        if panel.model.boxes.open(box(panel, path)):
            panel.fold_all()
            settled(panel)
        if path in shown_paths(panel):
            assert panel.model.figures.score[box(panel, path)] == pytest.approx(expected)


def test_coupled_layers_are_joined_at_the_left(panel) -> None:
    panel.unfold_all()
    settled(panel)
    boxes, layout = panel.model.boxes, panel.model.layout
    tied = [{boxes.path(n) for n in bus.boxes} for bus in layout.ties]
    assert {"stem", "first.0.two", "first.1.two"} in tied
    assert all(bus.lane < layout.places[:, 0].min() for bus in layout.ties)


# Beside the interface.


def test_layouts_are_made_in_a_thread_and_kept(document, shown, monkeypatch) -> None:
    threads = list[threading.Thread]()

    def noted(*given) -> Layout:
        threads.append(threading.current_thread())
        return lay_out(*given)

    monkeypatch.setattr(panel_module, "lay_out", noted)
    panel = settled(shown(GraphPanel(document.workbench), 720, 500))
    panel.fold_all()
    settled(panel)
    panel.unfold_all()
    settled(panel)
    panel.fold_all()  # immediate: it is known
    assert "first.0" not in shown_paths(panel)
    assert len(threads) == 2 and threading.main_thread() not in threads


def test_a_large_model_begins_with_folded_blocks() -> None:
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = nn.Sequential(*(nn.Sequential(*(Branch(2) for _ in range(6))) for _ in range(4)))

        def forward(self, x):
            return self.stages(x)

    blocks = blocks_of(analyse(Deep().eval(), (torch.randn(2, 2, 4, 4),)).graph)
    boxes = boxes_of(blocks, blocks.folded_at_first())
    seen = {boxes.path(n) for n in range(len(boxes)) if not boxes.open(n)}
    assert {"stages.0.0", "stages.3.5"} <= seen and not any(path.endswith(("one", "two")) for path in seen)


# Everybody.


def test_a_screen_reader_finds_boxes_with_what_they_keep_and_what_feeds_them(panel) -> None:
    panel.unfold_all()
    settled(panel)
    reader = QAccessible.queryAccessibleInterface(panel.view)
    assert reader.childCount() == panel.model.rowCount()
    child = reader.child(box(panel, "first.0.two"))
    told = child.text(QAccessible.Text.Name)
    assert "first.0.two, 8 of 8 outputs kept" in told and "from one, to addition" in told
    assert child.rect().intersects(panel.view.viewport().rect().translated(panel.view.viewport().mapToGlobal(QPoint())))


def test_an_empty_window_says_what_the_graph_is_for_and_opens_a_model(shown, qtbot) -> None:
    document = StandIn()
    panel = shown(GraphPanel(document.workbench))
    commands = []

    class Asked:
        def run_command(self, name: str) -> None:
            commands.append(name)

    document.requested.connect(lambda act: act(Asked()))
    step = panel._empty.step
    assert step.isVisible() and step.text() == "Open model..."
    qtbot.mouseClick(step, LEFT)
    assert commands == ["file.open"]


def test_the_drawing_can_be_taken_along(panel, analysis) -> None:
    (drawing,) = panel.drawings()
    image, table = drawing.image(1.0), drawing.table()
    assert image.height() >= panel.model.layout.size[1]
    assert len(table.columns[0]) == len(analysis.graph.edges)
    assert ("stem", "first.0") in set(zip(table.columns[0], table.columns[2]))


def test_marked_boxes_are_hatched(panel, document) -> None:
    before = orange(panel)
    marks = np.zeros(document.analysis.count, bool)
    layers = panel.model.layers.layers
    one = document.analysis.sets[int(layers.sets[layers.row_of["first.0.one"]])]
    marks[one.structures] = True
    marks[one.first] = False
    document.plan.mark(marks, True)
    assert before == 0 and orange(panel) > 20


def orange(panel: GraphPanel) -> int:
    image = panel.view.viewport().grab().toImage()
    colours = (image.pixelColor(x, y) for x in range(0, image.width()) for y in range(0, image.height(), 2))
    return sum(colour.red() > 150 and colour.blue() < 80 for colour in colours)
