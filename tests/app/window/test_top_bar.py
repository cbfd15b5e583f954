"""The goal in the top bar: a share of a cost that is chosen beside it."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from secateur.app.document.aspects import Aspect, Goal
from secateur.app.window.top_bar import TopBar
from secateur.engine.planning.protocol import Cost
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.tasks.protocol import Metric, Split

from ..demo_analysis import small_resnet
from ..fake_link import FakeLink, workbench_on
from ..playing import Window
from ..stand_in import SPEC, state_of, task_info


@pytest.fixture
def bar(qtbot, dressed):
    window = Window(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    made = TopBar(window)
    yield made
    window.workbench.close()


def test_the_cost_that_is_chosen_is_the_goals(bar):
    document = bar._document
    names = [bar.cost.itemText(n) for n in range(bar.cost.count())]
    assert names == ["MACs", "parameters", "file size", "memory", "latency"] and bar.cost.currentText() == "MACs"
    bar.cost.setCurrentIndex(1)
    bar.cost.activated.emit(1)
    bar.keep.setValue(30)
    assert document.goal == Goal(0.3, 0.5, Cost.PARAMETERS)
    document.plan.undo()
    bar.refresh()
    assert bar.cost.currentText() == "MACs" and bar.keep.value() == 50


def test_what_may_lose_is_shown_in_its_unit_and_as_exactly_as_the_dialog_asks_for_it(bar):
    document = bar._document
    document.plan.set_goal(Goal(0.5, 1.25))
    bar.refresh()
    assert bar.lose.text() == "lose 1.25 pt"
    bar.keep.setValue(40)
    assert document.goal == Goal(0.4, 1.25)
    analysis = small_resnet()
    perplexity = Metric("perplexity", 20.0, 100, 0.1, Split.TEST, percent=False, higher_is_better=False)
    state = replace(state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty()), metrics=(perplexity,))
    document.adopt(OpenedModel("net", analysis, state, (), task_info(), SPEC), SPEC)
    document.plan.set_goal(Goal(0.5, 1.25))
    bar.refresh()
    assert bar.lose.text() == "lose 1.25 %" and bar.lose.toolTip().startswith("Largest loss allowed, in %")


def test_what_is_being_typed_stays_while_a_job_tells_how_far_it_is(bar, qtbot):
    bar.keep.selectAll()
    qtbot.keyClicks(bar.keep, "3")
    typed = bar.keep.text()
    bar._document.announce(Aspect.JOBS)
    bar._document.dispatcher.settle()
    assert bar.keep.text() == typed != "keep 50 % of"
    qtbot.keyClick(bar.keep, Qt.Key.Key_Return)
    assert bar._document.goal.keep == 0.03
