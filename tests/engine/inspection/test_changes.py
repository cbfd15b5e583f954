"""Comparison of predictions: against scikit-learn, torchmetrics, scipy and formulas written down by hand."""

from dataclasses import replace
from itertools import combinations
from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import confusion_matrix, recall_score
from torchmetrics.functional.classification import multiclass_calibration_error

from secateur.engine.errors import TaskError
from secateur.engine.inspection.changes import (
    BINS,
    CHANCE,
    GroupTable,
    calibration,
    chances_of_losses,
    compare,
    difference_of,
    holm,
    judge_quality,
    limit_calibration_error,
    limit_class_loss,
    mcnemar,
    summary,
)
from secateur.engine.tasks.predictions import IDENTITY, PredictionKind, Predictions
from secateur.engine.tasks.protocol import Metric, Split

METRICS = (Metric("top-1", 0.9, 400, 0.015, Split.VAL), Metric("top-1", 0.85, 400, 0.018, Split.VAL))


def classified(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Predictions:
    """Predictions [N] of probabilities [N, C]."""
    rows, predicted = np.arange(len(targets)), probabilities.argmax(1)
    right = probabilities[rows, targets]
    columns = {
        "target": targets.astype(np.int32),
        "predicted": predicted.astype(np.int32),
        "confidence": probabilities.max(1).astype(np.float32),
        "true_confidence": right.astype(np.float32),
        "loss": -np.log(right).astype(np.float32),
    }
    return Predictions(PredictionKind.CLASSES, columns)


def drawn(seed: int, targets: NDArray[np.int64], classes: int, skill: float = 2.0) -> NDArray[np.float64]:
    """Probabilities [N, C] of a model that is right more often than not."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += skill
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


TARGETS = np.random.default_rng(0).integers(0, 5, 400)
BEFORE, AFTER = (classified(TARGETS, drawn(seed, TARGETS, 5, skill)) for seed, skill in ((1, 2.5), (2, 1.5)))


def by_class(before: Predictions = BEFORE, after: Predictions = AFTER) -> GroupTable:
    """The table of classes."""
    found = compare(before, after, names=("s0", "s1"), metrics=METRICS).by_class
    assert found is not None
    return found


def test_accuracies_of_classes_are_scikit_learns_recalls():
    """Before and after, with as many samples as each class has."""
    table = by_class()
    for values, one in ((table.before, BEFORE), (table.after, AFTER)):
        recall: Any = recall_score(TARGETS, one["predicted"], average=None)  # pyright: ignore[reportArgumentType]
        np.testing.assert_allclose(values, recall)
    assert table.counts.tolist() == np.bincount(TARGETS).tolist()
    assert table.names == ("0", "1", "2", "3", "4")


def test_error_of_a_classs_difference_is_that_of_the_mean_of_pairs():
    """The usual standard error of a mean, of 1, 0 and -1 for each sample."""
    table = by_class()
    change = (AFTER["predicted"] == TARGETS).astype(float) - (BEFORE["predicted"] == TARGETS)
    expected = [stats.sem(change[one == TARGETS]) for one in range(5)]
    np.testing.assert_allclose(table.errors, expected)


def test_confusions_are_those_of_scikit_learns_matrix():
    """Each pair of a right and a wrong class, before and after, the largest change first."""
    found = compare(BEFORE, AFTER, names=("s0", "s1"), metrics=METRICS).confusions
    assert found is not None
    matrices = [confusion_matrix(TARGETS, one["predicted"]) for one in (BEFORE, AFTER)]
    for counts, matrix in zip((found.before, found.after), matrices, strict=True):
        assert counts.tolist() == matrix[found.right, found.predicted].tolist()
        assert counts.sum() == matrix.sum() - np.trace(matrix)
    change = np.abs(found.after - found.before)
    assert (np.diff(change) <= 0).all() and (found.right != found.predicted).all()


@pytest.mark.parametrize("one", [BEFORE, AFTER])
def test_calibration_error_is_torchmetrics(one: Predictions):
    """With as many bins."""
    probabilities = drawn(1, TARGETS, 5, 2.5) if one is BEFORE else drawn(2, TARGETS, 5, 1.5)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities).float(), torch.from_numpy(TARGETS), num_classes=5, n_bins=BINS, norm="l1"
    )
    found = calibration(one)
    assert found.error == pytest.approx(float(expected), abs=1e-5)
    assert 0 < found.standard_error < 0.1
    assert found.counts.sum() == len(TARGETS)


def test_sure_and_right_is_calibrated():
    """A confidence of exactly 1 is in the last bin."""
    sure = np.eye(5)[TARGETS] * (1 - 1e-12) + 1e-13
    found = calibration(classified(TARGETS, sure))
    assert found.error < 1e-6 and found.counts[-1] == len(TARGETS)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (3, 0), (7, 2), (12, 12), (400, 350)])
def test_mcnemar_is_the_exact_binomial_test(lost: int, gained: int):
    """Of the samples that changed, as many either way by chance."""
    before = np.repeat([True, False, True], [lost, gained, 5])
    after = np.repeat([False, True, True], [lost, gained, 5])
    found = mcnemar(before, after)
    expected = stats.binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    assert (found.lost, found.gained, found.exact) == (lost, gained, True)
    assert found.p == pytest.approx(expected)


def test_mcnemar_of_many_is_chi_squared():
    """With the correction for continuity; the exact test says nearly the same."""
    before, after = np.repeat([True, False], [900, 800]), np.repeat([False, True], [900, 800])
    found = mcnemar(before, after)
    assert not found.exact
    assert found.p == pytest.approx(stats.chi2.sf((100 - 1) ** 2 / 1700, 1))
    assert found.p == pytest.approx(stats.binomtest(900, 1700).pvalue, rel=0.01)


def test_chance_of_a_groups_loss_is_counted_over_all_ways_to_draw_it():
    """All groups of three of nine samples, one by one."""
    losses = np.array([1.0, 1, 1, 0, 0, -1, -1, 0, 1])
    members = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    found = chances_of_losses(losses, members, 2)
    sums = [losses[list(some)].sum() for some in combinations(range(9), 3)]
    assert found[0] == pytest.approx(np.mean(np.array(sums) >= 3))
    sums = [losses[list(some)].sum() for some in combinations(range(9), 6)]
    assert found[1] == pytest.approx(np.mean(np.array(sums) >= losses[3:].sum()))


def test_chance_of_a_large_groups_loss_is_that_of_random_draws():
    """The normal distribution takes over where there are too many outcomes; numbers of any kind go the same way."""
    random = np.random.default_rng(0)
    losses, members = random.exponential(size=3000), np.repeat([0, 1], [1000, 2000])
    losses[:1000] += 0.03
    found = chances_of_losses(losses, members, 2)[0]
    sums = np.array([random.permutation(losses)[:1000].sum() for _ in range(4000)])
    assert found == pytest.approx(np.mean(sums >= losses[:1000].sum()), abs=0.03)


def test_holm_corrects_for_as_many_groups_as_were_tested():
    """The smallest times all of them, and so on; never smaller than one before."""
    found = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.09, 0.09, 0.5])


def test_the_class_that_pays_is_marked_and_no_other():
    """Of five classes one loses a third of its samples."""
    after = BEFORE["predicted"].copy()
    paying = np.flatnonzero(TARGETS == 3)[::3]
    after[paying] = 4
    table = by_class(after=replace(BEFORE, columns={**BEFORE.columns, "predicted": after}))
    assert table.worse.tolist() == [False, False, False, True, False]
    assert table.p[3] < 0.001


def test_chance_marks_no_class_more_often_than_it_says():
    """Many classes of few samples whose losses have nothing to do with the class: at most one table in twenty."""
    targets = np.random.default_rng(0).integers(0, 60, 1500)
    first = classified(targets, drawn(1, targets, 60, 4))
    marked = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        predicted = np.where(random.random(1500) < 0.1, 0, first["predicted"])
        predicted = np.where(random.random(1500) < 0.05, targets, predicted)
        shuffled = random.permutation(1500)
        permuted = replace(first, columns={**first.columns, "target": first["target"][shuffled]})
        right = (predicted == targets)[np.argsort(np.argsort(shuffled))]
        was = (first["predicted"] == targets)[np.argsort(np.argsort(shuffled))]
        losses = was.astype(float) - right
        marked += bool((holm(chances_of_losses(losses, permuted["target"].astype(np.int64), 60)) < CHANCE).any())
    assert marked <= 12  # of a binomial of 5 % and 100 it is that many or more once in 200 times


def test_samples_are_listed_by_what_happened_to_them():
    """Lost ones first, then those gained; with what was predicted and how surely."""
    found = compare(BEFORE, AFTER, names=("s0", "s1"), metrics=METRICS)
    samples = found.samples
    assert samples is not None and found.mcnemar is not None
    lost = np.flatnonzero((BEFORE["predicted"] == TARGETS) & (AFTER["predicted"] != TARGETS))
    assert set(samples.rows[samples.outcomes < 0].tolist()) == set(lost.tolist())
    assert (samples.outcomes[: len(lost)] == -1).all() and found.mcnemar.lost == len(lost)
    assert (samples.outcomes[len(lost) : len(lost) + found.mcnemar.gained] == 1).all()
    row = samples.rows[0]
    assert samples.predicted[0].tolist() == [BEFORE["predicted"][row], AFTER["predicted"][row]]
    assert samples.values[0].tolist() == [BEFORE["true_confidence"][row], AFTER["true_confidence"][row]]


def test_samples_in_another_order_are_found_by_their_identity():
    """Equal ones by their order."""
    identities = np.arange(400, dtype=np.uint64)
    identities[10:20] = identities[0:10]
    shuffled = np.random.default_rng(1).permutation(400)
    before = replace(BEFORE, columns={**BEFORE.columns, IDENTITY: identities})
    after = replace(AFTER, columns={**AFTER.columns, IDENTITY: identities})
    ordered = compare(before, after, names=("a", "b"), metrics=METRICS)
    found = compare(before, after.taken(shuffled), names=("a", "b"), metrics=METRICS)
    alone = np.flatnonzero(~np.isin(np.arange(400), [*range(20)]))
    assert ordered.samples is not None and found.samples is not None and found.count == 400 and not found.notes
    first, second = (
        {row: tuple(values) for row, values in zip(one.rows.tolist(), one.values.tolist(), strict=True)}
        for one in (ordered.samples, found.samples)
    )
    assert all(first[row] == second[row] for row in alone.tolist())


def test_samples_that_only_one_side_has_are_left_out_with_a_sentence():
    """Of those that both have the rest is as ever."""
    identities = np.arange(400, dtype=np.uint64)
    before = replace(BEFORE, columns={**BEFORE.columns, IDENTITY: identities})
    after = replace(AFTER, columns={**AFTER.columns, IDENTITY: identities}).taken(np.arange(50, 400))
    found = compare(before, after, names=("a", "b"), metrics=METRICS)
    assert found.count == 350 and [note.code for note in found.notes] == ["changes.partly"]


def test_unequal_numbers_without_identities_leave_classes_and_a_sentence():
    """Differences are those of independent samples then."""
    found = compare(BEFORE, AFTER.taken(np.arange(300)), names=("s0", "s1"), metrics=METRICS)
    assert not found.paired and found.samples is None and found.mcnemar is None
    assert [note.code for note in found.notes] == ["changes.unpaired"]
    table = found.by_class
    assert table is not None and not table.worse.any()
    first, second = table.before[0], table.after[0]
    counts = [int((TARGETS[:size] == 0).sum()) for size in (400, 300)]
    error = (first * (1 - first) / counts[0] + second * (1 - second) / counts[1]) ** 0.5
    assert table.errors[0] == pytest.approx(error)
    assert "cannot be matched" in str(summary(found)[-1])


def test_one_class_has_no_rest_to_lose_more_than():
    """It is listed, and nothing is marked."""
    targets = np.zeros(50, np.int64)
    before, after = (classified(targets, drawn(seed, targets, 2)) for seed in (1, 2))
    table = by_class(before, after)
    assert table.names == ("0",) and np.isnan(table.p).all() and not table.worse.any()


def test_one_sample():
    """No standard error, and no crash."""
    found = compare(BEFORE.taken(np.arange(1)), AFTER.taken(np.arange(1)), names=("s0", "s1"), metrics=METRICS)
    assert found.by_class is not None and np.isnan(found.by_class.errors).all()
    assert summary(found)


def test_slices_are_compared_as_classes_are():
    """The slice that pays is named in the summary."""
    names = np.where(np.arange(400) < 100, "night", "day").astype(np.str_)
    predicted = BEFORE["predicted"].copy()
    predicted[:60] = (TARGETS[:60] + 1) % 5
    after = replace(BEFORE, columns={**BEFORE.columns, "predicted": predicted})
    found = compare(BEFORE, after, names=("s0", "s1"), metrics=METRICS, slices={"folder": names})
    table = found.groups[1]
    assert (table.by, table.names, table.worse.tolist()) == ("folder", ("day", "night"), [False, True])
    assert any("night (−" in str(sentence) for sentence in summary(found))


def test_residuals_of_a_regression():
    """Bias, absolute error, and the root mean square of groups with the error of a ratio's root."""
    random = np.random.default_rng(0)
    target = random.normal(size=500)
    tables = list[Predictions]()
    for noise, bias in ((0.1, 0.0), (0.3, 0.2)):
        predicted = target + random.normal(bias, noise, 500)
        columns = {"loss": (predicted - target) ** 2, "target": target, "predicted": predicted}
        tables.append(Predictions(PredictionKind.NUMBERS, columns))
    metrics = tuple(Metric("RMSE", value, 500, 0.01, Split.VAL, False, False) for value in (0.1, 0.36))
    names = np.where(target > 0, "high", "low").astype(np.str_)
    found = compare(*tables, names=("s0", "s1"), metrics=(metrics[0], metrics[1]), slices={"y": names})
    residuals = found.residuals
    assert residuals is not None and found.samples is not None
    change = tables[1]["predicted"] - target
    assert residuals.bias[1] == pytest.approx(change.mean()) and residuals.absolute[1] == pytest.approx(
        np.abs(change).mean()
    )
    assert residuals.counts.sum(1).tolist() == [500, 500]
    table = found.groups[0]
    assert table.after[0] == pytest.approx(np.sqrt(np.mean(change[names == "high"] ** 2)))
    # By a bootstrap of the same pairs.
    high = np.flatnonzero(names == "high")
    again = [random.choice(high, len(high)) for _ in range(500)]
    values = [np.sqrt(tables[1]["loss"][one].mean()) - np.sqrt(tables[0]["loss"][one].mean()) for one in again]
    assert table.errors[0] == pytest.approx(np.std(values), rel=0.15)
    assert found.samples.values[0, 1] - found.samples.values[0, 0] == pytest.approx(
        (np.abs(change) - np.sqrt(tables[0]["loss"])).max()
    )
    assert found.difference.value == pytest.approx(-0.26)


def test_losses_of_sequences_are_by_token():
    """A domain's loss is that of its tokens, however long its sequences are."""
    random = np.random.default_rng(0)
    tokens = random.integers(5, 50, 200)
    first = random.gamma(2, 1, 200) * tokens
    second = first + np.where(np.arange(200) < 40, 0.5, 0.01) * tokens
    before, after = (Predictions(PredictionKind.TOKENS, {"loss": one, "tokens": tokens}) for one in (first, second))
    metrics = (
        Metric("perplexity", 7.0, int(tokens.sum()), 0.1, Split.VAL, False, False),
        Metric("perplexity", 8.0, int(tokens.sum()), 0.1, Split.VAL, False, False),
    )
    domain = np.where(np.arange(200) < 40, "code", "wiki").astype(np.str_)
    table = compare(before, after, names=("s0", "s1"), metrics=metrics, slices={"domain": domain}).groups[0]
    np.testing.assert_allclose(table.differences, [0.5, 0.01])
    assert table.before[0] == pytest.approx(first[:40].sum() / tokens[:40].sum())
    assert table.worse.tolist() == [True, False]


def test_classes_of_a_segmentation_are_compared_by_their_overlap():
    """IoU over all images, and the class that pays is marked."""
    random = np.random.default_rng(0)
    union = random.integers(50, 100, (80, 4))
    first = (union * random.uniform(0.7, 0.9, (80, 4))).astype(int)
    second = first.copy()
    second[:, 2] = (first[:, 2] * 0.6).astype(int)
    union[:, 3] = first[:, 3] = second[:, 3] = 0
    before, after = (
        Predictions(PredictionKind.OVERLAPS, {"intersection": one, "union": union}) for one in (first, second)
    )
    table = by_class(before, after)
    np.testing.assert_allclose(table.before[:3], first.sum(0)[:3] / union.sum(0)[:3])
    assert table.worse.tolist() == [False, False, True, False] and np.isnan(table.before[3])


def test_different_purposes_are_refused():
    """A classification is not compared with values."""
    values = Predictions(PredictionKind.VALUES, {"value": np.zeros(400)})
    with pytest.raises(TaskError, match="different purposes"):
        compare(BEFORE, values, names=("s0", "s1"), metrics=METRICS)


def test_the_difference_of_metrics_goes_by_their_direction():
    """Less is better of a loss; errors of pairs are those of the replicates."""
    one = Metric("loss", 0.5, 100, 0.1, Split.VAL, False, False, replicates=(0.4, 0.5, 0.6))
    other = Metric("loss", 0.7, 100, 0.1, Split.VAL, False, False, replicates=(0.61, 0.7, 0.79))
    found = difference_of(one, other)
    assert found.value == pytest.approx(0.2) and found.error == pytest.approx(0.01)
    assert found.is_gain and not found.is_loss and difference_of(other, one).is_loss


@pytest.mark.parametrize(("samples", "classes"), [(10_000, 10), (10_000, 1), (20_000, 10_000)])
def test_ten_thousand_samples_or_classes_are_compared_at_once(samples: int, classes: int):
    """Within a third of a second of CPU time for ten thousand samples, which is what opening *Changes* takes."""
    targets = np.random.default_rng(0).integers(0, classes, samples)
    tables = list[Predictions]()
    for seed in (1, 2):
        random = np.random.default_rng(seed)
        confidence = random.random(samples).astype(np.float32)
        predicted = np.where(random.random(samples) < 0.9, targets, random.integers(0, classes, samples))
        columns = {"target": targets, "predicted": predicted, "confidence": confidence}
        columns |= {"true_confidence": confidence, "loss": -np.log(confidence + 1e-6)}
        tables.append(Predictions(PredictionKind.CLASSES, columns))
    began = process_time()
    found = compare(*tables, names=("s0", "s1"), metrics=METRICS)
    assert process_time() - began < (0.3 if samples == 10_000 else 1.5)
    table = found.by_class
    assert table is not None and len(table.names) == len(np.unique(targets))


def test_a_limit_names_the_classes_that_lose_more():
    """The one that lost most first; at the limit it is met."""
    table = by_class()
    found = compare(BEFORE, AFTER, names=("s0", "s1"), metrics=METRICS)
    losses = -table.differences
    worst, second = np.sort(losses)[::-1][:2]
    missed = limit_class_loss(found, float((worst + second) / 2))
    assert not missed.met and missed.got == pytest.approx(worst)
    words = f"Classes that lose more than {50 * (worst + second):.1f} points (1): {losses.argmax()} ("
    assert words in str(missed.sentence)
    assert limit_class_loss(found, float(worst)).met
    after = found.calibration[1].error
    assert limit_calibration_error(found, after).met and not limit_calibration_error(found, after - 0.001).met


def test_what_has_no_classes_cannot_be_limited_by_them():
    """Nor by confidences."""
    values = Predictions(PredictionKind.VALUES, {"value": np.arange(5.0)})
    found = compare(values, values, names=("s0", "s1"), metrics=METRICS)
    for limit in (limit_class_loss, limit_calibration_error):
        with pytest.raises(TaskError, match="cannot be limited"):
            limit(found, 0.1)


def test_the_class_that_lost_most_and_the_calibration_error_are_those_of_the_tables():
    """As scikit-learn's recalls and torchmetrics say, and nothing of what cannot be known."""
    recalls: list[Any] = [
        recall_score(TARGETS, one["predicted"], average=None)  # pyright: ignore[reportArgumentType]
        for one in (BEFORE, AFTER)
    ]
    losses = recalls[0] - recalls[1]
    found = judge_quality(METRICS[1], AFTER, BEFORE)
    assert found == METRICS[1] and found.class_loss is not None
    assert found.class_loss.name == str(losses.argmax()) and found.class_loss.loss == pytest.approx(losses.max())
    assert found.class_loss.count == np.bincount(TARGETS)[losses.argmax()]
    assert found.calibration_error == pytest.approx(calibration(AFTER).error)
    alone = judge_quality(METRICS[1], AFTER, None)
    assert alone.class_loss is None and alone.calibration_error == found.calibration_error
    values = Predictions(PredictionKind.VALUES, {"value": np.zeros(400)})
    assert judge_quality(METRICS[1], values, BEFORE).class_loss is None


def test_the_class_of_a_segmentation_that_lost_most_is_that_of_its_overlaps():
    """A class that does not occur loses nothing."""
    union, first = np.full((8, 3), 100), np.tile([90, 80, 0], (8, 1))
    union[:, 2], second = 0, first - [0, 20, 0]
    before, after = (
        Predictions(PredictionKind.OVERLAPS, {"intersection": one, "union": union}) for one in (first, second)
    )
    found = judge_quality(METRICS[1], after, before)
    assert found.class_loss is not None and found.calibration_error is None
    assert (found.class_loss.name, found.class_loss.count) == ("1", 8)
    assert found.class_loss.loss == pytest.approx(0.2)
