"""Matrix products: contracted axes are equal, the others are passed on."""

import numpy as np

from .. import reasons
from ..analysis import Kind
from ..solver.labels import Dim, Dims
from .context import Context


def mm(context: Context) -> None:
    """[n, k] @ [k, m] (+ bias)."""
    left = "mat1" if context.value("mat1") is not None else "self"
    (n, k), (k2, m) = context.of(left), context.of("mat2")
    inner = contract(context, k, k2)
    for name, dim in ((left, n), ("mat2", m)):
        if context.value(name) in context.parameters:
            context.producers.append(("neuron", dim))
    context.cost(n, inner, m)
    context.give([n, m])
    if left == "mat1":
        _add_self(context)


def bmm(context: Context) -> None:
    """[b, n, k] @ [b, k, m] (+ bias): products of attention have their heads on b."""
    left, right = ("self", "mat2") if context.value("mat2") is not None else ("batch1", "batch2")
    (b, n, k), (b2, k2, m) = context.of(left), context.of(right)
    batch = context.meet([b, b2])
    inner = contract(context, k, k2)
    if batch is not None and not {context.value(left), context.value(right)} & context.parameters:
        for dim in (b, b2):
            context.labels.hint(Kind.HEAD, dim)
        context.sizes.append((context.call.module, "heads", batch))
        for dim in (k, k2, n, m):
            context.labels.hint(Kind.HEAD_DIM, dim)
    # With one term left einsum multiplies without a product, so that the operators would differ.
    if context.get("einsum") and inner is not None:
        context.labels.count_least(inner, 2, reasons.einsum(), context.call.module)
    context.cost(batch, n, inner, m)
    context.give([batch, n, m])
    if left == "batch1":
        _add_self(context)


def mv(context: Context) -> None:
    """[n, k] @ [k] (+ bias)."""
    matrix = "mat" if context.value("mat") is not None else "self"
    n, k = context.of(matrix)
    contract(context, k, context.of("vec")[0])
    context.give([n])
    if matrix == "mat":
        _add_self(context)


def dot(context: Context) -> None:
    """[k] . [k]."""
    other = "tensor" if context.value("tensor") is not None else "other"
    contract(context, context.of("self")[0], context.of(other)[0])
    context.give([])


def outer(context: Context) -> None:
    """[n] x [m] (+ bias) -> [n, m]."""
    first = "vec1" if context.value("vec1") is not None else "self"
    context.give([context.of(first)[0], context.of("vec2")[0]])
    if first == "vec1":
        _add_self(context)


def trilinear(context: Context) -> None:
    """i1 * i2 * i3 over axes that each lacks some of, summed over the named ones (nn.Bilinear)."""
    aligned: list[Dims] = []
    for tensor, absent in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")):
        dims: Dims = [d if s > 1 else _ABSENT for d, s in zip(context.of(tensor), context.shape(tensor), strict=True)]
        for axis in sorted(list[int](context.get(absent))):
            dims.insert(axis, _ABSENT)
        aligned.append(dims)
    joint = [context.meet([d for d in meeting if d is not _ABSENT]) for meeting in zip(*aligned, strict=True)]
    result = [dim for axis, dim in enumerate(joint) if axis not in context.get("sumdim")]
    if context.value("i2") in context.parameters:
        context.producers.append(("neuron", context.of("i2")[0]))
    context.cost(*joint)
    context.give(result)


def contract(context: Context, first: Dim, second: Dim) -> Dim:
    """The axis that two operands are summed over."""
    return context.meet([first, second], reasons.model_input(context.call.op))


def _add_self(context: Context) -> None:
    """The result meets what is added to it."""
    out, added = context.dims[context.call.outputs[0]], context.of("self")
    for behind in range(1, len(added) + 1):
        if context.shape("self")[-behind] > 1:
            out[-behind] = context.meet([out[-behind], added[-behind]])


_ABSENT: Dim = np.zeros(0, dtype=np.int64)
"""In place of an axis that an operand lacks."""

RULES = {
    "aten.mm": mm,
    "aten.addmm": mm,
    "aten._sparse_addmm": mm,
    "aten.bmm": bmm,
    "aten.baddbmm": bmm,
    "aten.mv": mv,
    "aten.addmv": mv,
    "aten.dot": dot,
    "aten.vdot": dot,
    "aten.ger": outer,
    "aten.addr": outer,
    "aten._trilinear": trilinear,
}
