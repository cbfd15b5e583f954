"""A number is what it says: split, n, target, when; val never stands where test does; replacements are told."""

import time
from dataclasses import replace

import numpy as np
import pytest

from secateur.app.document.document import Document
from secateur.app.panels.compare.runs import METRIC, runs_of
from secateur.app.panels.history import HistoryPanel
from secateur.app.panels.ledger import LedgerPanel
from secateur.app.panels.ledger_figures import ledger_figures
from secateur.app.panels.recovery.curves import Curves
from secateur.app.panels.state_strip import StateStrip
from secateur.app.panels.tradeoff.points import Cost, trade_off
from secateur.engine.tasks.protocol import Metric, Split
from tests.app.stand_in import StandIn, opened, travelled

WHEN = time.mktime((2026, 11, 28, 17, 3, 0, 0, 0, -1))


def top1(value: float, split: Split = Split.TEST, count: int = 2000) -> Metric:
    return Metric("top-1", value, count, (value * (1 - value) / count) ** 0.5, split, when=WHEN)


def with_metrics(document: StandIn, **metrics: tuple[Metric, ...]) -> StandIn:
    for name, own in metrics.items():
        document.contents.states[name] = replace(document.contents.states[name], metrics=own)
    document.plan.enter(document.contents.present, "")
    return document


@pytest.fixture
def document() -> StandIn:
    """The recovered state was evaluated on val alone, as it is until the test split has been read."""
    return with_metrics(travelled(), s0=(top1(0.93),), s1=(), s2=(top1(0.951, Split.VAL),))


def shown_texts(document: StandIn, shown) -> dict[str, str]:
    """What each place says of the current state, with what it may say in its tooltip left away."""
    ledger, strip = shown(LedgerPanel(document.workbench), 1300, 120), shown(StateStrip(document), 1000, 60)
    history = shown(HistoryPanel(document), 900, 200)
    cell = ledger.cells["metric"]
    rows = [history._state_items(document.state, named_origin=False)[column].text() for column in range(5)]
    run = next(one for one in runs_of(document) if one.id == "s2")
    return {
        "ledger": " ".join([cell.number.text(), cell.change.text(), cell.source.text(), ledger.goal.text()]),
        "strip": strip.steps["recover"].caption,
        "history": " ".join(rows),
        "runs": run.texts[METRIC],
        "trade-off": next(p.label for p in trade_off(document, Cost.MACS).points if p.state == "s2"),
    }


def test_a_value_of_the_val_split_stands_nowhere_where_that_of_the_test_split_will(document, shown) -> None:
    for place, text in shown_texts(document, shown).items():
        assert "95.1" not in text, (place, text)
    point = next(p for p in trade_off(document, Cost.MACS).points if p.state == "s2")
    assert np.isnan(point.y) and "not measured" in point.label
    assert document.goal_verdict.met is None or document.goal_verdict.metric.loss is None


def test_it_is_told_in_the_tooltips_as_what_it_is(document, shown) -> None:
    words = "Not compared: top-1 95.1\u00a0%\u00a0±\u00a00.48, n\u00a0=\u00a02,000, measured on the val split"
    assert words in ledger_figures(document)["metric"].tip
    assert words in shown(StateStrip(document), 1000, 60).steps["recover"].toolTip()
    assert words in next(p.tip for p in trade_off(document, Cost.MACS).points if p.state == "s2")
    assert (
        words in shown(HistoryPanel(document), 900, 200)._state_items(document.state, named_origin=False)[0].toolTip()
    )


def test_the_test_split_takes_its_place_and_says_what_it_replaces(document, shown) -> None:
    told: list[str] = []
    document.announced.connect(told.append)
    document.take_measurements("s2", (top1(0.921),))
    assert told == [
        "recovered s2: top-1 on the test split is 92.1\u00a0%\u00a0±\u00a00.60, n\u00a0=\u00a02,000. On val, which "
        "chose the weights, it was 95.1\u00a0%\u00a0±\u00a00.48, n\u00a0=\u00a02,000."
    ]
    texts = shown_texts(document, shown)
    assert all("92.1" in texts[place] for place in ("ledger", "strip", "history", "runs"))
    assert "−0.9 pt" in texts["ledger"] and "95.1" not in " ".join(texts.values())


def test_a_better_estimate_says_what_it_replaces_and_the_same_one_nothing(document) -> None:
    told: list[str] = []
    document.announced.connect(told.append)
    document.take_measurements("s0", (replace(top1(0.93), when=WHEN + 60),))
    assert told == []
    document.take_measurements("s0", (top1(0.934, count=10_000),))
    assert told == [
        "the original: top-1 on the test split is 93.4\u00a0%\u00a0±\u00a00.25, n\u00a0=\u00a010,000; it replaces "
        "93.0\u00a0%\u00a0±\u00a00.57, n\u00a0=\u00a02,000."
    ]
    timing = document.original.timings[0]
    document.take_measurements("s0", timings=(replace(timing, median=0.5),))
    assert told[-1] == "the original: the latency is 0.500 ms; it replaces 0.760 ms."


def test_each_number_says_its_split_n_target_and_when(document, shown) -> None:
    document.take_measurements("s2", (top1(0.921),))
    timing = replace(document.state.timings[0], when=WHEN)
    document.take_measurements("s2", timings=(timing,))
    figures = ledger_figures(document)
    strip = shown(StateStrip(document), 1000, 60).steps["recover"].toolTip()
    point = next(p.tip for p in trade_off(document, Cost.MACS).points if p.state == "s2")
    for tip in (figures["metric"].tip, strip, point):
        assert "n\u00a0=\u00a02,000, measured on the test split; 2026-11-28 17:03" in tip
    for tip in (figures["latency"].tip, strip, point):
        assert "onnxruntime, batch 1, 1 thread" in tip and "400 runs" in tip and "2026-11-28 17:03" in tip
    assert "Original: top-1 93.0" in figures["metric"].tip


def test_a_plan_says_how_the_values_of_the_original_beside_it_are_known() -> None:
    document = with_metrics(opened(), s0=(top1(0.93),))
    document.plan.mark([40], True)
    figures = ledger_figures(document)
    assert figures["metric"].before and figures["latency"].before
    assert figures["metric"].tip.splitlines()[0] == "not cut yet"
    for name, words in (("metric", "measured on the test split; 2026-11-28 17:03"), ("latency", "400 runs")):
        told = figures[name].tip.splitlines()[1]
        assert told.startswith("Original: ") and words in told, figures[name].tip


def test_where_results_are_judged_on_another_split_the_ledger_names_it() -> None:
    document = travelled()
    assert document.evaluation_split is Split.VAL
    assert ledger_figures(document)["metric"].source == "measured, val"


def test_the_line_of_the_original_among_the_recovery_curves_is_of_the_val_split(shown) -> None:
    from secateur.app.document.job_state import CurvePoint

    curves, points = shown(Curves(), 500, 200), (CurvePoint(0, 1.0, 0.5), CurvePoint(9, 0.5, 0.9))
    curves.show_points(points, top1(0.93), None)
    assert not curves._original.isVisible() and "top-1 on val" in curves._metric_title.text()
    curves.show_points(points, top1(0.93), top1(0.945, Split.VAL))
    assert curves._original.isVisible() and curves._original.value() == pytest.approx(94.5)


def test_plots_without_a_point_have_no_numbers(shown) -> None:
    from secateur.app.document.job_state import CurvePoint

    curves = shown(Curves(), 500, 200)
    plots = curves._loss_plot, curves._metric_plot
    curves.show_points((), top1(0.93), None)
    for plot in plots:
        assert not any(plot.getAxis(side).style["showValues"] for side in ("bottom", "left"))
    curves.show_points((), top1(0.93), top1(0.945, Split.VAL))
    assert [plot.getAxis("left").style["showValues"] for plot in plots] == [False, True]
    curves.show_points((CurvePoint(0, 1.0, 0.5), CurvePoint(9, 0.5, 0.9)), top1(0.93), None)
    assert all(plot.getAxis(side).style["showValues"] for plot in plots for side in ("bottom", "left"))


def test_one_evaluation_does_not_make_an_axis_of_thousandths(shown) -> None:
    from secateur.app.document.job_state import CurvePoint

    curves = shown(Curves(), 500, 200)
    curves.show_points((CurvePoint(0, 1.0, 0.30556),), top1(0.93), None)
    low, high = curves._metric_plot.viewRange()[1]
    assert (low, high) == pytest.approx((29.556, 31.556))


def test_states_that_nobody_compares_yet_have_no_metric_of_the_document(document) -> None:
    assert isinstance(document, Document)
    assert document.metric(document.state) is None and document.metric(document.original).value == 0.93
