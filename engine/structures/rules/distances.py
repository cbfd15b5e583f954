"""Distances between rows: sums over coordinates, of which some may be removed."""

from .. import reasons
from ..solver.labels import Dims
from . import elementwise
from .context import Context


def between(context: Context) -> None:
    """[..., P, M] and [..., R, M] -> [..., P, R], each a norm of a difference over M (cdist)."""
    first, second = context.of("x1"), context.of("x2")
    op, module = context.call.op, context.call.module
    context.labels.meet([first[-1], second[-1]], reasons.model_input(op), module)
    batch: Dims = []
    for behind in range(len(context.out_shape()), 2, -1):
        sides = [(n, d[-behind]) for n, d in (("x1", first), ("x2", second)) if behind <= len(d)]
        size = context.out_shape()[-behind]
        meeting = [dim for name, dim in sides if context.shape(name)[-behind] == size]
        batch.append(context.labels.meet(meeting, reasons.combined(op), module) if size > 1 else None)
    context.give([*batch, first[-2], second[-2]])


def among(context: Context) -> None:
    """[N, M] -> [N (N - 1) / 2], every pair of rows (pdist): each row has its place."""
    rows, _ = context.of("self")
    context.labels.fix(rows, reasons.reduced(context.call.op), context.call.module)
    context.give_untracked()


def apart(context: Context) -> None:
    """One norm of the whole difference of two tensors (dist)."""
    elementwise.broadcast(context, list(context.call.refs()))
    context.give([])


RULES = {
    "aten._cdist_forward": between,
    "aten._euclidean_dist": between,
    "aten._pdist_forward": among,
    "aten.dist": apart,
}
