"""The verdict: a baseline counts where it is better beyond both standard errors and costs no more."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.baselines.verdict import PrunedResult, verdict
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.storage.serialization import from_json, to_json
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.evaluate import measure
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.tasks.purposes.classification import PURPOSE


def metric(value: float, error: float = 0.01, higher: bool = True) -> Metric:
    return Metric("top-1", value, 1000, error, Split.TEST, higher_is_better=higher)


def baseline(kind: BaselineKind, value: float, macs: int = 100, name: str = "b0") -> Baseline:
    return Baseline(name, "s2", BaselineSpec(kind), "resnet18", "", 10, macs, 5, metric(value))


def timing(median: float, batch: int = 1) -> Timing:
    return Timing(TargetSpec(batch=batch), median, median * 0.98, median * 1.02, 100, "")


RESULT = PrunedResult(metric(0.80), 100)


def test_a_stock_model_that_is_better_at_no_more_macs_says_not_worth_pruning() -> None:
    said = verdict(RESULT, [baseline(BaselineKind.STOCK, 0.83, macs=90)])
    assert said.worth is False and said.better == ("b0",)
    assert said.sentences[0].code == "baselines.stock_better"
    text = str(said.sentences[0])
    assert text.startswith(
        "Not worth pruning: the stock model resnet18 is better by 3.00 ± 1.41 points (83.0 ± 1.0 % top-1) "
        "at 90 % of the pruned model's MACs"
    )


@pytest.mark.parametrize(("value", "macs"), [(0.815, 90), (0.83, 101), (0.70, 50)])
def test_within_the_errors_or_dearer_or_worse_is_not_better(value: float, macs: int) -> None:
    assert verdict(RESULT, [baseline(BaselineKind.STOCK, value, macs)]).better == ()


def test_a_metric_that_should_fall_is_compared_the_other_way() -> None:
    result = replace(RESULT, metric=metric(30.0, 1.0, higher=False))
    better = replace(baseline(BaselineKind.RANDOM, 0), metric=metric(25.0, 1.0, higher=False))
    worse = replace(better, metric=metric(35.0, 1.0, higher=False))
    assert verdict(result, [better]).better == ("b0",)
    assert verdict(result, [worse]).better == ()


def test_time_goes_before_macs_where_both_were_timed_at_one_place() -> None:
    result = replace(RESULT, timings=(timing(1.0),))
    zeros = replace(baseline(BaselineKind.MAGNITUDE, 0.90, macs=50), timings=(timing(2.0),))
    assert verdict(result, [zeros]).better == ()
    assert verdict(result, [replace(zeros, timings=(timing(1.01),))]).better == ("b0",)
    assert verdict(result, [replace(zeros, timings=(timing(2.0, batch=8),))]).better == ("b0",)  # not comparable


def test_worth_it_only_beside_all_baselines_none_of_which_is_as_good() -> None:
    all_worse = [baseline(kind, 0.70, name=f"b{n}") for n, kind in enumerate(BaselineKind)]
    assert verdict(RESULT, all_worse).worth is True
    some = verdict(RESULT, all_worse[:2])
    assert some.worth is None and "magnitude, stock" in str(some.sentences[0])
    equal = verdict(RESULT, [replace(all_worse[0], metric=metric(0.79)), *all_worse[1:]])
    assert equal.worth is None and equal.as_good == ("b0",)


def test_of_several_seeds_the_one_in_the_middle_counts() -> None:
    seeds = [baseline(BaselineKind.RANDOM, value, name=f"b{n}") for n, value in enumerate((0.70, 0.95, 0.71))]
    assert verdict(RESULT, seeds).better == ()


def test_random_removal_is_at_the_budget_within_a_step_and_no_other_baseline_is() -> None:
    others = [baseline(kind, 0.70, name="b1") for kind in BaselineKind if kind is not BaselineKind.RANDOM]
    said = verdict(RESULT, [baseline(BaselineKind.RANDOM, 0.95, macs=102), *others])
    assert said.worth is False and "at 102 % of the pruned model's MACs" in str(said.sentences[0])
    assert verdict(RESULT, [baseline(BaselineKind.RANDOM, 0.95, macs=103), *others]).better == ()
    result = replace(RESULT, timings=(timing(1.0),))
    slower = replace(baseline(BaselineKind.RANDOM, 0.95), timings=(timing(1.035),))  # its 10th percentile: 1.014
    assert verdict(result, [slower]).better == ("b0",)
    assert verdict(result, [replace(slower, asked=BaselineSpec(BaselineKind.STOCK))]).better == ()


def test_the_middle_one_is_taken_of_those_seeds_that_cost_no_more() -> None:
    seeds = [(0.70, 100), (0.71, 150), (0.95, 100)]
    made = [baseline(BaselineKind.RANDOM, value, macs, f"b{n}") for n, (value, macs) in enumerate(seeds)]
    assert verdict(RESULT, made).better == ("b2",)  # by all three it would be b1, which costs more


def test_a_better_baseline_at_more_cost_is_not_denied() -> None:
    said = verdict(RESULT, [baseline(BaselineKind.MAGNITUDE, 0.95, macs=200)])
    assert said.worth is None
    assert str(said.sentences[0]).startswith("No baseline made so far is as good at the same or lower cost. Not")


@pytest.mark.parametrize(("value", "error"), [(math.nan, 0.01), (0.8, math.nan)])
def test_nothing_follows_where_the_results_metric_is_no_number(value: float, error: float) -> None:
    beside = [baseline(kind, 0.70) for kind in BaselineKind]
    said = verdict(replace(RESULT, metric=metric(value, error)), beside)
    assert said.worth is None and said.sentences[0].code == "baselines.no_number"


def test_a_baseline_whose_metric_is_no_number_is_not_as_good_and_in_no_middle() -> None:
    values = (0.70, math.nan, 0.95)
    made = [baseline(BaselineKind.RANDOM, value, name=f"b{n}") for n, value in enumerate(values)]
    assert verdict(RESULT, made).better == ("b2",)


def test_a_baseline_without_a_standard_error_cannot_be_told_apart() -> None:
    beside = [replace(baseline(kind, 0.70), metric=metric(0.70, math.nan)) for kind in BaselineKind]
    assert verdict(RESULT, beside).worth is None


def test_runs_of_other_epochs_are_no_seeds_of_each_other() -> None:
    short = [baseline(BaselineKind.SCRATCH, value, name=f"b{n}") for n, value in enumerate((0.50, 0.55))]
    long = replace(baseline(BaselineKind.SCRATCH, 0.95, name="b2"), epochs=100)
    assert verdict(RESULT, [*short, long]).better == ("b2",)


def test_nothing_is_said_of_a_metric_whose_error_nobody_knows() -> None:
    unknown = replace(RESULT, metric=metric(0.80, error=0.0))
    said = verdict(unknown, [replace(baseline(BaselineKind.STOCK, 0.83), metric=metric(0.83, error=0.0))])
    assert (said.worth, said.better, said.as_good) == (None, (), ())
    assert "return 'standard_error' from evaluate" in str(said.sentences[0])
    perfect = replace(RESULT, metric=metric(1.0, error=0.0))
    assert verdict(perfect, [baseline(BaselineKind.STOCK, 0.83)]).sentences[0].code == "baselines.incomplete"


def answers(right: NDArray[np.bool_]) -> Metric:
    """Top-1 of a model that is right there, as it is measured."""
    rows = np.zeros((len(right), 6))
    rows[:, 0] = right
    return finish(measure([rows], PURPOSE, len(rows), Split.TEST, False, NeverCancelled())).metric


def test_models_of_the_same_samples_are_compared_by_pairs_as_mcnemar_does() -> None:
    """Of 2,000 samples the two are right at the same ones but for 60 and 20: 2 points, by pairs 0.45, else 1.2."""
    order = np.random.default_rng(0).permutation(2000)
    own, other = np.zeros((2, 2000), bool)
    own[order[:1600]] = other[order[60:1600]] = other[order[1600:1620]] = True
    mine, its = answers(own), answers(other)
    mcnemar = math.sqrt(60 + 20 - (60 - 20) ** 2 / 2000) / 2000
    assert mine.difference_error(its) == pytest.approx(mcnemar, rel=0.15)
    result = PrunedResult(mine, 100)
    said = verdict(result, [replace(baseline(BaselineKind.RANDOM, 0), metric=its)])
    assert said.as_good == said.better == ()
    assert re.search(r"resnet18 by 2[.]00 ± 0[.](4|5)\d points", str(said.sentences[-1]))
    unpaired = replace(its, replicates=())
    assert not mine.paired_with(unpaired) and not mine.paired_with(replace(its, count=1999))
    assert mine.difference_error(unpaired) == pytest.approx(math.hypot(mine.error, its.error))
    assert verdict(result, [replace(baseline(BaselineKind.RANDOM, 0), metric=unpaired)]).as_good == ("b0",)


def test_pairs_outlive_a_project() -> None:
    """What is written and read again compares as before."""
    mine, its = (answers(np.random.default_rng(seed).random(300) < 0.7) for seed in (1, 2))
    read = from_json(to_json(its), Metric)
    assert read == its and mine.difference_error(read) == mine.difference_error(its)


def test_the_uncut_network_is_named_and_no_rival() -> None:
    """It costs more than the result by its nature, and only says what of a gain is training."""
    rivals = [baseline(kind, 0.70, name=f"b{n}") for n, kind in enumerate(BaselineKind) if kind != "uncut"]
    uncut = baseline(BaselineKind.UNCUT, 0.90, macs=90, name="b9")
    said = verdict(RESULT, [*rivals, uncut])
    assert said.worth is True and said.better == ()
    assert "Uncut with the same recovery: 90.0 ± 1.0 % top-1" in str(said.sentences[-1])
