"""Structured OBS: what the model's outputs lose when structures go and what reads them is adjusted by least squares.

Two parts make a score. The *order* within a coupled set and the shape of its error curve come from the products that
read it (`removal_order.py`): second moments of their inputs, weights adjusted after each removal. What an error of this
set *costs* is measured: at a few points of the curve the adjusted weights take the place of the model's, and the
distance of its outputs to the original ones is taken (Kullback-Leibler for logits). So scores of all sets are in one
unit and compare over the whole model. No label is read. What runs before the first layer whose weights are replaced is
not computed again, as far as memory goes (`tracing/resumable_forward.py`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..messages import listed
from ..planning.protocol import Ranking
from ..structures.analysis import CoupledSet, Kind
from ..structures.costs import costs
from ..tasks.protocol import Split
from .aggregate import has_weights, structure_sums
from .gradients import batches_of
from .input_moments import (
    FEW,
    LEAST,
    MEMORY,
    InputMoments,
    affordable_batches,
    first_batch_size,
    fitting_parts,
    gather_moments,
    moment_sizes,
    readings_of,
    same_inputs,
    samples_at_once,
)
from .normed_structures import NormedSet, norm_modules, norm_shifts, normed_sets
from .output_distance import OutputDistance
from .protocol import Criterion, Needs, PassCost, RatedModel, ScoringContext, Step, with_partial_scores
from .samples import apart_samples
from .score_options import Choices
from .weight_slices import WeightSlice, roles_of
from .weights import Elementwise

LEVELS = {8: 64, 4: 16, 2: 1, 1: 1}
"""Points of a set's curve at which the outputs are measured -> samples that each needs; as many as `WORK` allows."""
WORK, MANY = 1e12, 512
"""Multiply-accumulates that measuring should take; samples that are enough for it."""
EARLY = (1 / 16, 1 / 8, 1 / 4)
"""Further shares of a set at which the outputs are measured, where some loss is made up for by nothing."""
RECORDED = 3
"""Forwards of the samples that distances are measured on, before any is."""
NAMED = 3
"""Layers that are named where several see too few rows."""
PATIENCE = 3
"""How many times as much work it may be before there are fewer points."""

Floats = NDArray[np.float64]


def rate(rated: RatedModel, token: CancelToken) -> Job[Floats]:
    """[S] what the distance of the outputs grows by when a structure goes, the weaker ones of its set before it."""
    scores = np.full(rated.analysis.count, np.nan)
    readings = readings_of(rated)
    parts = fitting_parts(rated, readings)
    points, samples = _measurement_plan(max(costs(rated.analysis, rated.removed).macs, 1), len(readings))
    normed = normed_sets(rated, readings)
    read = {one.tensor: rated.parameters[one.tensor] for some in readings.values() for one in some}
    read |= {name: rated.parameters[name] for one in normed.values() for name in one.changed}
    distance, at_once, apart = None, 0, 0
    if parts:
        assert rated.task is not None
        apart = apart_samples(samples, rated.task.batch_count(Split.TRAIN), first_batch_size(rated))
        distance = OutputDistance(rated, read, apart, token)
        at_once = samples_at_once(rated, token)
    shifts: dict[str, Floats] = {}
    if distance is not None and normed:
        with norm_shifts(rated, normed) as shifts:
            distance.run_again(token)
    units: list[float] = []
    waiting: list[tuple[NDArray[np.int64], Floats]] = []
    sets = {one.key: one for one in rated.analysis.sets}
    few: dict[str, int] = {}
    done, total = 0, sum(map(len, parts))
    shown = Message("progress.obs", "Measuring what each layer's structures are worth")
    for part in parts:
        names = {(one.tensor, one.dim) for key in part for one in readings[key]}
        found: dict[str, list[InputMoments]] = {}
        yield from gather_moments(rated, dict(sorted(names)), found, at_once, apart, token)
        # Rows of each weight whose moments are shrunk, because they are of so few.
        seen = {
            name: [one.rows for one in some if 0 < one.rows < FEW * len(one.products)] for name, some in found.items()
        }
        few |= {name: min(rows) for name, rows in seen.items() if rows}
        for key in part:
            check(token)
            assert distance is not None
            numbers, errors, cost = _error_curve(
                rated, sets[key], readings[key], normed.get(key), shifts.get(key), found, distance, points, token
            )
            done += 1
            if cost is not None:
                scores[numbers] = _increments(errors, cost)
                units.append(float(np.median(scores[numbers] / np.maximum(errors, 1e-12))))
            elif len(numbers):
                waiting.append((numbers, errors))
            yield with_partial_scores(Progress(shown, done, total), scores.copy, Step.LAYERS)
    # Where weights cannot be written nothing was measured: their curve in the unit of the others.
    for numbers, errors in waiting:
        scores[numbers] = _isotonic(errors * (float(np.median(units)) if units else 1.0))
    # Sets that no product reads: by the squares of their weights, in the unit of the others.
    missing = np.isnan(scores) & has_weights(rated.slices) & ~rated.removed
    known = scores[np.isfinite(scores)]
    sums, _ = structure_sums(rated.slices, lambda name: Elementwise(rated, name, np.square))
    for one in rated.analysis.sets:
        own = one.first + np.flatnonzero(missing[one.structures])
        if one.kind is not Kind.BLOCK and len(own):
            scores[own] = sums[own] / (float(sums[own].mean()) or 1.0) * (float(known.mean()) if len(known) else 1.0)
    if few:
        concerned = [sets[key] for key, some in readings.items() if any(one.tensor in few for one in some)]
        rated.remarks.append(_few_rows(few, sum(int((~rated.removed[one.structures]).sum()) for one in concerned)))
        yield Progress(rated.remarks[-1])
    return scores


def _few_rows(rows: Mapping[str, int], structures: int) -> Message:
    """That structures are scored on few rows of data: of each weight that reads them, so many at least."""
    template = (
        "{count:,} structures before {layers} are scored on {rows:,} rows of data, fewer than {few} for each input. "
        "What looks redundant there counts only in part, and what a removal costs is measured on other samples."
    )
    layers = listed([name.removesuffix(".weight") for name in rows], NAMED)
    fields = {"count": structures, "layers": layers, "rows": min(rows.values()), "few": FEW}
    return Message("scoring.few_rows", template, fields)


def cost(context: ScoringContext, choices: Choices) -> PassCost:
    """Batches that moments are gathered from, for each part of the sets, and those that distances are measured on."""
    analysis, each = context.analysis, max(costs(context.analysis, context.removed).macs, 1)
    batches, batch = batches_of(context, choices), max(context.batch, 1)
    if not choices.batches:
        batches = min(batches, max(affordable_batches(each, batch), LEAST))
    shapes = {one.name: one.shape for one in analysis.tensors if one.parameter}
    parts = 1 + 2 * sum(moment_sizes(analysis, shapes).values()) // MEMORY
    roles, norms = roles_of(analysis), norm_modules(analysis)
    reading = {(t, d) for t, one in enumerate(analysis.tensors) if one.parameter for d in range(len(one.shape))}
    reading -= {(t, d) for t, dims in enumerate(roles.outputs) for d in dims}
    sets = [
        one
        for one in analysis.sets
        if one.kind is not Kind.BLOCK
        and not context.removed[one.structures].all()
        and not reading.isdisjoint(one.touches)
    ]
    points, samples = _measurement_plan(each, len(sets))
    samples = apart_samples(samples, (context.batches or {}).get(Split.TRAIN, 0), batch)
    early = len(set(EARLY) - _shares(points)) * sum(
        any(t in roles.tied or analysis.tensors[t].module in norms for t, _ in one.touches) for one in sets
    )
    watched = any(analysis.tensors[t].module in norms for one in sets for t, _ in one.touches)
    return PassCost(batches * parts + math.ceil(samples * (len(sets) * points + early + RECORDED + watched) / batch))


def _shares(points: int) -> set[float]:
    """Shares of a set at which the outputs are measured; the last one leaves a single structure."""
    return {number / points for number in range(1, points + 1)}


def _measurement_plan(each: int, sets: int) -> tuple[int, int]:
    """(points of a set's curve, samples that a distance is measured on), so many as `WORK` allows."""
    work = each * max(sets, 1)
    points = next((n for n, least in LEVELS.items() if work * n * least <= PATIENCE * WORK), min(LEVELS))
    return points, int(min(max(WORK / (work * points), LEVELS[points]), MANY))


def _error_curve(
    rated: RatedModel,
    one: CoupledSet,
    readings: Sequence[WeightSlice],
    normed: NormedSet | None,
    shifts: Floats | None,
    found: Mapping[str, list[InputMoments]],
    distance: OutputDistance,
    points: int,
    token: CancelToken,
) -> tuple[NDArray[np.int64], Floats, list[tuple[int, float]] | None]:
    """(numbers of structures in their order of removal, error that each adds, measured (count, distance)).

    Nothing is measured (None) where the weights that run are computed from others: their squares give the order.
    """
    import torch

    from .removal_order import Consumer, consumer, removal_order, shifted_bias

    left = np.flatnonzero(~rated.removed[one.structures])
    known = same_inputs(readings, found, left)
    if known is None:
        sums, _ = structure_sums(rated.slices, lambda name: Elementwise(rated, name, np.square))
        own = sums[one.structures][left]
        order = np.argsort(own, kind="stable")
        return one.first + left[order], own[order] / max(float(own.sum()), 1e-30), None
    alike, changed = known
    changed |= set[str]() if normed is None else normed.changed
    consumers, views, biases = list[Consumer](), list[Any](), list[tuple[int, Any, Any]]()
    tied, more = list[tuple[int, NDArray[np.int64]]](), np.zeros(len(left))
    # Each holds moments of its own, which are freed one after the other.
    while alike:
        some = alike.pop(0)
        weights = [view.flatten(1).to(some.moments.device) for view in some.views]
        consumers.append(consumer(weights, some.moments, torch.from_numpy(some.columns).to(some.moments.device)))
        for n, (bias, elsewhere) in enumerate(zip(some.biases, some.tied, strict=True), len(views)):
            if elsewhere:  # it stays as it is cut: what its columns give is lost, and no other makes up for it
                tied.append((n, some.columns))
                weight = weights[n - len(views)].to(some.moments)
                each = weight.square().sum(0) * some.moments.diagonal()
                lost = each / ((weight @ some.moments) * weight).sum().clamp_min(1e-300)
                more += lost[torch.from_numpy(some.columns).to(lost.device)].sum(1).double().cpu().numpy()
            elif bias is not None:
                biases.append((n, bias, some.mean))
        views += some.views
        del some
    if not consumers:
        return np.zeros(0, np.int64), np.zeros(0), None
    most = len(left) - 1
    # What nothing makes up for weighs most where little has left.
    shares = _shares(points) | set(EARLY if tied or normed is not None else ())
    levels = sorted({min(max(round(share * len(left)), 1), most) for share in shares} - {0})
    if shifts is not None:
        more += len(views) * shifts[left]
    measured: list[tuple[int, float]] = []

    def measure(order: list[int], weights: list[Any]) -> None:
        """Measure the outputs' distance without the structures that have left."""
        check(token)
        for n, columns in tied:
            gone = torch.from_numpy(columns[order].ravel()).to(views[n].device)
            weights[n] = views[n].flatten(1).index_fill(1, gone, 0.0)
        shifted = [shifted_bias(bias, views[n].flatten(1), weights[n], mean) for n, bias, mean in biases]
        places = [*views, *(bias for _, bias, _ in biases)]
        written = list(zip(places, [*weights, *shifted], strict=True))
        if normed is not None:
            written += normed.without(one.first + left[order])
        measured.append((len(order), distance.with_weights(changed, written)))

    further = torch.from_numpy(more).to(consumers[0].weight.device) if more.any() else None
    order, errors = removal_order(consumers, len(left), levels, measure, further)
    numbers = one.first + left[np.array(order)]
    if not all(np.isfinite(one) for _, one in measured):
        return numbers, np.array(errors), None
    return numbers, np.array(errors), measured


def _increments(errors: Floats, measured: list[tuple[int, float]]) -> Floats:
    """[n] what each removal adds to the distance: measured at some counts, in between along the curve of the errors."""
    curve = np.concatenate([[0.0], np.cumsum(np.maximum(errors, 0))])
    # Strictly ascending, as `np.interp` needs it.
    curve += np.arange(len(curve)) * 1e-9 * max(float(curve[-1]), 1e-30)
    counts = [0, *(count for count, _ in measured)]
    distances = np.maximum.accumulate(np.array([0.0, *(max(distance, 0.0) for _, distance in measured)]))
    along = np.interp(curve, curve[counts], distances)
    slope = np.diff(distances)[-1] / max(float(curve[counts[-1]] - curve[counts[-2]]), 1e-30) if measured else 1.0
    along[counts[-1] + 1 :] += slope * (curve[counts[-1] + 1 :] - curve[counts[-1]])
    return _isotonic(np.diff(along))


def _isotonic(values: Floats) -> Floats:
    """The nearest values that do not descend (isotonic regression), each a trifle above the one before it."""
    from scipy import optimize

    if not len(values):
        return values
    fit: Any = optimize.isotonic_regression(values)  # pyright: ignore[reportUnknownMemberType]
    found: Floats = np.asarray(fit.x, np.float64)
    return found + np.arange(len(found)) * 1e-9 * max(float(np.abs(found).max(initial=0.0)), 1e-30)


STRUCTURED_OBS = Criterion(
    name="obs",
    title="Structured OBS, measured",
    formula=(
        "what the outputs' distance to the original ones grows by: order and error by tr(W_g [G^-1]_gg^-1 W_g^T) over "
        "the products that read the structures, G their inputs' second moments, scaled to the distance measured"
    ),
    paper="Kurtic et al., ZipLM: Inference-Aware Structured Pruning of Language Models, 2023",
    needs=Needs.DATA,
    rate=rate,
    watches=True,
    ranking=Ranking.COST,
    cost=cost,
)
