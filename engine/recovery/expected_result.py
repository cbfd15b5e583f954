"""Predicts the result of a recovery from the nearest cut in our own benchmarks. Loads no torch.

Each point (`benchmark_points.py`) names the cell of the benchmark that it comes from.
"""

import math
from collections.abc import Sequence

from ..errors import Message
from ..messages import Phrase, title
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs
from .benchmark_points import BenchmarkPoint, Family, benchmark_points
from .protocol import RecoverySettings, Repair

FAR = 0.15
"""Shares of the MACs that are further apart are no longer alike."""
LOW = 0.5
"""Below this share of the original's metric, the message adds that such values are normal right after a cut."""


def expectation(
    analysis: Analysis,
    removed: Mask,
    settings: RecoverySettings,
    metric: str,
    points: Sequence[BenchmarkPoint] | None = None,
) -> Message | None:
    """A message to show before a recovery; None where no benchmark is of this model's family, or time alone ends it.

    How many epochs fit into some minutes is the machine's, and benchmarks count epochs.

    Args:
        analysis: Of the original.
        removed: [S] what the cut model lacks.
        settings: How it will be recovered.
        metric: What the task's metric is called.
        points: What was measured; None for the points of our own benchmarks.
    """
    family = family_of(analysis, metric)
    trained = settings.trains
    if settings.passes is None or (not trained and settings.repairs is Repair.NONE):
        return None
    known = benchmark_points() if points is None else points
    alike = [one for one in known if one.family is family and (one.epochs > 0) == trained]
    kept = costs(analysis, removed).macs / max(costs(analysis).macs, 1)
    if not alike:
        return None
    nearest = min(alike, key=lambda one: _distance(one, kept, settings, metric))
    seen = Message(*(NEAR_SEEN if abs(nearest.kept - kept) <= FAR else FAR_SEEN), _in_words(nearest, kept))
    if not (nearest.percent and nearest.cut < LOW * nearest.original):
        return seen
    template = "{seen} Values this low before fine-tuning are normal."
    return Message("recovery.expect_low", template, {"seen": seen})


def family_of(analysis: Analysis, metric: str) -> Family | None:
    """The family of benchmarks that a model belongs to, by its structures and its metric."""
    kinds = {one.kind for one in analysis.sets}
    if metric.startswith("perplexity"):
        return Family.LANGUAGE
    if kinds & {Kind.HEAD, Kind.KV_GROUP}:
        return Family.TRANSFORMER
    return Family.CONVOLUTIONAL if Kind.FILTER in kinds else None


NEAR_SEEN = (
    "recovery.expect_near",
    "What to expect with {kept} of the MACs kept: in our nearest benchmark ({subject}, {its} kept), {metric} went "
    "from {original} to {cut} with the cut and was {recovered} after {how} (cell {source}).",
)
FAR_SEEN = (
    "recovery.expect_far",
    "No benchmark is near {kept} of the MACs kept. In the nearest one ({subject}, {its} kept), {metric} went from "
    "{original} to {cut} with the cut and was {recovered} after {how} (cell {source}).",
)


def _distance(one: BenchmarkPoint, kept: float, settings: RecoverySettings, metric: str) -> tuple[bool, float]:
    """By metric first, then by share kept, and by epochs where those are alike."""
    budget = abs(math.log2(max(one.epochs, 1) / max(settings.epochs, 1)))
    return one.metric != metric, abs(one.kept - kept) + 0.02 * budget


def _in_words(one: BenchmarkPoint, kept: float) -> dict[str, Phrase]:
    values = (one.original, one.cut, one.recovered)
    original, cut, recovered = (f"{100 * v:.1f} %" if one.percent else f"{v:.3g}" for v in values)
    numbers: dict[str, Phrase] = {"original": original, "cut": cut, "recovered": recovered}
    shares = {"kept": f"{kept:.0%}", "its": f"{one.kept:.0%}"}
    return (
        shares | numbers | {"subject": one.subject, "metric": one.metric, "how": title(one.how), "source": one.source}
    )
