"""The verdict on a goal, as data and in words."""

import math
from dataclasses import replace

import pytest

from secateur.engine.planning.goal_verdict import goal_verdict
from secateur.engine.planning.protocol import Cost, QualityLimits, Reached
from secateur.engine.structures.analysis import Kind
from secateur.engine.tasks.protocol import ClassLoss, Metric, Split

HALF = Reached(Cost.MACS, 1000, 500, 496)


def top1(value: float, split: Split = Split.TEST) -> Metric:
    return Metric("top-1", value, 1000, 0.01, split)


def perplexity(value: float) -> Metric:
    return Metric("perplexity", value, 1000, 0.1, Split.TEST, percent=False, higher_is_better=False)


@pytest.mark.parametrize(
    ("reached", "metrics", "allowed", "met", "words"),
    [
        (HALF, (0.9, 0.887), 0.005, False, "Goal missed: −1.3 pt, allowed −0.5; −50.4 % MACs, reached"),
        (HALF, (0.9, 0.897), 0.005, True, "Goal met: −0.3 pt, allowed −0.5; −50.4 % MACs, reached"),
        (HALF, (0.9, 0.911), 0.005, True, "Goal met: +1.1 pt, allowed −0.5; −50.4 % MACs, reached"),
        (HALF, (0.9, 0.9), 0.0, True, "Goal met: 0.0 pt, allowed 0.0; −50.4 % MACs, reached"),
        (HALF, (0.9, 0.895), 0.005, True, "Goal met: −0.5 pt, allowed −0.5; −50.4 % MACs, reached"),
        (HALF, (0.9, None), 0.0035, None, "Goal open: top-1 not measured, allowed −0.35; −50.4 % MACs, reached"),
        (HALF, (0.9, 0.896), 0.0075, True, "Goal met: −0.40 pt, allowed −0.75; −50.4 % MACs, reached"),
        (HALF, (0.9, 0.88), None, True, "Goal met: −2.0 pt, no limit; −50.4 % MACs, reached"),
        (HALF, (0.9, None), 0.005, None, "Goal open: top-1 not measured, allowed −0.5; −50.4 % MACs, reached"),
        (HALF, (0.9, math.nan), 0.005, False, "Goal missed: top-1 is NaN or infinity; −50.4 % MACs, reached"),
        (
            Reached(Cost.PARAMETERS, 1000, 500, 600),
            (0.9, None),
            0.005,
            False,
            "Goal missed: top-1 not measured, allowed −0.5; −40.0 % parameters, asked for −50.0 %",
        ),
    ],
)
def test_the_sentence_says_what_was_lost_and_saved_against_what_was_asked(reached, metrics, allowed, met, words):
    first, last = (None if value is None else top1(value) for value in metrics)
    found = goal_verdict((reached,), first, last, allowed)
    assert found is not None and (found.met, str(found.sentence)) == (met, words)


def test_structures_are_counted_as_they_were_asked_for():
    shape = (Reached(Kind.BLOCK, 4, 3, 3), Reached(Kind.NEURON, 5504, 2048, 2560))
    found = goal_verdict(shape)
    words = "Goal missed: 3 of 4 blocks, reached; 2,560 of 5,504 neurons, asked for 2,048"
    assert found is not None and (found.met, str(found.sentence)) == (False, words)


def test_a_miss_by_less_than_a_tenth_shows_as_many_digits_as_tell_it():
    found = goal_verdict((Reached(Cost.MACS, 100_000, 50_000, 50_010),), top1(0.9), top1(0.8946), 0.005)
    assert found is not None and found.met is False
    assert str(found.sentence) == "Goal missed: −0.54 pt, allowed −0.50; −49.99 % MACs, asked for −50.00 %"


def test_other_metrics_are_shares_of_the_original_in_their_own_direction():
    found = goal_verdict((), perplexity(20.0), perplexity(21.0), 0.02)
    assert found is not None and found.metric is not None and found.metric.loss == pytest.approx(0.05)
    assert str(found.sentence) == "Goal missed: +5.0 % perplexity, allowed +2.0 %"


def test_metrics_of_different_splits_are_not_compared():
    found = goal_verdict((HALF,), top1(0.9), top1(0.899, Split.VAL), 0.005)
    assert found is not None and found.met is None and found.metric is not None and found.metric.loss is None
    assert "not measured" in str(found.sentence)


def test_a_verdict_on_the_val_split_says_so():
    found = goal_verdict((HALF,), top1(0.9, Split.VAL), top1(0.887, Split.VAL), 0.005)
    assert found is not None and found.metric is not None and found.metric.split is Split.VAL
    assert "−1.3 pt on the val split, allowed −0.5" in str(found.sentence)


def test_several_limits_are_all_told_and_predictions_named():
    slow = Reached(Cost.LATENCY, 2_000_000, 1_000_000, 1_500_000)
    found = goal_verdict((HALF, slow), predicted=(Cost.LATENCY,))
    assert found is not None and found.met is False and [one.met for one in found.costs] == [True, False]
    assert str(found.sentence) == (
        "Goal missed: −50.4 % MACs, reached; −25.0 % latency as predicted, asked for −50.0 %"
    )


def test_a_cost_that_nobody_measured_leaves_the_goal_open():
    found = goal_verdict((), top1(0.9), top1(0.899), 0.005, unmeasured=(Cost.LATENCY,))
    assert found is not None and found.met is None
    assert str(found.sentence) == "Goal open: −0.1 pt, allowed −0.5; latency not measured"


def test_without_a_limit_there_is_no_verdict():
    assert goal_verdict((), top1(0.9), top1(0.8)) is None


@pytest.mark.parametrize(
    ("loss", "error", "met", "words"),
    [
        (0.031, 0.02, False, "Goal missed: −0.4 pt, no limit; worst class cat: −3.1 pt, allowed −2.0; {calibrated}"),
        (0.02, 0.02, True, "Goal met: −0.4 pt, no limit; worst class cat: −2.0 pt, allowed −2.0; {calibrated}"),
        (
            0.02001,
            0.02,
            False,
            "Goal missed: −0.4 pt, no limit; worst class cat: −2.001 pt, allowed −2.000; {calibrated}",
        ),
        (-0.01, 0.03, True, "Goal met: −0.4 pt, no limit; worst class cat: +1.0 pt, allowed −2.0; {calibrated}"),
        (0.01, 0.041, False, "Goal missed: −0.4 pt, no limit; worst class cat: −1.0 pt, allowed −2.0; {calibrated}"),
    ],
)
def test_the_class_that_pays_and_the_calibration_are_held_against_their_limits(loss, error, met, words):
    result = replace(top1(0.896), class_loss=ClassLoss("cat", loss, 40), calibration_error=error)
    found = goal_verdict((), top1(0.9), result, quality=QualityLimits(0.02, 0.03))
    calibrated = f"calibration error {100 * error:.1f} %, allowed 3.0"
    assert found is not None and (found.met, str(found.sentence)) == (met, words.format(calibrated=calibrated))
    assert found.has_regressed is not met and [one.got for one in found.quality] == [loss, error]


def test_limits_besides_the_metric_stay_open_until_they_are_measured():
    for result in (None, top1(0.9, Split.VAL), top1(0.9)):
        found = goal_verdict((HALF,), top1(0.9), result, quality=QualityLimits(0.02, 0.03))
        assert found is not None and found.met is None and not found.has_regressed
        assert "losses of the classes not measured, allowed −2.0 pt; calibration error not measured" in str(
            found.sentence
        )
