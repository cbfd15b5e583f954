"""Fourier transforms: the named axes must stay, the others pass."""

from .. import reasons
from ..solver.labels import Dims
from .context import Context


def fourier(context: Context) -> None:
    """Every result depends on the whole of each named axis."""
    dims: Dims = list(context.of("self"))
    for axis in list[int](context.get("dim")):
        context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
        dims[axis] = None
    context.give(dims)


RULES = {f"aten.{name}": fourier for name in ("_fft_r2c", "_fft_c2r", "_fft_c2c")}
