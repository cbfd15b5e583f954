"""What reads the structures of coupled sets, and what is left of it when all that a plan removes goes at once.

Least squares adjust what reads structures to those that stay, on the original's inputs; the bias, where there is one,
takes the mean of what is missing. Where they do not reach, what goes is closed: zeros in the weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, check
from ..structures.analysis import Kind, Mask
from .input_moments import InputMoments, Reading, columns_of
from .output_distance import write
from .protocol import RatedModel

Written: TypeAlias = tuple[Any, Any]
"""Where numbers of a parameter lie, and what they become."""
Owner: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(numbers [n] of the structures of a coupled set, columns [n, b] that each owns in a product)."""


@dataclass(frozen=True, slots=True)
class _Product:
    """A product whose weight can be written.

    Attributes:
        view: [m, ...] where the weight lies.
        original: [m, k] what it was.
        bias: [m] where the bias lies that holds the mean of what is missing; None where there is none.
        added: [m] what that was.
    """

    view: Any
    original: Any
    bias: Any
    added: Any


class Reader(Protocol):
    """What reads some structures."""

    @property
    def changed(self) -> set[str]:
        """Names of the parameters that it writes."""
        ...

    @property
    def originals(self) -> list[Written]:
        """Where its numbers lie, and what they were."""
        ...

    def reads(self, structures: Mask) -> bool:
        """Whether any of some structures [S] is among those that it reads."""
        ...

    def without(self, gone: Mask) -> list[Written]:
        """Where its numbers lie, and what they become when these structures [S] go."""
        ...


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Products that read the same structures, and the same inputs: least squares adjust them to what is left.

    Attributes:
        owners: For each coupled set that they read.
        moments: [k, k] of the inputs, `ridged`; None where no data came by: these are left as they are cut.
        diagonal: [k] that of the moments as they were gathered.
        mean: [k] of the inputs.
        products: Each of them.
        changed: Names of the parameters in which the weights lie.
    """

    owners: list[Owner]
    moments: Any
    diagonal: Any
    mean: Any
    products: list[_Product]
    changed: set[str]

    @property
    def originals(self) -> list[Written]:
        """Where weights and biases lie, and what they were."""
        weights = [(one.view, one.original) for one in self.products]
        return [*weights, *((one.bias, one.added) for one in self.products if one.bias is not None)]

    def reads(self, structures: Mask) -> bool:
        """Whether any of some structures [S] is among those that they read."""
        return any(bool(structures[numbers].any()) for numbers, _ in self.owners)

    def without(self, gone: Mask) -> list[Written]:
        """Where weights and biases lie, and what least squares make of them when these structures [S] go."""
        import torch

        from .removal_order import refitted, shifted_bias

        columns = np.unique(np.concatenate([own[gone[numbers]].ravel() for numbers, own in self.owners]))
        originals, places, written = [one.original for one in self.products], torch.from_numpy(columns), list[Written]()
        if self.moments is None:
            cut = [one.index_fill(1, places.to(one.device), 0.0) for one in originals]
            return [(one.view, weight) for one, weight in zip(self.products, cut, strict=True)]
        weights = refitted(originals, self.moments, places.to(self.moments.device))
        for one, weight in zip(self.products, weights, strict=True):
            written.append((one.view, weight))
            if one.bias is not None:
                written.append((one.bias, shifted_bias(one.added, one.original, weight, self.mean)))
        return written

    def alike(self, owners: list[Owner], moments: Any) -> bool:
        """Whether a product whose inputs have these moments [k, k] reads the same: then all numbers are, bit by bit."""
        import torch

        if self.moments is None or len(owners) != len(self.owners):
            return False
        pairs = zip(self.owners, owners, strict=True)
        if not all(np.array_equal(a, b) and np.array_equal(c, d) for (a, c), (b, d) in pairs):
            return False
        if not torch.equal(moments.diagonal(), self.diagonal):
            return False
        other = moments.to(self.moments, copy=True)
        other.diagonal().copy_(self.moments.diagonal())  # which has the ridge
        return torch.equal(other, self.moments)


@dataclass(frozen=True, slots=True)
class _Closed:
    """A parameter that least squares do not reach: a weight is computed from it, it is too wide, or used elsewhere too.

    Attributes:
        view: Where it lies.
        original: What it was.
        readings: (numbers [n] of structures, dimension, indices [n] that each owns) of each coupled set.
        changed: Its name.
    """

    view: Any
    original: Any
    readings: list[tuple[NDArray[np.int64], int, NDArray[np.int64]]]
    changed: set[str]

    @property
    def originals(self) -> list[Written]:
        """Where it lies, and what it was."""
        return [(self.view, self.original)]

    def reads(self, structures: Mask) -> bool:
        """Whether any of some structures [S] is among those that it reads."""
        return any(bool(structures[numbers].any()) for numbers, _, _ in self.readings)

    def without(self, gone: Mask) -> list[Written]:
        """Where it lies, and itself with zeros where it reads these structures [S]."""
        import torch

        found = self.original.clone()
        for numbers, dim, indices in self.readings:
            found.index_fill_(dim, torch.from_numpy(indices[gone[numbers]]).to(found.device), 0.0)
        return [(self.view, found)]


def readers_of(
    rated: RatedModel,
    readings: Mapping[str, Sequence[Reading]],
    found: dict[str, list[InputMoments]],
    token: CancelToken,
) -> tuple[list[Reader], Mask]:
    """(all that reads structures, [S] structures all of whose readers are fitted); `found` is emptied.

    Head dimensions are none of these: queries and keys meet without a weight.
    """
    owners: dict[int, list[Owner]] = {}
    closed: dict[str, list[tuple[NDArray[np.int64], int, NDArray[np.int64]]]] = {}
    movable, sets = np.zeros(rated.analysis.count, bool), rated.analysis.sets
    everywhere = {one.key: np.flatnonzero(~rated.removed[one.structures]) for one in sets}
    for one in sets:
        left = everywhere[one.key]
        for reading in readings.get(one.key, ()):
            products = found.get(reading.tensor, [])
            if not products or not all(_is_fitted(reading, product, left) for product in products):
                closed.setdefault(reading.tensor, [])
    for one in sets:
        left, some = everywhere[one.key], readings.get(one.key, ())
        for reading in some:
            if reading.tensor in closed:
                numbers = one.first + reading.structures
                closed[reading.tensor].append((numbers, reading.dim, reading.indices))
                continue
            for product in found[reading.tensor]:
                if (columns := columns_of(reading, product, left)) is not None:
                    owners.setdefault(id(product), []).append((one.first + left, columns))
        movable[one.structures] = (
            bool(some) and one.kind is not Kind.HEAD_DIM and not any(reading.tensor in closed for reading in some)
        )
    made = list[_Fitted]()
    for name in list(found):
        for product in found.pop(name):
            check(token)
            if id(product) in owners and name not in closed:
                _add(made, owners[id(product)], product, name)
    shut = [
        _Closed(view := rated.parameters[name].detach(), view.clone(), some, {name}) for name, some in closed.items()
    ]
    return [*made, *shut], movable


def _is_fitted(reading: Reading, product: InputMoments, left: NDArray[np.int64]) -> bool:
    """Whether least squares can adjust a product to what is left of what it reads, or it reads nothing of it."""
    if product.tied or not len(product.weight) or not len(product.index) or reading.dim != product.dim:
        return False
    if not bool(product.products.isfinite().all() and product.sums.isfinite().all()):
        return False
    indices = reading.indices[np.isin(reading.structures, left)]
    return columns_of(reading, product, left) is not None or not np.isin(product.index.numpy(), indices).any()


def _add(made: list[_Fitted], owners: list[Owner], product: InputMoments, name: str) -> None:
    """A further product, among those that read the same."""
    from .removal_order import ridged

    weight = product.weight.detach()
    if not product.rows:
        one = _Product(weight, weight.flatten(1).clone(), None, None)
        made.append(_Fitted(owners, None, None, None, [one], {name}))
        return
    bias = None if product.bias is None else product.bias.detach()
    one = _Product(weight, weight.flatten(1).clone(), bias, None if bias is None else bias.clone())
    moments = product.moments()
    for other in made:
        if other.alike(owners, moments):
            other.products.append(one)
            other.changed.add(name)
            return
    made.append(_Fitted(owners, ridged(moments)[0], moments.diagonal().clone(), product.mean, [one], {name}))


def put(written: Sequence[Written]) -> None:
    """Numbers into where they lie."""
    write([view for view, _ in written], [value for _, value in written])
