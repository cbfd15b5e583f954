"""Memory of the activations of any plan, from the analysis alone. No torch.

Counted is every distinct piece of memory of the forward, once, however many views show it, at the example's input shape
and in evaluation mode, attention as plain products. The inputs count, parameters and buffers do not; nor does what an
operator needs for itself while it runs.

*Saved* is what autograd keeps for the backward pass of one forward in which all floating parameters are trained. *Peak*
is the most that is alive at the end of any operator in a forward without gradients; a tensor is alive as long as the
model's own code holds it.

Exact where the cut model runs the same operators: `nn.MultiheadAttention` without some of its heads or width runs
others. Not seen are what oneDNN's recurrent layers keep for themselves while they train, and gradients that a model's
own `autograd.Function` defines; results that nothing uses keep their sizes.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .analysis import Analysis, Mask
from .costs import costs, kept_sizes

SINGLE = 4
"""Bytes of a weight in single precision."""
OPTIMISER = 4
"""A weight that is trained, its gradient and the two moments of Adam, in weights."""
GATHERED = 2
"""A weight that is gathered, and its gradient before it is divided, in weights."""
BLOCK = re.compile(r"(?:[^.]+\.)*?\d+\.(?=[^.]+\.)")
"""The path of a block in the name of one of its parameters: a member of a list that has modules of its own."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of activations.

    Attributes:
        saved: Sum of what is kept for the backward pass.
        peak: Most that is alive at once without gradients.
    """

    saved: int
    peak: int


def memory(analysis: Analysis, removed: Mask | None = None) -> Memory:
    """Memory of the model without the removed structures, in time proportional to its operators."""
    removed = analysis.empty() if removed is None else removed
    lives = _lives(analysis, removed)
    size = _sizes(analysis, lives, kept_sizes(analysis, removed)[None])
    peak = int(_alive(analysis, lives, size).max(initial=0))
    return Memory(int(size[0, np.unique(lives.saved)].sum()), peak)


def sample_memory(analysis: Analysis, removed: Mask | None = None) -> Memory:
    """Memory of one sample: an equal part of that of the example, which holds several."""
    whole = memory(analysis, removed)
    samples = next((shape[0] for shape in analysis.input_shapes if shape), 1) or 1
    return Memory(whole.saved // samples, whole.peak // samples)


def training_bytes(teacher: int, student: int, *, processes: int = 1, gathered: int = 0, collects: bool = False) -> int:
    """Bytes that a training takes in a process, activations aside.

    Args:
        teacher: Parameters of the model that teaches.
        student: Parameters of the one that is trained.
        processes: Among which both models are divided.
        gathered: Parameters that are whole, besides its part, in a divided training (`gathered_parameters`).
        collects: A process runs several batches of an update there, over which whole gradients are added up.
    """
    held = -(-(teacher + OPTIMISER * student) // processes)
    whole = GATHERED * gathered + collects * student if processes > 1 else 0
    return SINGLE * (held + whole)


def gathered_parameters(analysis: Analysis, removed: Mask) -> int:
    """About how many parameters are whole at a time where blocks are gathered one by one (`recovery/division.py`).

    These are the parameters outside of blocks and those of two blocks: the next one is gathered while one runs. What
    a block is, is read from names: "layers.3." of "layers.3.mlp.weight".
    """
    sizes = costs(analysis, removed).tensor_sizes
    outside, blocks = 0, dict[str, int]()
    for tensor, size in zip(analysis.tensors, sizes.tolist(), strict=True):
        if tensor.parameter:
            found = BLOCK.match(tensor.name)
            if found is None:
                outside += size
            else:
                blocks[found[0]] = blocks.get(found[0], 0) + size
    return outside + sum(sorted(blocks.values())[-2:])


def peaks(analysis: Analysis, removed: Mask, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """[M] peaks of plans without the same blocks, those of `removed`, by what their axes keep [M, A + 1]."""
    lives = _lives(analysis, removed)
    return _alive(analysis, lives, _sizes(analysis, lives, kept)).max(axis=0, initial=0)


@dataclass(frozen=True, slots=True)
class _Lives:
    """Without the calls of removed blocks: [V] what is there, from which call to which, and what is saved."""

    there: NDArray[np.bool_]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    saved: NDArray[np.int64]


def _sizes(analysis: Analysis, lives: _Lives, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """[M, V] bytes of each piece of memory in each plan."""
    held = analysis.activations
    return held.constant * kept[:, held.axes].prod(axis=2) * lives.there


def _alive(analysis: Analysis, lives: _Lives, size: NDArray[np.int64]) -> NDArray[np.int64]:
    """[calls, M] bytes that are there at the end of each call."""
    calls = analysis.activations.calls
    return np.cumsum(_sum_by_call(size, lives.first, calls) - _sum_by_call(size, lives.last, calls), axis=0)


def _sum_by_call(size: NDArray[np.int64], at: NDArray[np.int64], calls: int) -> NDArray[np.int64]:
    """[calls, M] sums of sizes [M, V] by their call [V]; what outlives the forward is left out."""
    order = np.argsort(at, kind="stable")
    places, starts = np.unique(at[order], return_index=True)
    total = np.zeros((calls + 1, len(size)), dtype=np.int64)
    if len(places):
        total[places] = np.add.reduceat(size.T[order], starts, axis=0)
    return total[:-1]


def _lives(analysis: Analysis, removed: Mask) -> _Lives:
    """In place of results of blocks are inputs, copies or zeros."""
    held = analysis.activations
    gone = np.zeros(held.calls, dtype=np.bool_)  # calls that vanish with a block
    for structure, start, end in analysis.block_calls:
        if removed[structure]:
            gone[start:end] = True
    vanishes = gone[held.first] & ~held.given
    first, last = held.first.copy(), held.last.copy()
    instead = np.arange(len(first))
    # In the order of the run, so that what a stand-in hands on is settled already.
    for structure, result, other, call in held.handed:
        if not removed[structure] or not vanishes[result]:
            continue
        if other < 0:
            vanishes[result], first[result] = False, call
        else:
            instead[result] = instead[other]
            last[instead[other]] = max(last[instead[other]], last[result])
    still = ~gone[held.saved[:, 0]]
    return _Lives(~vanishes, first, last, instead[held.saved[still, 1]])
