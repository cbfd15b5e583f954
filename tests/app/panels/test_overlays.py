"""What structures are coloured by: scores, activity, redundancy, sensitivity or cost, in every view with colours."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from secateur.app.commands.registry import command_named
from secateur.app.document.aspects import Overlay, Selection
from secateur.app.document.sensitivity_curves import Curves
from secateur.app.panels.graph import GraphPanel
from secateur.app.panels.inspector.panel import InspectorPanel
from secateur.app.panels.layers import LayersPanel
from secateur.app.panels.layers.model import Column as LayersColumn
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.model import Column
from secateur.engine.errors import TaskError
from secateur.engine.inspection.response_data import ModelActivity
from secateur.engine.jobs import Cancelled
from secateur.engine.sensitivity.protocol import SensitivityPoint
from secateur.engine.session.states import StateKind
from secateur.engine.structures.costs import marginal
from secateur.engine.tasks.protocol import Metric, Split
from tests.app.playing import Player, Window, play
from tests.app.stand_in import opened, state_of

CONV, NUMBER = "layer1.0.conv1", 2


def choose(player: Player, overlay: Overlay) -> None:
    """As the menu, the palette and the box in the tree do."""
    command = command_named(f"view.colour_{overlay}")
    assert command.enabled(player.document) == ""
    command.run(Window(player.workbench))
    player.document.dispatcher.settle()


def activity(player: Player) -> ModelActivity:
    """Invented: each structure more active than the one before it."""
    count = player.document.analysis.count
    return ModelActivity(np.linspace(0, 1, count, dtype=np.float32), np.full(count, 0.5, np.float32), 256, 0)


def is_offered(tree: TreePanel, place: int) -> bool:
    """Whether an entry of the box can be chosen."""
    return bool(tree.colours.model().index(place, 0).flags() & Qt.ItemFlag.ItemIsEnabled)


@pytest.fixture
def player(dressed) -> Iterator[Player]:
    made = play()
    yield made
    made.workbench.close()


def test_every_view_shows_the_share_of_the_cost(qtbot, player) -> None:
    document, window = player.document, Window(player.workbench)
    tree, layers, graph = TreePanel(document), LayersPanel(document), GraphPanel(player.workbench)
    inspector = InspectorPanel(player.workbench)
    for each in (tree, layers, graph, inspector, window):
        qtbot.addWidget(each)
        each.resize(720, 600)
        each.show()
    document.select(Selection(CONV, NUMBER))
    choose(player, Overlay.COST)
    analysis, found = document.analysis, document.overlay_values
    whole = document.original_costs.macs
    alone = [marginal(analysis, analysis.empty(), [n])[1] / whole for n in range(analysis.count)]
    assert np.allclose(found, alone, atol=1e-12)
    scale, title = tree.model.figures.scale, tree.model.titles()[Column.SCORE]
    assert tree.range.ends == (f"by rank: {scale.text(found.min())}", scale.text(found.max()))
    assert graph.range.ends[0].startswith("Cost by rank: ")
    assert title == layers.model.headerData(LayersColumn.SCORE, Qt.Orientation.Horizontal) == "Cost"
    assert tree.colours.currentText() == "Cost"
    one = analysis.sets[NUMBER]
    row = tree.model.index_of(CONV, NUMBER, one.first)
    assert row.data(Qt.ItemDataRole.ToolTipRole).endswith(f"{found[one.first]:.6g} of the MACs")
    assert np.allclose(inspector.map.fractions, scale.fractions(found[one.structures]))
    assert "Bright: costs most." in inspector.map.accessibleName()
    assert np.array_equal(inspector.histogram.spread.scores, document.scores[one.structures]), "it marks by score"
    document.plan.mark(np.arange(analysis.count) == one.first, True)
    assert document.overlay_values is found, "of the state, whatever is marked"


def test_activity_is_measured_when_it_is_asked_for(qtbot, player) -> None:
    document, link = player.document, player.link
    tree = TreePanel(document)
    qtbot.addWidget(tree)
    assert "activity" not in [method for method, _ in link.calls.values()]
    choose(player, Overlay.ACTIVITY)
    assert link.asked("activity") == ("s0",)
    assert tree.range.ends[1] == "not measured yet" and np.isnan(tree.model.figures.scores).all()
    player.answer("activity", activity(player))
    document.dispatcher.settle()
    assert np.allclose(document.overlay_values, np.linspace(0, 1, document.analysis.count))
    assert tree.range.ends == ("by rank: 0.00", "1.00")
    once = link.last("activity")
    choose(player, Overlay.REDUNDANCY)
    assert link.last("activity") == once, "one look at the data tells both"
    assert np.allclose(document.overlay_values, 0.5)
    document.take_task(replace(document.task, title="other"))
    assert not document.contents.activity


def test_another_state_is_measured_by_itself(player) -> None:
    document, link = player.document, player.link
    choose(player, Overlay.ACTIVITY)
    player.answer("activity", activity(player))
    mask = document.analysis.empty()
    mask[0] = True
    document.add_state(state_of(document.analysis, "s1", "s0", StateKind.CUT, mask), "cut")
    assert link.asked("activity") == ("s1",)
    first = link.last("activity")
    link.failed.emit(first, Cancelled())  # it makes room for another job
    assert document.contents.overlay is Overlay.ACTIVITY
    document.plan.undo()
    assert document.overlay_values is not None and link.last("activity") == first


@pytest.mark.parametrize("error", [Cancelled(), TaskError("inspection.nan", "What conv reads contains NaN.")])
def test_scores_have_their_colours_again_where_nothing_can_be_measured(player, error) -> None:
    document = player.document
    choose(player, Overlay.REDUNDANCY)
    player.link.failed.emit(player.link.last("activity"), error)
    assert document.contents.overlay is Overlay.SCORE and document.overlay_values is document.scores


def test_sensitivity_colours_what_was_measured(qtbot, player) -> None:
    document = player.document
    tree = TreePanel(document)
    qtbot.addWidget(tree)
    place = tree.colours.findText("Sensitivity")
    assert not is_offered(tree, place)
    assert "Measure sensitivity" in tree.colours.itemData(place, Qt.ItemDataRole.ToolTipRole)
    curves, one = Curves(2), document.analysis.sets[NUMBER]
    whole = Metric("top-1", 0.9, 100, 0.03, Split.VAL)
    curves.take([SensitivityPoint(-1, 0, whole)])
    curves.take([SensitivityPoint(NUMBER, one.count // 2, replace(whole, value=0.7))])
    document.take_curves("s0", document.contents.rating, curves)
    document.dispatcher.settle()
    assert is_offered(tree, place)
    choose(player, Overlay.SENSITIVITY)
    found = document.overlay_values
    assert np.allclose(found[one.structures], 0.2) and np.isfinite(found).sum() == one.count
    curves.take([SensitivityPoint(NUMBER, one.count // 2, replace(whole, value=0.5))])
    document.take_curves("s0", document.contents.rating, curves)
    document.dispatcher.settle()
    assert np.allclose(tree.model.figures.scores[one.structures], 0.4), "as the points come in"


def test_without_data_activity_cannot_be_chosen(qtbot, dressed) -> None:
    tree = TreePanel(opened(task=False))
    qtbot.addWidget(tree)
    able = [is_offered(tree, n) for n in range(tree.colours.count())]
    assert able == [True, False, False, False, True]
    assert tree.colours.itemData(1, Qt.ItemDataRole.ToolTipRole) == "Attach data first."
