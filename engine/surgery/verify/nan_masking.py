"""Computes operators without some indices: NaN marks the entries that are absent.

Parameters hold NaN at the indices that go. Operators that combine index by index, move or look up carry the NaN along
by themselves; products leave absent terms out, and every statistic (mean, variance, maximum, norm ...) runs over what
is present. A result of which nothing is present is absent. No labels are needed for this and no part of a cut, so it
is a reference for both. Operators that are unknown here see zeros in place of what is absent.

The same holds for the operators of a backward pass: they are linear in the gradient, so that zeros replace what is
absent, and a gradient is absent where the value that it is for is. `unknown` collects operators that met NaN without a
rule: their derivatives may be others than without what is absent.

A model's code may look at its own numbers and refuse NaN (`assert isfinite`, arguments of a distribution, solvers with
adaptive steps). Tests for NaN find none. Where the code still raises, comparisons see present entries in place of
absent ones, and where it raises even so, zeros mark what is absent (`Marks`).
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._pytree import tree_map_only

from ...structures.rules import (
    elementwise,
    embeddings,
    factories,
    joining,
    patches,
    pooling,
    quantised,
    reductions,
    slicing,
    views,
)
from ...tracing.operator_mode import OperatorMode
from ...tracing.schema import operator

Arguments: TypeAlias = dict[str, Any]
NanRule: TypeAlias = Callable[[Any, Arguments], Any]

NAN = float("nan")
INFINITY = float("inf")
FEW_ROWS = 256
"""Fewer rows are multiplied with all of a weight sooner than what is present of it is copied."""


class MaskedWeight(NamedTuple):
    """A weight whose absent entries are whole indices of its dimensions.

    Attributes:
        value: The weight; its absent entries mean nothing.
        gone: By dimension, the indices that are absent.
    """

    value: torch.Tensor
    gone: Mapping[int, NDArray[np.int64]]


class Marks(StrEnum):
    """What a model's code sees of absent entries, the strictest first.

    NAN: NaN, which all but tests for it carry along.
    UNSEEN: The same, but whatever gives no floating numbers, as comparisons do, reads present entries instead. The
        code's `all` and `any` then hang on what is present; what it counts does not, so this is not the rule.
    ZERO: Zeros, without rules for operators. Sums leave absent entries out, but statistics over them are others.
    """

    NAN = "nan"
    UNSEEN = "unseen"
    ZERO = "zero"

    @property
    def absent(self) -> float:
        """What absent entries of weights hold."""
        return 0.0 if self is Marks.ZERO else NAN


class WholeWeights(Protocol):
    """Weights that an operator is handed as a model stores them."""

    def matrix(self, tensor: torch.Tensor) -> MaskedWeight | None:
        """A weight with what of it is absent; None for a tensor that is no weight, or another view of one."""
        ...

    def resolve(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor to read in place of another, NaN at what is absent."""
        ...


class NanMasking(OperatorMode):
    """Context manager in which operators leave out the entries that are NaN."""

    def __init__(
        self, stored: WholeWeights | None = None, marks: Marks = Marks.NAN, unknown: set[str] | None = None
    ) -> None:
        """Take the weights with which products are called as they are stored, None where they hold their NaN.

        `unknown` gets the names of operators without a rule.
        """
        super().__init__()
        self._stored = stored
        self._unknown = set[str]() if unknown is None else unknown
        self._unseen = marks is Marks.UNSEEN

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator without what is absent."""
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operator on what is present."""
        if self._stored is not None and func in KNOWN_PRODUCTS:
            place, product = KNOWN_PRODUCTS[func]
            weight = self._stored.matrix(args[place])
            if weight is not None:
                return product(func, args, kwargs, weight)
            args = (*args[:place], self._stored.resolve(args[place]), *args[place + 1 :])
        result = self._run_on_present(func, args, kwargs)
        compares = self._unseen and (torch.Tag.pointwise in func.tags or func is torch.ops.aten.equal.default)
        if compares and not func._schema.is_mutable and not any(map(_holds_absent, _tensors((result,)))):
            return func(*_present_entries(args), **kwargs)
        return result

    def _run_on_present(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result with NaN seen as NaN."""
        name = str(func.overloadpacket)
        rule = RULES.get(name)
        # A NaN among the operands is a NaN in the result at the same place, or wherever the operator moves it.
        pointwise = torch.Tag.pointwise in func.tags or func.is_view or func._schema.is_mutable
        if (rule is None and (pointwise or name in MOVING)) or (rule is _batch_norm and not args[5]):
            return func(*args, **kwargs)
        # A sum is NaN where an entry is, and costs no memory.
        if not any(t.sum().isnan() for t in _tensors((*args, *kwargs.values())) if _holds_absent(t)):
            return func(*args, **kwargs)
        given: Arguments = {a.name: a.default_value for a in func._schema.arguments}
        given.update(zip(given, args, strict=False))
        given.update(kwargs)
        given = tree_map_only(torch.Tensor, lambda t: t if t.layout is torch.strided else t.to_dense(), given)
        if rule is None and name.endswith(("_backward", "_backward_data")):
            rule = _derivative
        result = NotImplemented if rule is None else rule(func, given)
        counts = name in COUNTED and torch.is_grad_enabled() and given["self"].requires_grad
        if result is NotImplemented or (counts and _counts_differ(given)):
            self._unknown.add(name)
        return _call_on_zeros(func, given) if result is NotImplemented else result


MOVING = {
    *(n for f in (elementwise, embeddings, factories, joining, patches, pooling, slicing, views) for n in f.RULES),
    "torchvision.roi_align",
    "torchvision.roi_pool",
}


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    """Tensors among an operator's arguments."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(cast("list[Any]", value))


def _holds_absent(tensor: torch.Tensor) -> bool:
    return (tensor.is_floating_point() or tensor.is_complex()) and not tensor.is_meta


def _fill(tensor: torch.Tensor, value: float = 0.0) -> torch.Tensor:
    return tensor.masked_fill(tensor.isnan(), value) if _holds_absent(tensor) else tensor


def _fill_if_absent(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself where nothing is absent, which is quicker to see than to fill."""
    return _fill(tensor) if bool(tensor.sum().isnan()) else tensor


def _call(func: Any, given: Arguments, **other: Any) -> Any:
    """The operator with some arguments exchanged."""
    given = {**given, **other}
    schema = func._schema.arguments
    named = {a.name: given[a.name] for a in schema if a.kwarg_only}
    return func(*[given[a.name] for a in schema if not a.kwarg_only], **named)


def _call_on_zeros(func: Any, given: Arguments) -> Any:
    return _call(func, tree_map_only(torch.Tensor, _fill, given))


def _present_entries(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands that go with each other entry by entry, with one place's entries where any of them is absent."""
    own = [one for one in args if isinstance(one, torch.Tensor)]
    shape = np.broadcast_shapes(*(tuple(one.shape) for one in own))
    whole = [one.expand(shape) for one in own]
    absent = torch.stack([one.isnan() for one in whole]).any(0).flatten()
    if not bool(absent.any()) or bool(absent.all()):
        return tuple(_fill(one) if isinstance(one, torch.Tensor) else one for one in args)
    there = (~absent).nonzero().squeeze(1)
    # The last present place before each absent one, or the first of all.
    places = there[((~absent).cumsum(0) - 1).clamp_min(0)]
    filled = iter([one.flatten()[places].reshape(one.shape) for one in whole])
    return tuple(next(filled) if isinstance(one, torch.Tensor) else one for one in args)


def _equal(func: Any, given: Arguments) -> Any:
    """A tensor is compared with itself to find NaN."""
    return (_call_on_zeros if given["self"] is given["other"] else _call)(func, given)


def _lossy(func: Any, given: Arguments) -> Any:
    """Index by index, but a NaN may be lost: what has an absent operand is absent."""
    absent = [t.isnan() for t in given.values() if isinstance(t, torch.Tensor) and _holds_absent(t)]
    result = _call(func, given)
    for one in absent:
        result.masked_fill_(one, NAN)
    return result


def _product(first: str, second: str) -> NanRule:
    def rule(func: Any, given: Arguments) -> Any:
        """The product of what is present; where no term is, nothing is."""
        left, right = given[first], given[second]
        mine, its = _lines(left), _lines(right)
        # Whole rows and columns are absent, as nearly always: no second product is needed to count the terms.
        if mine is not None and its is not None:
            rows, terms, others, columns = *mine, *its
            filled = {first: _without(left, rows, terms), second: _without(right, others, columns)}
            result = _call(func, given, **filled)
            none = (terms.squeeze(-2) | others.squeeze(-1)).all(-1)[..., None, None]
            return result.masked_fill_(rows | none, NAN).masked_fill_(columns, NAN)
        absent = [one.isnan() for one in (left, right)]
        result = _call(func, given, **{first: left.masked_fill(absent[0], 0), second: right.masked_fill(absent[1], 0)})
        counts = torch.matmul(*((~mask).float() for mask in absent))
        return result.masked_fill(counts == 0, NAN)

    return rule


def _lines(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """[..., M, 1] and [..., 1, N] which rows and columns are absent; None where others of their entries are not."""
    if matrix.dim() < 2:
        return None
    # A sum is NaN where one entry is; whether all are is looked at only there.
    rows, columns = matrix.sum(-1).isnan(), matrix.sum(-2).isnan()
    every_row, every_column = rows.all(-1, keepdim=True), columns.all(-1, keepdim=True)
    rows = torch.where(every_row, every_column, rows)  # where each has one: all of the matrix, or whole columns
    columns = columns & ~every_column
    covered = (matrix[rows], matrix.transpose(-1, -2)[columns])
    return (rows.unsqueeze(-1), columns.unsqueeze(-2)) if all(bool(c.isnan().all()) for c in covered) else None


def _lost(source: torch.Tensor, dim: int) -> torch.Tensor | None:
    """Which indices of a dimension are absent; None where single entries of others are too."""
    lost = source.sum([n for n in range(source.dim()) if n != dim % source.dim()]).isnan()
    index = lost.nonzero().squeeze(1)
    return lost if bool(source.index_select(dim, index).isnan().all()) else None


def _without(matrix: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    matrix = matrix.masked_fill(rows, 0) if bool(rows.any()) else matrix
    return matrix.masked_fill(columns, 0) if bool(columns.any()) else matrix


def _convolution(func: Any, given: Arguments) -> Any:
    """As a product over channels: a channel is present where any place in space is; places read alone, each alone."""
    absent = [given[n].isnan() for n in ("input", "weight")]
    source, weight = (given[n].masked_fill(mask, 0) for n, mask in zip(("input", "weight"), absent, strict=True))
    result = _call(func, given, input=source, weight=weight)
    space = tuple(range(2, source.dim()))
    one, none = [1] * len(space), [0] * len(space)
    read = [n for n in space if result.shape[n] != source.shape[n] or weight.shape[n] > 1]
    missing = absent[0].all(read, keepdim=True) if read else absent[0]
    if torch.equal(missing.any(space), missing.all(space)):  # as nearly always: no need to look at every place
        missing = missing.all(space, keepdim=True)
    # A convolution of flags counts the terms that each result is made of.
    channels, taps = (~missing).float(), (~absent[1].all(space, keepdim=True)).float()
    terms = torch.convolution(channels, taps, None, one, none, one, given["transposed"], none, given["groups"])
    return result.masked_fill(terms == 0, NAN)


def _rows_times(first: int) -> Callable[..., torch.Tensor]:
    """Rows [M, K], the argument at that place, times a known weight [K, N]."""

    def product(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], weight: MaskedWeight) -> torch.Tensor:
        """The product of what is present; where no term is, nothing is."""
        gone, results = _index(weight, 0, args[first]), _index(weight, 1, args[first])
        size = weight.value.shape[1]
        few = args[first].shape[0] < FEW_ROWS
        # What is added to the product must have as many columns, or its columns cannot be left out with the others.
        part = not few and all(one.shape[-1] == size for one in args[:first])
        made = _present_indices(size, results) if part else None
        rows, value, absent = _present_of(args[first], gone, weight.value, None if few else 0)
        if made is not None:
            value = _part(value, 1, made)
        added = args[:first] if made is None else tuple(one.index_select(-1, made) for one in args[:first])
        result = _put_absent(func(*added, rows, value, *args[first + 2 :], **kwargs), 1, size, made, results)
        if absent is not None:
            none = absent.all(1, keepdim=True) if absent.dim() > 1 else absent.all()
            if bool(none.any()):
                result.masked_fill_(none, NAN)
        return result

    return product


def _known_convolution(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], weight: MaskedWeight) -> torch.Tensor:
    """As `_convolution`, by a known weight: [O, I / groups, ...], or [I, O / groups, ...] of a transposed one."""
    source, bias, transposed, groups = args[0], args[2], args[6], args[8]
    inputs, outputs = (0, 1) if transposed else (1, 0)
    gone, results = _index(weight, inputs, source), _index(weight, outputs, source)
    each, size = source.shape[1] // groups, weight.value.shape[outputs]
    if each == 1 and groups > 1 and not transposed and len(gone) == 0:
        return _known_depthwise(func, args, weight, results)
    alone = groups == 1 and source.numel() // max(source.shape[1], 1) >= FEW_ROWS
    made = _present_indices(size, results) if alone else None
    if groups > 1:
        offsets = torch.arange(groups, device=source.device).unsqueeze(1)
        if transposed and len(results):
            results = (results + offsets * weight.value.shape[1]).flatten()
        if not transposed and len(gone):
            gone = (gone + offsets * each).flatten()
    filled, value, absent = _present_of(source, gone, weight.value, inputs if alone else None)
    if made is not None:
        value, bias = value.index_select(outputs, made), None if bias is None else bias.index_select(0, made)
    result = _put_absent(func(filled, value, bias, *args[3:], **kwargs), 1, size, made, results)
    if absent is not None:
        if absent.dim() > 1:
            space = tuple(range(2, source.dim()))
            read = [n for n in space if result.shape[n] != source.shape[n] or weight.value.shape[n] > 1]
            absent = absent.all(read, keepdim=True) if read else absent
        else:
            absent = absent.reshape(1, -1, *[1] * (source.dim() - 2))
        none: torch.Tensor = torch.unflatten(absent, 1, (groups, each)).all(2)
        if bool(none.any()):
            result.masked_fill_(none.repeat_interleave(result.shape[1] // groups, 1), NAN)
    return result


def _known_depthwise(func: Any, args: tuple[Any, ...], weight: MaskedWeight, results: torch.Tensor) -> torch.Tensor:
    """Each channel of [N, C, ...] by itself, to as many results as the weight [O, 1, ...] has for it."""
    source, bias, size = args[0], args[2], weight.value.shape[0]
    lost = _lost(source, 1)
    if lost is None:  # each place by itself
        value = weight.value.index_fill(0, results, NAN) if len(results) else weight.value
        names = [argument.name for argument in func._schema.arguments]
        return _convolution(func, dict(zip(names, (source, value, *args[2:]), strict=True)))
    each = size // source.shape[1]
    absent = lost.repeat_interleave(each).index_fill_(0, results, True)
    channels = (~absent).reshape(-1, each).any(1).nonzero().squeeze(1)
    if len(channels) in (0, source.shape[1]):
        return _put_absent(func(*args[:1], weight.value, *args[2:]), 1, size, None, absent.nonzero().squeeze(1))
    made = (channels.unsqueeze(1) * each + torch.arange(each, device=channels.device)).flatten()
    value, bias = weight.value.index_select(0, made), None if bias is None else bias.index_select(0, made)
    found = func(source.index_select(1, channels), value, bias, *args[3:8], len(channels))
    found = _put_absent(found, 1, size, made, results)
    return found.index_fill_(1, absent.nonzero().squeeze(1), NAN) if each > 1 else found


def _index(weight: MaskedWeight, dim: int, near: torch.Tensor) -> torch.Tensor:
    """What of a weight's dimension is absent."""
    return torch.from_numpy(weight.gone.get(dim, np.zeros(0, dtype=np.int64))).to(near.device)


def _present_indices(size: int, gone: torch.Tensor) -> torch.Tensor | None:
    """The indices of an axis that are present; None where all are, or none is."""
    if not 0 < len(gone) < size:
        return None
    there = torch.ones(size, dtype=torch.bool, device=gone.device).index_fill_(0, gone, False)
    return there.nonzero().squeeze(1)


def _put_absent(
    result: torch.Tensor, dim: int, size: int, made: torch.Tensor | None, absent: torch.Tensor
) -> torch.Tensor:
    """A result with NaN at the indices of a dimension that are absent; it has all of them, or those that were made."""
    if made is None:
        return result if len(absent) == 0 else result.index_fill_(dim, absent, NAN)
    return _spread_present(result, dim, size, made)


def _present_of(
    source: torch.Tensor, gone: torch.Tensor, weight: torch.Tensor, dim: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """What a product takes of its operand [N, K, ...] and of its weight, and which entries it leaves out.

    Whole indices that are left out are taken from both, so that the product is smaller; single entries become zeros.
    Left out are [K] whole indices, or entries [N, K, ...] where others are absent too; None where nothing is.

    Args:
        source: The operand, NaN where it is absent.
        gone: What of K the weight lacks.
        weight: The weight; its absent entries mean nothing.
        dim: That of the weight that K is; None where indices cannot be taken from it.
    """
    lost = _lost(source, 1)
    if lost is None:
        absent = source.isnan()
        absent.index_fill_(1, gone, True)
        return source.masked_fill(absent, 0.0), weight, absent
    if len(gone) == 0 and not bool(lost.any()):
        return source, weight, None
    lost.index_fill_(0, gone, True)
    there = (~lost).nonzero().squeeze(1)
    if dim is None or len(there) == 0:
        return source.index_fill(1, lost.nonzero().squeeze(1), 0.0), weight, lost
    return source.index_select(1, there), _part(weight, dim, there), lost


def _part(weight: torch.Tensor, dim: int, index: torch.Tensor) -> torch.Tensor:
    """Some indices of a weight, laid out in memory as the weight is: products in another layout round otherwise."""
    if weight.dim() == 2 and weight.stride(0) == 1:
        return weight.t().index_select(1 - dim, index).t()
    return weight.index_select(dim, index)


def _pad(func: Any, given: Arguments) -> Any:
    """What is put around an absent channel is absent with it."""
    source, amounts = given["self"], given["pad"]
    axes = tuple(source.dim() - 1 - n // 2 for n in range(0, len(amounts), 2) if any(amounts[n : n + 2]))
    result = _call(func, given)
    return result.masked_fill(source.isnan().all(axes, keepdim=True), NAN) if axes else result


def _unpool(func: Any, given: Arguments) -> Any:
    """The zeros between the places of an absent channel are absent with it."""
    source = given["self"]
    space = tuple(range(source.dim() - len(given["output_size"]), source.dim()))
    return _call(func, given).masked_fill(source.isnan().all(space, keepdim=True), NAN)


def _scatter(func: Any, given: Arguments) -> Any:
    """An absent slice that is written into a whole one leaves all of it absent."""
    result, source, axis = _call(func, given), given.get("src"), given["dim"]
    if source is None or not _holds_absent(source) or not 0 < source.dim() == result.dim():
        return result
    absent = source.isnan().all(axis, keepdim=True)
    whole = list(result.shape)
    whole[axis] = 1
    return result.masked_fill_(absent, NAN) if list(absent.shape) == whole else result


def _convert(func: Any, given: Arguments) -> Any:
    """A whole number or a flag cannot say that it is absent; its place exists."""
    dtype = given["dtype"]
    whole = dtype is not None and not (dtype.is_floating_point or dtype.is_complex)
    return (_call_on_zeros if whole else _call)(func, given)


def _distances(func: Any, given: Arguments) -> Any:
    """Over the coordinates that are present in both; none is absent."""
    first, second = (given[n].isnan() for n in ("x1", "x2"))
    result = _call(func, given, x1=_fill(given["x1"]), x2=_fill(given["x2"]))
    return result.masked_fill(torch.matmul((~first).float(), (~second).float().mT) == 0, NAN)


def _loss(func: Any, given: Arguments) -> Any:
    """Index by index, then a mean or a sum over what is present."""
    each = _call(func, tree_map_only(torch.Tensor, _fill, given), reduction=0)
    for one in (t for t in given.values() if isinstance(t, torch.Tensor)):
        each = each.masked_fill(one.isnan(), NAN)
    return each if given["reduction"] == 0 else each.nanmean() if given["reduction"] == 1 else each.nansum()


def _renorm(func: Any, given: Arguments) -> Any:
    """Scales in place, or not; what is absent remains so."""
    source = given["self"]
    absent, filled = source.isnan(), _fill(source)
    result = _call(func, given, self=filled).masked_fill(absent, NAN)
    return source.copy_(result) if func._schema.is_mutable else result


def _fake_quantise(func: Any, given: Arguments) -> Any:
    """Fake quantisation: by the scales that are present; running extremes are those of what is present."""
    source, axis = given["self"], given.get("ch_axis") if given.get("per_row_fake_quant") else None
    across = [n for n in range(source.dim()) if axis is None or n != axis % source.dim()]
    middle = source.nanmean(across, keepdim=True)  # changes no extreme
    absent = {n: t.isnan() for n, t in given.items() if isinstance(t, torch.Tensor) and _holds_absent(t)}
    filled = {n: given[n].masked_fill(mask, 1.0) for n, mask in absent.items() if n != "self"}
    filled["self"] = torch.where(absent["self"], middle.nan_to_num(), source)
    results = _call(func, given, **filled)
    for name in operator(func).written & absent.keys():
        given[name].copy_(filled[name].masked_fill(absent[name], NAN))
    if isinstance(results, torch.Tensor):
        return results.masked_fill(absent["self"], NAN)
    return (results[0].masked_fill(absent["self"], NAN), *results[1:])


def _grouped_product(func: Any, given: Arguments) -> Any:
    """As a product of each expert's rows."""
    rows, stack = given["self"], given["mat2"]
    result = _call(func, given, self=_fill(rows), mat2=_fill(stack))
    terms = func((~rows.isnan()).to(rows.dtype), (~stack.isnan()).to(rows.dtype), given["offs"])
    return result.masked_fill(terms == 0, NAN)


def _largest(func: Any, given: Arguments) -> Any:
    """The largest (or smallest) of what is present; more than are present are absent."""
    values, places = _call(func, given, self=_fill(given["self"], -INFINITY if given["largest"] else INFINITY))
    return values.masked_fill(given["self"].isnan().gather(given["dim"], places), NAN), places


def _axes(given: Arguments, name: str = "dim") -> tuple[int, ...]:
    """The axes that a reduction names; all where it names none."""
    named = given.get(name)
    if isinstance(named, int):
        return (named,)
    return tuple(named) if named else tuple(range(given["self"].dim()))


def _present_counts(given: Arguments) -> torch.Tensor:
    """How many entries each result of a reduction is made of."""
    return (~given["self"].isnan()).sum(_axes(given), keepdim=bool(given.get("keepdim", False)))


def _counts_differ(given: Arguments) -> bool:
    """Some results of a reduction are made of a part of the entries."""
    count = _present_counts(given)
    return bool(((count > 0) & (count < given["self"].numel() // max(count.numel(), 1))).any())


def _neutral(value: float) -> NanRule:
    """A reduction to which this value adds nothing."""

    def rule(func: Any, given: Arguments) -> Any:
        """The reduction of what is present; where nothing is, the result is absent."""
        if "other" in given:  # max of two tensors
            return _lossy(func, given)
        result = _call(func, given, self=_fill(given["self"], value))
        none = _present_counts(given) == 0
        if isinstance(result, torch.Tensor) and not _holds_absent(result):
            return result  # a count
        if isinstance(result, torch.Tensor):
            return result.masked_fill(none, NAN)
        return type(result)((result[0].masked_fill(none, NAN), *result[1:]))

    return rule


def _along(value: float) -> NanRule:
    """An operator that runs over an axis and keeps its shape."""

    def rule(func: Any, given: Arguments) -> Any:
        source = given["self"]
        lost = source.sum(given["dim"]).isnan()
        if bool(source.movedim(given["dim"], -1)[lost].isnan().all()):
            return _call(func, given)  # where something is absent, all of it is
        result = _call(func, given, self=_fill(source, value))
        return result.masked_fill(source.isnan(), NAN)

    return rule


def _norm(func: Any, given: Arguments) -> Any:
    order = given["ord"] if "ord" in given else given["p"]
    return _neutral(INFINITY if order is not None and order < 0 else 0.0)(func, given)


def _extremes(func: Any, given: Arguments) -> Any:
    """The smallest and the largest of what is present."""
    none = _present_counts(given) == 0
    ends = zip((INFINITY, -INFINITY), (0, 1), strict=True)
    return tuple(_call(func, given, self=_fill(given["self"], v))[n].masked_fill(none, NAN) for v, n in ends)


def _mean(func: Any, given: Arguments) -> torch.Tensor:
    source = given["self"].to(given["dtype"]) if given["dtype"] is not None else given["self"]
    axes = {axis % source.dim() for axis in _axes(given)} if source.dim() else {0}
    if 1 not in axes and source.dim() > 1 and _lost(source, 1) is not None:
        return _call(func, given)  # of what is absent, all is
    return _fill(source).sum(_axes(given), keepdim=bool(given.get("keepdim", False))) / _present_counts(given)


def _variance(source: torch.Tensor, axes: tuple[int, ...], less: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, variance) over the present entries, axes kept; `less` is taken off the count."""
    count = (~source.isnan()).sum(axes, keepdim=True)
    mean = _fill(source).sum(axes, keepdim=True) / count
    variance = _fill((source - mean) ** 2).sum(axes, keepdim=True) / (count - less).clamp_min(0)
    return mean, variance


def _spread(root: bool, with_mean: bool) -> NanRule:
    def rule(_func: Any, given: Arguments) -> Any:
        less = given.get("correction", 1.0 if given.get("unbiased", True) else 0.0)
        mean, variance = _variance(given["self"], _axes(given), 1.0 if less is None else float(less))
        results = [variance.sqrt() if root else variance, mean]
        if not given.get("keepdim", False):
            results = [r.squeeze(_axes(given)) for r in results]
        return tuple(results) if with_mean else results[0]

    return rule


def _scale_shift(result: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _norm_layer(func: Any, given: Arguments) -> Any:
    """A norm over the last axes, or its derivative: over the last one by what is present of it, where that is all.

    torch's own operator on the present part gives the statistics that the derivative asks for.
    """
    source, shape, backward = given["input"], given["normalized_shape"], "grad_out" in given
    lost = _lost(source, -1) if len(shape) == 1 and source.dim() > 1 else None
    if lost is None or bool(lost.all()):
        if backward:
            return NotImplemented
        return _layer_norm(given) if "bias" in given else _rms_norm(given)
    index = (~lost).nonzero().squeeze(1)
    names = [n for n in ("grad_out", "input", "weight", "bias") if given.get(n) is not None]
    parts = {n: _fill_if_absent(given[n].index_select(-1, index)) for n in names}
    found = _call(func, given, normalized_shape=[len(index)], **parts)
    wide = len(found) if backward else 1  # the statistics have nothing absent
    whole = [None if one is None else _spread_present(one, -1, len(lost), index) for one in found[:wide]]
    return (*whole, *found[wide:])


def _spread_present(result: torch.Tensor, dim: int, size: int, index: torch.Tensor) -> torch.Tensor:
    """A result at the places of a dimension that are present."""
    dim %= result.dim()
    whole = result.new_full((*result.shape[:dim], size, *result.shape[dim + 1 :]), NAN)
    return whole.index_copy_(dim, index, result)


def _layer_norm(given: Arguments) -> Any:
    source, axes = given["input"], tuple(range(-len(given["normalized_shape"]), 0))
    mean, variance = _variance(source, axes)
    rate = (variance + given["eps"]).rsqrt()
    return _scale_shift((source - mean) * rate, given["weight"], given["bias"]), mean, rate


def _rms_norm(given: Arguments) -> Any:
    source, axes = given["input"], tuple(range(-len(given["normalized_shape"]), 0))
    eps = torch.finfo(source.dtype).eps if given["eps"] is None else given["eps"]
    square = _fill(source**2).sum(axes, keepdim=True) / (~source.isnan()).sum(axes, keepdim=True)
    rate = (square + eps).rsqrt()
    return _scale_shift(source * rate, given["weight"], None), rate


def _group_norm(_func: Any, given: Arguments) -> Any:
    """[N, C, ...] in groups of channels; statistics over a group's channels and space."""
    source = given["input"]
    grouped = source.reshape(source.shape[0], given["group"], -1)
    mean, variance = _variance(grouped, (2,))
    rate = (variance + given["eps"]).rsqrt()
    result = ((grouped - mean) * rate).reshape(source.shape)
    return _scale_shift(result, *_by_channel(source, given)), mean.squeeze(2), rate.squeeze(2)


def _batch_norm(func: Any, given: Arguments) -> Any:
    """With statistics of the batch: over all axes but the channels."""
    source = given["input"]
    if not given["training"] or _lost(source, 1) is not None:
        return _call(func, given)  # each channel by itself
    axes = (0, *range(2, source.dim()))
    mean, variance = _variance(source, axes)
    # As torch's operator does in training mode: the variance that is kept is the unbiased one.
    if given["running_mean"] is not None:
        given["running_mean"].lerp_(mean.flatten(), given["momentum"])
        given["running_var"].lerp_(_variance(source, axes, 1.0)[1].flatten(), given["momentum"])
    rate = (variance + given["eps"]).rsqrt()
    return _scale_shift((source - mean) * rate, *_by_channel(source, given)), mean.flatten(), rate.flatten()


def _group_norm_backward(func: Any, given: Arguments) -> Any:
    """By the channels that are present, where each group has as many."""
    lost = _lost(given["input"], 1)
    if lost is None:
        return NotImplemented
    counts = (~lost).reshape(given["group"], -1).sum(1)
    groups = counts.nonzero().squeeze(1)
    if not len(groups) or bool((counts[groups] != counts[groups[0]]).any()):
        return NotImplemented
    index = (~lost).nonzero().squeeze(1)
    parts = {n: _fill_if_absent(given[n].index_select(1, index)) for n in ("grad_out", "input")}
    parts |= {n: given[n].index_select(1, groups) for n in ("mean", "rstd")}
    weight = None if given["weight"] is None else given["weight"].index_select(0, index)
    found = _call(func, given, **parts, weight=weight, C=len(index), group=len(groups))
    dims = zip(found, (1, 0, 0), strict=True)
    return tuple(None if one is None else _spread_present(one, dim, len(lost), index) for one, dim in dims)


def _batch_norm_backward(func: Any, given: Arguments) -> Any:
    """Each channel by itself."""
    return NotImplemented if _lost(given["input"], 1) is None else _call(func, given)


def _derivative(func: Any, given: Arguments) -> Any:
    """What is absent adds nothing to gradients; that of an absent entry is absent."""
    results = _call_on_zeros(func, given)
    first = results if isinstance(results, torch.Tensor) else results[0]
    own = next((given[n] for n in ("self", "input", "output", "x1") if n in given), None)
    if not isinstance(own, torch.Tensor) or first is None or own.shape != first.shape:
        return results
    first = first.masked_fill(own.isnan(), NAN)
    return first if isinstance(results, torch.Tensor) else (first, *results[1:])


def _convolution_backward(func: Any, given: Arguments) -> Any:
    """By the channels that are present, where these are whole ones and no groups."""
    source, grad = given["input"], given["grad_output"]
    rows, columns = (_lost(one, 1) for one in (grad, source))
    if given["groups"] > 1 or given["transposed"] or rows is None or columns is None:
        return _derivative(func, given)
    made, read = ((~one).nonzero().squeeze(1) for one in (rows, columns))
    if not len(made) or not len(read):
        return _derivative(func, given)
    weight = given["weight"]
    weight = weight if len(made) == len(rows) else weight.index_select(0, made)
    weight = weight if len(read) == len(columns) else weight.index_select(1, read)
    parts = {
        "grad_output": grad.index_select(1, made),
        "input": source.index_select(1, read),
        "weight": _fill_if_absent(weight),
    }
    sizes = None if given["bias_sizes"] is None else [len(made)]
    inputs, weights, bias = _call(func, given, **parts, bias_sizes=sizes)
    if inputs is not None:
        inputs = _spread_present(inputs, 1, len(columns), read)
    if weights is not None:
        there = (made.unsqueeze(1), read)
        weights = weights.new_full(given["weight"].shape, NAN).index_put_(there, weights)
    return inputs, weights, None if bias is None else _spread_present(bias, 0, len(rows), made)


def _by_channel(source: torch.Tensor, given: Arguments) -> list[torch.Tensor | None]:
    shape = (1, -1, *[1] * (source.dim() - 2))
    return [None if given[n] is None else given[n].reshape(shape) for n in ("weight", "bias")]


def _recurrent(func: Any, given: Arguments) -> Any:
    """A layer of an LSTM as one operator: a unit of which the recurrent weight [4 H, H] has no row gives nothing."""
    results = list(_call_on_zeros(func, given))
    units = given["weight1"].isnan().all(0)
    return [*(result.masked_fill(units, NAN) for result in results[:3]), *results[3:]]


def _weight_norm(_func: Any, given: Arguments) -> Any:
    """V * g / |v|, the norm over all axes but one (Salimans and Kingma 2016)."""
    direction, others = given["v"], [n for n in range(given["v"].dim()) if n != given["dim"]]
    norm = _fill(direction).square().sum(others, keepdim=True).sqrt()
    return direction * (given["g"] / norm), norm


RULES: dict[str, NanRule] = {
    **{f"aten.{n}": _product("self", "mat2") for n in ("mm", "bmm")},
    "aten.addmm": _product("mat1", "mat2"),
    "aten.baddbmm": _product("batch1", "batch2"),
    "aten.mv": _product("self", "vec"),
    "aten.addmv": _product("mat", "vec"),
    "aten.dot": _product("self", "tensor"),
    "aten.constant_pad_nd": _pad,
    **{f"aten.max_unpool{n}d": _unpool for n in (2, 3)},
    **{f"aten.{n}{end}": _scatter for n in ("scatter", "scatter_add", "scatter_reduce") for end in ("", "_")},
    "aten._to_copy": _convert,
    "aten._grouped_mm": _grouped_product,
    "aten.topk": _largest,
    **{f"aten.{n}": _convolution for n in ("convolution", "_convolution")},
    **{f"aten.{n}": _lossy for n in ("where", "masked_fill", "masked_fill_", "sign", "sgn", "fmax", "fmin", "pow")},
    **{f"aten.{n}": _neutral(0.0) for n in ("sum", "nansum")},
    **{f"aten.{n}": _neutral(-INFINITY) for n in ("amax", "max", "logsumexp")},
    **{f"aten.{n}": _neutral(INFINITY) for n in ("amin", "min")},
    "aten.prod": _neutral(1.0),
    **{f"aten.{n}": _norm for n in ("linalg_vector_norm", "norm")},
    "aten.count_nonzero": _neutral(0.0),
    **{f"aten.{n}": _equal for n in ("eq", "ne")},
    **{f"aten.{n}": _call_on_zeros for n in ("isnan", "isinf")},
    "aten.aminmax": _extremes,
    "aten._sparse_addmm": lambda _, given: _product("mat1", "mat2")(torch.ops.aten.addmm.default, given),
    **{f"aten.{n}": _distances for n in ("_cdist_forward", "_euclidean_dist")},
    **{f"aten.{n}": _renorm for n in ("embedding_renorm_", "renorm")},
    **dict.fromkeys((f"aten.{name}" for name in reductions.LOSSES), _loss),
    **dict.fromkeys(quantised.RULES, _fake_quantise),
    **{f"aten.{n}": _along(-INFINITY) for n in ("_softmax", "_safe_softmax", "_log_softmax")},
    "aten.cumsum": _along(0.0),
    "aten.mean": _mean,
    "aten.var": _spread(root=False, with_mean=False),
    "aten.std": _spread(root=True, with_mean=False),
    "aten.var_mean": _spread(root=False, with_mean=True),
    "aten.std_mean": _spread(root=True, with_mean=True),
    **{f"aten.{n}{end}": _norm_layer for n in ("native_layer_norm", "_fused_rms_norm") for end in ("", "_backward")},
    "aten.native_group_norm": _group_norm,
    **{f"aten.{n}": _batch_norm for n in ("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm")},
    "aten._weight_norm_interface": _weight_norm,
    "aten.mkldnn_rnn_layer": _recurrent,
    "aten.native_group_norm_backward": _group_norm_backward,
    **{f"aten.{n}_batch_norm_backward": _batch_norm_backward for n in ("native", "cudnn", "miopen")},
    "aten.convolution_backward": _convolution_backward,
}
COUNTED = frozenset(f"aten.{n}" for n in ("mean", "var", "std", "var_mean", "std_mean"))
"""Autograd divides their gradients by the number of all entries, unless `PresentStatistics` exchanges them."""

KNOWN_PRODUCTS: dict[Any, tuple[int, Callable[..., torch.Tensor]]] = {
    torch.ops.aten.mm.default: (1, _rows_times(0)),
    torch.ops.aten.addmm.default: (2, _rows_times(1)),
    torch.ops.aten.convolution.default: (1, _known_convolution),
}
"""By product: the place of its weight, and how it is made where what the weight lacks is known."""
