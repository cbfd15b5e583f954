"""The order in which structures leave the products that read them, weights adjusted after each removal. Loads torch.

For a product W x with second moments G of its inputs, taking the columns W_g of a structure away and adjusting all
others costs tr(W_g [G^-1]_gg^-1 W_g^T) in squared error of its output; W and G^-1 after it are

    W    - W_g [G^-1]_gg^-1 [G^-1]_g:         G^-1 - [G^-1]_:g [G^-1]_gg^-1 [G^-1]_g:

(Optimal Brain Surgeon; of structures: Kurtic et al. 2023, ZipLM). A coupled set is read by several products: their
relative errors add up, and one order serves them all.

Errors sum over outputs, so a W with more outputs than inputs is replaced by the R of W = Q R. What is left of W itself
is W G_:S [G_SS]^-1, and the last factor is the inverse that is kept up to date anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LINALG: Any = torch.linalg

FRACTION = 32
"""One over the share of what is left that goes in a step; within a step errors are exact, the choice is not."""
RIDGE = 1e-3
"""Added to the mean square of the inputs, as a share of it."""
WIDE = 2048
"""Inputs of a product from which on single precision does."""


@dataclass(slots=True)
class Consumer:
    """A product that reads a coupled set, as it stands after the removals so far.

    Attributes:
        original: [m, width] the product's own weight.
        moments: [width, width] second moments of its inputs, ridge included.
        weight: [r, k] W or R, adjusted to the columns that are left, in any order.
        inverse: [k, k] of the second moments of what is left, likewise.
        places: [k] the column of the product's own weight that each one is.
        where: [width] the other way round, of those that are left.
        columns: [S, b] the columns of the product's own weight that each structure owns.
        energy: Mean square of the whole output, what errors are relative to.
    """

    original: Tensor
    moments: Tensor
    weight: Tensor
    inverse: Tensor
    places: Tensor
    where: Tensor
    columns: Tensor
    energy: float

    def full_weight(self) -> Tensor:
        """[m, width] the weight as the product holds it, adjusted to what is left."""
        full = torch.zeros_like(self.original)
        if len(self.weight) == len(self.original):
            full[:, self.places] = self.weight.to(full)
        else:
            full[:, self.places] = self.original @ (self.moments[:, self.places] @ self.inverse).to(full)
        return full

    def drop(self, going: Tensor) -> tuple[Tensor, Tensor]:
        """Take [g] columns away as they are: the last of those that are left move to their places.

        Returns:
            [h] where they moved to, and [h] where they came from.
        """
        gone = torch.zeros(len(self.places), dtype=torch.bool, device=going.device)
        gone[going], size = True, len(gone) - len(going)
        to, moved = gone[:size].nonzero().flatten(), size + (~gone[size:]).nonzero().flatten()
        self.weight[:, to] = self.weight[:, moved]
        self.inverse[to] = self.inverse[moved]
        self.inverse[:, to] = self.inverse[:, moved]
        self.places[to] = self.places[moved]
        self.weight, self.inverse = self.weight[:, :size], self.inverse[:size, :size]
        self.places = self.places[:size]
        self.where[self.places[to]] = to
        return to, moved


@dataclass(frozen=True, slots=True)
class Removal:
    """Structures in the order in which they leave.

    Attributes:
        order: [S] their numbers in the set.
        errors: [S] what each adds to the sum of the products' relative squared errors.
        weights: For each count asked for, the weight [m, k] of each product after so many removals.
    """

    order: list[int]
    errors: list[float]
    weights: dict[int, list[Tensor]]


def consumer(weight: Tensor, moments: Tensor, columns: Tensor) -> Consumer:
    """A product before any removal.

    Args:
        weight: [m, k].
        moments: [k, k] mean products of the inputs, of centred ones where a bias can hold the mean.
        columns: [S, b] the columns that each structure owns.
    """
    kind = torch.float64 if len(moments) <= WIDE else torch.float32
    original, moments = weight.detach(), moments.to(kind).clone()
    rows = original.to(kind)
    weight = LINALG.qr(rows, mode="r").R if len(rows) > len(moments) else rows.clone()
    ridge = RIDGE * float(moments.diagonal().mean().clamp_min(1e-12))
    moments.diagonal().add_(ridge)
    factor, failed = LINALG.cholesky_ex(moments)
    while failed:  # inputs that hardly vary: what is left of them is rounding
        moments.diagonal().add_(9 * ridge)
        ridge *= 10
        factor, failed = LINALG.cholesky_ex(moments)
    energy = float(((weight @ moments) * weight).sum())
    places = torch.arange(len(moments), device=moments.device)
    inverse = torch.cholesky_inverse(factor)
    return Consumer(original, moments, weight, inverse, places, places.clone(), columns, energy or 1.0)


def removal_order(consumers: Sequence[Consumer], count: int, levels: Sequence[int] = ()) -> Removal:
    """Take all structures of a set away, the cheapest ones first; the consumers are changed.

    Args:
        consumers: The products that read the set, at least one; all on one device.
        count: S, structures in the set.
        levels: Counts of removals after which the weights are asked for.
    """
    left = torch.arange(count, device=consumers[0].weight.device)
    order, errors = list[int](), list[float]()
    weights: dict[int, list[Tensor]] = {}
    while len(left):
        costs = torch.stack([_costs(one, left) for one in consumers]).sum(0)
        ahead = [level - len(order) for level in levels if level > len(order)]
        size = min(max(1, len(left) // FRACTION), *ahead, len(left))
        going = left[costs.argsort(stable=True)[:size]]
        errors += torch.stack([_remove(one, going) for one in consumers]).sum(0).tolist()
        order += going.tolist()
        left = left[~torch.isin(left, going)]
        if len(order) in levels:
            weights[len(order)] = [one.full_weight() for one in consumers]
    return Removal(order, errors, weights)


def _costs(one: Consumer, left: Tensor) -> Tensor:
    """[n] relative squared error that each of some structures would add if it alone left."""
    columns = one.where[one.columns[left]]
    blocks = one.inverse[columns[:, :, None], columns[:, None, :]]
    found: Tensor = LINALG.cholesky_ex(blocks)[0]
    solved: Tensor = LINALG.solve_triangular(found, one.weight[:, columns].permute(1, 2, 0), upper=False)
    return solved.square().sum((1, 2)).double() / one.energy


def _remove(one: Consumer, going: Tensor) -> Tensor:
    """[n] relative squared error that each adds when they leave in this order; the others are adjusted."""
    columns = one.where[one.columns[going]].flatten()
    factor: Tensor = LINALG.cholesky_ex(one.inverse[columns][:, columns])[0]
    solved: Tensor = LINALG.solve_triangular(factor, one.weight[:, columns].T, upper=False)
    rows: Tensor = LINALG.solve_triangular(factor, one.inverse[columns], upper=False)
    to, moved = one.drop(columns)
    rows[:, to] = rows[:, moved]
    rows = rows[:, : len(one.places)]
    one.weight.addmm_(solved.T, rows, alpha=-1)
    one.inverse.addmm_(rows.T, rows, alpha=-1)
    added = solved.square().sum(1).view(len(going), -1).sum(1).double()
    return added / one.energy
