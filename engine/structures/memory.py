"""Memory of the activations of any plan, from the analysis alone: no trace, no torch.

Counted is every distinct piece of memory of the forward, once, however many views show it, at the example's input shape
and in evaluation mode, attention as plain products. The inputs count, parameters and buffers do not; nor does what an
operator needs for itself while it runs.

*Saved* is what autograd keeps for the backward pass of one forward in which all floating parameters are trained. *Peak*
is the most that is alive at the end of any operator in a forward without gradients; a tensor is alive as long as the
model's own code holds it.

Exact where the cut model runs the same operators: `nn.MultiheadAttention` without some of its heads or width runs
others. Not seen are what oneDNN's recurrent layers keep for themselves while they train, and gradients that a model's
own `autograd.Function` defines; results that nobody uses keep their sizes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .analysis import Activations, Analysis, Mask
from .costs import kept_sizes


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
    held = analysis.activations
    size = held.constant * kept_sizes(analysis, removed)[held.axes].prod(axis=1)
    first, last, saved = held.first, held.last, held.saved[:, 1]
    gone = _gone(analysis, removed)
    if gone.any():
        size, first, last, saved = _without(held, removed, gone, size)
    change = np.zeros(held.calls + 1, dtype=np.int64)
    np.add.at(change, first, size)
    np.subtract.at(change, last, size)
    alive = np.cumsum(change[:-1])
    return Memory(int(size[np.unique(saved)].sum()), int(alive.max(initial=0)))


def _gone(analysis: Analysis, removed: Mask) -> NDArray[np.bool_]:
    """[calls] True where a call vanishes with a block."""
    gone = np.zeros(analysis.activations.calls, dtype=np.bool_)
    for structure, first, last in analysis.block_calls:
        if removed[structure]:
            gone[first:last] = True
    return gone


def _without(
    held: Activations, removed: Mask, gone: NDArray[np.bool_], size: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sizes, lives and what is saved without the calls of blocks: in place of results are inputs, copies or zeros."""
    vanishes = gone[held.first] & ~held.given
    first, last = held.first.copy(), held.last.copy()
    stands = np.arange(len(size))
    for structure, result, other, call in held.handed:  # in the order of the run: what is handed on is settled
        if not removed[structure] or not vanishes[result]:
            continue
        if other < 0:
            vanishes[result], first[result] = False, call
        else:
            stands[result] = stands[other]
            last[stands[other]] = max(last[stands[other]], last[result])
    still = ~gone[held.saved[:, 0]]
    return np.where(vanishes, 0, size), first, last, stands[held.saved[still, 1]]
