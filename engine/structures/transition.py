"""A transition between two states of a model in the analysis: what is removed before and after."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .analysis import Analysis, Mask, StandInSpec
from .costs import kept_sizes

KeptIndices = dict[str, tuple[NDArray[np.int64] | None, ...] | None]
"""By tensor, for those that a mask changes: per dimension the original indices that stay (None: all of them).

None in place of the dimensions: the tensor vanishes with a block.
"""


@dataclass(frozen=True)
class Transition:
    """What one cut changes. Derived arrays are computed once, when they are first asked for.

    Attributes:
        analysis: Of the original model.
        before: [S] structures that were gone already.
        after: [S] structures that are gone afterwards; holds all of `before`.
    """

    analysis: Analysis
    before: Mask
    after: Mask

    @cached_property
    def removed(self) -> Mask:
        """[S] structures that go in this step."""
        return self.after & ~self.before

    @cached_property
    def sizes_before(self) -> NDArray[np.int64]:
        """[A + 1] positions that each axis has before; see `kept_sizes`."""
        return kept_sizes(self.analysis, self.before)

    @cached_property
    def sizes_after(self) -> NDArray[np.int64]:
        """[A + 1] positions that each axis has afterwards; see `kept_sizes`."""
        return kept_sizes(self.analysis, self.after)

    @cached_property
    def kept_before(self) -> KeptIndices:
        """Original indices that tensors have before; see `Analysis.kept_indices`."""
        return self.analysis.kept_indices(self.before)

    @cached_property
    def kept_after(self) -> KeptIndices:
        """Original indices that tensors have afterwards; see `Analysis.kept_indices`."""
        return self.analysis.kept_indices(self.after)

    @cached_property
    def kept_of_before(self) -> KeptIndices:
        """For each tensor that changes: per dimension the places that stay, in the numbering of `before`.

        None for a dimension: all of it; None for a tensor: it vanishes with a block.
        """
        kept: KeptIndices = {}
        for name, dims in self.kept_after.items():
            old = self.kept_before.get(name, ())
            if old is None:
                continue
            if dims is None:
                kept[name] = None
                continue
            places = list(dims)
            for dim, (before, after) in enumerate(zip(old, dims, strict=False)):
                if before is not None and after is not None:
                    places[dim] = None if len(before) == len(after) else np.searchsorted(before, after)
            if any(one is not None for one in places):
                kept[name] = tuple(places)
        return kept

    @cached_property
    def vanishing(self) -> frozenset[str]:
        """Names of the tensors that go with blocks in this step."""
        gone = (name for name, kept in self.kept_after.items() if kept is None)
        return frozenset(name for name in gone if self.kept_before.get(name, ()) is not None)

    @cached_property
    def stand_ins(self) -> tuple[StandInSpec, ...]:
        """For each block that goes in this step, what stands for its result."""
        first: dict[int, StandInSpec] = {}
        for one in self.analysis.stand_ins:
            first.setdefault(one.structure, one)
        return tuple(one for structure, one in first.items() if self.removed[structure])
