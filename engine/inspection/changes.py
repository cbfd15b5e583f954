"""What a change of a model did to its predictions: which classes, samples and groups got worse, and how surely.

Pure numpy over two tables of predictions (`tasks/predictions.py`) of the same samples. Every difference is of pairs: a
sample with itself, before and after. The verdict on baselines uses the same `Difference`. Loads no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, TaskError
from ..messages import listed
from ..tasks.predictions import IDENTITY, PredictionKind, Predictions
from ..tasks.protocol import ROUNDING, ClassLoss, Metric, Split
from ..text.format import thousands

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CERTAIN = 2.0
"""Standard errors of a difference, from which on it is one: about 95 % of differences by chance are smaller."""
CHANCE = 0.05
"""How likely any group at all is marked as losing more than the others where none does (family-wise, Holm 1979)."""
BINS = 15
"""Bins of confidence of the same width (Guo et al. 2017)."""
EXACT_PAIRS = 1000
"""Samples that changed up to which McNemar's test is exact."""
EXACT_CELLS = 250_000
"""Outcomes up to which a group's probability is summed exactly; above that it is that of a normal distribution."""
DRAWS = 200
"""Of a bootstrap."""
CONFUSED = 200
"""Pairs of a right and a predicted class that are listed at most."""
LISTED = 100_000
"""Samples that are listed at most: first those that were lost or gained, then those that changed most."""
RESIDUAL_BINS = 30


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one thing is better than another of which the same samples were measured.

    Attributes:
        value: Positive where it is better.
        error: Standard error of that; 0 unknown.
    """

    value: float
    error: float

    @property
    def is_gain(self) -> bool:
        """Whether it is better by more than chance makes likely."""
        return self.value > CERTAIN * self.error

    @property
    def is_loss(self) -> bool:
        """Whether it is worse by more than chance makes likely."""
        return -self.value > CERTAIN * self.error


def difference_of(metric: Metric, other: Metric) -> Difference:
    """By how much a metric is better than another one, of pairs where both were measured on the same samples."""
    gained = metric.value - other.value if metric.higher_is_better else other.value - metric.value
    return Difference(gained, metric.difference_error(other))


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two models on the same samples (McNemar 1947).

    Attributes:
        lost: Samples that were right and are wrong.
        gained: Samples that were wrong and are right.
        p: How likely a difference as large is where both are equally good, two-sided.
        exact: By the binomial distribution; else by chi-squared with Edwards' correction (1948).
    """

    lost: int
    gained: int
    p: float
    exact: bool


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Groups of samples before and after: classes, or slices by something that is known of the samples.

    Attributes:
        by: What they are grouped by: "class", or the name of a column.
        names: [G] of the groups.
        counts: [G] samples of each.
        before: [G] the measure of each, see `Changes.measure`.
        after: [G].
        differences: [G] after less before.
        errors: [G] standard error of that, paired; NaN where one sample tells nothing.
        p: [G] how likely a group loses so much more than the others by chance, corrected for as many groups as there
            are (Holm 1979); NaN where that cannot be tested.
        worse: [G] whether that is below `CHANCE`.
    """

    by: str
    names: tuple[str, ...]
    counts: Ints
    before: Floats
    after: Floats
    differences: Floats
    errors: Floats
    p: Floats
    worse: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ConfusionTable:
    """What is taken for what, those pairs first whose number changed most.

    Attributes:
        right: [M] the right class.
        predicted: [M] what it is taken for, another class.
        before: [M] samples.
        after: [M] samples.
    """

    right: Ints
    predicted: Ints
    before: Ints
    after: Ints


@dataclass(frozen=True, slots=True)
class SampleTable:
    """Samples before and after: those that were lost, those that were gained, then those that changed most.

    Attributes:
        rows: [n] numbers in the split, from 0; the place in the first pass where samples have no fixed order.
        outcomes: [n] -1 lost, 1 gained, 0 neither.
        targets: [n] right classes, -1 where there are none.
        predicted: [n, 2] predicted classes before and after, -1 where there are none.
        confidences: [n, 2] in what is predicted, before and after; NaN where there are none.
        values: [n, 2] the measure of each sample, before and after: the confidence in the right class, the error, the
            loss of a token, the overlap, or the value that the metric is made of.
    """

    rows: Ints
    outcomes: NDArray[np.int8]
    targets: Ints
    predicted: Ints
    confidences: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence and accuracy agree (Guo et al. 2017).

    Attributes:
        counts: [BINS] samples whose confidence is in each bin; a bin holds its upper end, not its lower one.
        confidence: [BINS] their mean confidence, NaN for none.
        accuracy: [BINS] their share of right predictions, NaN for none.
        error: Expected calibration error, 0..1: the mean distance of both, by samples.
        standard_error: Of that, by bootstrap over the samples.
    """

    counts: Ints
    confidence: Floats
    accuracy: Floats
    error: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Residuals:
    """Predicted less right number, before and after.

    Attributes:
        edges: [B + 1] of the bins.
        counts: [2, B] samples in each bin; the outermost hold what is beyond, too.
        bias: [2] mean.
        absolute: [2] mean absolute value.
        largest: [2] largest absolute value.
    """

    edges: Floats
    counts: Ints
    bias: Floats
    absolute: Floats
    largest: Floats


@dataclass(frozen=True, slots=True)
class Changes:
    """What a change did to the predictions.

    Attributes:
        before: Name of the model before.
        after: Name of the model after.
        split: Of the data.
        kind: What is known of each sample.
        classes: Names of the classes, may be empty.
        metrics: Before and after.
        difference: By how much the one after is better.
        count: Samples that both predicted.
        measure: What the groups are measured by: "accuracy", "loss" (of a token, in nats), "error" (root mean square),
            "IoU" or the name of the metric.
        higher_is_better: Direction of the measure; None where it has none.
        paired: Whether the samples of both are known to be the same.
        mcnemar: Of the whole; None where samples are neither right nor wrong.
        groups: By class where there are classes, then by everything else that is known.
        confusions: None without classes.
        samples: None where samples cannot be paired.
        calibration: Before and after; () where there are no confidences.
        residuals: None for what is no single number.
        notes: What to know.
    """

    before: str
    after: str
    split: Split
    kind: PredictionKind
    classes: tuple[str, ...]
    metrics: tuple[Metric, Metric]
    difference: Difference
    count: int
    measure: str
    higher_is_better: bool | None
    paired: bool
    mcnemar: McNemar | None = None
    groups: tuple[GroupTable, ...] = ()
    confusions: ConfusionTable | None = None
    samples: SampleTable | None = None
    calibration: tuple[Calibration, ...] = ()
    residuals: Residuals | None = None
    notes: tuple[Message, ...] = ()

    def class_name(self, number: int) -> str:
        """A class in words, "" for none."""
        return "" if number < 0 else self.classes[number] if number < len(self.classes) else str(number)

    @property
    def by_class(self) -> GroupTable | None:
        """The groups by class, where there are any."""
        return next((one for one in self.groups if one.by == CLASS), None)


CLASS = "class"
"""What `GroupTable.by` says of classes."""


def compare(
    before: Predictions,
    after: Predictions,
    *,
    names: tuple[str, str],
    metrics: tuple[Metric, Metric],
    slices: Mapping[str, NDArray[np.str_]] | None = None,
) -> Changes:
    """Compare two models by what they predicted.

    Args:
        before: Of one model.
        after: Of the other, on the same split.
        names: Of both.
        metrics: Of both.
        slices: By name what is known of each sample of the split [N], as words.

    Raises:
        TaskError: They are not of the same kind.
    """
    if before.kind is not after.kind:
        template = "{before} and {after} were evaluated for different purposes. Evaluate both again."
        raise TaskError("changes.kinds", template, before=names[0], after=names[1])
    kind, classes, notes = before.kind, after.classes, list[Message]()
    rows = matched_rows(before, after)
    if rows is None:
        template = (
            "The samples of {before} ({first}) and {after} ({second}) cannot be matched, so single samples cannot be "
            "compared and differences are less certain. Return the samples in a fixed order, or attach the data again."
        )
        words = {
            "before": names[0],
            "first": thousands(len(before)),
            "after": names[1],
            "second": thousands(len(after)),
        }
        notes.append(Message("changes.unpaired", template, words))
    elif len(rows[0]) < max(len(before), len(after)):
        template = "{count} samples are in both evaluations ({first} and {second}). Only those are compared."
        words = {"count": thousands(len(rows[0])), "first": thousands(len(before)), "second": thousands(len(after))}
        notes.append(Message("changes.partly", template, words))
    numbers = np.arange(len(before)) if rows is None else rows[0]
    if rows is not None:
        before, after = before.taken(rows[0]), after.taken(rows[1])
    paired = rows is not None
    measure, higher = {
        PredictionKind.CLASSES: ("accuracy", True),
        PredictionKind.TOKENS: ("loss", False),
        PredictionKind.NUMBERS: ("error", False),
        PredictionKind.OVERLAPS: ("IoU", True),
        PredictionKind.VALUES: (metrics[1].name, None if "target" in before.columns else metrics[1].higher_is_better),
    }[kind]
    by_class = _class_table(before, after, classes, paired)
    groups = [] if by_class is None else [by_class]
    known = {PredictionKind.CLASSES, PredictionKind.TOKENS, PredictionKind.NUMBERS}
    for name, words in (slices or {}).items() if paired and IDENTITY not in before.columns and kind in known else ():
        labels, members = np.unique(words[numbers], return_inverse=True)
        groups.append(_compare_groups(name, tuple(map(str, labels)), members, before, after, higher is True))
    return Changes(
        before=names[0],
        after=names[1],
        split=metrics[1].split,
        kind=kind,
        classes=classes,
        metrics=metrics,
        difference=difference_of(metrics[1], metrics[0]),
        count=len(numbers) if paired else min(len(before), len(after)),
        measure=measure,
        higher_is_better=higher,
        paired=paired,
        mcnemar=mcnemar(_right(before), _right(after)) if paired and kind is PredictionKind.CLASSES else None,
        groups=tuple(groups),
        confusions=_confusions(before, after) if kind is PredictionKind.CLASSES else None,
        samples=_samples(before, after, numbers, higher) if paired else None,
        calibration=(calibration(before), calibration(after)) if kind is PredictionKind.CLASSES else (),
        residuals=_residuals(before, after)
        if "predicted" in before.columns and kind is PredictionKind.NUMBERS
        else None,
        notes=tuple(notes),
    )


def matched_rows(before: Predictions, after: Predictions) -> tuple[Ints, Ints] | None:
    """Rows of both tables [n] that are of the same samples; None where that is not known.

    Samples that tasks identify are matched by that, equal ones in their order. Others are matched by their place, where
    there are as many of them with the same targets.
    """
    if IDENTITY in before.columns and IDENTITY in after.columns:
        keys = [_numbered(one[IDENTITY]) for one in (before, after)]
        _, first, second = np.intersect1d(*keys, assume_unique=True, return_indices=True)
        order = np.argsort(first)
        return (first[order], second[order]) if len(first) else None
    same = len(before) == len(after)
    if same and "target" in before.columns and "target" in after.columns:
        same = np.array_equal(before["target"], after["target"])
    elif same and "tokens" in before.columns:
        same = np.array_equal(before["tokens"], after["tokens"])
    rows = np.arange(len(before))
    return (rows, rows) if same else None


def _numbered(identities: NDArray[np.uint64]) -> NDArray[Any]:
    """Identities with a number for each time that one comes again, so that none is there twice."""
    order = np.argsort(identities, kind="stable")
    ordered = identities[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    repeats = np.arange(len(ordered)) - np.repeat(begins, np.diff(np.append(begins, len(ordered))))
    found = np.empty(len(ordered), np.dtype([("identity", np.uint64), ("repeat", np.int64)]))
    found["identity"][order], found["repeat"][order] = ordered, repeats
    return found


def mcnemar(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> McNemar:
    """McNemar's test of [N] what was right before and what is right after."""
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    pairs = lost + gained
    if pairs <= EXACT_PAIRS:
        logs = _log_factorials(pairs)
        chances = np.exp(logs[pairs] - logs - logs[::-1] - pairs * math.log(2))
        return McNemar(lost, gained, min(1.0, 2 * float(chances[: min(lost, gained) + 1].sum())), exact=True)
    statistic = max(abs(lost - gained) - 1, 0) ** 2 / pairs
    return McNemar(lost, gained, math.erfc(math.sqrt(statistic / 2)), exact=False)


def judge_quality(metric: Metric, predictions: Predictions, original: Predictions | None) -> Metric:
    """A metric with what limits besides it are held against: the worst class and the calibration error.

    Args:
        metric: Of a state.
        predictions: That it was computed from.
        original: The original's on the same split, None unknown.
    """
    if predictions.kind is PredictionKind.CLASSES:
        metric = replace(metric, calibration_error=calibration(predictions, draws=0).error)
    classes = None if original is None else _class_table(original, predictions, predictions.classes, paired=False)
    if classes is None or not np.isfinite(classes.differences).any():
        return metric
    worst = int(np.nanargmin(classes.differences))
    lost_most = ClassLoss(classes.names[worst], -float(classes.differences[worst]), int(classes.counts[worst]))
    return replace(metric, class_loss=lost_most)


def calibration(predictions: Predictions, draws: int = DRAWS) -> Calibration:
    """Confidence and accuracy in bins, and the expected calibration error with its standard error.

    Args:
        predictions: Of a classification.
        draws: Of the bootstrap; without any the standard error is 0.
    """
    confidences, right = predictions["confidence"].astype(np.float64), _right(predictions).astype(np.float64)
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)

    def sums(weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Samples of each bin, their confidences and those that are right, each summed."""
        first, second, third = (
            np.bincount(bins, one, BINS).astype(np.float64) for one in (weights, weights * confidences, weights * right)
        )
        return first, second, third

    counts, confidence, accuracy = sums(np.ones(len(bins)))
    random, found = np.random.default_rng(0), list[float]()
    for _ in range(draws):
        drawn = np.bincount(random.integers(0, len(bins), len(bins)), minlength=len(bins)).astype(np.float64)
        _, some_confidence, some_right = sums(drawn)
        found.append(float(np.abs(some_confidence - some_right).sum()) / len(bins))
    with np.errstate(invalid="ignore"):
        return Calibration(
            counts=counts.astype(np.int64),
            confidence=confidence / counts,
            accuracy=accuracy / counts,
            error=float(np.abs(confidence - accuracy).sum()) / len(bins),
            standard_error=float(np.std(found, ddof=1)) if found else 0.0,
        )


def holm(p: Floats) -> Floats:
    """[G] probabilities, each corrected so that one below a level anywhere is as likely as that level (Holm 1979).

    What is NaN was not tested and stays so.
    """
    found, tested = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return found


# Groups.


def _right(predictions: Predictions) -> NDArray[np.bool_]:
    """[N] whether the right class is predicted."""
    return predictions["target"] == predictions["predicted"]


def _sums(predictions: Predictions) -> tuple[Floats, Floats]:
    """[N] what of each sample the measure of a group is summed of, and what that is divided by."""
    match predictions.kind:
        case PredictionKind.CLASSES:
            values = _right(predictions).astype(np.float64)
        case PredictionKind.TOKENS:
            return predictions["loss"].astype(np.float64), predictions["tokens"].astype(np.float64)
        case _:
            values = predictions["loss"].astype(np.float64)
    return values, np.ones(len(values))


def _compare_groups(
    by: str, names: tuple[str, ...], members: Ints, before: Predictions, after: Predictions, higher: bool
) -> GroupTable:
    """Groups of paired samples.

    Args:
        by: What they are grouped by.
        names: [G] of the groups.
        members: [N] the group of each sample.
        before: Of the samples.
        after: Of the same samples.
        higher: More of the measure is better.
    """
    (first, weights), (second, _) = _sums(before), _sums(after)
    change, size = second - first, len(names)
    counts = np.bincount(members, minlength=size)
    whole = np.bincount(members, weights, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [np.bincount(members, one, size) / whole for one in (first, second)]
        slopes = [np.ones(size), np.ones(size)]
        if before.kind is PredictionKind.NUMBERS:  # from squares to what people read
            values = [np.sqrt(one) for one in values]
            slopes = [0.5 / one for one in values]
        differences = values[1] - values[0]
        # The measure is a ratio of sums, or its root: its error is that of what each sample is off it, times the slope
        # (Cochran 1977, 6.4). Where each weighs the same that is the usual error of a mean of differences.
        linear = second * slopes[1][members] - first * slopes[0][members]
        mean = np.bincount(members, linear, size) / whole
        off = np.bincount(members, (linear - mean[members] * weights) ** 2, size)
        errors = np.sqrt(off * counts / (counts - 1)) / whole
    p = holm(chances_of_losses(-change if higher else change, members, size))
    return GroupTable(by, names, counts, values[0], values[1], differences, errors, p, p < CHANCE)


def chances_of_losses(losses: Floats, members: Ints, size: int) -> Floats:
    """How likely each group would lose as much as it does, were its samples drawn from all at random (Fisher 1935).

    Args:
        losses: [N] what each sample loses. Of -1, 0 and 1 alone the probability is exact (hypergeometric); else, and
            for large groups, it is that of the normal distribution with the mean and variance of such draws.
        members: [N] the group of each sample.
        size: How many groups there are.

    Returns:
        [G] probabilities, one-sided; NaN for a group that is empty or has all samples.
    """
    total, counts, sums = len(losses), np.bincount(members, minlength=size), np.bincount(members, losses, size)
    found = np.full(size, np.nan)
    tested = np.flatnonzero((counts > 0) & (counts < total))
    whole = np.isin(losses, (-1.0, 0.0, 1.0)).all()
    lost, gained = int((losses > 0).sum()), int((losses < 0).sum())
    logs, known = _log_factorials(total), dict[tuple[int, float], float]()
    mean, variance = float(losses.mean()) if total else 0.0, float(losses.var()) if total else 0.0
    for number in tested:
        count, loss = int(counts[number]), float(sums[number])
        if (count, loss) not in known:
            if whole and (min(lost, count) + 1) * (min(gained, count) + 1) <= EXACT_CELLS:
                chance = _exact_chance(logs, total, lost, gained, count, round(loss))
            else:
                spread = math.sqrt(count * (total - count) / (total - 1) * variance)
                # Half a step: sums of whole numbers reach a value, a density does not.
                above = loss - count * mean - (0.5 if whole else 0.0)
                chance = 0.5 * math.erfc(above / spread / math.sqrt(2)) if spread else 1.0
            known[count, loss] = chance
        found[number] = known[count, loss]
    return found


def _exact_chance(logs: Floats, total: int, lost: int, gained: int, count: int, loss: int) -> float:
    """The chance that of `count` samples, drawn from all, those lost are at least `loss` more than those gained."""
    some_lost = np.arange(min(lost, count) + 1)[:, None]
    some_gained = np.arange(min(gained, count) + 1)[None, :]
    same, rest = total - lost - gained, count - some_lost - some_gained
    possible = (rest >= 0) & (rest <= same) & (some_lost - some_gained >= loss)
    rest = np.clip(rest, 0, same)

    def choose(n: int, k: Ints) -> Floats:
        return logs[n] - logs[k] - logs[n - k]

    ways = choose(lost, some_lost) + choose(gained, some_gained) + choose(same, rest)
    every = logs[total] - logs[count] - logs[total - count]
    return min(1.0, float(np.exp(np.where(possible, ways - every, -np.inf)).sum()))


def _log_factorials(highest: int) -> Floats:
    """[highest + 1] logarithms of 0!, 1!, and so on."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, highest + 1, dtype=np.float64)))])


def _names(numbers: Ints, classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(classes[number] if number < len(classes) else str(number) for number in map(int, numbers))


def _class_table(before: Predictions, after: Predictions, classes: tuple[str, ...], paired: bool) -> GroupTable | None:
    """Both by their classes; None where they have none."""
    kind = before.kind
    if kind is PredictionKind.CLASSES and after.kind is kind:
        return _classes_of_targets(before, after, classes, paired)
    if kind is PredictionKind.OVERLAPS and after.kind is kind and before["union"].shape[1] == after["union"].shape[1]:
        return _classes_of_overlaps(before, after, classes, paired)
    return None


def _classes_of_targets(before: Predictions, after: Predictions, classes: tuple[str, ...], paired: bool) -> GroupTable:
    """A classification by its right classes, those that occur."""
    if paired:
        numbers, members = np.unique(before["target"].astype(np.int64), return_inverse=True)
        return _compare_groups(CLASS, _names(numbers, classes), members, before, after, higher=True)
    numbers = np.union1d(before["target"], after["target"]).astype(np.int64)
    values, errors, counts = list[Floats](), list[Floats](), list[Ints]()
    for one in (before, after):
        members = np.searchsorted(numbers, one["target"])
        counts.append(np.bincount(members, minlength=len(numbers)))
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append(np.bincount(members, _right(one), len(numbers)) / counts[-1])
            errors.append(values[-1] * (1 - values[-1]) / counts[-1])
    unknown = np.full(len(numbers), np.nan)
    error = np.sqrt(errors[0] + errors[1])
    least = np.minimum(*counts)
    first, second = values
    return GroupTable(
        CLASS, _names(numbers, classes), least, first, second, second - first, error, unknown, unknown < CHANCE
    )


def _classes_of_overlaps(before: Predictions, after: Predictions, classes: tuple[str, ...], paired: bool) -> GroupTable:
    """A segmentation by classes: IoU, with errors by a bootstrap over the images, the same draws for both."""
    random = np.random.default_rng(0)
    weights = [random.multinomial(len(one), np.full(len(one), 1 / len(one)), DRAWS) for one in (before, after)]
    if paired:
        weights[1] = weights[0]
    values, drawn = list[Floats](), list[Floats]()
    with np.errstate(invalid="ignore", divide="ignore"):
        for one, some in zip((before, after), weights, strict=True):
            both, union = one["intersection"].astype(np.float64), one["union"].astype(np.float64)
            values.append(both.sum(0) / union.sum(0))
            drawn.append((some @ both) / (some @ union))
        # A draw without a class says nothing of it.
        size, change = int(drawn[0].shape[1]), np.nan_to_num(drawn[1] - drawn[0])
        apart = values[1] - values[0]
        errors = np.where(np.isnan(apart), np.nan, np.std(change, axis=0, ddof=1))
        # How much more a class changes than the mean of the others does, and how much that varies between draws.
        spread = np.std(change - (change.sum(1, keepdims=True) - change) / max(size - 1, 1), axis=0, ddof=1)
        scores = (apart - (np.nansum(apart) - apart) / max(size - 1, 1)) / spread
    p = np.array(
        [0.5 * math.erfc(-one / math.sqrt(2)) if math.isfinite(one) and size > 1 else np.nan for one in scores]
    )
    counts, p = (before["union"] > 0).sum(0), holm(p)
    first, second = values
    return GroupTable(CLASS, _names(np.arange(size), classes), counts, first, second, apart, errors, p, p < CHANCE)


def _confusions(before: Predictions, after: Predictions) -> ConfusionTable:
    """Pairs of a right and a wrong class, those first whose number changed most."""
    high = 1 + max(int(one[name].max(initial=0)) for one in (before, after) for name in ("target", "predicted"))
    keys = list[Ints]()
    for one in (before, after):
        wrong = ~_right(one)
        keys.append(one["target"][wrong].astype(np.int64) * high + one["predicted"][wrong])
    every = np.unique(np.concatenate(keys))
    counts = [np.bincount(np.searchsorted(every, one), minlength=len(every)) for one in keys]
    change = counts[1] - counts[0]
    order = np.lexsort((every, -counts[1], -np.abs(change)))[:CONFUSED]
    return ConfusionTable(every[order] // high, every[order] % high, counts[0][order], counts[1][order])


def _samples(before: Predictions, after: Predictions, numbers: Ints, higher: bool | None) -> SampleTable:
    """Samples in the order of what happened to them."""
    count, kind = len(numbers), before.kind
    none = np.full(count, -1, np.int64)
    targets, predicted = none, np.stack([none, none], 1)
    confidences, outcomes = np.full((count, 2), np.nan), np.zeros(count, np.int8)
    values = np.empty((count, 2))
    for place, one in enumerate((before, after)):
        match kind:
            case PredictionKind.CLASSES:
                predicted[:, place] = one["predicted"]
                confidences[:, place] = one["confidence"]
                values[:, place] = one["true_confidence"]
            case PredictionKind.TOKENS:
                values[:, place] = one["loss"] / np.maximum(one["tokens"], 1)
            case PredictionKind.NUMBERS:
                values[:, place] = np.sqrt(one["loss"])
            case PredictionKind.OVERLAPS:
                union = one["union"].astype(np.float64)
                with np.errstate(invalid="ignore"):
                    values[:, place] = np.nansum(one["intersection"] / union, 1) / np.maximum((union > 0).sum(1), 1)
            case PredictionKind.VALUES:
                values[:, place] = one["value"]
    if kind is PredictionKind.CLASSES:
        targets = before["target"].astype(np.int64)
        outcomes = _right(after).astype(np.int8) - _right(before).astype(np.int8)
    change = values[:, 1] - values[:, 0]
    worse = np.abs(change) if higher is None else -change if higher else change
    rank = np.select([outcomes < 0, outcomes > 0], [0, 1], 2)
    order = np.lexsort((numbers, -worse, rank))[:LISTED]
    return SampleTable(
        numbers[order], outcomes[order], targets[order], predicted[order], confidences[order], values[order]
    )


def _residuals(before: Predictions, after: Predictions) -> Residuals:
    """Of single numbers."""
    found = np.stack([one["predicted"].astype(np.float64) - one["target"] for one in (before, after)])
    # Symmetric around 0, and as wide as all but the furthest hundredth of both: one outlier leaves the rest readable.
    reach = float(np.percentile(np.abs(found), 99)) or 1.0
    edges = np.linspace(-reach, reach, RESIDUAL_BINS + 1)
    counts = np.stack([np.histogram(np.clip(one, -reach, reach), edges)[0] for one in found])
    return Residuals(edges, counts, found.mean(1), np.abs(found).mean(1), np.abs(found).max(1))


# Limits.


@dataclass(frozen=True, slots=True)
class ChangeLimit:
    """A limit that a change is held against.

    Attributes:
        name: "class loss" or "calibration error".
        allowed: As a fraction: 0.02 is two points of a class's accuracy or IoU.
        got: What the worst class loses, or what the calibration error is; NaN where nothing says.
        met: Whether that is at most what is allowed.
        sentence: The same in words.
    """

    name: str
    allowed: float
    got: float
    met: bool
    sentence: Message


def limit_class_loss(changes: Changes, allowed: float, most: int = 5) -> ChangeLimit:
    """Whether no class loses more than is allowed.

    Args:
        changes: What is held against the limit.
        allowed: As a fraction.
        most: Classes that are named at most.

    Raises:
        TaskError: There are no classes.
    """
    group = changes.by_class
    if group is None:
        raise TaskError("changes.no_classes", "The data has no classes, so their losses cannot be limited.")
    losses = -group.differences
    over = np.flatnonzero(losses > allowed + ROUNDING)
    over = over[np.argsort(-losses[over], kind="stable")]
    worst = float(np.nanmax(losses)) if np.isfinite(losses).any() else math.nan
    words: dict[str, Any] = {"allowed": f"{100 * allowed:.1f}", "count": thousands(len(over))}
    if not len(over):
        template = "No class loses more than {allowed} points."
        return ChangeLimit(
            "class loss", allowed, worst, math.isfinite(worst), Message("changes.class_limit", template, words)
        )
    words["classes"] = listed([f"{group.names[row]} ({group_change(changes, group, int(row))})" for row in over], most)
    template = "Classes that lose more than {allowed} points ({count}): {classes}."
    return ChangeLimit("class loss", allowed, worst, False, Message("changes.class_limit_missed", template, words))


def limit_calibration_error(changes: Changes, allowed: float) -> ChangeLimit:
    """Whether the expected calibration error after the change is at most what is allowed, as a fraction.

    Raises:
        TaskError: There are no confidences.
    """
    if not changes.calibration:
        template = "The data gives no confidences, so the calibration error cannot be limited."
        raise TaskError("changes.no_confidences", template)
    after = changes.calibration[-1]
    met = after.error <= allowed + ROUNDING
    words = {"got": _percent_with_error(after), "allowed": f"{100 * allowed:.1f} %"}
    template = "The expected calibration error is {got}, allowed {allowed}."
    return ChangeLimit(
        "calibration error", allowed, after.error, met, Message("changes.calibration_limit", template, words)
    )


# In words.


def summary(changes: Changes, most: int = 3) -> tuple[Message, ...]:
    """What happened, a sentence each: the whole, the groups that paid, calibration, and what to know.

    Args:
        changes: What is summed up.
        most: Groups that are named at most.
    """
    found = list[Message]()
    before, after = changes.metrics
    scale, digits = (100.0, "{:+.2f}") if after.percent else (1.0, "{:+.3g}")
    step = scale * (after.value - before.value)
    error = scale * changes.difference.error
    words: dict[str, Any] = {
        "name": after.name,
        "before": changes.before,
        "after": changes.after,
        "split": changes.split.value,
        "count": thousands(changes.count),
        "change": signed(digits.format(step)) + (f" ± {error:.2f}" if after.percent else f" ± {error:.2g}"),
    }
    points = "{name} on the {split} split (n = {count}): {change} points from {before} to {after}."
    plain = "{name} on the {split} split (n = {count}): {change} from {before} to {after}."
    found.append(Message("changes.points", points, words) if after.percent else Message("changes.plain", plain, words))
    if (test := changes.mcnemar) is not None:
        template = "{lost} samples that were right are wrong now, {gained} the other way round (McNemar's test: {p})."
        words = {"lost": thousands(test.lost), "gained": thousands(test.gained), "p": chance(test.p)}
        found.append(Message("changes.mcnemar", template, words))
    for group in changes.groups:
        worst = np.flatnonzero(group.worse)
        worst = worst[np.argsort(group.p[worst], kind="stable")]
        if len(worst):
            said = [f"{group.names[row]} ({group_change(changes, group, int(row))})" for row in worst[:most]]
            words = {"by": group.by, "groups": listed(said), "count": len(worst)}
            template = "By {by}, significantly worse than the rest ({count}): {groups}."
            found.append(Message("changes.worse", template, words))
        elif group.by == CLASS and changes.paired and len(group.names) > 1:
            template = "No class loses significantly more than the rest."
            found.append(Message("changes.even", template))
    if len(changes.calibration) == 2:
        first, second = changes.calibration
        template = "Expected calibration error: {before} before, {after} after ({bins} bins)."
        words = {"before": _percent_with_error(first), "after": _percent_with_error(second), "bins": BINS}
        found.append(Message("changes.calibration", template, words))
    return (*found, *changes.notes)


def group_change(changes: Changes, group: GroupTable, row: int) -> str:
    """By how much a group changed, with the standard error: in points where the measure is a share."""
    value, error = float(group.differences[row]), float(group.errors[row])
    known = math.isfinite(error)
    if changes.measure in ("accuracy", "IoU"):
        return signed(f"{100 * value:+.1f}") + (f" ± {100 * error:.1f}" if known else "")
    return signed(f"{value:+.3g}") + (f" ± {error:.2g}" if known else "")


def signed(text: str) -> str:
    """A number with a real minus."""
    return text.replace("-", "\u2212")


def chance(p: float) -> str:
    """A probability as people write it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def _percent_with_error(one: Calibration) -> str:
    return f"{100 * one.error:.1f} ± {100 * one.standard_error:.1f} %"
