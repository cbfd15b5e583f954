"""While masks are learned, the Masks tab draws open gates by kind, and tree, heads and layers show them for scores."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from secateur.app.document.aspects import Selection
from secateur.app.panels.gates import GatesPanel
from secateur.app.panels.graph import GraphPanel
from secateur.app.panels.layers import LayersPanel
from secateur.app.panels.layers.model import Column as LayersColumn
from secateur.app.panels.ledger_figures import ledger_figures
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.model import Column
from secateur.engine.masks.learned_gates import GateCount, LearnedGates
from secateur.engine.planning.protocol import Choose, KindLimit
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.structures.analysis import Kind
from tests.app.playing import Player, play
from tests.app.stand_in import SPEC, state_of

CONV, STEPS = "layer1.0.conv1", 40


@pytest.fixture
def player(dressed) -> Iterator[Player]:
    """Masks are learned."""
    made = play()
    made.document.plan.set_goal(replace(made.document.goal, keep=1.0, shape=(KindLimit(Kind.FILTER, 0.5),)))
    made.workbench.shape.start(Choose.MASKS, STEPS, None)
    yield made
    made.workbench.close()


def gates(player: Player, step: int, open: float, chosen: bool = False) -> LearnedGates:
    """Filters are open with a probability."""
    analysis = player.document.analysis
    likely = np.ones(analysis.count, np.float32)
    here = np.concatenate([np.arange(s.first, s.first + s.count) for s in analysis.sets if s.kind is Kind.FILTER])
    likely[here] = open
    final = np.array([s.count // 2 if s.kind is Kind.FILTER else s.count for s in analysis.sets], np.int64)
    count = GateCount(Kind.FILTER, len(here), open * len(here), open * len(here), len(here) // 2, 7)
    return LearnedGates(likely, final, (count,), step, STEPS, chosen)


def tell(player: Player, *told: LearnedGates) -> None:
    for one in told:
        player.get_on("prune", one, one.step, STEPS)
    player.workbench.runner._tell_progress()


def test_curves_follow_the_gates_and_stay_when_it_is_over(qtbot, player):
    panel = GatesPanel(player.workbench)
    qtbot.addWidget(panel)
    panel.resize(660, 200)
    panel.show()
    assert not panel.curves.isVisible()
    tell(player, gates(player, 5, 0.9), gates(player, 10, 0.75))
    assert panel.curves.isVisible() and panel.cancel.isVisible()
    (target, expected) = panel.curves._pairs[0]
    assert expected.getData()[0].tolist() == target.getData()[0].tolist() == [5, 10]
    assert expected.getData()[1] == pytest.approx([90, 75])
    (name,), (cells,) = panel.names, panel.numbers
    number = player.document.contents.gates.latest.counts[0].whole
    likely = f"{0.75 * number:,.1f}"
    told = [likely, likely, f"{number // 2:,} of {number:,}", "7"]
    assert name.words == "filters" and [cell.text() for cell in cells] == told
    assert all(cell.isVisible() for cell in cells)
    panel.resize(450, 160)
    assert [cell.isVisible() for cell in cells] == [True, False, True, False]
    assert name.toolTip() == f"filters: now {likely}, planned now {likely}, target {told[2]}, undecided 7"
    assert panel.drawings()[0].table().columns[1] == ["filter", "filter"]
    assert panel.text.text() == "Step 10 of 40. Dashed: how many should be open."
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    assert player.link.cancelled == [player.link.last("prune")]
    player.stop("prune")
    assert panel.curves.isVisible() and not panel.cancel.isVisible()
    assert panel.text.text().startswith("Stopped at step 10 of 40.")
    assert player.sentences[-1].endswith("10 of 40 steps are kept; the same target shape goes on from there.")


def test_it_is_said_when_all_steps_are_done(qtbot, player):
    panel = GatesPanel(player.workbench)
    qtbot.addWidget(panel)
    tell(player, gates(player, STEPS - 5, 0.5, chosen=True))
    assert panel.text.text().endswith("the weights go on learning.")
    tell(player, gates(player, STEPS, 0.5, chosen=True))
    assert panel.text.text().startswith("All 40 steps are done")


def test_curves_in_one_place_are_all_seen(qtbot, player):
    panel = GatesPanel(player.workbench)
    qtbot.addWidget(panel)
    told = [gates(player, step, 0.75) for step in (5, 10)]
    kinds = (Kind.FILTER, Kind.NEURON, Kind.HEAD)
    tell(player, *(replace(one, counts=tuple(replace(one.counts[0], kind=kind) for kind in kinds)) for one in told))
    pens = [expected.opts["pen"] for _, expected in panel.curves._pairs]
    assert [pen.style() for pen in pens] == [Qt.PenStyle.SolidLine, *2 * [Qt.PenStyle.CustomDashLine]]
    assert pens[1].dashPattern() != pens[2].dashPattern()
    dashes = [target.opts["pen"].dashPattern() for target, _ in panel.curves._pairs]
    assert len({tuple(one) for one in dashes}) == 3


def test_another_training_begins_another_curve(player):
    tell(player, gates(player, 5, 0.9), gates(player, 10, 0.75))
    tell(player, gates(player, 5, 0.8))
    assert [step for step, _ in player.document.contents.gates.points] == [5]


def test_tree_and_layers_show_gates_while_they_are_learned_and_scores_afterwards(qtbot, player):
    document = player.document
    tree, layers, graph = TreePanel(document), LayersPanel(document), GraphPanel(player.workbench)
    for each in (tree, layers, graph):
        qtbot.addWidget(each)
        each.resize(640, 500)
        each.show()
    document.select(Selection(CONV, 2))
    one = document.analysis.sets[2]
    row = tree.model.index_of(CONV, 2)

    def keeps() -> str:
        return row.siblingAtColumn(Column.KEEPS).data()

    before = keeps()
    assert all("Hatched: marked" in each._legend.text() for each in (layers, graph))
    tell(player, gates(player, 10, 0.75))
    assert tree.model.titles()[Column.SCORE] == "Gate" and keeps() == f"{round(0.75 * one.count)} of {one.count}"
    told = row.data(Qt.ItemDataRole.ToolTipRole)
    assert f"{0.75 * one.count:,.1f} of {one.count} gates open on average, {one.count // 2} stay" in told
    assert tree.range.ends == ("gate closed", "open") and tree.range.so_far == f"step 10 of {STEPS}"
    place = layers.model.layers.row_of[CONV]
    assert layers.model.index(place, LayersColumn.KEEPS).data() == f"{round(0.75 * one.count)} of {one.count}"
    horizontal = Qt.Orientation.Horizontal
    assert layers.model.headerData(LayersColumn.SCORE, horizontal) == "Gate"
    assert tree.model.titles()[Column.KEEPS] == layers.model.headerData(LayersColumn.KEEPS, horizontal) == "Open"
    assert all("Hatched: gate closed" in each._legend.text() for each in (layers, graph))
    assert document.shown_scores[one.first] == pytest.approx(0.75) and document.scores[one.first] != 0.75
    tell(player, gates(player, STEPS, 0.5, chosen=True))  # then it is cut and recovered
    assert tree.model.titles()[Column.SCORE] == "Score" and keeps() == before
    assert layers.model.headerData(LayersColumn.SCORE, horizontal) == "Score"
    assert tree.model.titles()[Column.KEEPS] == layers.model.headerData(LayersColumn.KEEPS, horizontal) == "Keeps"
    assert all("Hatched: marked" in each._legend.text() for each in (layers, graph))
    assert document.shown_scores is document.scores


def test_a_state_with_masks_is_not_cut_yet_and_has_no_verdict(player):
    document = player.document
    analysis = document.analysis
    masked = state_of(analysis, "s1", "s0", StateKind.MASKED, analysis.empty(), accuracy=0.5)
    player.make("prune", masked)
    player.stop("prune")
    document.plan.go_to("s1")
    assert document.state.kind is StateKind.MASKED and document.goal_verdict is None
    assert ledger_figures(document)["metric"].state == "masked, not cut yet"


def test_gates_are_forgotten_with_the_model(player):
    tell(player, gates(player, 5, 0.9))
    player.stop("prune")
    assert player.document.learned_gates is None and player.document.contents.gates.latest is not None
    contents = player.document.contents
    model = OpenedModel("other", contents.analysis, contents.states["s0"], (), contents.task, SPEC)
    player.document.adopt(model, SPEC)
    assert player.document.contents.gates.latest is None
