"""Exact parameters and multiply-accumulates of any plan, in all and by layer, from the analysis alone. No torch.

Multiply-accumulates are half of what `FlopCounterMode` counts for a forward with attention as plain products. What it
does not count is added by these formulas:

    recurrent layer as one operator   T N G H (I + H)            steps, samples, gates (LSTM 4), units, features
    deformable convolution            N H W O (C / groups) k k   as a plain one; not the moving of the samples
    bilinear                          N O I J                    each weight once a row
    experts' rows by their own stack  R K M                      each row by one [K, M]
    attention as one kernel           N H L S (E + F)            both products, the masked places too
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .analysis import Analysis, Kind, Mask


@dataclass(frozen=True, slots=True)
class Costs:
    """What a model costs.

    Attributes:
        parameters: Number of parameters (tied ones once).
        macs: Multiply-accumulates of one sample of the example's shape.
        tensor_sizes: [T] elements of each tensor.
        operator_macs: [O] multiply-accumulates of each operator.
    """

    parameters: int
    macs: int
    tensor_sizes: NDArray[np.int64]
    operator_macs: NDArray[np.int64]


def costs(analysis: Analysis, removed: Mask | None = None) -> Costs:
    """Parameters and MACs of the model without the removed structures."""
    removed = analysis.empty() if removed is None else removed
    kept = kept_sizes(analysis, removed)
    sizes = np.empty(len(analysis.tensors), dtype=np.int64)
    for number, tensor in enumerate(analysis.tensors):
        size = 1
        for length, axis in zip(tensor.shape, tensor.axes, strict=True):
            size *= length if axis < 0 else int(kept[axis])
        sizes[number] = size
    gone = analysis.block_tensor[removed[analysis.block_tensor[:, 0]], 1]
    sizes[gone] = 0
    macs = operator_macs(analysis, removed, kept)
    is_parameter = np.array([t.parameter for t in analysis.tensors], dtype=np.bool_)
    return Costs(int(sizes[is_parameter].sum()), int(macs.sum()), sizes, macs)


def operator_macs(analysis: Analysis, removed: Mask, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """[O] MACs of each operator without the removed structures, with so many positions `kept` by each axis."""
    operators = analysis.operators
    factors = np.where(operators.axes < 0, 1, kept[operators.axes])
    macs = operators.constant * factors.prod(axis=1)
    macs[analysis.block_operator[removed[analysis.block_operator[:, 0]], 1]] = 0
    return macs


def kept_sizes(analysis: Analysis, removed: Mask) -> NDArray[np.int64]:
    """[A + 1] how many positions each axis keeps; one more entry (1) so that -1 indexes something harmless."""
    return _lengths(analysis, analysis.removed_positions(removed))


def _lengths(analysis: Analysis, gone: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The same where so many positions [P] are gone."""
    sums = np.concatenate([[0], np.cumsum(~gone)])
    kept = sums[analysis.axis_start[1:]] - sums[analysis.axis_start[:-1]]
    return np.concatenate([kept, [1]]).astype(np.int64)


def marginal(analysis: Analysis, removed: Mask, structures: NDArray[np.int64] | list[int] | slice) -> tuple[int, int]:
    """(parameters, MACs) that go when these structures go too, on top of what is removed already."""
    after = removed.copy()
    after[structures] = True
    before_costs, after_costs = costs(analysis, removed), costs(analysis, after)
    return before_costs.parameters - after_costs.parameters, before_costs.macs - after_costs.macs


class StructureMacs:
    """MACs that go with each single structure and all that is coupled to it, on top of what is gone already.

    Attributes:
        total: Of what is left.
        kept: [A + 1] positions that each axis keeps, as `kept_sizes` counts them.
    """

    def __init__(self, analysis: Analysis, gone: Mask) -> None:
        """Count on top of the structures that are `gone` [S]."""
        self._analysis, self._gone = analysis, gone.copy()
        self._positions = analysis.removed_positions(gone)
        self.kept = _lengths(analysis, self._positions)
        self._found: dict[int, NDArray[np.int64]] = {}
        self.total = int(operator_macs(analysis, gone, self.kept).sum())

    def of_set(self, number: int) -> NDArray[np.int64]:
        """[n] MACs that go with each structure of a coupled set, exact; 0 where it is gone."""
        if number not in self._found:
            self._found[number] = self._count(number)
        return self._found[number]

    def _count(self, number: int) -> NDArray[np.int64]:
        analysis = self._analysis
        one = analysis.sets[number]
        start = analysis.member_start[one.first : one.first + one.count + 1]
        positions = analysis.member_position[start[0] : start[-1]]
        owners = np.repeat(np.arange(one.count), np.diff(start))
        stays = ~self._positions[positions]
        # Structures that take as many positions of the same axes with them take the same MACs: these are counted once.
        places = np.searchsorted(analysis.axis_start, positions[stays], side="right") - 1
        axes, local = np.unique(places, return_inverse=True)
        cells = owners[stays] * max(len(axes), 1) + local
        taken = np.bincount(cells, minlength=one.count * max(len(axes), 1)).reshape(one.count, -1)
        if one.kind is Kind.BLOCK:
            # A block takes operators with it, too: each its own.
            taken = np.column_stack([taken, np.arange(one.count)])
        _, firsts, same = np.unique(taken, axis=0, return_index=True, return_inverse=True)
        macs = np.zeros(len(firsts), np.int64)
        for place, first in enumerate(firsts.tolist()):
            kept, structure = self.kept.copy(), one.first + first
            kept[axes] -= taken[first, : len(axes)]
            before, self._gone[structure] = bool(self._gone[structure]), True
            macs[place] = self.total - int(operator_macs(analysis, self._gone, kept).sum())
            self._gone[structure] = before
        return np.where(self._gone[one.structures], 0, macs[same.ravel()])


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A module that has parameters or computes.

    Attributes:
        path: Of the module, "" for the model itself.
        type_name: Its class.
        shapes: Of its parameters, by their names in it.
        parameters: How many numbers they hold, tied ones counted once.
        macs: Multiply-accumulates of what it calls itself, for one sample.
    """

    path: str
    type_name: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class ModelLayers:
    """A model by its layers.

    Attributes:
        name: For a person.
        inputs: Shapes of the example inputs that MACs are counted for.
        rows: In the order of the model.
        parameters: Of the whole model.
        macs: Of the whole model, for one sample.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    rows: tuple[LayerRow, ...]
    parameters: int
    macs: int


def layers_of(analysis: Analysis, removed: Mask | None = None) -> ModelLayers:
    """The layers of an analysed model; of what is left of it, where some structures are `removed` [S]."""
    gone = analysis.empty() if removed is None else removed
    spent, sizes = costs(analysis, gone), kept_sizes(analysis, gone)
    paths = [module.path for module in analysis.modules]
    place = {path: number for number, path in enumerate(paths)}
    shapes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in paths]
    parameters, macs = np.zeros(len(paths), np.int64), np.zeros(len(paths), np.int64)
    for tensor, size in zip(analysis.tensors, spent.tensor_sizes.tolist(), strict=True):
        if tensor.parameter and size and tensor.module in place:
            at = place[tensor.module]
            kept = (
                int(sizes[axis]) if axis >= 0 else whole for axis, whole in zip(tensor.axes, tensor.shape, strict=True)
            )
            shapes[at].append((tensor.name.removeprefix(f"{tensor.module}."), tuple(kept)))
            parameters[at] += size
    for path, count in zip(analysis.operators.module, spent.operator_macs.tolist(), strict=True):
        if path in place:
            macs[place[path]] += count
    rows = (
        LayerRow(module.path, module.type_name, tuple(shapes[at]), int(parameters[at]), int(macs[at]))
        for at, module in enumerate(analysis.modules)
        if parameters[at] or macs[at]
    )
    return ModelLayers(analysis.model, analysis.input_shapes, tuple(rows), spent.parameters, spent.macs)
