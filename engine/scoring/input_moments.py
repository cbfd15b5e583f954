"""Second moments of what enters the products that read coupled sets, gathered on calibration batches.

A structure is read by weights, and each of these by products: layers, or parts of them. Of each product the moments
G = X^T X / n of its input rows X [n, k] are summed, centred where a bias can hold the mean. They say what least squares
leave of its outputs when columns of its weight go.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..inference.batch_parts import independent, input_parts, rows_in
from ..inference.model_inputs import batch_size, filled
from ..jobs import CancelToken, Job, Progress, check
from ..machine.device_list import CPU
from ..machine.devices import wide_device
from ..structures.analysis import Analysis, Kind
from ..structures.costs import costs
from ..structures.memory import sample_memory
from ..tasks.protocol import Split
from .gradients import no_batch_error
from .protocol import RatedModel
from .samples import batches_after
from .weight_slices import WeightSlice, roles_of
from .weights import run_rated

BATCHES = 32
"""Calibration batches to look at, at most."""
ENOUGH, FEWEST = 2, 16384
"""Rows of data for each input of a product, and in all, after which it looks at no more; drawn at random."""
FEW = 4
"""Rows for each input below which moments are shrunk: with more, what looks redundant in them is."""
MEMORY = 1 << 31
"""Bytes of moments to hold at a time; what needs more is gathered in further passes over the data."""
CACHED = 1 << 26
"""Bytes of activations at a time in gathering, for each thread; more of them leave a CPU's caches and take longer."""
LARGEST = 16384
"""Inputs of a product up to which it is looked at."""
LEAST, SAMPLES = 2, 64
"""Calibration batches to gather moments from, whatever that takes; samples that do where each gives but one row."""
WORK = 1e12
"""Multiply-accumulates that gathering moments should take."""

PANEL = 512
"""Columns that are computed together, from the diagonal downwards."""
WIDE = 2048
"""Inputs of a product from which on single precision does: it halves memory and time, of which these take most."""


@dataclass(slots=True)
class InputMoments:
    """A product with a weight, and the sums over what entered it.

    Attributes:
        weight: [m, ...] view of the parameter that holds its matrix.
        dim: The weight's input dimension.
        index: [k] index along that dimension of each of its columns.
        wanted: Rows after which it looks at no more.
        bias: [m] view of the parameter that the same operator adds, and nothing else; None where there is none.
        tied: Its weight is used elsewhere too, so that a repair leaves it as it is cut.
        sums: [k].
        products: [k, k], on and below the diagonal.
        rows: How many rows were looked at.
        passing: Rows of this batch so far.
        offered: Rows of a batch, at most.
    """

    weight: Any
    dim: int
    index: Any
    wanted: int
    bias: Any
    tied: bool
    sums: Any
    products: Any
    rows: int = 0
    passing: int = 0
    offered: int = 0

    def add(self, columns: Any) -> None:
        """Take in rows [n, k]."""
        import torch

        columns = columns.to(self.products.device)
        self.rows += len(columns)
        self.sums += columns.sum(0, dtype=torch.float64)
        add_products(self.products, columns)

    def moments(self) -> Any:
        """[k, k] mean products of the inputs, of centred ones where a bias can hold the mean."""
        import torch

        # Wide ones take gigabytes in double precision, and a ridge outweighs what single precision rounds.
        kind = torch.float64 if len(self.products) <= WIDE else torch.float32
        found = whole_products(self.products, kind).div_(self.rows)
        if self.bias is not None:
            mean = self.mean.to(kind)
            found.addr_(mean, mean, alpha=-1)
        return shrink_moments(found, self.rows) if self.rows < FEW * len(found) else found

    @property
    def mean(self) -> Any:
        """[k] of the inputs."""
        return self.sums / self.rows


def shrink_moments(moments: Any, rows: int) -> Any:
    """[k, k] moments drawn towards a multiple of the identity, in place, the more the fewer rows they are of.

    Few rows leave directions that hardly any of them shows: what lies there would look free, and least squares would
    put any weight there. The share is that of the oracle approximating shrinkage (Chen et al. 2010), with which the
    expected square error of normal moments is smallest.
    """
    size, trace, square = len(moments), float(moments.trace()), float(moments.norm()) ** 2
    apart = (rows + 1 - 2 / size) * (square - trace**2 / size)
    share = min(1.0, ((1 - 2 / size) * square + trace**2) / apart) if apart > 0 else 1.0
    moments.mul_(1 - share).diagonal().add_(share * trace / size)
    return moments


def add_products(total: Any, columns: Any) -> None:
    """Add columns^T columns to a total, in place: on and below the diagonal, and above it what its panels hold.

    Args:
        total: [k, k].
        columns: [n, k] of the same type.
    """
    for first in range(0, columns.shape[1], PANEL):
        last = first + PANEL
        # Half of a symmetric product is enough, and panels keep the products large.
        total[first:last, :last].addmm_(columns[:, first:last].T, columns[:, :last])


def whole_products(total: Any, kind: Any) -> Any:
    """[k, k] in a type, of a total that `add_products` made or a sum of such."""
    found = total.to(kind, copy=True)
    for first in range(0, len(found), PANEL):
        last = first + PANEL
        found[:first, first:last] = found[first:last, :first].T
        block = found[first:last, first:last]
        block.copy_(block.tril() + block.tril(-1).T)
    return found


@dataclass(frozen=True, slots=True)
class SameInputs:
    """Products that read the same.

    Attributes:
        columns: [n, b] columns that each structure owns.
        moments: [k, k] of the inputs.
        mean: [k] of the inputs.
        views: The weight of each, a view of its parameter.
        biases: The bias of each likewise, None where it has none that can hold the mean.
        tied: Whether the weight of each is used elsewhere too.
    """

    columns: NDArray[np.int64]
    moments: Any
    mean: Any
    views: list[Any]
    biases: list[Any]
    tied: list[bool]

    def reads(self, columns: NDArray[np.int64], moments: Any) -> bool:
        """Whether a product with these columns and moments reads the same: then all numbers are, bit by bit."""
        import torch

        known = self.moments
        if not np.array_equal(self.columns, columns) or not torch.equal(known.diagonal(), moments.diagonal()):
            return False
        return torch.equal(known, moments)


def readings_of(rated: RatedModel) -> dict[str, list[WeightSlice]]:
    """For each coupled set the weights that read it, with the numbers of structures within the set."""
    removed, found = rated.removed, dict[str, list[WeightSlice]]()
    inputs = [part for part in rated.slices.slices if part.tensor in rated.parameters]
    for one in rated.analysis.sets:
        if one.kind is Kind.BLOCK or removed[one.structures].all():
            continue
        for part in inputs:
            own = (part.structures >= one.first) & (part.structures < one.first + one.count)
            if own.any():
                reading = replace(part, structures=part.structures[own] - one.first, indices=part.indices[own])
                found.setdefault(one.key, []).append(reading)
    return found


def fitting_parts(rated: RatedModel, readings: dict[str, list[WeightSlice]]) -> list[list[str]]:
    """Sets whose moments fit into memory together."""
    sizes = moment_sizes(rated.analysis, {name: one.shape for name, one in rated.parameters.items()})
    parts, room, held = list[list[str]](), 0, set[str]()
    for key, some in readings.items():
        own = {one.tensor for one in some}
        size = sum(sizes[name] for name in own - held)
        # In the model's order, so that sets that read the same weights come into one part and these are gathered once.
        if not parts or size > room:
            parts.append([])
            room, held, size = MEMORY, set[str](), sum(sizes[name] for name in own)
        parts[-1].append(key)
        room, held = room - size, held | own
    return parts


def moment_sizes(analysis: Analysis, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
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
    found: dict[str, list[InputMoments]]
    share: float = 1.0
    forwards: int = 0
    _begins: dict[tuple[str, Any], int] = field(default_factory=dict[tuple[str, Any], int])
    _added: dict[str, list[InputMoments]] = field(default_factory=dict[str, list[InputMoments]])

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
        # Only at the first sight: later forwards add to the same sums.
        if part not in self._begins:
            # Weights of one product would be written over those of the other.
            if every and product.name in mixed:
                return
            self._begins[part] = len(every)
            made = _empty_moments(self.rated, product, self.dims[product.name])
            every += made
            if product.bias:
                self._added.setdefault(product.bias, []).extend(made)
        for one, unit in zip(every[self._begins[part] :], product.units, strict=False):
            if not unit.rows or not len(one.index):
                continue
            one.passing += unit.rows
            if one.rows >= one.wanted:
                continue
            # Products that read the same draw the same rows, so that their moments are equal bit by bit and one fit
            # serves both.
            random = torch.Generator().manual_seed(hash((self.rated.seed, self.forwards, product.call)))
            one.add(unit.columns(drawn_rows(unit, math.ceil(self.share * one.wanted), random)).float())

    def exclude_shared_biases(self, watching: Any) -> None:
        """Leave biases alone that other products add too, or that something else reads (`WeightProducts`)."""
        for name, some in self._added.items():
            for one in some:
                if name in watching.mixed or watching.is_shared(name, one.bias):
                    one.bias = None


def affordable_batches(each: int, samples: int) -> int:
    """Batches of so many samples that `WORK` allows, where one sample takes `each` multiply-accumulates."""
    return int(WORK / (max(each, 1) * max(samples, 1)))


def first_batch_size(rated: RatedModel) -> int:
    """Samples of the first calibration batch; raises where there is none."""
    assert rated.task is not None
    first = next(iter(rated.task.batches(Split.TRAIN, seed=rated.seed)), None)
    if first is None:
        raise no_batch_error()
    return batch_size(rated.task.inputs(first))


def samples_at_once(rated: RatedModel, token: CancelToken) -> int:
    """Samples that go through a model at a time, so that a CPU's caches hold what they make; 0 for whole batches."""
    import torch

    from ..tracing.isolated_forward import quiet_forward
    from ..tracing.tree import copied_inputs, preserved_outputs
    from .cancellable_autograd import interruptible

    assert rated.task is not None
    # Only the caches of a CPU gain by small parts; batches that have to be whole stay whole.
    if rated.limit.whole or any(one.device.type != CPU for one in rated.parameters.values()):
        return 0
    first = next(iter(rated.task.batches(Split.TRAIN, seed=rated.seed)), None)
    if first is None:
        return 0
    inputs, each = rated.task.inputs(first), max(sample_memory(rated.analysis, rated.removed).peak, 1)
    most = max(CACHED * torch.get_num_threads() // each, 1)
    if rows_in(inputs) <= most:
        return 0

    def run(*args: Any, **kwargs: Any) -> Any:
        """What counts of the outputs: a language model's cache is an object that equals no other."""
        return tuple(preserved_outputs(rated.model(*args, **kwargs), rated.analysis.outputs))

    with quiet_forward(rated.model), interruptible(token):
        return most if independent(run, copied_inputs(inputs)) else 0


def gather_moments(
    rated: RatedModel,
    dims: dict[str, int],
    found: dict[str, list[InputMoments]],
    at_once: int,
    apart: int,
    token: CancelToken,
) -> Job[None]:
    """Pass over calibration batches until every product of these weights has seen enough rows.

    The first `apart` samples are left out: what is measured on samples that the moments have seen looks free where
    there are fewer of them than inputs.
    """
    from ..tracing.weight_products import WeightProduct, WeightProducts

    assert rated.task is not None
    batches = needed = min(rated.task.batch_count(Split.TRAIN) or BATCHES, rated.choices.batches or BATCHES)
    each = costs(rated.analysis, rated.removed).macs
    gathering = _Gathering(rated, dims, found)

    def seen(product: WeightProduct) -> None:
        gathering.see(product, watching.mixed)

    others = [one for name, one in rated.parameters.items() if name not in dims]
    weights = {name: one for name, one in rated.parameters.items() if name in dims or one.ndim == 1}
    watching = WeightProducts(weights, seen, [*others, *rated.model.buffers()])
    number, affordable, samples, first = 0, batches, 0, 0
    shuffled = batches_after(rated.task, rated.task.batches(Split.TRAIN, seed=rated.seed), apart)
    for number, batch in enumerate(islice(shuffled, batches), 1):
        whole = rated.task.inputs(batch)
        samples += batch_size(whole)
        if number == 1 and not rated.choices.batches:
            affordable = affordable_batches(each, samples)
            batches = needed = min(batches, max(affordable, LEAST))
        rows = rows_in(whole)
        first = first or rows
        # Only batches of the size that was tried are divided, and none with padding: where there are as many samples
        # as tokens, flags of the one could not be distinguished from those of the other.
        most = at_once if rows == first and filled(whole) is None else 0
        for inputs in input_parts(whole, rated.limit, most):
            check(token)
            # Twice the share that is needed, as batches may differ in length; what is too much is not taken.
            gathering.begin(2 * rows_in(inputs) / max(rows, 1) / needed)
            watching.present = filled(inputs)
            run_rated(rated, token, inputs, watching)
            watching.forget()
        yield Progress(Message("progress.features", "Measuring the inputs of each layer"), number, batches)
        products = [one for some in found.values() for one in some]
        for one in products:
            one.offered, one.passing = max(one.offered, one.passing), 0
        waiting = [one for one in products if one.rows < one.wanted]
        # Products that see one row a sample, as in classifiers, would need far more samples.
        alone = all(one.offered * number <= samples for one in waiting)
        if number >= batches or (products and not waiting) or (number >= affordable and alone and samples >= SAMPLES):
            break
        # From what the batches so far offered: the rest is spread over as many as it takes.
        needed = min(max((-(-one.wanted // one.offered) for one in products if one.offered), default=batches), batches)
    if not number:
        raise no_batch_error()
    gathering.exclude_shared_biases(watching)


def _empty_moments(rated: RatedModel, product: Any, dim: int) -> list[InputMoments]:
    """Empty sums for each unit of a product; without columns where it is too wide, or does not read along `dim`.

    They lie where the weight does, if there is float64.
    """
    import torch

    weight = rated.parameters[product.name].detach()
    wide = wide_device(weight.device)
    along = torch.arange(weight.shape[dim], dtype=torch.int32).view([-1 if d == dim else 1 for d in range(weight.ndim)])
    places = along.expand(weight.shape).contiguous()
    made: list[InputMoments] = []
    tied = any(product.name in (one.tensor, one.names[0]) for one in rated.slices.tied)
    for unit in product.units:
        matrix = unit.view(places).flatten(1)
        index, size = matrix[0].long(), matrix.shape[1]  # numbers of its own: a view would keep those of all rows
        # Columns mean nothing where rows of a unit lie along different indices, or all along one.
        if size > LARGEST or not bool((matrix == index).all()) or (size > 1 and bool((index == index[0]).all())):
            index, size = index[:0], 0
        view = weight[:0] if product.derived else unit.view(weight)
        wanted = max(ENOUGH * size, FEWEST) if size else 0
        sums, products = torch.zeros(size, dtype=torch.float64, device=wide), torch.zeros(size, size, device=wide)
        bias = unit.added(rated.parameters[product.bias]) if product.bias else None
        made.append(InputMoments(view, dim, index, wanted, bias, tied, sums, products))
    return made


def same_inputs(
    readings: Sequence[WeightSlice], found: Mapping[str, list[InputMoments]], left: NDArray[np.int64]
) -> tuple[list[SameInputs], set[str]] | None:
    """(the products that read a set, by what they read, names of the parameters in which their weights lie).

    Args:
        readings: Of the set.
        found: What was gathered.
        left: [n] numbers within the set of the structures that the model still has.

    Returns:
        None where weights that run are computed from others, so that none can be written.
    """
    alike, changed = list[SameInputs](), set[str]()
    for reading in readings:
        for product in found.get(reading.tensor, ()):
            columns = columns_of(reading, product, left)
            if columns is None or not product.rows:
                continue
            if not len(product.weight):
                return None
            moments = product.moments()
            if bool(moments.isfinite().all()):
                same = next((other for other in alike if other.reads(columns, moments)), None)
                if same is None:
                    same = SameInputs(columns, moments, product.mean, [], [], [])
                    alike.append(same)
                same.views.append(product.weight)
                same.biases.append(product.bias)
                same.tied.append(product.tied)
                changed.add(reading.tensor)
    return alike, changed


def columns_of(reading: WeightSlice, product: InputMoments, left: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """[n, b] columns that each structure left owns in a product; None where they do not own equally many, or none.

    Nor do they where the weight is read along another dimension than the product reads it.
    """
    if reading.dim != product.dim:
        return None
    owner = np.full(int(max(product.index.max().item(), reading.indices.max())) + 1 if len(product.index) else 0, -1)
    if not len(owner):
        return None
    owner[reading.indices] = reading.structures
    owners = owner[product.index.numpy()]
    columns = [np.flatnonzero(owners == number) for number in left]
    size = len(columns[0]) if columns else 0
    return np.stack(columns) if size and all(len(some) == size for some in columns) else None
