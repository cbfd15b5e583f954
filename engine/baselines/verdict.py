"""Decides whether pruning was worth it, by comparing the result with its baselines. Loads no torch.

A baseline is *better* when its metric is better by more than twice the standard error of the difference and it costs no
more. It is *as good* when the metrics are apart by no more than that, at no more cost. Both were measured on the same
samples, so that the difference is of pairs (`Metric.difference_error`). Where both were timed at the same place, it
costs more when even its 10th percentile is above the result's median; else when it has more MACs. Random removal was
asked for the same budget and comes as near to it as whole steps allow: it may cost `STEP` more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from ..errors import Message
from ..inspection.changes import difference_of
from ..messages import Phrase, listed, title
from ..targets.protocol import Timing
from ..tasks.protocol import Metric
from .protocol import Baseline, BaselineKind, BaselineSpec

STEP = 0.02
"""Of the result's cost, by which random removal may end above it."""


@dataclass(frozen=True, slots=True)
class PrunedResult:
    """The pruned model, as far as it is compared.

    Attributes:
        metric: On the test split.
        macs: Of one sample.
        timings: Measured latencies.
    """

    metric: Metric
    macs: int
    timings: tuple[Timing, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison says.

    Attributes:
        worth: False when a baseline is better, True when there is one of every kind and none is as good, None when
            nothing can be said: baselines are missing, the data cannot tell, or the result's metric is no number or has
            no standard error.
        better: Ids of baselines that are better.
        as_good: Ids of baselines that are as good.
        sentences: One for each of those, or one for all.
    """

    worth: bool | None
    better: tuple[str, ...]
    as_good: tuple[str, ...]
    sentences: tuple[Message, ...]


BETTER = {
    BaselineKind.STOCK: (
        "baselines.stock_better",
        "Not worth pruning: the stock model {title} is better by {lead} ({its}) at {cost}. Pruned model: {own}.",
    ),
    BaselineKind.SCRATCH: (
        "baselines.scratch_better",
        "The kept weights did not help: the same shape trained from scratch is better by {lead} ({its}, epochs: "
        "{epochs}). Pruned model: {own}.",
    ),
    BaselineKind.RANDOM: (
        "baselines.random_better",
        "The criterion did not help: random removal is better by {lead} ({its}) at {cost}. Pruned model: {own}.",
    ),
    BaselineKind.MAGNITUDE: (
        "baselines.magnitude_better",
        "Removing whole structures did not help: unstructured pruning is better by {lead} ({its}) at {cost}. Pruned "
        "model: {own}.",
    ),
}
"""Code and template for a baseline that is better than the pruned model."""
AS_GOOD = {
    BaselineKind.STOCK: (
        "baselines.stock_as_good",
        "The stock model {title} is as good, {lead} apart ({its}) at {cost}. Pruned model: {own}.",
    ),
    BaselineKind.SCRATCH: (
        "baselines.scratch_as_good",
        "The same shape trained from scratch is as good, {lead} apart ({its}, epochs: {epochs}). Pruned model: {own}.",
    ),
    BaselineKind.RANDOM: (
        "baselines.random_as_good",
        "Random removal is as good, {lead} apart ({its}) at {cost}. Pruned model: {own}.",
    ),
    BaselineKind.MAGNITUDE: (
        "baselines.magnitude_as_good",
        "Unstructured pruning is as good, {lead} apart ({its}) at {cost}. Pruned model: {own}.",
    ),
}
"""Code and template for a baseline that is as good as the pruned model."""


def verdict(result: PrunedResult, baselines: Sequence[Baseline]) -> Verdict:
    """Compare a result with its baselines."""
    own, name = result.metric, {"name": result.metric.name}
    if not (isfinite(own.value) and isfinite(own.error)):
        template = (
            "The pruned model's {name} or its standard error is NaN or infinity, so it cannot be compared with "
            "baselines. Check the model and the data."
        )
        return Verdict(None, (), (), (Message("baselines.no_number", template, name),))
    if not own.certain:
        template = (
            "The standard error of {name} is unknown, so a difference from the baselines may be chance. Use more test "
            "samples, or return 'standard_error' from evaluate in a task.py."
        )
        return Verdict(None, (), (), (Message("baselines.no_error", template, name),))
    better, as_good, behind = list[Baseline](), list[Baseline](), list[Baseline]()
    uncut = [one for one in baselines if one.asked.kind is BaselineKind.UNCUT]
    rivals = [one for one in baselines if one.asked.kind is not BaselineKind.UNCUT and costs_no_more(one, result)]
    for one in _medians_of_seeds(rivals):
        lead = difference_of(one.metric, own)
        if lead.is_gain:
            better.append(one)
        elif not lead.is_loss:  # also where the error is NaN: nothing shows that the result is better
            as_good.append(one)
        else:
            behind.append(one)
    missing = {*BaselineKind} - {one.asked.kind for one in baselines} - {BaselineKind.UNCUT}
    sentences = [_sentence(*BETTER[one.asked.kind], one, result) for one in better]
    sentences += [_sentence(*AS_GOOD[one.asked.kind], one, result) for one in as_good]
    if not sentences and missing:
        template = "No baseline made so far is as good at the same or lower cost. Not made yet: {missing}."
        words = {"missing": listed(map(title, sorted(missing)))}
        sentences = [Message("baselines.incomplete", template, words)]
    elif not sentences:
        template = "Worth pruning: no baseline is as good at the same or lower cost ({own})."
        sentences = [Message("baselines.worth", template, {"own": _in_words(own)})]
    if behind:
        said = [
            Message(
                "baselines.lead_of", "{title} by {lead}", {"title": title(one.title), "lead": _lead(own, one.metric)}
            )
            for one in behind
        ]
        sentences.append(Message("baselines.behind", "Behind it: {baselines}.", {"baselines": listed(said)}))
    for one in _medians_of_seeds(uncut):
        words = {"its": _in_words(one.metric), "lead": _lead(one.metric, own), "own": _in_words(own)}
        template = "Uncut with the same recovery: {its}. Pruned model: {own}, a difference of {lead}."
        sentences.append(Message("baselines.uncut", template, words))
    worth = False if better else None if as_good or missing else True
    return Verdict(worth, tuple(one.id for one in better), tuple(one.id for one in as_good), tuple(sentences))


def _medians_of_seeds(baselines: Sequence[Baseline]) -> list[Baseline]:
    """Of several seeds of a baseline, the median by metric; of two, the better one.

    A metric of NaN or infinity compares with nothing: those are left out.
    """
    groups: dict[tuple[BaselineSpec, str, int], list[Baseline]] = {}
    for one in baselines:
        if isfinite(one.metric.value):
            alike = replace(one.asked, seed=0, epochs=None), one.title, one.epochs
            groups.setdefault(alike, []).append(one)
    ranked = (sorted(some, key=lambda one: difference_of(one.metric, some[0].metric).value) for some in groups.values())
    return [group[len(group) // 2] for group in ranked]


def costs_no_more(baseline: Baseline, result: PrunedResult) -> bool:
    """Whether a baseline costs no more (random removal: no step more): time where both were timed, else MACs."""
    allowed = 1 + STEP if baseline.asked.kind is BaselineKind.RANDOM else 1
    timed = latest_timings(baseline.timings, result.timings)
    if timed is not None:
        return timed[0].low <= allowed * timed[1].median
    return baseline.macs <= allowed * result.macs


def latest_timings(its: Sequence[Timing], own: Sequence[Timing]) -> tuple[Timing, Timing] | None:
    """The latest timings of two models on the same target, or None."""
    places = {timing.target.place: timing for timing in own}
    found = [(one, places[one.target.place]) for one in its if one.target.place in places]
    return found[-1] if found else None


def _sentence(code: str, template: str, one: Baseline, result: PrunedResult) -> Message:
    timed = latest_timings(one.timings, result.timings)
    if timed is None:
        share = 100 * one.macs / max(result.macs, 1)
        cost = Message("baselines.macs", "{percent:.0f} % of the pruned model's MACs", {"percent": share})
    else:
        share = 100 * timed[0].median / timed[1].median
        cost = Message("baselines.time", "{percent:.0f} % of the pruned model's latency", {"percent": share})
    words = {
        "title": one.title,
        "its": _in_words(one.metric),
        "own": _in_words(result.metric),
        "epochs": one.epochs,
        "lead": _lead(result.metric, one.metric),
        "cost": cost,
    }
    return Message(code, template, words)


def _lead(own: Metric, other: Metric) -> Phrase:
    """How far two metrics are apart, with the standard error of that: 1.10 ± 0.18 points."""
    lead = difference_of(own, other)
    apart, error = abs(lead.value), lead.error
    if own.percent:
        words = {"apart": f"{100 * apart:.2f} ± {100 * error:.2f}"}
        return Message("baselines.points", "{apart} points", words)
    return f"{apart:.3g} ± {error:.2g}"


def _in_words(metric: Metric) -> str:
    if metric.percent:
        return f"{100 * metric.value:.1f} ± {100 * metric.error:.1f} % {metric.name}"
    return f"{metric.name} {metric.value:.4g} ± {metric.error:.2g}"
