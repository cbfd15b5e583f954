"""The order in which structures leave the products that read them, weights adjusted after each removal. Loads torch.

For a product W x with second moments G of its inputs, taking the columns W_g of a structure away and adjusting all
others costs tr(W_g [G^-1]_gg^-1 W_g^T) in squared error of its output; W and G^-1 after it are

    W    - W_g [G^-1]_gg^-1 [G^-1]_g:         G^-1 - [G^-1]_:g [G^-1]_gg^-1 [G^-1]_g:

(Optimal Brain Surgeon; of structures: Kurtic et al. 2023, ZipLM). A coupled set is read by several products: their
relative errors add up, and one order serves them all. Products that read the same inputs have one G, and are one with
their weights, each over the root of its output's mean square, below each other.

Errors sum over outputs, so a W with more outputs than inputs is replaced by the R of W = Q R. What is left of W itself
is W G_:S [G_SS]^-1, and the last factor is the inverse that is kept up to date anyway.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .input_moments import WIDE

LINALG: Any = torch.linalg

FRACTION = 32
"""One over the share of what is left that goes in a step; within a step errors are exact, the choice is not."""
RIDGE = 1e-3
"""Added to the mean square of the inputs, as a share of it."""
ROWS = 8192
"""Outputs of a product to factorise or to multiply at a time."""


@dataclass(slots=True)
class Consumer:
    """Products that read a coupled set, and the same inputs, as they stand after the removals so far.

    Attributes:
        originals: [m, width] the products' own weights.
        scales: Roots of the mean squares of their whole outputs, what errors are relative to.
        moments: [width, width] second moments of the inputs, ridge included.
        weight: [r, k] the scaled weights below each other or their R, adjusted to the columns left, in any order.
        inverse: [k, k] of the second moments of what is left, likewise.
        places: [k] the column of the products' own weights that each one is.
        where: [width] the other way round, of those that are left.
        columns: [S, b] the columns of the products' own weights that each structure owns.
    """

    originals: Sequence[Tensor]
    scales: Sequence[float]
    moments: Tensor
    weight: Tensor
    inverse: Tensor
    places: Tensor
    where: Tensor
    columns: Tensor

    def full_weights(self) -> list[Tensor]:
        """[m, width] the weights as the products hold them, adjusted to what is left."""
        found = [torch.zeros_like(one) for one in self.originals]
        if len(self.weight) == sum(map(len, self.originals)):
            first = 0
            for full, scale in zip(found, self.scales, strict=True):
                full[:, self.places] = (self.weight[first : first + len(full)] * scale).to(full)
                first += len(full)
            return found
        rest = self.moments[:, self.places] @ self.inverse
        for full, one in zip(found, self.originals, strict=True):
            factor = rest.to(torch.promote_types(one.dtype, torch.float32))
            for own, rows in zip(torch.split(full, ROWS), torch.split(one, ROWS), strict=True):
                own[:, self.places] = (rows.to(factor) @ factor).to(own)
        return found

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

    def removal_costs(self, left: Tensor) -> Tensor:
        """[n] relative squared error that each of some structures would add if it alone left."""
        columns = self.where[self.columns[left]]
        blocks = self.inverse[columns[:, :, None], columns[:, None, :]]
        found: Tensor = LINALG.cholesky_ex(blocks)[0]
        solved: Tensor = LINALG.solve_triangular(found, self.weight[:, columns].permute(1, 2, 0), upper=False)
        return solved.square().sum((1, 2)).double()

    def remove(self, going: Tensor) -> Tensor:
        """[n] relative squared error that each adds when they leave in this order; the others are adjusted."""
        columns = self.where[self.columns[going]].flatten()
        factor: Tensor = LINALG.cholesky_ex(self.inverse[columns][:, columns])[0]
        solved: Tensor = LINALG.solve_triangular(factor, self.weight[:, columns].T, upper=False)
        rows: Tensor = LINALG.solve_triangular(factor, self.inverse[columns], upper=False)
        to, moved = self.drop(columns)
        rows[:, to] = rows[:, moved]
        rows = rows[:, : len(self.places)]
        self.weight.addmm_(solved.T, rows, alpha=-1)
        self.inverse.addmm_(rows.T, rows, alpha=-1)
        return solved.square().sum(1).view(len(going), -1).sum(1).double()


def consumer(weights: Sequence[Tensor], moments: Tensor, columns: Tensor) -> Consumer:
    """Products before any removal.

    Args:
        weights: [m, k] of each product; all read the same inputs.
        moments: [k, k] mean products of the inputs, of centred ones where a bias can hold the mean.
        columns: [S, b] the columns that each structure owns.
    """
    moments, factor = add_ridge(moments)
    originals, kind = [one.detach() for one in weights], moments.dtype
    parts = [_reduce_rows(one, kind) for one in originals]
    scales = [float(LINALG.norm(one @ factor)) or 1.0 for one in parts]
    weight = _reduce_rows(torch.cat([one / scale for one, scale in zip(parts, scales, strict=True)]), kind)
    places = torch.arange(len(moments), device=moments.device)
    inverse = torch.cholesky_inverse(factor)
    return Consumer(originals, scales, moments, weight, inverse, places, places.clone(), columns)


def add_ridge(moments: Tensor) -> tuple[Tensor, Tensor]:
    """[k, k] moments with a ridge, in the precision that they ask for, and their Cholesky factor."""
    moments = moments.to(torch.float64 if len(moments) <= WIDE else torch.float32, copy=True)
    ridge = RIDGE * float(moments.diagonal().mean().clamp_min(1e-12))
    moments.diagonal().add_(ridge)
    factor, failed = LINALG.cholesky_ex(moments)
    # Inputs that hardly vary leave little but rounding, which a larger ridge outweighs.
    while failed:
        moments.diagonal().add_(9 * ridge)
        ridge *= 10
        factor, failed = LINALG.cholesky_ex(moments)
    return moments, factor


def refit(weights: Sequence[Tensor], moments: Tensor, gone: Tensor) -> list[Tensor]:
    """[m, k] weights that come nearest to the original products without some of their inputs, 0 at these.

    W G_:S [G_SS]^-1, S what is left: what `removal_order` leaves, whatever the order was.

    Args:
        weights: [m, k] of each product; all read the same inputs.
        moments: [k, k] of the inputs, `ridged`.
        gone: [g] columns.
    """
    left = torch.ones(len(moments), dtype=torch.bool, device=moments.device)
    left[gone] = False
    read = moments[:, left]
    factor = LINALG.cholesky_ex(read[left])[0]
    found = [torch.zeros_like(one) for one in weights]
    for full, one in zip(found, weights, strict=True):
        full[:, left] = torch.cholesky_solve((one.to(read) @ read).T, factor).T.to(full)
    return found


def shifted_bias(bias: Tensor, weight: Tensor, other: Tensor, mean: Tensor) -> Tensor:
    """[m] a bias that holds the mean of what a product gives less with another weight.

    Args:
        bias: [m] what is added to the product.
        weight: [m, k] its own.
        other: [m, k] the one that takes its place.
        mean: [k] of its inputs.
    """
    return bias + ((weight.to(mean) - other.to(mean)) @ mean).to(bias)


def _reduce_rows(weight: Tensor, kind: torch.dtype) -> Tensor:
    """[r, k] in another type, the R of a weight [m, k] with more outputs than inputs; few rows are copied at a time."""
    if len(weight) <= weight.shape[1]:
        return weight.to(kind)
    found = weight[:0].to(kind)
    for rows in torch.split(weight, max(ROWS, weight.shape[1])):
        found = LINALG.qr(torch.cat([found, rows.to(kind)]), mode="r").R
    return found


Reached: TypeAlias = Callable[[list[int], list[Tensor]], None]
"""Gets the structures that have left, and the weight [m, k] of each product, by consumers, without them."""


def removal_order(
    consumers: Sequence[Consumer],
    count: int,
    levels: Sequence[int] = (),
    reached: Reached | None = None,
    more: Tensor | None = None,
) -> tuple[list[int], list[float]]:
    """Take all structures of a set away, the cheapest ones first; the consumers are changed.

    Args:
        consumers: The products that read the set, at least one; all on one device.
        count: S, structures in the set.
        levels: Counts of removals after which `reached` is called: weights of one level live at a time.
        reached: See there.
        more: [S] error that each adds in other ways; None for none.

    Returns:
        [S] their numbers in the set in the order in which they leave, and [S] what each adds to the sum of the
        products' relative squared errors.
    """
    left = torch.arange(count, device=consumers[0].weight.device)
    order, errors = list[int](), list[float]()
    while len(left):
        costs = torch.stack([one.removal_costs(left) for one in consumers]).sum(0)
        costs = costs if more is None else costs + more[left]
        ahead = [level - len(order) for level in levels if level > len(order)]
        size = min(max(1, len(left) // FRACTION), *ahead, len(left))
        going = left[costs.argsort(stable=True)[:size]]
        added = torch.stack([one.remove(going) for one in consumers]).sum(0)
        errors += (added if more is None else added + more[going]).tolist()
        order += going.tolist()
        left = left[~torch.isin(left, going)]
        if reached is not None and len(order) in levels:
            reached(order, [full for one in consumers for full in one.full_weights()])
    return order, errors
