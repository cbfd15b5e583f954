"""Structures that norms go over: what else their removal changes than the products that read them.

A layer norm divides by the root of the mean square of all channels. Where a large channel goes, all others become
larger in every norm, and no weight that reads them can make up for that: a few channels of language models are a
hundred times as large as the rest (Dettmers et al. 2022, LLM.int8()).
"""

import math
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis
from .output_distance import Written
from .protocol import RatedModel
from .weight_slices import WeightSlice, axis_slices

NORM = re.compile(r"^(?!.*(Batch|Instance)).*Norm")
"""Classes of norms that go over the channels of a sample."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NormedSet:
    """A coupled set that norms go over.

    Attributes:
        first: Number of its first structure.
        count: How many it has.
        slices: All that its structures own in parameters and that no product reads.
        scales: Names of the scales of its norms among them.
        parameters: Name -> the parameter, of each slice.
    """

    first: int
    count: int
    slices: list[WeightSlice]
    scales: set[str]
    parameters: dict[str, Any]

    @property
    def changed(self) -> set[str]:
        """Names of the parameters in which it has something."""
        return set(self.parameters)

    def without(self, gone: NDArray[np.int64]) -> list[Written]:
        """Parameters, and their numbers with zeros for structures that are gone: norms see what they are without them.

        Norms of the cut model take means over the channels that it has, those of the silenced one over all; scales make
        up for that.
        """
        import torch

        weights = {name: one.detach().clone() for name, one in self.parameters.items()}
        for part in self.slices:
            weight, indices = weights[part.tensor], part.indices[np.isin(part.structures, gone)]
            if part.tensor in self.scales:
                weight *= math.sqrt(1 - len(indices) / part.size)
            weight.index_fill_(part.dim, torch.from_numpy(indices).to(weight.device), 0.0)
        return [(self.parameters[name].detach(), weight) for name, weight in weights.items()]


def norm_modules(analysis: Analysis) -> set[str]:
    """Paths of norms that go over the channels of a sample: their parameters are vectors."""
    named = {one.path for one in analysis.modules if NORM.search(one.type_name)}
    return named - {one.module for one in analysis.tensors if one.parameter and len(one.shape) != 1}


def normed_sets(rated: RatedModel, readings: Mapping[str, Sequence[WeightSlice]]) -> dict[str, NormedSet]:
    """The sets with readers that a norm goes over, by their keys."""
    analysis, norms = rated.analysis, norm_modules(rated.analysis)
    tensors = {t: one for t, one in enumerate(analysis.tensors) if one.parameter}
    scales = {one.name for one in tensors.values() if one.module in norms and one.name.endswith("weight")}
    slices = axis_slices(analysis, rated.kept, set(tensors)).slices
    found = dict[str, NormedSet]()
    for one in analysis.sets:
        if one.key not in readings or not any(analysis.tensors[t].module in norms for t, _ in one.touches):
            continue
        read, owned = {(part.tensor, part.dim) for part in readings[one.key]}, list[WeightSlice]()
        for part in slices:
            own = (part.structures >= one.first) & (part.structures < one.first + one.count)
            if own.any() and (part.tensor, part.dim) not in read and part.tensor in rated.parameters:
                owned.append(replace(part, structures=part.structures[own], indices=part.indices[own]))
        parameters = {part.tensor: rated.parameters[part.tensor] for part in owned}
        found[one.key] = NormedSet(one.first, one.count, owned, scales & parameters.keys(), parameters)
    return found


@contextmanager
def norm_shifts(rated: RatedModel, normed: Mapping[str, NormedSet]) -> Generator[dict[str, Floats]]:
    """Watch norms while the model runs inside; afterwards the result has what each structure's removal changes.

    For each set: [n] the mean relative squared change of a norm's outputs without a structure. Without channel c, whose
    share of the squares in a row is r, the others become 1 / sqrt(1 - r) times as large.
    """
    modules = {one.name: one.module for one in rated.analysis.tensors}
    found, handles = {key: list[Floats]() for key in normed}, list[Any]()
    shifts = dict[str, Floats]()

    def watch(key: str, part: WeightSlice) -> Any:
        """A hook for the norm whose scale has these slices of a set."""

        def add_changes(_module: Any, given: Collection[Any], named: Mapping[str, Any]) -> None:
            """Add what the norm's outputs change by without each structure."""
            value, one = next(iter([*given, *named.values()]), None), normed[key]
            shape = getattr(value, "shape", ())
            dim = next((d for d in (len(shape) - 1, 1) if 0 < d < len(shape) and shape[d] == part.size), None)
            if value is None or dim is None:
                return
            squares = value.detach().movedim(dim, -1).reshape(-1, part.size).double().square()
            share = squares / squares.sum(1, keepdim=True).clamp_min(1e-300)
            change = ((1 - share).clamp_min(1e-6).rsqrt() - 1).square().mean(0).cpu().numpy()
            each = np.zeros(one.count)
            np.add.at(each, part.structures - one.first, change[part.indices])
            found[key].append(each)

        return add_changes

    try:
        for key, one in normed.items():
            for part in one.slices:
                if part.tensor in one.scales:
                    module = rated.model.get_submodule(modules[part.tensor])
                    handles.append(module.register_forward_pre_hook(watch(key, part), with_kwargs=True))
        yield shifts
    finally:
        for handle in handles:
            handle.remove()
    shifts |= {key: np.mean(each, 0) for key, each in found.items() if each}
