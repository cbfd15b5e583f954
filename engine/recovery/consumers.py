"""Products of a cut model that lost inputs: what is left of them, what is seen of them, and their repair. Loads torch.

The formulas are in the docstring of `least_squares.py`, which says which products are repaired and in which order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import Message
from ..machine.devices import wide_device
from ..scoring.input_moments import WIDE, add_products, whole_products
from ..structures.transition import KeptIndices
from ..tracing.weight_products import ProductUnit, WeightProduct, drawn_rows
from .results import NO_BIAS, NO_DATA, NO_GAIN, NO_NUMBERS, TOO_FEW, TRAINED

LINALG: Any = torch.linalg
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates, as shares of the mean square of the inputs."""
CONSTANT = 1e-6
"""Inputs whose variance is below this share of their mean square differ by rounding alone."""
HELD_OUT = 4
"""One row in so many is held out to choose the ridge by."""
COMPARED, CORRELATED = 512, 0.2
"""Rows that show whether those of both models belong together, and the correlation from which on they do."""
AT_ONCE = 1 << 26
"""Numbers of a product's input rows to hold at a time."""
ALIKE = 1e-5
"""Relative difference below which a weight counts as a slice of the original's."""


@dataclass(frozen=True, slots=True)
class ConsumerUnit:
    """A product of the original that lost some of its inputs in the student: m of them are left, and r outputs.

    Attributes:
        place: Its number among the units of the product in the original.
        own: Its number among those of the student's, which has fewer groups or experts.
        left: [m] inputs that are left.
        rows: [r] outputs that are left.
    """

    place: int
    own: int
    left: Tensor
    rows: Tensor


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
            found.append(ConsumerUnit(place, own, left, stay))
        own += 1
    return found


def factor_of(own: ProductUnit, weight: Tensor, unit: ConsumerUnit, full: Tensor) -> Tensor | None:
    """[r] what a repair of the cut multiplied each output by; None where the student's weight is no slice any more.

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


@dataclass(slots=True)
class Moments:
    """Sums over rows of V and Y, and of their products: of V - o, so that float32 holds what varies about a mean.

    Attributes:
        origin: [m] o; None before the first rows.
        rows: How many.
        given: [m] of V.
        wanted: [r] of Y.
        squares: [m, m] (V - o)^T (V - o), on and below the diagonal.
        cross: [m, r] (V - o)^T Y.
    """

    origin: Tensor | None = None
    rows: int = 0
    given: Any = 0.0
    wanted: Any = 0.0
    squares: Any = 0.0
    cross: Any = 0.0

    def add(self, given: Tensor, wanted: Tensor, products: bool) -> None:
        """Take in rows of V [n, m] and Y [n, r]."""
        self.rows += len(given)
        self.given = self.given + given.sum(0, dtype=torch.float64)
        self.wanted = self.wanted + wanted.sum(0, dtype=torch.float64)
        if products:
            assert self.origin is not None
            if not isinstance(self.squares, Tensor):
                self.squares = given.new_zeros(given.shape[1], given.shape[1])
            moved = given - self.origin
            add_products(self.squares, moved)
            self.cross = self.cross + moved.T @ wanted

    def __add__(self, other: "Moments") -> "Moments":
        """All rows of both, which have the same origin."""
        names = ("rows", "given", "wanted", "squares", "cross")
        return Moments(self.origin, *(getattr(self, name) + getattr(other, name) for name in names))

    def residual(self, weight: Tensor, factor: Tensor, added: Tensor) -> "Residual":
        """What a plain cut misses: R = factor Y - V weight^T - added.

        Args:
            weight: [r, m] of the plain cut.
            factor: [r] what outputs are multiplied with.
            added: [r] what the student's operator adds more than the original's.
        """
        missing = factor * self.wanted - weight @ self.given - self.rows * added
        if self.origin is None or not isinstance(self.squares, Tensor):
            return Residual(self.rows, self.given, missing, None, None)
        origin = self.origin.double()
        moved = self.given - self.rows * origin
        squares = whole_products(self.squares, torch.float64).addr_(origin, self.given).addr_(moved, origin)
        cross = self.cross.double().addr_(origin, self.wanted) * factor
        cross -= squares @ weight.T + torch.outer(self.given, added)
        return Residual(self.rows, self.given, missing, squares, cross)


@dataclass(frozen=True, slots=True)
class Residual:
    """Sums over rows of V and of R, what the plain cut misses.

    Attributes:
        rows: How many.
        given: [m] of V.
        missing: [r] of R.
        squares: [m, m] V^T V; None where only biases are repaired.
        cross: [m, r] V^T R.
    """

    rows: int
    given: Tensor
    missing: Tensor
    squares: Tensor | None
    cross: Tensor | None

    def solve(self, ridge: float, centred: bool) -> tuple[Tensor, Tensor]:
        """([r, m] change of the weight, [r] change of the bias); an infinite ridge changes the bias alone."""
        mean, missing = self.given / self.rows, self.missing / self.rows
        if self.squares is None or self.cross is None or ridge == math.inf:
            return missing.new_zeros(len(missing), len(mean)), missing
        squares, cross = self.squares / self.rows, self.cross / self.rows
        least = float(CONSTANT * squares.diagonal().mean()) or CONSTANT
        if centred:
            squares.addr_(mean, mean, alpha=-1)
            cross.addr_(mean, missing, alpha=-1)
        squares.diagonal().add_(ridge * squares.diagonal().mean().clamp_min(least))
        change = _solve_normal(squares, cross).T
        return change, missing - change @ mean if centred else torch.zeros_like(missing)

    def gain(self, change: Tensor, shift: Tensor) -> float:
        """By how much the squared error, summed over rows and outputs, is smaller than the plain cut's."""
        found = 2 * shift @ self.missing - self.rows * shift @ shift
        if self.squares is not None and self.cross is not None and change.any():
            turned = change @ self.squares
            found += 2 * (change.T * self.cross).sum() - (turned * change).sum() - 2 * shift @ (change @ self.given)
        return float(found)


def _solve_normal(squares: Tensor, cross: Tensor) -> Tensor:
    """[m, r] the solution of normal equations, squares [m, m] with a ridge.

    Wide ones are factorised in single precision, which takes half of memory and time; what that rounds is solved for
    once more. Squares of which rounding has left no factor go through elimination, and held-out rows judge the result.
    """
    narrow = squares.float() if len(squares) > WIDE else squares
    factor, failed = LINALG.cholesky_ex(narrow)
    if failed:
        return LINALG.solve(squares, cross)
    found = torch.cholesky_solve(cross.to(factor), factor).to(cross)
    if narrow is not squares:
        found += torch.cholesky_solve((cross - squares @ found).to(factor), factor).to(cross)
    return found


@dataclass(slots=True)
class SplitMoments:
    """What was seen of a part of a weight, with the inputs of one model.

    Attributes:
        fit: Of the rows that a repair is solved on.
        held: Of the rows that the ridge is chosen on.
    """

    fit: Moments = field(default_factory=Moments)
    held: Moments = field(default_factory=Moments)

    def add(self, given: Tensor, wanted: Tensor, held: Tensor, products: bool) -> None:
        """Take in rows of V [n, m] and Y [n, r]; `held` [n] says which the ridge is chosen on."""
        if self.fit.origin is None and len(given):
            self.fit.origin = self.held.origin = given.mean(0)
        for moments, some in ((self.fit, ~held), (self.held, held)):
            if some.any():
                moments.add(given[some], wanted[some], products)


class Consumer:
    """A product that lost inputs (a layer, a group of one, an expert), and what was seen of it."""

    def __init__(self, unit: ConsumerUnit) -> None:
        """Take what is left of it; nothing was seen yet."""
        self.unit = unit
        self.sequential, self.independent = SplitMoments(), SplitMoments()
        self.random = torch.Generator().manual_seed(0)
        self.bad = self.looked = 0

    def look(
        self,
        product: WeightProduct,
        student: ProductUnit | None,
        share: int,
        products: bool,
        independent: bool,
        bias: Tensor | None,
    ) -> None:
        """Take in rows of a batch: of the bare product, whichever bias the operator adds.

        Args:
            product: The original's.
            student: The student's; None to take the inputs that are left of the original's, as where its rows have
                nothing to do with them.
            share: How many rows at most.
            products: Least squares need them.
            independent: Also with the inputs that are left of the original's.
            bias: The parameter of the original that its operator adds; None where it adds none, or something else.
        """
        teacher = product.units[self.unit.place]
        drawn = drawn_rows(teacher, share, self.random)
        if not len(drawn):
            return
        # The last rows of each batch are held out; of a batch that has too few of them, one in so many.
        held = drawn >= teacher.rows - teacher.rows // HELD_OUT
        if bool(held.all()) or not held.any():
            held = (torch.arange(len(drawn)) + self.looked) % HELD_OUT == HELD_OUT - 1
        # Columns of many rows of a wide convolution take more memory than its moments.
        size = max(AT_ONCE // max(len(self.unit.left), 1), COMPARED)
        bare = product.adds and bias is None
        for rows, part in zip(torch.split(drawn, size), torch.split(held, size), strict=True):
            some = part
            wanted = teacher.product(rows) if bare else teacher.outputs(product.result, rows)
            wide = wide_device(wanted.device)
            wanted = wanted[:, self.unit.rows].float().to(wide)
            if bias is not None:
                wanted = wanted - teacher.added(bias)[self.unit.rows].float().to(wide)
            theirs = teacher.columns(rows)[:, self.unit.left].float().to(wide) if products or student is None else None
            given = cast("Tensor", theirs) if student is None else student.columns(rows).float().to(wide)
            sound = given.isfinite().all(1) & wanted.isfinite().all(1)
            if not sound.all():
                self.bad += int((~sound).sum())
                some, given, wanted = some[sound.cpu()], given[sound], wanted[sound]
                theirs = None if theirs is None else theirs[sound]
            if theirs is not None:
                # Attention and experts may take samples in another order in each model. Rows of other samples say
                # nothing of what is missing: the original's own inputs take their place.
                step = max(len(given) // COMPARED, 1)
                pair = [one[::step] - one[::step].mean(0) for one in (given, theirs)]
                size = float(pair[0].square().sum()) ** 0.5 * float(pair[1].square().sum()) ** 0.5
                if size > 0 and not abs(float((pair[0] * pair[1]).sum())) / size > CORRELATED:
                    given = theirs
            self.looked += len(given)
            some = some.to(given.device)
            self.sequential.add(given, wanted, some, products)
            if independent and theirs is not None:
                self.independent.add(theirs, wanted, some, products)

    def repair(
        self,
        seen: SplitMoments,
        own: ProductUnit,
        weight: Tensor,
        full: Tensor,
        bias: Tensor | None,
        theirs: Tensor | None,
        products: bool,
    ) -> Message | None:
        """Repair a weight and bias of a plain cut in place; why not where they stay.

        Args:
            seen: What to repair them by.
            own: The student's product.
            weight: The student's weight, or a copy.
            full: [m, k] of the original's product.
            bias: [r] the part of the student's bias that belongs to it; None where it has none of its own.
            theirs: [r] the original's bias; None where the student's is that, as far as is known.
            products: By least squares, not by the bias alone.
        """
        factor = factor_of(own, weight, self.unit, full)
        if factor is None:
            return TRAINED
        if bias is None and not products:
            return NO_BIAS
        if not seen.fit.rows or not seen.held.rows:
            return NO_NUMBERS if self.bad else TOO_FEW if self.looked else NO_DATA
        view = own.view(weight)
        wide = wide_device(view.device)  # where the sums are, too
        plain, factor = view.flatten(1).to(wide).double(), factor.to(wide)
        added = torch.zeros_like(factor)
        if bias is not None and theirs is not None:
            added = bias.to(wide).double() - factor * theirs.to(wide).double()
        fit, held = (one.residual(plain, factor, added) for one in (seen.fit, seen.held))
        centred, found = bias is not None, list[tuple[float, float]]()
        for ridge in (*(RIDGES if products else ()), *((math.inf,) if centred else ())):
            change, shift = fit.solve(ridge, centred)
            found.append((held.gain(change, shift), ridge))
        gain, ridge = max(found)
        # The held-out rows decide. A gain of NaN is none either.
        if not gain > 0:
            return NO_GAIN
        del fit, held  # of wide layers all three together take more memory than anything else
        change, shift = (seen.fit + seen.held).residual(plain, factor, added).solve(ridge, centred)
        if not change.isfinite().all() or not shift.isfinite().all():
            return NO_NUMBERS
        view.copy_((plain + change).view(view.shape))
        if bias is not None:
            bias.add_(shift.to(bias))
        return None
