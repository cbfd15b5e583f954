"""Reductions and scans over an axis.

A statistic (a mean, a maximum, a norm) is the same statistic of whatever remains: its axis may shrink. Operators
whose results depend on places (an index, an order) keep theirs.
"""

from .. import reasons
from ..solver.labels import Dims
from . import elementwise
from .context import Context


def statistic(context: Context) -> None:
    """mean, sum, var, norm ... over the named axes (all where none is named): they may shrink."""
    _give_rest(context)
    if context.value("self") in context.parameters:  # a norm of a weight belongs to it
        context.parameters.update(context.call.outputs)


def extreme(context: Context) -> None:
    """max, min: statistics where nobody uses the places that they give too."""
    if context.value("other") is not None:
        elementwise.pointwise(context)
    elif any(o in context.used for o in context.call.outputs[1:]):
        reduction(context)
    else:
        statistic(context)


def reduction(context: Context) -> None:
    """argmax, any ...: every index counts, where it stands."""
    dims = context.of("self")
    for axis in _axes(context):
        context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
    _give_rest(context)


def _axes(context: Context) -> set[int]:
    rank = len(context.shape("self"))
    named = context.get("dim")
    named = [named] if isinstance(named, int) else named
    return {d % rank for d in named} if named and rank else set(range(rank))


def _give_rest(context: Context) -> None:
    axes = _axes(context)
    dims = context.of("self")
    kept: Dims = [None if n in axes else d for n, d in enumerate(dims) if context.get("keepdim") or n not in axes]
    for number in range(len(context.call.outputs)):
        context.give(kept, number)


def among(context: Context) -> None:
    """softmax: every result is made of what remains, the shape stays."""
    for number in range(len(context.call.outputs)):
        context.give(context.of("self"), number)


def capped(context: Context) -> None:
    """renorm: what stands at an index of one axis is scaled down to a length, whatever remains of it."""
    context.give(context.of("self"))


def along(context: Context) -> None:
    """sort: every result depends on the whole axis, the shape stays."""
    dims = list(context.of("self"))
    for axis in _axes(context):
        context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
        dims[axis] = None
    for number in range(len(context.call.outputs)):
        context.give(dims, number)


def running(context: Context) -> None:
    """cumsum: the order matters, so that channels stay; in whole numbers (rows of each expert) it gives places."""
    (along if "float" in context.record.dtypes[context.call.outputs[0]] else among)(context)


RULES = {
    **{f"aten.{n}": statistic for n in ("mean", "sum", "amax", "amin", "prod", "var", "var_mean", "std", "std_mean",
                                        "linalg_vector_norm", "norm", "nansum", "count_nonzero", "logsumexp",
                                        "aminmax")},
    **{f"aten.{n}": extreme for n in ("max", "min")},
    **{f"aten.{n}": reduction for n in ("argmax", "argmin", "any", "all", "median", "nanmedian",
                                        "kthvalue", "mode")},
    **{f"aten.{n}": among for n in ("_softmax", "_safe_softmax", "_log_softmax")},
    "aten.renorm": capped,
    "aten.cumsum": running,
    **{f"aten.{n}": along for n in ("sort", "cumprod", "logcumsumexp", "cummax", "cummin")},
}  # fmt: skip
