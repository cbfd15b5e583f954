"""The references of a verification, built from the analysis' slices alone, not by surgery.

The masked original, which a cut model must equal: every slice of a removed structure is absent (NaN) in every parameter
and buffer; a removed block is skipped by a hook. `nan_masking.py` says what operators make of that: sums and statistics
run over what remains.

The permuted original, which must equal the original: it tests the analysis itself, with no surgery and no zeros, and it
goes through every normalisation.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...jobs import Cancelled
from ...structures.analysis import Analysis, Kind, Mask
from ...structures.transition import Transition
from ..cut.skip_block import skip
from ..cut.slice_tensors import sliced_constants
from .nan_masking import NAN, Marks, NanMasking

Result = TypeVar("Result")
Indices: TypeAlias = NDArray[np.int64]
AbsentIndices: TypeAlias = Mapping[str, Mapping[int, Indices]]
"""By tensor and dimension: the indices that are absent."""


def gone_slices(transition: Transition) -> AbsentIndices:
    """For each tensor and dimension the places (in the numbering of `before`) that go between two states."""
    analysis, had = transition.analysis, transition.kept_before
    places: dict[tuple[str, int], list[NDArray[np.int64]]] = {}
    new = np.flatnonzero(transition.removed)
    axis_of = np.repeat(np.arange(len(analysis.axis_start) - 1), np.diff(analysis.axis_start))
    member = np.concatenate(
        [analysis.member_position[analysis.member_start[s] : analysis.member_start[s + 1]] for s in new]
        or [np.zeros(0, dtype=np.int64)]
    )
    for axis in np.unique(axis_of[member]):
        index = np.unique(member[axis_of[member] == axis]) - analysis.axis_start[axis]
        for tensor in analysis.tensors:
            for dim, own in enumerate(tensor.axes):
                if own == axis:
                    places.setdefault((tensor.name, dim), []).append(index)
    # From the numbering of the original to that of the model that is cut, which may lack some already.
    gone: dict[str, dict[int, Indices]] = {}
    for (name, dim), indices in places.items():
        index = np.concatenate(indices)
        kept = had.get(name, ())
        if kept is None:
            continue
        old = kept[dim] if kept else None
        if old is not None:
            index = np.searchsorted(old, index[np.isin(index, old)])
        gone.setdefault(name, {})[dim] = index
    return gone


def with_nan(tensor: torch.Tensor, gone: Mapping[int, Indices], mark: float = NAN) -> torch.Tensor:
    """A copy of a floating or complex tensor with NaN (or another mark) where a structure goes, by dimension."""
    copy = tensor.detach().clone()
    for dim, index in gone.items():
        copy.index_fill_(dim, torch.from_numpy(index).to(copy.device), mark)
    return copy


def run_with_marks(run: Callable[[Marks], Result], first: Marks = Marks.NAN) -> tuple[Result, Marks]:
    """A run of a masked model with the strictest marks that its code takes, and which these are.

    Raises:
        Exception: What the code raises at the first marks, where it takes none of them.
    """
    # Each weaker mark hides more faults, so a stricter one that the code takes is never given up for it.
    raised: Exception | None = None
    for marks in list(Marks)[list(Marks).index(first) :]:
        try:
            return run(marks), marks
        except Cancelled:
            raise
        except Exception as error:  # whatever the model's own code raises
            raised = raised or error
    assert raised is not None
    raise raised


@contextmanager
def masked(model: nn.Module, transition: Transition, marks: Marks = Marks.NAN) -> Generator[None]:
    """Context in which the model computes what it would without the structures; it is restored afterwards.

    The model is a private copy of the caller's: its parameters are exchanged in place.
    """
    gone, vanished = gone_slices(transition), transition.vanishing
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() or tensor.is_complex()}
    state = {name: with_nan(tensor, gone[name], marks.absent) for name, tensor in floating.items() if name in gone}
    state |= {name: torch.full_like(tensor, marks.absent) for name, tensor in floating.items() if name in vanished}
    own = {name: tensors[name].data for name in state}
    handles = [handle for s in transition.stand_ins if (handle := skip(model, s)) is not None]
    try:
        for name, tensor in state.items():
            tensors[name].data = tensor
        with NanMasking(marks=marks) if marks is not Marks.ZERO else nullcontext():
            yield
    finally:
        for name, tensor in own.items():
            tensors[name].data = tensor
        for handle in handles:
            handle.remove()


class Permutation(NamedTuple):
    """Structures that change places.

    Attributes:
        orders: By tensor and dimension: for each place the one whose values it takes.
        constants: The same for what the code makes itself, as in `Edits.constants`.
    """

    orders: Mapping[str, Mapping[int, NDArray[np.int64]]]
    constants: tuple[Any, ...] = ()


def permute_sets(analysis: Analysis, before: Mask, chosen: Mask, rng: np.random.Generator) -> Permutation:
    """The structures of every set of which one is chosen shuffled, over all tensors that they touch.

    Args:
        analysis: Of the original.
        before: What is gone already.
        chosen: Structures whose sets are shuffled.
        rng: Source of the order.

    Returns:
        Places in the numbering of `before`.
    """
    axis_of = np.repeat(np.arange(len(analysis.axis_start) - 1), np.diff(analysis.axis_start))
    of_tensors = np.zeros(len(analysis.axis_start), dtype=np.bool_)
    of_tensors[[axis for one in (*analysis.tensors, *analysis.constants) for axis in one.axes if axis >= 0]] = True
    # For each position of an axis, the position whose values it takes.
    order = np.arange(len(axis_of), dtype=np.int64)
    for one in analysis.sets:
        if one.kind is Kind.BLOCK or not chosen[one.structures].any():
            continue
        # Structures change places with those on the same axes, also on the way: not with those of another part.
        alike: dict[bytes, list[NDArray[np.int64]]] = {}
        for structure in one.first + np.flatnonzero(~before[one.structures]):
            member = analysis.member_position[analysis.member_start[structure] : analysis.member_start[structure + 1]]
            on = axis_of[member]
            alike.setdefault(on.tobytes(), []).append(member[of_tensors[on]])
        step = np.arange(len(order), dtype=np.int64)
        for members in alike.values():
            for old, new in enumerate(rng.permutation(len(members))):
                step[members[old]] = members[new]
        order = order[step]
    gone = analysis.removed_positions(before)
    taken_of = [order[a:b][~gone[a:b]] - a for a, b in pairwise(analysis.axis_start)]
    found: dict[str, dict[int, NDArray[np.int64]]] = {}
    for info in analysis.tensors:
        for dim, axis in enumerate(info.axes):
            if axis >= 0:
                low, high = analysis.axis_start[axis], analysis.axis_start[axis + 1]
                kept = np.flatnonzero(~gone[low:high])
                taken: NDArray[np.int64] = order[low:high][kept] - low
                places = np.searchsorted(kept, taken)
                if (places != np.arange(len(places))).any():
                    found.setdefault(info.name, {})[dim] = places
    return Permutation(found, tuple(sliced_constants(analysis, taken_of)))
