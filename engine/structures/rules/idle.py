"""What code does to an axis for nobody: it fixes nothing, but it runs all the same, so that the axis must allow it."""

from .. import reasons
from ..factors import refine, segments
from ..labels import Dim, varying_factors
from .context import Context
from .slicing import RULES as SLICING
from .slicing import split
from .views import RULES as VIEWS
from .views import reshape


def run_for_nothing(context: Context) -> None:
    """An axis that is taken apart into equal parts must still be divisible."""
    if VIEWS.get(context.call.op) is reshape:
        _reshaped(context)
    elif SLICING.get(context.call.op) is split:
        _split(context)


def _reshaped(context: Context) -> None:
    """The smallest factor is taken for the one that the code says (groups, heads): it works out the others by itself.

    Where that is another one, a cut that does not run is refused.
    """
    before, after = context.shape("self"), context.out_shape()
    dims = context.of("self")
    for old, new in segments(before, after):
        parts = refine(before[old], after[new])
        for dim, sizes in zip(dims[old], [] if parts is None else parts[0], strict=False):
            varying = [] if dim is None else varying_factors(dim, sizes)
            if len(varying) > 1:
                _divisible(context, dim, min(sizes[factor] for factor in varying))


def _split(context: Context) -> None:
    dims = context.of("self")
    axis: int = context.get("dim", 0) % len(dims)
    sizes = {context.record.shapes[output][axis] for output in context.call.outputs}
    if len(sizes) == 1 and len(context.call.outputs) > 1:
        _divisible(context, dims[axis], len(context.call.outputs))


def _divisible(context: Context, dim: Dim, number: int) -> None:
    if dim is not None:
        context.labels.count_multiple(dim, number, reasons.split(number), context.call.module)
