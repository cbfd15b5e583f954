"""Finds the axis that each literal number of a forward measures.

A reader for each family of functions says which labels a number counts; everything else about it is the same.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from ..runtime.load_pruned import FILLED, SCALED
from ..tracing.record import FunctionCall, LiteralArgument
from .analysis import AuditStep, Literal
from .axes import AxisTable
from .rules import Context
from .solver.labels import Dim

Counted: TypeAlias = Iterator[tuple[LiteralArgument, Dim]]
"""Numbers with the labels that each of them counts."""
Reader: TypeAlias = Callable[[Context, FunctionCall], Counted]


def find_literals(context: Context, axes: AxisTable, steps: Iterable[AuditStep]) -> Iterator[Literal]:
    """The numbers in forwards that must change with a cut, or must not; `steps` are the operators compared."""
    shown = {axis for step in steps if not step.dead for axis in step.axes}
    for call in context.record.functions:
        reader = READERS.get(call.function)
        counted = [] if reader is None else list(reader(context, call))
        used = not call.outputs or not context.used.isdisjoint(call.outputs)
        for (where, value, _), dim in counted:
            axis = axes.number(dim)
            if axis >= 0:
                once, repeats = axes.distinct(dim)
                # Torch works out one size of a call, if the code leaves it no other and only one has a further factor.
                repeated = sum(axes.distinct(other)[1] > 1 for _, other in counted)
                alone_left = repeated == 1 and all(number != -1 for _, number, _ in call.given)
                free = call.function in INFERRED and repeats > 1 and alone_left
                once = once if repeats > 1 else -1
                alone = axis not in shown and used
                yield Literal(call.module, call.site, call.number, where, value, axis, free, repeats, once, alone)
        if call.outputs and context.record.constants.issuperset(call.outputs):
            # A constant is cut where it is used, so the code makes it as before.
            sizes = {where for (where, _, _), dim in counted if axes.number(dim) >= 0}
            for where, value, _ in call.given:
                if where not in sizes and (where, value) not in _factors(call):
                    yield Literal(call.module, call.site, call.number, where, value, -1)
        # What is computed for a check only may be another number by then.
        for where, value in _factors(call) if used else ():
            yield Literal(call.module, call.site, call.number, where, value, -1)


def _factors(call: FunctionCall) -> Iterator[tuple[str, int | float]]:
    """Numbers to compute with."""
    if call.function == "scaled_dot_product_attention":
        yield from ((w, v) for w, v, _ in call.given if w == "scale")
    elif call.function in SCALED:
        yield from ((w, v) for w, v, _ in call.given)
    elif call.function in FILLED:
        yield from ((w, v) for w, v, _ in call.given if not _is_size(call, w))


def _outputs(context: Context, call: FunctionCall, number: int = 0) -> Sequence[Dim]:
    return context.dims.get(call.outputs[number], []) if number < len(call.outputs) else []


def _inputs(context: Context, call: FunctionCall) -> Sequence[Dim]:
    return context.dims.get(call.input, [])


def shape(context: Context, call: FunctionCall) -> Counted:
    """All sizes of the result, one after the other."""
    sizes = [one for one in call.given if _is_size(call, one[0])]
    dims = _outputs(context, call)
    if len(sizes) == len(dims):
        yield from ((one, dim) for one, dim in zip(sizes, dims, strict=True) if one[1] > 0)


def counter(context: Context, call: FunctionCall) -> Counted:
    """arange(stop), or arange(0, stop)."""
    named = {w: v for w, v, _ in call.given}
    dims = _outputs(context, call)
    stop = "1" if "1" in named else "0" if "0" in named else "end"
    if dims and named.keys() <= {"0", "1", "end"} and (stop != "1" or named["0"] == 0):
        yield from ((one, dims[0]) for one in call.given if one[0] == stop)


def _is_size(call: FunctionCall, where: str) -> bool:
    """Functions that fill are given the sizes first, as one argument."""
    first = "1" if call.input >= 0 else "0"
    return call.function not in FILLED or where.partition(".")[0] in (first, "size")


def unflatten(context: Context, call: FunctionCall) -> Counted:
    """One axis becomes several: their sizes."""
    dims = _outputs(context, call)
    at = _given_number(call, ("1", "dim"))
    sizes = [one for one in call.given if one[0].startswith(("2.", "sizes."))]
    if at is not None and dims:
        before = at if at >= 0 else at + len(dims) - len(sizes) + 1
        yield from ((one, dims[before + n]) for n, one in enumerate(sizes) if one[1] > 0)


def split(context: Context, call: FunctionCall) -> Counted:
    """One size for all parts, or a list of sizes."""
    dim = _given_number(call, ("2", "dim")) or 0
    for one in call.given:
        name, _, part = one[0].partition(".")
        if name in ("1", "split_size", "split_size_or_sections", "split_sizes"):
            dims = _outputs(context, call, int(part or 0))
            if dims:
                yield one, dims[dim]


def narrow(context: Context, call: FunctionCall) -> Counted:
    """Where a part of an axis begins, and how long it is."""
    dim = _given_number(call, ("1", "dim")) or 0
    whole, part = _inputs(context, call), _outputs(context, call)
    for one in call.given:
        if one[0] in ("3", "length") and part:
            yield one, part[dim]
        elif one[0] in ("2", "start") and whole:
            yield one, _before(whole[dim], one[1])


def bounds(context: Context, call: FunctionCall) -> Counted:
    """x[start:stop], also where values are put: how many indices stand before each bound."""
    dims = _inputs(context, call)
    for one in call.given:
        if one[2] < len(dims):
            yield one, _before(dims[one[2]], one[1])


def _before(dim: Dim, bound: int | float) -> Dim:
    if dim is None or abs(bound) > len(dim):
        return None
    return dim[: int(bound)]


def norm_shape(context: Context, call: FunctionCall) -> Counted:
    """The shape over which a norm goes: the input's last axes."""
    sizes = [one for one in call.given if one[0].partition(".")[0] in ("1", "normalized_shape")]
    dims = _inputs(context, call)
    if len(sizes) <= len(dims):
        yield from zip(sizes, dims[len(dims) - len(sizes) :], strict=True)


def norm_groups(context: Context, call: FunctionCall) -> Counted:
    """The number of groups of a norm or a shuffle."""
    for one in call.given:
        if one[0] in ("1", "num_groups", "groups") and call.outputs:
            yield one, context.groups.get(call.outputs[0])


def repeats(context: Context, call: FunctionCall) -> Counted:
    """How often each index is repeated (key/value heads for their query heads)."""
    for one in call.given:
        if one[0] in ("1", "repeats"):
            spread = (dim for module, what, dim in context.sizes if (module, what) == (call.module, "repeats"))
            yield one, next((dim for dim in spread if dim is not None and len(dim) == one[1]), None)


def groups(context: Context, call: FunctionCall) -> Counted:
    """The number of groups of a convolution."""
    for one in call.given:
        if one[0] in ("6", "groups") and one[1] > 1:
            found = {
                id(dim): dim
                for module, what, dim in context.sizes
                if (module, what) == (call.module, "groups") and dim is not None and len(dim) == one[1]
            }
            if len(found) == 1:
                yield one, next(iter(found.values()))


def _given_number(call: FunctionCall, names: tuple[str, ...]) -> int | None:
    return next((int(v) for w, v, _ in call.given if w in names), None)


INFERRED = ("view", "reshape")
"""Functions that work out one size, given as -1."""
READERS: dict[str, Reader] = {
    **dict.fromkeys(("reshape", "view", "expand", "zeros", "ones", "empty", "rand", "randn", "full"), shape),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full"), shape),
    **dict.fromkeys(("split", "split_with_sizes"), split),
    **dict.fromkeys(("layer_norm", "rms_norm"), norm_shape),
    **dict.fromkeys((f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)), groups),
    "arange": counter,
    "repeat_interleave": repeats,
    **dict.fromkeys(("group_norm", "channel_shuffle"), norm_groups),
    "unflatten": unflatten,
    "narrow": narrow,
    **dict.fromkeys(("__getitem__", "__setitem__"), bounds),
}
