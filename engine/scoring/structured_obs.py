"""Structured OBS: what the model's outputs lose when structures go and what reads them is adjusted by least squares.

Two parts make a score. The *order* within a coupled set and the shape of its error curve come from the products that
read it (`removal_order.py`): second moments of their inputs, weights adjusted after each removal. What an error of this
set *costs* is measured: at a few points of the curve the adjusted weights take the place of the model's, and the
distance of its outputs to the original ones is taken (Kullback-Leibler for logits). So scores of all sets are in one
unit and compare over the whole model. No label is read. What runs before the first layer whose weights are replaced is
not computed again, as far as memory goes (`tracing/resumable_forward.py`).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch_parts import independent, input_parts, rows_in
from ..device_list import CPU
from ..devices import wide_device
from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..model_inputs import batch_size, call, few, filled
from ..planning.protocol import Ranking
from ..structures.analysis import Analysis, CoupledSet, Kind
from ..structures.costs import costs
from ..structures.memory.peak import sample_memory
from ..tasks.protocol import Split
from .aggregate import counted, structure_sums
from .gradients import batches_of, no_batch_error
from .partial_scores import Step, with_partial_scores
from .protocol import Criterion, Needs, PassCost, RatedModel, ScoringContext
from .score_options import Choices
from .weight_roles import roles_of
from .weights import Elementwise

BATCHES = 32
"""Calibration batches to look at, at most."""
ENOUGH, FEWEST = 2, 4096
"""Rows of data for each input of a product, and in all, after which it looks at no more; drawn at random."""
MEMORY = 1 << 31
"""Bytes of moments to hold at a time; what needs more is gathered in further passes over the data."""
RESUMED = 1 << 30
"""Bytes to hold of what need not be computed again in measuring."""
CACHED = 1 << 26
"""Bytes of activations at a time in gathering, for each thread; more of them leave a CPU's caches and take longer."""
LARGEST = 16384
"""Inputs of a product up to which it is looked at."""
LEAST, SAMPLES = 2, 64
"""Calibration batches to gather moments from, whatever that takes; samples that do where each gives but one row."""
LEVELS = {8: 64, 4: 16, 2: 1, 1: 1}
"""Points of a set's curve at which the outputs are measured -> samples that each needs; as many as `WORK` allows."""
WORK, MANY = 1e12, 128
"""Multiply-accumulates that measuring should take, and gathering moments too; samples that are enough for measuring."""
RECORDED = 3
"""Forwards of the samples that distances are measured on, before any is."""
PATIENCE = 3
"""How many times as much work it may be before there are fewer points."""

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Product:
    """A product with a weight, and the sums over what entered it.

    Attributes:
        weight: [m, ...] view of the parameter in which its matrix lies.
        index: [k] index along the weight's input dimension of each of its columns.
        wanted: Rows after which it looks at no more.
        centred: A bias can hold the mean.
        sums: [k].
        products: [k, k], on and below the diagonal.
        rows: How many rows were looked at.
        passing: Rows of this batch so far.
        offered: Rows of a batch, at most.
    """

    weight: Any
    index: Any
    wanted: int
    centred: bool
    sums: Any
    products: Any
    rows: int = 0
    passing: int = 0
    offered: int = 0

    def add(self, columns: Any) -> None:
        """Take in rows [n, k]."""
        import torch

        from .symmetric_products import add_products

        columns = columns.to(self.products.device)
        self.rows += len(columns)
        self.sums += columns.sum(0, dtype=torch.float64)
        add_products(self.products, columns)

    def moments(self) -> Any:
        """[k, k] mean products of the inputs, of centred ones where a bias can hold the mean."""
        import torch

        from .symmetric_products import whole_products

        mean = self.sums / self.rows
        found = whole_products(self.products) / self.rows
        return found - torch.outer(mean, mean) if self.centred else found


@dataclass(frozen=True, slots=True)
class _Alike:
    """Products that read the same.

    Attributes:
        columns: [n, b] columns that each structure owns.
        moments: [k, k] of the inputs.
        views: The weight of each, as it lies in its parameter.
    """

    columns: NDArray[np.int64]
    moments: Any
    views: list[Any]

    def reads(self, columns: NDArray[np.int64], moments: Any) -> bool:
        """Whether a product with these columns and moments reads the same: then all numbers are, bit by bit."""
        import torch

        known = self.moments
        if not np.array_equal(self.columns, columns) or not torch.equal(known.diagonal(), moments.diagonal()):
            return False
        return torch.equal(known, moments)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A weight that reads a coupled set.

    Attributes:
        tensor: Name of the weight.
        dim: Its input dimension.
        structures: [n] numbers within the set.
        indices: [n] the index along the dimension that each owns.
    """

    tensor: str
    dim: int
    structures: NDArray[np.int64]
    indices: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Calibration samples with the original outputs.

    Attributes:
        forwards: Of each batch, a `ResumableForward`.
        sizes: Samples of each batch.
        counts: Of each batch, as `DistillationBatch` has it.
        logits: Likewise, the same for all.
        points: Points of a set's curve to measure at.
    """

    forwards: list[Any]
    sizes: list[int]
    counts: list[Any]
    logits: bool | None
    points: int


def rate(rated: RatedModel, token: CancelToken) -> Job[Floats]:
    """[S] what the distance of the outputs grows by when a structure goes, the weaker ones of its set before it."""
    scores = np.full(rated.analysis.count, np.nan)
    readings = _readings(rated)
    parts = _parts(rated, readings)
    samples, at_once = (_measured(rated, readings, token), _at_once(rated, token)) if parts else (None, 0)
    units: list[float] = []
    waiting: list[tuple[NDArray[np.int64], Floats]] = []
    sets = {one.key: one for one in rated.analysis.sets}
    done, total = 0, sum(map(len, parts))
    shown = Message("progress.obs", "Measuring what each layer's structures are worth")
    for part in parts:
        names = {(one.tensor, one.dim) for key in part for one in readings[key]}
        found: dict[str, list[_Product]] = {}
        yield from _gather(rated, dict(sorted(names)), found, at_once, token)
        for key in part:
            check(token)
            assert samples is not None
            numbers, errors, cost = _curve(rated, sets[key], readings[key], found, samples, token)
            done += 1
            if cost is not None:
                scores[numbers] = _increments(errors, cost)
                units.append(float(np.median(scores[numbers] / np.maximum(errors, 1e-12))))
            elif len(numbers):
                waiting.append((numbers, errors))
            yield with_partial_scores(Progress(shown, done, total), scores.copy, Step.LAYERS)
    for numbers, errors in waiting:  # weights that cannot be written: their curve in the unit of the others
        scores[numbers] = _ascending(errors * (float(np.median(units)) if units else 1.0))
    return _with_others(rated, scores)


def cost(context: ScoringContext, choices: Choices) -> PassCost:
    """Batches that moments are gathered from, for each part of the sets, and those that distances are measured on."""
    analysis, each = context.analysis, max(costs(context.analysis, context.removed).macs, 1)
    batches, batch = batches_of(context, choices), max(context.batch, 1)
    if not choices.batches:
        batches = min(batches, max(int(WORK / (each * batch)), LEAST))
    shapes = {one.name: one.shape for one in analysis.tensors if one.parameter}
    parts = 1 + 2 * sum(_moment_sizes(analysis, shapes).values()) // MEMORY
    outputs = roles_of(analysis).outputs
    reading = {(t, d) for t, one in enumerate(analysis.tensors) if one.parameter for d in range(len(one.shape))}
    reading -= {(t, d) for t, dims in enumerate(outputs) for d in dims}
    sets = sum(
        one.kind is not Kind.BLOCK and not context.removed[one.structures].all() and not reading.isdisjoint(one.touches)
        for one in analysis.sets
    )
    points, samples = _measuring(each, sets)
    return PassCost(batches * parts + math.ceil(samples * (sets * points + RECORDED) / batch))


def _measuring(each: int, sets: int) -> tuple[int, int]:
    """(points of a set's curve, samples that a distance is measured on), so many as `WORK` allows."""
    work = each * max(sets, 1)
    points = next((n for n, least in LEVELS.items() if work * n * least <= PATIENCE * WORK), min(LEVELS))
    return points, int(min(max(WORK / (work * points), LEVELS[points]), MANY))


def _readings(rated: RatedModel) -> dict[str, list[_Reading]]:
    """For each coupled set the weights that read it."""
    removed, found = rated.removed, dict[str, list[_Reading]]()
    inputs = [part for part in rated.slices.slices if part.tensor in rated.parameters]
    for one in rated.analysis.sets:
        if one.kind is Kind.BLOCK or removed[one.structures].all():
            continue
        for part in inputs:
            own = (part.structures >= one.first) & (part.structures < one.first + one.count)
            if own.any():
                reading = _Reading(part.tensor, part.dim, part.structures[own] - one.first, part.indices[own])
                found.setdefault(one.key, []).append(reading)
    return found


def _parts(rated: RatedModel, readings: dict[str, list[_Reading]]) -> list[list[str]]:
    """Sets whose moments fit into memory together."""
    sizes = _moment_sizes(rated.analysis, {name: one.shape for name, one in rated.parameters.items()})
    parts, room, held = list[list[str]](), 0, set[str]()
    for key, some in readings.items():
        own = {one.tensor for one in some}
        size = sum(sizes[name] for name in own - held)
        if not parts or size > room:
            parts.append([])
            room, held, size = MEMORY, set[str](), sum(sizes[name] for name in own)
        parts[-1].append(key)
        room, held = room - size, held | own
    return parts


def _moment_sizes(analysis: Analysis, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Name of a weight -> bytes of the moments of what enters it, one matrix after the other in a stack."""
    roles = roles_of(analysis)
    outputs = {one.name: dims for one, dims in zip(analysis.tensors, roles.outputs, strict=True)}
    outputs |= {use.names[0]: use.outputs for use in roles.tied.values()}
    found: dict[str, int] = {}
    for name, shape in shapes.items():
        dims = outputs.get(name, ())
        inputs = math.prod(shape) // max(math.prod(shape[d] for d in dims), 1)
        matrices = shape[dims[0]] if len(dims) > 1 else 1
        found[name] = 4 * matrices * inputs**2 if dims and inputs <= LARGEST else 0
    return found


@dataclass(slots=True)
class _Gathering:
    """Collects what enters the products with some weights while forwards run.

    The rows that it draws follow from the forward, from which call of a weight it is, and from how many there are: so
    products which read the same get the same moments, bit by bit.

    Attributes:
        rated: The model.
        dims: Name of a weight -> its input dimension.
        found: Its products.
        share: Of the rows that a product wants, what this forward should give at most.
        forwards: How many there were.
    """

    rated: RatedModel
    dims: dict[str, int]
    found: dict[str, list[_Product]]
    share: float = 1.0
    forwards: int = 0
    _begins: dict[tuple[str, Any], int] = field(default_factory=dict[tuple[str, Any], int])

    def begin(self, share: float) -> None:
        """A forward follows that should give this share of the rows that a product wants."""
        self.share, self.forwards = share, self.forwards + 1

    def see(self, product: Any, mixed: Collection[str]) -> None:
        """Add what entered some rows of a product, drawn at random; `mixed` as in `WeightProducts`."""
        import torch

        from ..tracing.weight_products import drawn_rows

        if product.name not in self.dims or (product.name not in self.found and product.call):
            return
        every, part = self.found.setdefault(product.name, []), (product.name, product.place)
        if part not in self._begins:
            if every and product.name in mixed:  # weights of one would be written over those of the other
                return
            self._begins[part] = len(every)
            every += _products(self.rated, product, self.dims[product.name])
        for one, unit in zip(every[self._begins[part] :], product.units, strict=False):
            if not unit.rows or not len(one.index):
                continue
            one.passing += unit.rows
            if one.rows >= one.wanted:
                continue
            random = torch.Generator().manual_seed(hash((self.rated.seed, self.forwards, product.call)))
            one.add(unit.columns(drawn_rows(unit, math.ceil(self.share * one.wanted), random)).float())


def _at_once(rated: RatedModel, token: CancelToken) -> int:
    """Samples that go through a model at a time, so that a CPU's caches hold what they make; 0 for whole batches."""
    import torch

    from ..tracing.isolated_forward import quiet_forward
    from ..tracing.tree import copied_inputs
    from .cancellable_autograd import interruptible

    assert rated.task is not None
    if rated.limit.whole or any(one.device.type != CPU for one in rated.parameters.values()):
        return 0
    first = next(iter(rated.task.batches(Split.TRAIN, seed=rated.seed)), None)
    if first is None:
        return 0
    inputs, each = rated.task.inputs(first), max(sample_memory(rated.analysis, rated.removed).peak, 1)
    most = max(CACHED * torch.get_num_threads() // each, 1)
    if rows_in(inputs) <= most:
        return 0
    with quiet_forward(rated.model), interruptible(token):
        return most if independent(rated.model, copied_inputs(inputs)) else 0


def _gather(
    rated: RatedModel, dims: dict[str, int], found: dict[str, list[_Product]], at_once: int, token: CancelToken
) -> Job[None]:
    """Pass over calibration batches until every product of these weights has seen enough rows."""
    from ..tracing.isolated_forward import quiet_forward
    from ..tracing.weight_products import WeightProduct, WeightProducts
    from .cancellable_autograd import interruptible
    from .tied_weights import untied_weights

    assert rated.task is not None
    batches = needed = min(rated.task.batch_count(Split.TRAIN) or BATCHES, rated.choices.batches or BATCHES)
    each = max(costs(rated.analysis, rated.removed).macs, 1)
    gathering = _Gathering(rated, dims, found)

    def seen(product: WeightProduct) -> None:
        gathering.see(product, watching.mixed)

    others = [one for name, one in rated.parameters.items() if name not in dims]
    weights = {name: one for name, one in rated.parameters.items() if name in dims or one.ndim == 1}
    watching = WeightProducts(weights, seen, [*others, *rated.model.buffers()])
    number, affordable, samples, first = 0, batches, 0, 0
    for number, batch in enumerate(islice(rated.task.batches(Split.TRAIN, seed=rated.seed), batches), 1):
        whole = rated.task.inputs(batch)
        samples += batch_size(whole)
        if number == 1 and not rated.choices.batches:
            affordable = int(WORK / (each * max(samples, 1)))
            batches = needed = min(batches, max(affordable, LEAST))
        rows = rows_in(whole)
        first = first or rows
        # Only what was tried is divided, and nothing padded: as many samples as tokens could not be told apart.
        most = at_once if rows == first and filled(whole) is None else 0
        for inputs in input_parts(whole, rated.limit, most):
            check(token)
            gathering.begin(2 * rows_in(inputs) / max(rows, 1) / needed)
            watching.present = filled(inputs)
            with untied_weights(rated), quiet_forward(rated.model), interruptible(token), watching:
                call(rated.model, inputs)
            watching.forget()
        yield Progress(Message("progress.features", "Measuring the inputs of each layer"), number, batches)
        products = [one for some in found.values() for one in some]
        for one in products:
            one.offered, one.passing = max(one.offered, one.passing), 0
        waiting = [one for one in products if one.rows < one.wanted]
        alone = all(one.offered * number <= samples for one in waiting)  # classifiers
        if number >= batches or (products and not waiting) or (number >= affordable and alone and samples >= SAMPLES):
            break
        needed = min(max((-(-one.wanted // one.offered) for one in products if one.offered), default=batches), batches)
    if not number:
        raise no_batch_error()


def _products(rated: RatedModel, product: Any, dim: int) -> list[_Product]:
    """Empty sums for each unit of a product; without columns where it is too wide, or does not read along `dim`.

    They lie where the weight does, if there is float64.
    """
    import torch

    weight = rated.parameters[product.name].detach()
    wide = wide_device(weight.device)
    along = torch.arange(weight.shape[dim]).view([-1 if d == dim else 1 for d in range(weight.ndim)])
    places = along.expand(weight.shape).contiguous()
    made: list[_Product] = []
    for unit in product.units:
        matrix = unit.view(places).flatten(1)
        index, size = matrix[0], matrix.shape[1]
        if size > LARGEST or not bool((matrix == index).all()) or (size > 1 and bool((index == index[0]).all())):
            index, size = index[:0], 0
        view = weight[:0] if product.derived else unit.view(weight)
        wanted = max(ENOUGH * size, FEWEST) if size else 0
        sums, products = torch.zeros(size, dtype=torch.float64, device=wide), torch.zeros(size, size, device=wide)
        made.append(_Product(view, index, wanted, bool(product.bias), sums, products))
    return made


def _curve(
    rated: RatedModel,
    one: CoupledSet,
    readings: Sequence[_Reading],
    found: dict[str, list[_Product]],
    samples: _Measured,
    token: CancelToken,
) -> tuple[NDArray[np.int64], Floats, list[tuple[int, float]] | None]:
    """(numbers of structures in their order of removal, error that each adds, measured (count, distance)).

    Nothing is measured (None) where the weights that run are computed from others.
    """
    import torch

    from .removal_order import Consumer, consumer, removal_order

    left = np.flatnonzero(~rated.removed[one.structures])
    alike = list[_Alike]()
    changed = set[str]()
    for reading in readings:
        for product in found.get(reading.tensor, ()):
            columns = _columns(reading, product, left)
            if columns is None or not product.rows:
                continue
            if not len(product.weight):
                return _by_weights(rated, one, left)
            moments = product.moments()
            if bool(moments.isfinite().all()):
                same = next((other for other in alike if other.reads(columns, moments)), None)
                if same is None:
                    same = _Alike(columns, moments, [])
                    alike.append(same)
                same.views.append(product.weight)
                changed.add(reading.tensor)
    consumers, views = list[Consumer](), list[Any]()
    while alike:  # each with moments of its own, which are let go of
        some = alike.pop(0)
        weights = [view.flatten(1).to(some.moments.device) for view in some.views]
        consumers.append(consumer(weights, some.moments, torch.from_numpy(some.columns).to(some.moments.device)))
        views += some.views
        del some
    if not consumers:
        return np.zeros(0, np.int64), np.zeros(0), None
    most = len(left) - 1
    shares = np.arange(1, samples.points + 1) / samples.points  # the last one leaves a single structure
    levels = sorted({min(max(round(float(share) * len(left)), 1), most) for share in shares} - {0})
    removal = removal_order(consumers, len(left), levels)
    numbers = one.first + left[np.array(removal.order)]
    told: list[tuple[int, float]] = []
    for level in levels:
        check(token)
        told.append((level, _distance(rated, samples, changed, views, removal.weights[level])))
    if not all(np.isfinite(distance) for _, distance in told):
        return numbers, np.array(removal.errors), None
    return numbers, np.array(removal.errors), told


def _by_weights(rated: RatedModel, one: CoupledSet, left: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats, None]:
    """The same by the squares of the weights that read a set."""
    sums, _ = structure_sums(rated.slices, lambda name: Elementwise(rated, name, np.square))
    own = sums[one.structures][left]
    order = np.argsort(own, kind="stable")
    return one.first + left[order], own[order] / max(float(own.sum()), 1e-30), None


def _columns(reading: _Reading, product: _Product, left: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """[n, b] columns that each structure left owns in a product; None where they do not own equally many, or none."""
    owner = np.full(int(max(product.index.max().item(), reading.indices.max())) + 1 if len(product.index) else 0, -1)
    if not len(owner):
        return None
    owner[reading.indices] = reading.structures
    owners = owner[product.index.numpy()]
    columns = [np.flatnonzero(owners == number) for number in left]
    size = len(columns[0]) if columns else 0
    return np.stack(columns) if size and all(len(some) == size for some in columns) else None


def _measured(rated: RatedModel, readings: dict[str, list[_Reading]], token: CancelToken) -> _Measured:
    """Samples to measure on, as many as `WORK` allows, with the outputs of the model as it is."""
    from ..tracing.isolated_forward import quiet_forward
    from ..tracing.resumable_forward import ResumableForward
    from ..tracing.tree import copied_inputs
    from .cancellable_autograd import interruptible

    def run(inputs: Any, inside: AbstractContextManager[Any]) -> Any:
        with quiet_forward(rated.model), interruptible(token), inside:
            return call(rated.model, copied_inputs(inputs))

    assert rated.task is not None
    points, most = _measuring(max(costs(rated.analysis, rated.removed).macs, 1), len(readings))
    wanted = most
    read = {one.tensor: rated.parameters[one.tensor] for some in readings.values() for one in some}
    made = _Measured([], [], [], None, points)
    for batch in rated.task.batches(Split.TRAIN, seed=rated.seed + 1):
        told = rated.task.distillation_batch(batch)
        inputs, counts, size = told.inputs, told.counts, batch_size(told.inputs)
        if size > wanted:
            inputs, counts, size = few(inputs, wanted), None if counts is None else counts[:wanted], wanted
        made.forwards.append(ResumableForward(partial(run, inputs), read, RESUMED * size // most))
        made.sizes.append(size)
        made.counts.append(counts)
        made = _Measured(made.forwards, made.sizes, made.counts, told.logits, points)
        wanted -= size
        if wanted <= 0:
            break
    if not made.forwards:
        raise no_batch_error()
    return made


def _distance(
    rated: RatedModel, samples: _Measured, changed: Collection[str], views: Sequence[Any], weights: Sequence[Any]
) -> float:
    """Mean distance of the outputs from the original ones with other weights in place; these are put back.

    `changed` names the parameters in which the weights lie. NaN where the outputs do not compare: as many boxes as the
    model happens to find.
    """
    import torch

    from ..tasks.distillation_loss import distillation_loss

    before = [view.clone() for view in views]
    total = count = 0.0
    try:
        with torch.no_grad():
            for view, weight in zip(views, weights, strict=True):
                view.copy_(weight.reshape(view.shape))
        for forward, size, counts in zip(samples.forwards, samples.sizes, samples.counts, strict=True):
            found, outputs = forward.again(changed), forward.outputs
            shapes = [_shapes(one, rated.analysis.outputs) for one in (found, outputs)]
            if shapes[0] != shapes[1] or not shapes[0]:
                return np.nan
            with torch.no_grad():
                distance = distillation_loss(found, outputs, 1.0, rated.analysis.outputs, counts, samples.logits)
            total, count = total + float(distance) * size, count + size
    finally:
        with torch.no_grad():
            for view, weight in zip(views, before, strict=True):
                view.copy_(weight)
    return total / count


def _shapes(outputs: Any, chosen: Sequence[str]) -> list[tuple[int, ...]]:
    """Shapes of the tensors of floats in the outputs that stay."""
    from ..tracing.tree import preserved_outputs

    return [tuple(one.shape) for one in preserved_outputs(outputs, chosen) if one.is_floating_point()]


def _increments(errors: Floats, told: list[tuple[int, float]]) -> Floats:
    """[n] what each removal adds to the distance: measured at some counts, in between along the curve of the errors."""
    curve = np.concatenate([[0.0], np.cumsum(np.maximum(errors, 0))])
    curve += np.arange(len(curve)) * 1e-9 * max(float(curve[-1]), 1e-30)  # strictly ascending
    counts = [0, *(count for count, _ in told)]
    distances = np.maximum.accumulate(np.array([0.0, *(max(distance, 0.0) for _, distance in told)]))
    along = np.interp(curve, curve[counts], distances)
    slope = np.diff(distances)[-1] / max(float(curve[counts[-1]] - curve[counts[-2]]), 1e-30) if told else 1.0
    along[counts[-1] + 1 :] += slope * (curve[counts[-1] + 1 :] - curve[counts[-1]])
    return _ascending(np.diff(along))


def _ascending(values: Floats) -> Floats:
    """The nearest values that do not descend (isotonic regression), each a trifle above the one before it."""
    from scipy import optimize

    if not len(values):
        return values
    fit: Any = optimize.isotonic_regression(values)  # pyright: ignore[reportUnknownMemberType]
    found: Floats = np.asarray(fit.x, np.float64)
    return found + np.arange(len(found)) * 1e-9 * max(float(np.abs(found).max(initial=0.0)), 1e-30)


def _with_others(rated: RatedModel, scores: Floats) -> Floats:
    """Sets that no product reads by the squares of their weights, in the unit of the others."""
    missing = np.isnan(scores) & counted(rated.slices) & ~rated.removed
    known = scores[np.isfinite(scores)]
    sums, _ = structure_sums(rated.slices, lambda name: Elementwise(rated, name, np.square))
    for one in rated.analysis.sets:
        own = one.first + np.flatnonzero(missing[one.structures])
        if one.kind is not Kind.BLOCK and len(own):
            scores[own] = sums[own] / (float(sums[own].mean()) or 1.0) * (float(known.mean()) if len(known) else 1.0)
    return scores


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
