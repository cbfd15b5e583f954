"""Where a forward shows the responses of coupled sets, and how they are read there.

A structure's response is read where the weight that reads it gets it, beneath all modules, so it counts however a model
writes its layers. Loads torch.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import TaskError
from ..jobs import CancelToken
from ..scoring.input_moments import readings_of
from ..scoring.protocol import RatedModel
from ..scoring.weight_slices import WeightSlice, roles_of
from ..scoring.weights import run_rated
from ..structures.analysis import CoupledSet, Kind, inside
from ..tracing.weight_products import ConvolutionUnit, MatrixUnit, WeightProduct, WeightProducts

ALIKE = 1e-2
"""Relative difference up to which a sample's response alone and in a batch count as the same."""
HEADS = (Kind.HEAD, Kind.KV_GROUP)
SEVERAL = (Kind.FILTER, Kind.CHANNEL)
"""Kinds whose several columns in a weight are the places of a map that was flattened."""
POOLS = ("aten.mean", "aten._adaptive_avg_pool2d")
SOFTMAXES = ("aten._softmax", "aten._safe_softmax")


class _ResponseSeen(BaseException):
    """Ends a forward once the response was seen: what follows computes nothing that is looked at."""


@dataclass(frozen=True, slots=True)
class ResponseSource:
    """Where the responses of a set are read.

    Attributes:
        name: The weight.
        call: Number of its product in a forward.
        kind: Of the set.
        reads: The weight reads the structures; else it computes them.
        columns: [n * each] features, structure by structure.
        each: Columns of a structure.
    """

    name: str
    call: int
    kind: Kind
    reads: bool
    columns: Tensor
    each: int


class ResponseWatch(WeightProducts):
    """Remembers, apart from products, what was pooled and the last softmax before a product.

    Attributes:
        softmax: The last result of a softmax over tokens, None before there was one; where it is asked for.
    """

    def __init__(self, seen: Any, names: set[str], rated: RatedModel, attends: bool) -> None:
        weights = {name: one for name, one in rated.parameters.items() if name in names}
        others = [one for name, one in rated.parameters.items() if name not in names]
        super().__init__(weights, seen, [*others, *rated.model.buffers()])
        self.softmax: Tensor | None = None
        self._attends = attends
        self._pooled: dict[int, tuple[Tensor, Tensor]] = {}

    def before_pooling(self, features: Tensor) -> Tensor | None:
        """[N, C, P] what was averaged over places to make these features [N, C]; None where nothing was."""
        _, given = self._pooled.get(int(features.untyped_storage().data_ptr()), (None, None))
        if given is None or len(given) != len(features):
            return None
        if given.ndim == 4 and given.shape[1] == features.shape[1]:
            return given.flatten(2)
        return given.mT if given.ndim == 3 and given.shape[2] == features.shape[1] else None

    def forget(self) -> None:
        """Begin the next forward."""
        super().forget()
        self._pooled.clear()
        self.softmax = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and remember it where it pools or is a softmax."""
        result = super().__torch_dispatch__(func, types, args, kwargs)
        name = str(func.overloadpacket)
        if name in POOLS and isinstance(result, Tensor) and result.shape[:1] == args[0].shape[:1] and args[0].ndim > 2:
            # The memory of the result says what a view of it was made of, so it is held as long.
            self._pooled[int(result.untyped_storage().data_ptr())] = result, args[0]
        elif self._attends and name in SOFTMAXES and result.ndim > 2:
            self.softmax = result
        return result


def find_sources(
    rated: RatedModel, sets: Collection[CoupledSet], module: str, inputs: Any, token: CancelToken
) -> dict[str, tuple[ResponseSource, Tensor]]:
    """Where each set is read, the first place behind the module, by one forward of a single sample.

    Args:
        rated: The model.
        sets: Of which something is left, no blocks.
        module: Layer whose output is meant; "" for the first place of all.
        inputs: Of one sample.
        token: Cancels.

    Returns:
        By key (the place, its values [1, n, each, P] of the sample); without the sets that are seen nowhere.

    Raises:
        TaskError: Values are NaN or infinite.
    """
    analysis, roles, readings = rated.analysis, roles_of(rated.analysis), readings_of(rated)
    pairs = zip(analysis.tensors, roles.inputs, strict=True)
    reading = {tensor.name: dims for tensor, dims in pairs}
    reading |= {tied.names[0]: tied.inputs for tied in roles.tied.values()}
    # Weights that read a set (where none does, that compute it), and those of the module that compute it.
    parts: dict[str, list[tuple[CoupledSet, WeightSlice]]] = {}
    own: dict[str, list[str]] = {}
    for one in sets:
        for part in readings.get(one.key, ()):
            parts.setdefault(part.tensor, []).append((one, part))
        for number, dim in one.touches:
            tensor = analysis.tensors[number]
            if module and dim in roles.outputs[number] and inside(tensor.module, module):
                own.setdefault(tensor.name, []).append(one.key)
    left = {one.key: np.flatnonzero(~rated.removed[one.structures]) for one in sets}
    found: dict[str, list[tuple[ResponseSource, Tensor]]] = {one.key: [] for one in sets}
    behind: dict[str, int] = {}

    def see(product: WeightProduct) -> None:
        """Keep where sets are read, in the order of the run; `behind` is the first place after the module."""
        for key in own.get(product.name, ()):
            behind[key] = len(found[key])
        for one, part in () if product.call else parts.get(product.name, ()):
            reads = part.dim in reading.get(product.name, ())
            columns = _columns(product, part, left[one.key], reads, rated.parameters[product.name])
            if columns is not None:
                each = columns.shape[1]
                source = ResponseSource(product.name, product.call, one.kind, reads, columns.flatten(), each)
                values = _values_of(product, source, watch, 1, False)
                if values is not None:
                    found[one.key].append((source, values[0].clone()))

    names = {name for name in {*parts, *own} if name in rated.parameters}
    watch = ResponseWatch(see, names, rated, False)
    run_rated(rated, token, inputs, watch)
    watch.forget()
    sources = {key: some[min(behind.get(key, 0), len(some) - 1)] for key, some in found.items() if some}
    for source, alone in sources.values():
        require_finite(alone, source.name)
    return sources


def run_until_seen(
    rated: RatedModel,
    sources: Mapping[str, ResponseSource],
    inputs: Any,
    batch: int,
    take: Callable[[str, Tensor | None, tuple[int, ...], ResponseWatch], None],
    token: CancelToken,
    steps_first: Collection[str] = (),
) -> None:
    """Run samples forward until every source was seen.

    Args:
        rated: The model.
        sources: By the key of the set.
        inputs: Of the samples.
        batch: How many they are.
        take: Gets the key, [N, n, each, P] values (None where rows are of no samples), the sizes of the space, and what
            watches: with the last softmax where heads are among the sets. The operators that follow may overwrite the
            values.
        token: Cancels.
        steps_first: Sets whose rows are step by step instead of sample by sample.
    """
    wanted: dict[tuple[str, int], list[str]] = {}
    for key, source in sources.items():
        wanted.setdefault((source.name, source.call), []).append(key)

    def see(product: WeightProduct) -> None:
        for key in wanted.pop((product.name, product.call), ()):
            values = _values_of(product, sources[key], watch, batch, key in steps_first)
            take(key, *((None, ()) if values is None else values), watch)
        if not wanted:
            raise _ResponseSeen

    attends = any(source.kind in HEADS for source in sources.values())
    watch = ResponseWatch(see, {source.name for source in sources.values()}, rated, attends)
    with suppress(_ResponseSeen):
        run_rated(rated, token, inputs, watch)
    watch.forget()


def _columns(
    product: WeightProduct, part: WeightSlice, left: NDArray[np.int64], reads: bool, weight: Any
) -> Tensor | None:
    """[n, each] features of a product that each structure left owns; None where they do not own equally many."""
    unit = product.units[0] if len(product.units) == 1 else None
    if isinstance(unit, ConvolutionUnit):
        index = np.arange(unit.features.shape[1] if reads else unit.outputs_of_all)
    elif isinstance(unit, MatrixUnit) and (reads or unit.pick is not None):
        # Which index of the weight each row or column of the matrix is.
        size = [-1 if d == part.dim else 1 for d in range(weight.ndim)]
        along = torch.arange(weight.shape[part.dim]).view(size).expand(weight.shape).contiguous()
        if not weight.is_contiguous():
            return None
        matrix = unit.view(along)
        index = (matrix[0] if reads else matrix[:, 0]).numpy()
        if len(index) > 1 and index[0] == index[1] == index[-1]:
            return None
    else:
        return None
    owner = np.full(max(int(index.max(initial=0)), int(part.indices.max(initial=0))) + 1, -1)
    owner[part.indices] = part.structures
    owners = owner[index]
    columns = [np.flatnonzero(owners == number) for number in left]
    each = len(columns[0]) if columns else 0
    if not each or any(len(some) != each for some in columns):
        return None
    return torch.from_numpy(np.stack(columns))


def _values_of(
    product: WeightProduct, source: ResponseSource, watch: ResponseWatch, batch: int, steps_first: bool
) -> tuple[Tensor, tuple[int, ...]] | None:
    """([N, n, each, P] values of a set in a product, sizes of the space); None where rows are of no samples."""
    unit, columns = product.units[0], source.columns
    space: tuple[int, ...] = ()
    if isinstance(unit, ConvolutionUnit):
        given = unit.features if source.reads else cast("Tensor", product.result)
        if len(given) % batch:
            return None
        space = tuple(int(n) for n in given.shape[2:]) if len(given) == batch else ()
        found = given[:, columns.to(given.device)].flatten(2)
        if len(given) != batch:
            found = found.reshape(batch, -1, *found.shape[1:]).transpose(1, 2).flatten(2)
    else:
        assert isinstance(unit, MatrixUnit)
        given = unit.features if source.reads or unit.pick is None else unit.pick(product.result)
        pooled = watch.before_pooling(given) if source.reads and len(given) == batch else None
        if pooled is not None:
            found = pooled[:, columns.to(given.device)]
        elif not len(given) or len(given) % batch:
            return None
        elif steps_first or product.steps:
            found = given[:, columns.to(given.device)].reshape(-1, batch, len(columns)).permute(1, 2, 0)
        else:
            found = given[:, columns.to(given.device)].reshape(batch, -1, len(columns)).transpose(1, 2)
    found = found.reshape(batch, -1, source.each, found.shape[-1])
    if source.each > 1 and source.kind in SEVERAL and found.shape[-1] == 1:
        found = found.transpose(2, 3)
    return found, space


def require_finite(x: Tensor, name: str) -> None:
    """Refuse values of what a weight reads that are NaN or infinite."""
    if not bool(x.sum().isfinite()):
        template = "What {layer} reads contains NaN or infinity. Check the weights and the preprocessing."
        raise TaskError("inspection.nan", template, layer=name)


def is_same(x: Tensor, alone: Tensor) -> bool:
    """Whether a sample's values in a batch are those that it has alone, padding aside."""
    if x.shape != alone.shape:
        return False
    size = float(alone.abs().max()) if alone.numel() else 0.0
    return bool(torch.allclose(x.float(), alone.float(), rtol=ALIKE, atol=ALIKE * size, equal_nan=True))


def no_single_samples(name: str) -> TaskError:
    """What is said of a weight that reads no values of single samples."""
    template = (
        "What {layer} reads cannot be divided into samples: it mixes them, or gives each a share. Select another layer."
    )
    return TaskError("inspection.mixed", template, layer=name)
