"""A goal for the latency in the window: measured once on the target, then planned; the plan's latency is predicted."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from secateur.app.document.aspects import Goal
from secateur.app.document.document import Document
from secateur.app.jobs.workbench import Workbench
from secateur.app.panels.ledger_figures import ledger_figures
from secateur.app.panels.tradeoff.points import Cost as Axis
from secateur.app.panels.tradeoff.points import trade_off
from secateur.engine.jobs import Cancelled
from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.costs import costs
from secateur.engine.targets.latency_table import LatencyTable, TableErrors
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, Split
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.stand_in import state_of
from tests.engine.builders import tiny_analysis, tiny_scores

ANALYSIS = tiny_analysis()
TARGET = TargetSpec("onnxruntime", 2, 8, 4)


def table() -> LatencyTable:
    """A nanosecond for a MAC, and a millisecond more."""
    operators = ANALYSIS.operators
    padding = np.ones_like(operators.axes)
    block = np.zeros(len(operators.constant), np.int32)
    original = 1_000_000 + costs(ANALYSIS).macs
    terms = operators.constant.astype(np.float64), operators.axes, padding, block
    return LatencyTable(TARGET, "", 4, original, 1e6, *terms, (("all", "Net"),), TableErrors((0.01,), 0.0, 0.0))


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def workbench(qapp, link: FakeLink) -> Iterator[Workbench]:
    workbench = workbench_on(link)
    workbench.model.open(ModelSpec("bundled:resnet"))
    state = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    link.finished.emit(link.last("open"), OpenedModel("net", ANALYSIS, state, (), None))
    link.finished.emit(link.last("score"), tiny_scores(ANALYSIS))
    workbench.document.set_target(TARGET)
    workbench.document.plan.set_goal(Goal(0.999, 1.0, Cost.LATENCY))
    yield workbench
    workbench.close()


@pytest.fixture
def document(workbench: Workbench) -> Document:
    return workbench.document


def test_a_plan_for_a_latency_follows_the_measurement_that_is_made_once(
    workbench: Workbench, document: Document, link: FakeLink, qtbot
):
    workbench.plan.suggest()
    assert link.asked("latencies") == (TARGET,)
    workbench.plan.suggest()
    assert [name for name, _ in link.calls.values()].count("latencies") == 1
    link.finished.emit(link.last("latencies"), table())
    qtbot.waitUntil(lambda: bool(document.marked.any()))
    ms = document.contents.plan_latency()
    assert ms is not None and ms <= 0.999 * table().original / 1e6
    workbench.states.cut()
    assert link.asked("cut")[2].goal.limits == (Limit(Cost.LATENCY, 0.999),)
    assert link.asked("cut")[2].goal.target == TARGET


def test_a_plan_follows_a_measurement_that_was_asked_for_by_itself_and_says_so(
    workbench: Workbench, document: Document, link, qtbot
):
    said: list[str] = []
    document.announced.connect(said.append)
    workbench.plan.measure_latencies()
    workbench.plan.suggest()
    assert said[-1].startswith("The plan waits for: ") and said[-1].endswith("Measure latency savings on the target.")
    assert [name for name, _ in link.calls.values()].count("latencies") == 1
    link.finished.emit(link.last("latencies"), table())
    qtbot.waitUntil(lambda: bool(document.marked.any()))


def test_a_search_of_shares_follows_the_measurement_too(workbench: Workbench, document: Document, link: FakeLink):
    workbench.plan.search_shares()
    link.finished.emit(link.last("latencies"), table())
    _state, intent, scores, given = link.asked("search_shares")
    assert intent.goal.limits == (Limit(Cost.LATENCY, 0.999),) and scores is document.scores
    assert given is document.contents.table is not None


def test_another_target_is_measured_though_one_is_being_measured(
    workbench: Workbench, document: Document, link: FakeLink
):
    workbench.plan.measure_latencies()
    document.set_target(replace(TARGET, threads=1))
    workbench.plan.suggest()
    assert link.asked("latencies") == (replace(TARGET, threads=1),)


def test_a_measurement_that_is_cancelled_leaves_no_plan(workbench, document, link):
    workbench.plan.suggest()
    link.failed.emit(link.last("latencies"), Cancelled())
    assert not document.marked.any() and document.contents.table is None
    workbench.plan.suggest()
    assert [name for name, _ in link.calls.values()].count("latencies") == 2


def test_the_ledger_predicts_what_is_marked_once_the_target_was_measured(document: Document, link: FakeLink):
    document.plan.mark([ANALYSIS.sets[0].first], True)
    assert not ledger_figures(document)["latency"].known
    document.contents.latencies[TARGET] = table()
    now = ledger_figures(document)["latency"]
    expected = (1e6 + costs(ANALYSIS, document.marked).macs) / 1e6
    assert now.known and now.source == "predicted" and now.number.startswith(f"{expected:.2f}"[:4])
    assert now.share == pytest.approx(expected / (table().original / 1e6)) and "9 of 10" in now.tip
    document.set_target(TargetSpec("torch"))
    assert not ledger_figures(document)["latency"].known


def test_the_plan_is_a_point_at_its_predicted_latency(document: Document):
    state = document.original
    assert state is not None
    metric = Metric("top-1", 0.9, 2000, 0.007, Split.TEST)
    timing = Timing(TARGET, table().original / 1e6, 1.0, 2.0, 100, "2 cores")
    document.contents.states["s0"] = replace(state, metrics=(metric,), timings=(timing,))
    document.plan.mark([ANALYSIS.sets[0].first], True)
    shown = trade_off(document, Axis.LATENCY)
    assert shown is not None and shown.missing  # nothing predicts it
    document.contents.latencies[TARGET] = table()
    shown = trade_off(document, Axis.LATENCY)
    assert shown is not None and not shown.missing
    (plan,) = [point for point in shown.points if point.kind is None]
    assert plan.x == document.contents.plan_latency() and "predicted" in plan.label and "1.0 %" in plan.tip
