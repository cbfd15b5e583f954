"""Finds the products of a cut model that lost inputs, and what of their inputs and outputs is left. Loads torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..structures.transition import KeptIndices
from ..tracing.weight_products import ProductUnit, WeightProduct

ALIKE = 1e-5
"""Relative difference below which a weight counts as a slice of the original's."""


@dataclass(frozen=True, slots=True)
class ConsumerUnit:
    """A product of the original that lost some of its inputs in the student: n inputs, m of them left, r outputs left.

    Attributes:
        place: Its number among the units of the product in the original.
        own: Its number among those of the student's, which has fewer groups or experts.
        left: [m] inputs that are left.
        rows: [r] outputs that are left.
        inputs: N.
    """

    place: int
    own: int
    left: Tensor
    rows: Tensor
    inputs: int


def kept_elements(kept: KeptIndices, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each weight that is smaller in the student: which elements of the original's are left, laid out as it is."""
    found: dict[str, Tensor] = {}
    for name, dims in kept.items():
        weight = weights.get(name)
        if dims is None or weight is None or weight.ndim < 2:
            continue
        flags = torch.ones((), dtype=torch.bool)
        for dim, (indices, size) in enumerate(zip(dims, weight.shape, strict=True)):
            one = torch.zeros(size, dtype=torch.bool)
            one[slice(None) if indices is None else torch.from_numpy(indices)] = True
            flags = flags.unsqueeze(-1) & one.view((1,) * dim + (size,))
        found[name] = torch.empty_strided(weight.shape, weight.stride(), dtype=torch.bool).copy_(flags)
    return found


def units_of(product: WeightProduct, elements: Tensor) -> list[ConsumerUnit]:
    """The units of a product that lost inputs; those that lost everything are gone in the student."""
    found: list[ConsumerUnit] = []
    own = 0
    for place, unit in enumerate(product.units):
        flags = unit.view(elements).flatten(1)
        if not flags.any():
            continue
        columns, rows = flags.any(0), flags.any(1)
        if not columns.all():
            left, stay = torch.nonzero(columns).flatten(), torch.nonzero(rows).flatten()
            found.append(ConsumerUnit(place, own, left, stay, len(columns)))
        own += 1
    return found


def factor_of(own: ProductUnit, weight: Tensor, unit: ConsumerUnit, full: Tensor) -> Tensor | None:
    """[r] what a repair of the cut multiplied each output with; None where the student's weight is no slice any more.

    Args:
        own: The student's product.
        weight: The student's weight.
        unit: What is left of the original's.
        full: [m, k] of the original's product.
    """
    held = own.view(weight.detach()).flatten(1).cpu().double()
    sliced = full.cpu().double()[unit.rows][:, unit.left]
    if held.shape != sliced.shape:
        return None
    size = sliced.square().sum(1)
    factor = torch.where(size > 0, (held * sliced).sum(1) / size.clamp_min(1e-300), torch.ones_like(size))
    close = torch.finfo(weight.dtype).eps if weight.dtype.itemsize < 4 else ALIKE
    if bool((held - factor[:, None] * sliced).abs().max() > close * sliced.abs().max()):
        return None
    return factor
