"""Reductions and scans over an axis; losses and distances too, which are reductions of a difference.

A statistic (a mean, a maximum, a norm) is the same statistic of whatever remains: its axis may shrink. Operators
whose results depend on places (an index, an order) keep theirs.
"""

from .. import reasons
from ..solver.labels import Dims
from . import elementwise
from .context import Context

LOSSES = (
    "mse_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)  # fmt: skip


def statistic(context: Context) -> None:
    """mean, sum, var, norm ... over the named axes (all where none is named): they may shrink."""
    _give_rest(context)
    # A norm of a weight belongs to the weight.
    if context.value("self") in context.parameters:
        context.parameters.update(context.call.outputs)


def extreme(context: Context) -> None:
    """max, min: statistics where nothing uses the places that they give too."""
    if context.value("other") is not None:
        elementwise.pointwise(context)
    elif any(o in context.used for o in context.call.outputs[1:]):
        reduction(context)
    else:
        statistic(context)


def reduction(context: Context) -> None:
    """argmax, any ...: every index counts, at its place."""
    dims = context.of("self")
    for axis in _reduced_axes(context):
        context.fix(dims[axis], reasons.reduced(context.call.op))
    _give_rest(context)


def _reduced_axes(context: Context) -> set[int]:
    rank = len(context.shape("self"))
    named = context.get("dim")
    named = [named] if isinstance(named, int) else named
    return {d % rank for d in named} if named and rank else set(range(rank))


def _give_rest(context: Context) -> None:
    axes = _reduced_axes(context)
    dims = context.of("self")
    kept: Dims = [None if n in axes else d for n, d in enumerate(dims) if context.get("keepdim") or n not in axes]
    context.give_all(kept)


def same_shape(context: Context) -> None:
    """softmax, renorm: every result is made of what remains, and the shape stays."""
    context.give_all(context.of("self"))


def whole_axis(context: Context) -> None:
    """sort, Fourier transforms: every result depends on the whole of each named axis."""
    dims = list(context.of("self"))
    for axis in _reduced_axes(context):
        context.fix(dims[axis], reasons.reduced(context.call.op))
        dims[axis] = None
    context.give_all(dims)


def cumsum(context: Context) -> None:
    """The order matters, so channels stay; in whole numbers (rows of each expert) a sum gives places."""
    rule = whole_axis if "float" in context.record.dtypes[context.call.outputs[0]] else same_shape
    rule(context)


def cross_distances(context: Context) -> None:
    """[..., P, M] and [..., R, M] -> [..., P, R], each a norm of a difference over M (cdist)."""
    first, second = context.of("x1"), context.of("x2")
    context.meet([first[-1], second[-1]], reasons.model_input(context.call.op))
    batch: Dims = []
    for behind in range(len(context.out_shape()), 2, -1):
        sides = [(n, d[-behind]) for n, d in (("x1", first), ("x2", second)) if behind <= len(d)]
        size = context.out_shape()[-behind]
        meeting = [dim for name, dim in sides if context.shape(name)[-behind] == size]
        batch.append(context.meet(meeting) if size > 1 else None)
    context.give([*batch, first[-2], second[-2]])


def pair_distances(context: Context) -> None:
    """[N, M] -> [N (N - 1) / 2], every pair of rows (pdist): each row has its place."""
    rows, _ = context.of("self")
    context.fix(rows, reasons.reduced(context.call.op))
    context.give_untracked()


def loss(context: Context) -> None:
    """Prediction and target meet index by index; of their differences all, one mean or one norm (dist) is left."""
    joined = elementwise.broadcast(context, list(context.call.refs()))
    context.give(joined if context.out_shape() else [])


RULES = {
    **{f"aten.{n}": statistic for n in ("mean", "sum", "amax", "amin", "prod", "var", "var_mean", "std", "std_mean",
                                        "linalg_vector_norm", "norm", "nansum", "count_nonzero", "logsumexp",
                                        "aminmax")},
    **{f"aten.{n}": extreme for n in ("max", "min")},
    **{f"aten.{n}": reduction for n in ("argmax", "argmin", "any", "all", "median", "nanmedian",
                                        "kthvalue", "mode")},
    **{f"aten.{n}": same_shape for n in ("_softmax", "_safe_softmax", "_log_softmax")},
    "aten.renorm": same_shape,
    "aten.cumsum": cumsum,
    **{f"aten.{n}": whole_axis for n in ("sort", "cumprod", "logcumsumexp", "cummax", "cummin")},
    **{f"aten.{n}": whole_axis for n in ("_fft_r2c", "_fft_c2r", "_fft_c2c")},
    "aten._cdist_forward": cross_distances,
    "aten._euclidean_dist": cross_distances,
    "aten._pdist_forward": pair_distances,
    "aten.dist": loss,
    **{f"aten.{n}": loss for n in LOSSES},
}  # fmt: skip
