"""What each operator makes of degrees of homogeneity: a rule for each that passes a factor on."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ....tracing.record import OperatorCall, Ref
from .degrees import Degree, Operands, Uneven, fitting, plain
from .moves import MOVES, moved

Rule: TypeAlias = Callable[[Operands], list[Degree]]


def _moved(at: Operands) -> list[Degree]:
    return moved(at.call, at.degree(next(at.call.refs())), at.record.shapes)


def _kept(at: Operands) -> list[Degree]:
    """What is multiplied comes out multiplied, place by place."""
    return [at.tensor("self")] * len(at.call.outputs)


def _uniform(at: Operands) -> list[Degree]:
    """Entries are chosen, added up or repeated, whichever they are: all must have one degree."""
    degree, own = at.tensor("self"), at.call.arguments["self"].value
    for value in at.call.refs():
        if value != own:
            at.vanish(at.degree(value))
    return [_one(at, degree).reshape(2, *[1] * at.rank(n)) for n in range(len(at.call.outputs))]


def _indexed(at: Operands) -> list[Degree]:
    """By numbers that the code writes ("[..., [-2], :]") of one dimension; by other ones whichever they are."""
    degree = at.tensor("self")
    indices: list[Ref | None] = at.get("indices")
    (dim, value), *more = [(n, one.value) for n, one in enumerate(indices) if one is not None]
    numbers = next((c.arguments.get("constant") for c in at.record.calls if value in c.outputs), None)
    written = at.record.dtypes[value].startswith("int") and math.prod(at.record.shapes[value])
    if more or not numbers or len(numbers) != written:
        return _uniform(at)
    return [degree if degree.shape[dim + 1] == 1 else degree.take([int(n) for n in numbers], dim + 1)]


def _one(at: Operands, degree: Degree, axes: Sequence[int] | None = None) -> Degree:
    """The degree, one long in some dimensions (all by default), in which it must be the same throughout."""
    rank = degree.ndim - 1
    for dim in range(rank) if axes is None else axes:
        first = degree.take([0], dim % rank + 1)
        at.vanish(degree - first)
        degree = first
    return degree


def _added(at: Operands) -> list[Degree]:
    first, second = at.of("self"), at.of("other" if "other" in at.call.arguments else "src")
    if first is None or second is None:
        degree = at.tensor("self" if second is None else "other")
        if at.get("other" if second is None else "self") != 0:
            at.vanish(degree)
        return [degree]
    first, second = fitting(first, at.rank()), fitting(second, at.rank())
    at.vanish(first - second)
    return [first + np.zeros_like(second)]


def _multiplied(at: Operands) -> list[Degree]:
    none = np.zeros(2)
    first, second = at.of("self"), at.of("other")
    first, second = (fitting(none if d is None else d, at.rank()) for d in (first, second))
    return [first - second if at.op == "aten.div" else first + second]


def _power(at: Operands) -> list[Degree]:
    degree = at.of("self")
    exponent = POWERS.get(at.op, at.get("exponent"))
    if degree is None or not isinstance(exponent, (int, float)):
        return _nonlinear(at)
    return [exponent * degree]


def _masked(at: Operands) -> list[Degree]:
    """Zero and infinity stay what they are under any factor."""
    degree, value = at.of("self"), at.get("value")
    if degree is None or not isinstance(value, (int, float)) or not (value == 0 or math.isinf(value)):
        return _nonlinear(at)
    return [degree]


def _reduced(at: Operands) -> list[Degree]:
    """Over the named dimensions, all where none is named."""
    degree, named = at.tensor("self"), at.get("dim")
    rank = degree.ndim - 1
    axes = [named] if isinstance(named, int) else list(named or range(rank))
    degree = _one(at, degree, axes)
    if not at.get("keepdim", False):
        degree = degree.squeeze(tuple(a % rank + 1 for a in axes))
    return [degree] * len(at.call.outputs)


def _joined(at: Operands) -> list[Degree]:
    values: list[int] = [one.value for one in at.get("tensors")]
    parts, shapes = [at.degree(v) for v in values], at.record.shapes
    if any(p.ndim != at.rank() + 1 for p in parts):  # torch lets an empty one stand among others
        raise Uneven
    axis: int = at.get("dim", 0) % at.rank()
    whole: tuple[int, ...] = np.broadcast_shapes(*(p.take([0], axis + 1).shape for p in parts))
    full = [
        np.broadcast_to(p, (*whole[: axis + 1], shapes[v][axis], *whole[axis + 2 :]))
        for p, v in zip(parts, values, strict=True)
    ]
    return [np.concatenate(full, axis + 1)]


def _product(first: str, second: str, added: str = "") -> Rule:
    """[..., n, k] times [..., k, m]: what is added up must have one degree."""

    def rule(at: Operands) -> list[Degree]:
        """The degrees of the product: those of the factors, added; what is added to it has the same."""
        left, right = at.tensor(first), at.tensor(second)
        if left.shape[-1] == right.shape[-2] == 1:
            result = left[..., :1] + right[..., :1, :]
        else:
            terms = left[..., :, :, None] + right[..., None, :, :]  # [2, ..., n, k, m]
            result = _one(at, terms, (terms.ndim - 3,)).squeeze(-2)
        more = at.of(added) if added else None
        if more is not None:
            at.vanish(result - fitting(more, at.rank()))
        return [result]

    return rule


def _convolution(at: Operands) -> list[Degree]:
    source, weight, bias = at.tensor("input"), at.tensor("weight"), at.of("bias")
    source = _one(at, source, range(1, source.ndim - 1))
    out = 1 if at.get("transposed") else 0
    if at.get("transposed") and at.get("groups") != 1:
        weight = _one(at, weight)
    weight = _one(at, weight, [d for d in range(weight.ndim - 1) if d != out])
    result = source + weight.reshape(2, 1, -1, *[1] * (source.ndim - 3))
    if bias is not None:
        at.vanish(result - bias.reshape(2, 1, -1, *[1] * (source.ndim - 3)))
    return [result]


def _normalised(at: Operands) -> list[Degree]:
    """The operand must be as it should be, for a small number is added to its variance."""
    for name in ("input", "running_mean", "running_var"):
        if at.of(name) is not None:
            at.vanish(at.tensor(name))
    behind = 0 if at.op == "aten.native_layer_norm" else at.rank() - 2
    given = [np.zeros((2, 1)) if d is None else d for d in (at.of("weight"), at.of("bias"))]
    weight, bias = (fitting(d.reshape(*d.shape, *[1] * behind), at.rank()) for d in given)
    if at.of("bias") is not None:
        at.vanish(weight - bias)
    return [weight, *at.right()[1:]]


def _embedded(at: Operands) -> list[Degree]:
    return [fitting(_one(at, at.tensor("weight"), (0,))[:, 0], at.rank())]


def _nonlinear(at: Operands) -> list[Degree]:
    for value in at.call.refs():
        at.vanish(at.degree(value))
    return at.right()


def _by_shape(at: Operands) -> list[Degree]:
    """Only the shape of the operand counts."""
    return at.right()


def _real(at: Operands) -> list[Degree]:
    degree = at.tensor("self")
    return [degree[..., None]] if at.op == "aten.view_as_real" else [_one(at, degree, (-1,))[..., 0]]


POWERS = {"aten.sqrt": 0.5, "aten.rsqrt": -0.5, "aten.reciprocal": -1.0, "aten.square": 2.0}
"""Exponents of functions."""
PRODUCTS: dict[str, Rule] = {
    "aten.mm": _product("self", "mat2"),
    "aten.bmm": _product("self", "mat2"),
    "aten.addmm": _product("mat1", "mat2", "self"),
    "aten.baddbmm": _product("batch1", "batch2", "self"),
}
RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES, _moved),
    **PRODUCTS,
    **{
        f"aten.{name}": rule
        for rule, names in (
            (_kept, ("neg", "abs", "relu", "leaky_relu")),
            (_indexed, ("index",)),
            (_uniform, ("gather", "index_select", "flip", "roll", "repeat", "unfold", "im2col", "as_strided",
                        "tril", "triu", "diagonal", "avg_pool1d", "avg_pool2d", "pixel_shuffle", "cumsum")),
            (_added, ("add", "sub", "copy")),
            (_multiplied, ("mul", "div")),
            (_power, ("pow", "sqrt", "rsqrt", "reciprocal", "square")),
            (_masked, ("masked_fill",)),
            (_reduced, ("sum", "mean", "amax", "amin")),
            (_joined, ("cat",)),
            (_convolution, ("convolution", "_convolution")),
            (_normalised, ("native_layer_norm", "native_group_norm", "native_batch_norm")),
            (_embedded, ("embedding",)),
            (_real, ("view_as_real", "view_as_complex")),
            (_by_shape, ("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty",
                         "new_full")),
        )
        for name in names
    },
}  # fmt: skip
"""Operators that pass a factor on; all others need operands that are as they should be."""
MADE = ("aten.lift_fresh", "aten.full", "aten.scalar_tensor")
"""Operators that make a tensor of a number; each entry is that number."""
FACTORS = {"aten.mul": 1, "aten.div": -1}
"""Operators with a number that the result is proportional to, or to its reciprocal."""


def rule_of(call: OperatorCall) -> Rule:
    """What becomes of degrees."""
    rounds = call.arguments.get("rounding_mode") is not None
    return _nonlinear if rounds else RULES.get(plain(call), _nonlinear)
