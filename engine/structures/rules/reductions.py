"""Operators that run over an axis: it must stay."""

from .. import reasons
from .context import Context


def reduction(context: Context) -> None:
    """mean, sum, max ... over the named axes (all where none is named)."""
    dims, rank = context.of("self"), len(context.shape("self"))
    named = context.get("dim")
    named = [named] if isinstance(named, int) else named
    axes = {d % rank for d in named} if named else set(range(rank))
    for axis in axes:
        context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
    kept = [None if n in axes else d for n, d in enumerate(dims) if context.get("keepdim") or n not in axes]
    for number in range(len(context.call.outputs)):
        context.give(kept, number)


def along(context: Context) -> None:
    """softmax, cumsum, sort ...: every result depends on the whole axis, the shape stays."""
    dims = list(context.of("self"))
    axis: int = context.get("dim")
    context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
    dims[axis] = None
    for number in range(len(context.call.outputs)):
        context.give(dims, number)


RULES = {
    **{f"aten.{n}": reduction for n in ("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "prod", "any",
                                        "all", "var", "var_mean", "std", "logsumexp")},
    **{f"aten.{n}": along for n in ("_softmax", "_safe_softmax", "_log_softmax", "cumsum", "sort")},
}  # fmt: skip
