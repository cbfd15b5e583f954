"""Matrix products: what is contracted is equal, what is not is passed on."""

from .. import reasons
from ..analysis import Kind
from ..labels import Dim
from .context import Context


def mm(context: Context) -> None:
    """[n, k] @ [k, m]."""
    _product(context, "self", "mat2")


def addmm(context: Context) -> None:
    """[n, k] @ [k, m] + bias."""
    _product(context, "mat1", "mat2")
    out, bias = context.dims[context.call.outputs[0]], context.of("self")
    if bias and context.shape("self")[-1] == context.out_shape()[-1]:
        context.labels.meet([out[-1], bias[-1]], reasons.combined(context.call.op), context.call.module)


def _product(context: Context, left: str, right: str) -> None:
    (n, k), (k2, m) = context.of(left), context.of(right)
    _contract(context, k, k2)
    for name, dim in ((left, n), (right, m)):
        if context.value(name) in context.parameters:
            context.producers.append(("neuron", dim))
    context.costs.append((context.number, (n, k if k is not None else k2, m)))
    context.give([n, m])


def bmm(context: Context) -> None:
    """[b, n, k] @ [b, k, m]: products of attention have their heads on b."""
    names = ("self", "mat2") if context.value("mat2") is not None else ("batch1", "batch2")
    (b, n, k), (b2, k2, m) = context.of(names[0]), context.of(names[1])
    batch = context.labels.meet([b, b2], reasons.combined(context.call.op), context.call.module)
    _contract(context, k, k2)
    if batch is not None:
        context.labels.hint(Kind.HEAD, batch)
        context.sizes.append((context.call.module, "heads", batch))
        for dim in (k, k2, n, m):
            context.labels.hint(Kind.HEAD_DIM, dim)
    context.costs.append((context.number, (batch, n, k if k is not None else k2, m)))
    context.give([batch, n, m])


def _contract(context: Context, first: Dim, second: Dim) -> None:
    context.labels.meet([first, second], reasons.model_input(context.call.op), context.call.module)


RULES = {"aten.mm": mm, "aten.addmm": addmm, "aten.bmm": bmm, "aten.baddbmm": bmm}
