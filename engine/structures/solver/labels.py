"""Labels: every index of every dimension has an integer, and rules state which are equal.

A dimension is an int64 array of labels, one an index, or None where it is untracked (batch, space, sequence). This file
only collects statements (equal, fixed, split); `solve.py` draws the conclusions.
"""

import bisect
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import Message
from .. import reasons
from ..analysis import CountRule, Kind

LabelArray: TypeAlias = NDArray[np.int64]
Dim: TypeAlias = LabelArray | None
Dims: TypeAlias = list[Dim]


@dataclass(frozen=True, slots=True)
class Relation:
    """A flat axis seen as several factors: flat[i, j, ...] goes iff one of factor0[i], factor1[j], ... goes.

    Attributes:
        flat: [f0, f1, ...] labels of the flat axis, in row-major order.
        factors: One label array per factor, [f0], [f1], ...
    """

    flat: LabelArray
    factors: tuple[LabelArray, ...]


@dataclass(frozen=True, slots=True)
class FixedLabels:
    """Labels that must stay, why, and the module whose operator said so."""

    labels: LabelArray
    reason: Message
    module: str


@dataclass(frozen=True, slots=True)
class CountLabels:
    """How many labels must stay, whichever these are.

    Attributes:
        kind: Equally many of each part; or of the one at least so many, or a multiple of so many.
        parts: Label arrays, for equal counts of one length.
        number: How many at least, or the multiple of how many.
        reason: Why.
        module: Module whose operator said so.
    """

    kind: CountRule
    parts: tuple[LabelArray, ...]
    number: int
    reason: Message
    module: str


@dataclass(frozen=True, slots=True)
class SeparateLabels:
    """An axis that dead code takes into equal parts.

    Attributes:
        one: Labels that stand for each of the parts.
        parts: The parts' own labels.
        reason: Why they stay equally many, if the size of one matters to something else.
        module: Module whose code does it.
    """

    one: LabelArray
    parts: tuple[LabelArray, ...]
    reason: Message
    module: str


class Labels:
    """All statements about labels that one record makes.

    Attributes:
        count: Labels given out so far.
        equal: Pairs of equally long arrays whose labels are equal one by one.
        fixed: What must stay.
        relations: Splits and merges.
        counted: How many must stay, whichever.
        hints: (kind, labels): what the structures on these labels are called.
        shared: Labels of which every index stands for several of a flat axis (key/value heads with their query heads).
        refined: (relation, relation, shift) of relations that got common factors (`solve.py`).
        apart: What dead code takes apart.
        axes: Labels of the axes of parameters, of each of which something stays.
        position: Index that each label stands for on the axis for which it was made.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.count = 0
        self.equal: list[tuple[LabelArray, LabelArray]] = []
        self.fixed: list[FixedLabels] = []
        self.relations: list[Relation] = []
        self.counted: list[CountLabels] = []
        self.hints: list[tuple[Kind, LabelArray]] = []
        self.shared: list[LabelArray] = []
        self.refined: set[tuple[int, int, int]] = set()
        self.apart: list[SeparateLabels] = []
        self.axes: list[LabelArray] = []
        self._positions: list[LabelArray] = []
        self._repeated: list[tuple[LabelArray, Dims, Dims]] = []
        self._dead_module: str | None = None
        self._spread: list[tuple[int, int]] = []
        self._factors: dict[tuple[int, tuple[int, ...]], tuple[LabelArray, Dims]] = {}

    def spread(self, size: int) -> Dim:
        """Fresh labels for an axis along which one value repeats (zeros, an expanded one): its size is a literal only.

        It shrinks with what it is combined with; alone it is nothing that could be removed.
        """
        if size < 2:
            return None
        self._spread.append((self.count, self.count + size))
        return self.new(size)

    def is_spread(self, dim: Dim) -> bool:
        """The labels come from `spread`."""
        if dim is None or not len(dim):
            return False
        at = bisect.bisect_right(self._spread, (int(dim.flat[0]), self.count)) - 1
        return at >= 0 and int(dim.flat[0]) < self._spread[at][1]

    def new(self, size: int) -> LabelArray:
        """Fresh labels for an axis of `size` indices."""
        made = np.arange(self.count, self.count + size, dtype=np.int64)
        self.count += size
        self._positions.append(np.arange(size, dtype=np.int64))
        return made

    @property
    def position(self) -> LabelArray:
        """[count] index of each label on its first axis."""
        return np.concatenate(self._positions) if self._positions else np.zeros(0, dtype=np.int64)

    def tie(self, first: LabelArray, second: LabelArray) -> None:
        """The labels of two equally long axes are equal, one by one."""
        if first is second or not len(first):
            return
        if first.flat[0] != second.flat[0] or not np.array_equal(first, second):
            self.equal.append((first.ravel(), second.ravel()))

    def fix(self, dim: Dim, reason: Message, module: str) -> None:
        """The labels of an axis must stay; nothing to do for an untracked one."""
        if dim is not None and self._dead_module is None:
            self.fixed.append(FixedLabels(dim.ravel(), reason, module))

    def count_equal(self, parts: Sequence[LabelArray], reason: Message, module: str) -> None:
        """Of each of these equally long arrays as many labels stay as of the others."""
        self.counted.append(CountLabels(CountRule.EQUAL, tuple(parts), 0, reason, module))

    def count_least(self, dim: LabelArray, least: int, reason: Message, module: str) -> None:
        """At least so many of the labels stay."""
        self.counted.append(CountLabels(CountRule.AT_LEAST, (dim,), least, reason, module))

    def count_multiple(self, dim: LabelArray, number: int, reason: Message, module: str) -> None:
        """As many of the labels stay as some multiple of a number has."""
        self.counted.append(CountLabels(CountRule.MULTIPLE, (dim,), number, reason, module))

    def uncount(self, counted: CountLabels) -> None:
        """What cannot be counted is said in a stronger way: index by index, or half must be enough, or not at all."""
        self.counted = [one for one in self.counted if one is not counted]
        first, *others = counted.parts
        for other in others:
            self.tie(first, other)
        if counted.kind is CountRule.AT_LEAST and len(first) // 2 < counted.number:
            self.fix(first, counted.reason, counted.module)

    @contextmanager
    def dead_code(self, module: str) -> Generator[None]:
        """Statements inside are of a module's code on which no output depends: it fixes nothing, but it must run.

        What is equal counts, and how many must stay. An axis that is taken apart stays divisible.
        """
        self._dead_module = module
        try:
            yield
        finally:
            self._dead_module = None

    @property
    def in_dead_code(self) -> bool:
        """What is stated is of code on which no output depends."""
        return self._dead_module is not None

    def hint(self, kind: Kind, dim: Dim) -> None:
        """What structures on this axis are called; dead code says nothing of that."""
        if dim is not None and self._dead_module is None:
            self.hints.append((kind, dim.ravel()))

    def meet(self, dims: list[Dim], reason: Message, module: str) -> Dim:
        """Axes of equal length that are combined index by index: all tracked, or all must stay."""
        tracked = [d for d in dims if d is not None]
        if len(tracked) < len(dims):
            for dim in tracked:
                self.fix(dim, reason, module)
            return None
        tracked.sort(key=self.is_spread)
        for dim in tracked[1:]:
            self.tie(tracked[0], dim)
        return tracked[0] if tracked else None

    def split(self, dim: Dim, sizes: tuple[int, ...]) -> Dims:
        """An axis becomes several: factors along which its labels repeat are untracked, the rest is one relation."""
        if dim is None:
            return [None] * len(sizes)
        # What was put together, or taken apart before, has the factors that it had.
        known = self._factors.get((id(dim), sizes))
        if known is not None:
            return list(known[1])
        grid = dim.reshape(sizes)
        varying = [a for a in range(len(sizes)) if sizes[a] > 1 and bool((grid != grid.take([0], axis=a)).any())]
        flat = grid[tuple(slice(None) if a in varying else 0 for a in range(len(sizes)))]
        factors: Dims = [None] * len(sizes)
        if len(varying) == 1:
            factors[varying[0]] = flat
        elif varying and self.in_dead_code:
            # The smallest factor is taken for the one that the code says (groups, heads): it works out the other
            # itself. Where that is another one, a cut that does not run is refused.
            said = min(range(len(varying)), key=lambda n: flat.shape[n])
            worked_out = self.equal_part(list(np.moveaxis(flat, said, 0).reshape(flat.shape[said], -1)))
            if len(varying) == 2:
                factors[varying[1 - said]] = worked_out
        elif varying:
            made = tuple(self.new(sizes[a]) for a in varying)
            self.relations.append(Relation(flat, made))
            for axis, factor in zip(varying, made, strict=True):
                factors[axis] = factor
        if not self.in_dead_code:
            self._factors[id(dim), sizes] = dim, list(factors)
        return factors

    def equal_part(self, parts: Sequence[LabelArray]) -> LabelArray:
        """Fresh labels that stand for each of the equal parts into which dead code takes an axis, which divides."""
        module, reason = self._dead_module or "", reasons.split(len(parts))
        self.count_multiple(np.concatenate(parts), len(parts), reason, module)
        made = self.new(len(parts[0]))
        self.apart.append(SeparateLabels(made, tuple(parts), reason, module))
        return made

    def merge(self, dims: Dims, sizes: tuple[int, ...]) -> Dim:
        """Several axes become one: the inverse of `split`.

        An axis along which a value repeats, behind one that does not, is a factor as any other if heads come of it (see
        `settle`): key/value heads are spread over their query heads, which all go with their group, and the j-th of
        every group may go alone. Before one that does not (a batch) the repeats are as many as they are.
        """
        own = [n for n, d in enumerate(dims) if d is not None and not self.is_spread(d)]
        dims = list(dims)
        for n, dim in enumerate(dims[: own[0]] if own else []):
            if self.is_spread(dim):
                self.fix(dim, reasons.repeated(), "")
                dims[n] = None
        # A product of two sizes is no count.
        if self.in_dead_code:
            dims = [d if n in own and len(own) == 1 else None for n, d in enumerate(dims)]
        tracked = [a for a, d in enumerate(dims) if d is not None]
        if not tracked:
            return None
        kept = tuple(sizes[a] for a in tracked)
        factors = tuple(d for d in dims if d is not None)
        if len(tracked) == 1:
            flat = factors[0]
        else:
            flat = self.new(int(np.prod(kept))).reshape(kept)
            self.relations.append(Relation(flat, factors))
        repeats: Dims = [d for d in dims if self.is_spread(d)]
        if own and repeats:
            self._repeated.append((flat.ravel(), repeats, [d for n, d in enumerate(dims) if n in own]))
        shape = tuple(sizes[a] if a in tracked else 1 for a in range(len(sizes)))
        made = np.ascontiguousarray(np.broadcast_to(flat.reshape(shape), sizes)).ravel()
        if not self.in_dead_code:
            self._factors[id(made), sizes] = made, list(dims)
        return made

    def settle(self) -> None:
        """Repeats of which no heads came are as many as they are; to be called when all statements are made."""
        heads = np.zeros(self.count, dtype=np.bool_)
        for kind, dim in self.hints:
            if kind is Kind.HEAD:
                heads[dim] = True
        for flat, repeats, shared in self._repeated:
            if heads[flat].any():
                self.shared += [d.ravel() for d in shared if d is not None]
            else:
                for dim in repeats:
                    self.fix(dim, reasons.repeated(), "")
