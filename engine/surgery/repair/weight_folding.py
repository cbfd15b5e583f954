"""Weights take up a number that a cut changed in a forward, where no attribute and no literal expresses it.

Attention divides by the root of its head dimension, so with fewer dimensions it divides by less. Where its query
projection is multiplied by what it should still be divided by, the class stays what it is, with its code. `Folding`
looks for such weights in a cut model; `scale_weights` multiplies them.

Whether weights can take up a number shows in degrees of homogeneity: a value of degree (a, b) is exp(a * t + b) times
what it should be, where exp(t) is what the weights are multiplied by. Views keep a degree, products add those of their
factors, sums need equal ones, and whatever is not homogeneous needs values that are as they should be: each such need
is an equation for t. There is a t for all of them, or the weights cannot take up the number.

From top to bottom: degrees, operators that only move entries, a rule for each operator, `DegreePropagation` through a
recorded run, `ProducerSearch` for the weights in question, `Folding`, and the multiplication.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...structures.analysis import Analysis, Mask
from ...structures.op_sequence import Operation, operations
from ...structures.transition import Transition
from ...tracing.record import OperatorCall, ParameterSource, Record, Ref
from ...tracing.recorder import Attempt, record
from ...tracing.tree import Inputs

Factor: TypeAlias = tuple[str, int, tuple[int, ...] | None, float, tuple[str, ...]]
"""As in `Edits.weights`."""
Factors: TypeAlias = tuple[Factor, ...]
Rates: TypeAlias = Mapping[str, torch.Tensor]
"""By parameter: what its entries are multiplied by; of its shape, or one long in a dimension."""


Degree: TypeAlias = NDArray[np.float64]
"""[2, ...] a and b of a value's entries: of its shape, but one long where a dimension makes no difference."""


class NotHomogeneous(Exception):
    """No one t makes everything right."""


@dataclass(frozen=True, slots=True)
class RuleOperands:
    """What a rule sees of a call.

    Attributes:
        call: The call.
        record: The run.
        degree: Degree of a value.
        require_zero: Called with what must be zero: the value has to be as it should be.
    """

    call: OperatorCall
    record: Record
    degree: Callable[[int], Degree]
    require_zero: Callable[[Degree], None]

    @property
    def op(self) -> str:
        """The operator; see `functional_name`."""
        return functional_name(self.call)

    def of(self, name: str) -> Degree | None:
        """Degree of a tensor argument, None where it is absent or a number."""
        argument = self.call.arguments.get(name)
        return self.degree(argument.value) if isinstance(argument, Ref) else None

    def tensor(self, name: str) -> Degree:
        """Degree of an argument that is a tensor.

        Raises:
            NotHomogeneous: It is none, so the rule is not made for this call.
        """
        degree = self.of(name)
        if degree is None:
            raise NotHomogeneous
        return degree

    def get(self, name: str, default: Any = None) -> Any:
        """An argument."""
        return self.call.arguments.get(name, default)

    def rank(self, number: int = 0) -> int:
        """How many dimensions a result has."""
        return len(self.record.shapes[self.call.outputs[number]])

    def zeros(self) -> list[Degree]:
        """Results that are as they should be."""
        return [np.zeros((2, *[1] * self.rank(n))) for n in range(len(self.call.outputs))]


def functional_name(call: OperatorCall) -> str:
    """The operator; one that writes into its operand like the one that does not."""
    return call.op.removesuffix("_")


def align_right(degree: Degree, rank: int) -> Degree:
    """A degree with the rank of a value that it is combined with: dimensions are added in front, as torch does."""
    return degree.reshape(2, *[1] * (rank - degree.ndim + 1), *degree.shape[1:])


MOVES = frozenset(
    f"aten.{name}"
    for name in (
        "view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "permute", "transpose", "t",
        "expand", "clone", "contiguous", "detach", "alias", "_to_copy", "lift_fresh", "slice", "select", "unbind",
        "split", "split_with_sizes",
    )
)  # fmt: skip
"""Operators that only move entries."""
COPIES = frozenset(f"aten.{name}" for name in ("clone", "contiguous", "detach", "alias", "_to_copy", "lift_fresh"))
"""Those of them that leave entries where they are."""


def move_entries(call: OperatorCall, degree: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    """What an operator that only moves entries makes of something that each entry of its operand has.

    Args:
        call: A call of an operator in `MOVES`.
        degree: [n, ...] as `Degree`, of any n.
        shapes: Of all values.
    """
    name, source, made = functional_name(call), next(call.refs()), shapes[call.outputs[0]]
    if name in COPIES:
        return [degree] * len(call.outputs)
    is_view = name in ("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_alias")
    if is_view and math.prod(shapes[source]) != math.prod(made):
        raise NotHomogeneous  # the same bytes as numbers of another type
    operator = getattr(getattr(torch.ops.aten, call.op.removeprefix("aten.")), call.overload)
    parts: list[list[NDArray[Any]]] = []
    for part in degree:
        # The operator itself does it, on a tensor of the operand's shape that takes memory only where entries differ.
        whole = torch.from_numpy(np.array(part)).expand(shapes[source])
        given = {n: whole if isinstance(a, Ref) else a for n, a in call.arguments.items()}
        moved: Any = whole.reshape(made) if is_view else operator(**given)
        results: list[torch.Tensor] = [moved] if isinstance(moved, torch.Tensor) else list(moved)
        ends = [tuple(slice(0, 1) if step == 0 else slice(None) for step in one.stride()) for one in results]
        parts.append([one[end].numpy() for one, end in zip(results, ends, strict=True)])
    return [np.stack(each) for each in zip(*parts, strict=True)]


Rule: TypeAlias = Callable[[RuleOperands], list[Degree]]


def _move(at: RuleOperands) -> list[Degree]:
    return move_entries(at.call, at.degree(next(at.call.refs())), at.record.shapes)


def _keep(at: RuleOperands) -> list[Degree]:
    """What is multiplied comes out multiplied, place by place."""
    return [at.tensor("self")] * len(at.call.outputs)


def _uniform(at: RuleOperands) -> list[Degree]:
    """Entries are chosen, added up or repeated, whichever they are: all must have one degree."""
    degree, own = at.tensor("self"), at.call.arguments["self"].value
    for value in at.call.refs():
        if value != own:
            at.require_zero(at.degree(value))
    return [_one(at, degree).reshape(2, *[1] * at.rank(n)) for n in range(len(at.call.outputs))]


def _index(at: RuleOperands) -> list[Degree]:
    """By numbers that the code writes ("[..., [-2], :]") of one dimension; by other ones whichever they are."""
    degree = at.tensor("self")
    indices: list[Ref | None] = at.get("indices")
    (dim, value), *more = [(n, one.value) for n, one in enumerate(indices) if one is not None]
    numbers = next((c.arguments.get("constant") for c in at.record.calls if value in c.outputs), None)
    written = at.record.dtypes[value].startswith("int") and math.prod(at.record.shapes[value])
    if more or not numbers or len(numbers) != written:
        return _uniform(at)
    return [degree if degree.shape[dim + 1] == 1 else degree.take([int(n) for n in numbers], dim + 1)]


def _one(at: RuleOperands, degree: Degree, axes: Sequence[int] | None = None) -> Degree:
    """The degree, one long in some dimensions (all by default), in which it must be the same throughout."""
    rank = degree.ndim - 1
    for dim in range(rank) if axes is None else axes:
        first = degree.take([0], dim % rank + 1)
        at.require_zero(degree - first)
        degree = first
    return degree


def _add(at: RuleOperands) -> list[Degree]:
    first, second = at.of("self"), at.of("other" if "other" in at.call.arguments else "src")
    if first is None or second is None:
        degree = at.tensor("self" if second is None else "other")
        if at.get("other" if second is None else "self") != 0:
            at.require_zero(degree)
        return [degree]
    first, second = align_right(first, at.rank()), align_right(second, at.rank())
    at.require_zero(first - second)
    return [first + np.zeros_like(second)]


def _multiply(at: RuleOperands) -> list[Degree]:
    none = np.zeros(2)
    first, second = at.of("self"), at.of("other")
    first, second = (align_right(none if d is None else d, at.rank()) for d in (first, second))
    return [first - second if at.op == "aten.div" else first + second]


def _power(at: RuleOperands) -> list[Degree]:
    degree = at.of("self")
    exponent = POWERS.get(at.op, at.get("exponent"))
    if degree is None or not isinstance(exponent, (int, float)):
        return _nonlinear(at)
    return [exponent * degree]


def _mask(at: RuleOperands) -> list[Degree]:
    """Zero and infinity stay what they are under any factor."""
    degree, value = at.of("self"), at.get("value")
    if degree is None or not isinstance(value, (int, float)) or not (value == 0 or math.isinf(value)):
        return _nonlinear(at)
    return [degree]


def _reduce(at: RuleOperands) -> list[Degree]:
    """Over the named dimensions, all where none is named."""
    degree, named = at.tensor("self"), at.get("dim")
    rank = degree.ndim - 1
    axes = [named] if isinstance(named, int) else list(named or range(rank))
    degree = _one(at, degree, axes)
    if not at.get("keepdim", False):
        degree = degree.squeeze(tuple(a % rank + 1 for a in axes))
    return [degree] * len(at.call.outputs)


def _join(at: RuleOperands) -> list[Degree]:
    values: list[int] = [one.value for one in at.get("tensors")]
    parts, shapes = [at.degree(v) for v in values], at.record.shapes
    if any(p.ndim != at.rank() + 1 for p in parts):  # torch accepts an empty one of another rank
        raise NotHomogeneous
    axis: int = at.get("dim", 0) % at.rank()
    whole: tuple[int, ...] = np.broadcast_shapes(*(p.take([0], axis + 1).shape for p in parts))
    full = [
        np.broadcast_to(p, (*whole[: axis + 1], shapes[v][axis], *whole[axis + 2 :]))
        for p, v in zip(parts, values, strict=True)
    ]
    return [np.concatenate(full, axis + 1)]


def _product(first: str, second: str, added: str = "") -> Rule:
    """[..., n, k] times [..., k, m]: what is added up must have one degree."""

    def rule(at: RuleOperands) -> list[Degree]:
        """The degrees of the product: those of the factors, added; what is added to it has the same."""
        left, right = at.tensor(first), at.tensor(second)
        if left.shape[-1] == right.shape[-2] == 1:
            result = left[..., :1] + right[..., :1, :]
        else:
            terms = left[..., :, :, None] + right[..., None, :, :]  # [2, ..., n, k, m]
            result = _one(at, terms, (terms.ndim - 3,)).squeeze(-2)
        more = at.of(added) if added else None
        if more is not None:
            at.require_zero(result - align_right(more, at.rank()))
        return [result]

    return rule


def _convolution(at: RuleOperands) -> list[Degree]:
    source, weight, bias = at.tensor("input"), at.tensor("weight"), at.of("bias")
    source = _one(at, source, range(1, source.ndim - 1))
    out = 1 if at.get("transposed") else 0
    if at.get("transposed") and at.get("groups") != 1:
        weight = _one(at, weight)
    weight = _one(at, weight, [d for d in range(weight.ndim - 1) if d != out])
    result = source + weight.reshape(2, 1, -1, *[1] * (source.ndim - 3))
    if bias is not None:
        at.require_zero(result - bias.reshape(2, 1, -1, *[1] * (source.ndim - 3)))
    return [result]


def _norm(at: RuleOperands) -> list[Degree]:
    """The operand must be as it should be, for a small number is added to its variance."""
    for name in ("input", "running_mean", "running_var"):
        if at.of(name) is not None:
            at.require_zero(at.tensor(name))
    behind = 0 if at.op == "aten.native_layer_norm" else at.rank() - 2
    given = [np.zeros((2, 1)) if d is None else d for d in (at.of("weight"), at.of("bias"))]
    weight, bias = (align_right(d.reshape(*d.shape, *[1] * behind), at.rank()) for d in given)
    if at.of("bias") is not None:
        at.require_zero(weight - bias)
    return [weight, *at.zeros()[1:]]


def _embed(at: RuleOperands) -> list[Degree]:
    return [align_right(_one(at, at.tensor("weight"), (0,))[:, 0], at.rank())]


def _nonlinear(at: RuleOperands) -> list[Degree]:
    for value in at.call.refs():
        at.require_zero(at.degree(value))
    return at.zeros()


def _real(at: RuleOperands) -> list[Degree]:
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
    **dict.fromkeys(MOVES, _move),
    **PRODUCTS,
    **{
        f"aten.{name}": rule
        for rule, names in (
            (_keep, ("neg", "abs", "relu", "leaky_relu")),
            (_index, ("index",)),
            (_uniform, ("gather", "index_select", "flip", "roll", "repeat", "unfold", "im2col", "as_strided",
                        "tril", "triu", "diagonal", "avg_pool1d", "avg_pool2d", "pixel_shuffle", "cumsum")),
            (_add, ("add", "sub", "copy")),
            (_multiply, ("mul", "div")),
            (_power, ("pow", "sqrt", "rsqrt", "reciprocal", "square")),
            (_mask, ("masked_fill",)),
            (_reduce, ("sum", "mean", "amax", "amin")),
            (_join, ("cat",)),
            (_convolution, ("convolution", "_convolution")),
            (_norm, ("native_layer_norm", "native_group_norm", "native_batch_norm")),
            (_embed, ("embedding",)),
            (_real, ("view_as_real", "view_as_complex")),
            (RuleOperands.zeros, ("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones",
                                  "new_empty", "new_full")),
        )
        for name in names
    },
}  # fmt: skip
"""Operators that pass a factor on; all others need operands that are as they should be."""
CONSTANT_OPERATORS = ("aten.lift_fresh", "aten.full", "aten.scalar_tensor")
"""Operators that make a tensor of a number; each entry is that number."""
NUMBER_EXPONENTS = {"aten.mul": 1, "aten.div": -1}
"""Operators with a number that the result is proportional to, or to its reciprocal."""


def rule_of(call: OperatorCall) -> Rule:
    """What becomes of degrees."""
    rounds = call.arguments.get("rounding_mode") is not None
    return _nonlinear if rounds else RULES.get(functional_name(call), _nonlinear)


EQUAL_LOGARITHMS = 1e-9
"""Two logarithms of factors are one below this difference."""


@dataclass(slots=True)
class DegreePropagation:
    """Degrees in a run.

    Attributes:
        record: The run.
        readers: For each value the calls that read it, in order.
        wrong: Calls with another number than they should have: the one that is given, and the right one.
        degrees: Of values that are not as they should be, so far.
        origins: For each of these the wrong calls that it comes from.
        constants: What is computed of wrong numbers alone.
        solution: t, once something depends on it.
        resolved: Wrong calls that the weights make good.
        unresolved: Wrong calls of whose results something else would have to make good.
    """

    record: Record
    readers: Mapping[int, Sequence[int]]
    wrong: Mapping[int, tuple[float, float]]
    degrees: dict[int, Degree] = field(default_factory=dict[int, Degree])
    origins: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    constants: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(
        default_factory=dict[int, tuple[torch.Tensor, torch.Tensor]]
    )
    solution: float | None = None
    resolved: set[int] = field(default_factory=set[int])
    unresolved: set[int] = field(default_factory=set[int])

    def solve(self, seeds: Mapping[int, Degree], begin: Iterable[int]) -> bool:
        """Propagate degrees from parameters and from wrong calls; True where a t makes everything right.

        Args:
            seeds: Degrees of parameters.
            begin: Wrong calls to begin at, besides those that are met.
        """
        self.degrees.update(seeds)
        waiting = list({*begin, *(c for value in seeds for c in self.readers.get(value, ()))})
        heapify(waiting)  # in the order of the run: the operands of a call have their degrees before it
        last = -1
        try:
            while waiting:
                number = heappop(waiting)
                if number > last:
                    for value in self._propagate(number):
                        for reader in self.readers.get(value, ()):
                            if reader > number:
                                heappush(waiting, reader)
                last = number
            for value in self.record.outputs:
                if value in self.degrees:
                    self.require_zero(self.degree(value), self.origins.get(value, frozenset()))
        except NotHomogeneous:
            return False
        return self.solution is not None and self.resolved.isdisjoint(self.unresolved)

    def _propagate(self, number: int) -> Sequence[int]:
        """Degrees of a call's results; gives those of its results that are not as they should be."""
        call = self.record.calls[number]
        origins = frozenset[int]().union(*(self.origins.get(v, frozenset()) for v in call.refs()))
        constant = self._constant(number)
        if constant is None:
            operands = RuleOperands(call, self.record, self.degree, partial(self.require_zero, origins=origins))
            results = rule_of(call)(operands)
        else:
            given, right = map(float, constant)
            if right == 0 or not 0 < given / right < math.inf:
                raise NotHomogeneous
            rank = len(self.record.shapes[call.outputs[0]])
            results = [align_right(np.array([0.0, math.log(given / right)]), rank)]
        if number in self.wrong:
            origins |= {number}
            if constant is None:
                rest = NUMBER_EXPONENTS[call.op] * math.log(self.wrong[number][0] / self.wrong[number][1])
                results = [r + align_right(np.array([0.0, rest]), r.ndim - 1) for r in results]
        changed: list[int] = []
        for value, made in zip(call.outputs, results, strict=True):
            result = self.drop_solved(_collapse(made))
            if call.op.endswith("_") and not np.array_equal(result, self.degree(value)):
                raise NotHomogeneous  # changed in place: who else sees that memory is not known here
            if result.any():
                self.degrees[value], self.origins[value] = result, origins
                changed.append(value)
            else:
                self.degrees.pop(value, None)
                self._resolve(origins - self.unresolved)
        return changed

    def _constant(self, number: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """What a call makes of wrong numbers alone: as it is given, and as it should be.

        Both are computed in the code's own type: their ratio holds its rounding too, which verification would see.
        """
        call = self.record.calls[number]
        if len(call.outputs) != 1:
            return None
        value, arguments = call.outputs[0], call.arguments.items()
        dtype = getattr(torch, self.record.dtypes[value])
        if number in self.wrong and call.op in CONSTANT_OPERATORS:
            if call.op == "aten.lift_fresh" and math.prod(self.record.shapes[value]) != 1:
                raise NotHomogeneous  # of several numbers one alone is known to be wrong
            given, right = self.wrong[number]
            self.constants[value] = torch.tensor(given, dtype=dtype), torch.tensor(right, dtype=dtype)
        elif call.pointwise and call.reads and all(v in self.constants for v in call.reads):
            if any(isinstance(a, (list, str)) for _, a in arguments):
                return None
            operator = getattr(getattr(torch.ops.aten, call.op.removeprefix("aten.")), call.overload)

            def run(which: int) -> torch.Tensor:
                operands = {n: self.constants[a.value][which] if isinstance(a, Ref) else a for n, a in arguments}
                return operator(**operands).to(dtype)

            self.constants[value] = run(0), run(1)
        return self.constants.get(value)

    def scales_any(self, values: Iterable[int]) -> bool:
        """Some of these are multiplied."""
        return any(self.degrees[v][0].any() for v in values if v in self.degrees)

    def degree(self, value: int) -> Degree:
        """Of a value; zero where it is as it should be."""
        found = self.degrees.get(value)
        return np.zeros((2, *[1] * len(self.record.shapes[value]))) if found is None else self.drop_solved(found)

    def drop_solved(self, degree: Degree) -> Degree:
        """Zero where t makes it right."""
        if self.solution is None:
            return degree
        return np.where(np.abs(degree[0] * self.solution + degree[1]) < EQUAL_LOGARITHMS, 0.0, degree)

    def require_zero(self, degree: Degree, origins: frozenset[int]) -> None:
        """What has this degree must be as it should be.

        Raises:
            NotHomogeneous: It cannot be, with what must be already.
        """
        degree = self.drop_solved(degree)
        if not degree.any():
            self._resolve(origins)
            return
        scaled, rest = degree.reshape(2, -1)
        if not scaled.all():
            if (rest[scaled == 0] != 0).any():  # nothing that the weights do: another repair's concern
                self.unresolved |= origins
            if not scaled.any():
                return
        if self.solution is not None:  # what it makes right is zero by now
            raise NotHomogeneous
        wanted = -rest[scaled != 0] / scaled[scaled != 0]
        if np.ptp(wanted) > EQUAL_LOGARITHMS or not wanted[0]:
            raise NotHomogeneous
        self.solution = float(wanted[0])
        self.resolved |= origins

    def _resolve(self, origins: frozenset[int]) -> None:
        if self.solution is not None:
            self.resolved |= origins


def _collapse(degree: Degree) -> Degree:
    for axis in range(1, degree.ndim):
        first = degree.take([0], axis) if degree.shape[axis] > 1 else degree
        if (degree == first).all():
            degree = first
    return degree


CHANNELS: dict[str, tuple[int, dict[str, int]]] = {
    "aten.mm": (-1, {"mat2": 1}),
    "aten.addmm": (-1, {"mat2": 1, "self": 0}),
    "aten.convolution": (1, {"weight": 0, "bias": 0}),
    "aten._convolution": (1, {"weight": 0, "bias": 0}),
    "aten.native_layer_norm": (-1, {"weight": 0, "bias": 0}),
    "aten.native_batch_norm": (1, {"weight": 0, "bias": 0}),
    "aten.native_group_norm": (1, {"weight": 0, "bias": 0}),
    "aten.embedding": (-1, {"weight": 1}),
    "aten.mul": (-1, {"self": -1, "other": -1}),
}
"""Of layers: the dimension of the result that is the channels, and by argument that of the parameter."""

CONVOLUTIONS = ("aten.convolution", "aten._convolution")


class ScaledParameter(NamedTuple):
    """A parameter to be multiplied: which indices (None: all) of which dimension."""

    source: ParameterSource
    dim: int
    rows: NDArray[np.int64] | None

    @property
    def degree(self) -> Degree:
        """[2, ...] one where it is multiplied."""
        size = self.source.shape[self.dim]
        marked = np.ones(size) if self.rows is None else np.isin(np.arange(size), self.rows).astype(float)
        degree = np.stack([marked, np.zeros(size)])
        return degree.reshape(2, *(size if n == self.dim else 1 for n in range(len(self.source.shape))))


class ProducerSearch:
    """Who makes and who reads the values of a run.

    Attributes:
        readers: For each value the calls that read it, in order.
    """

    def __init__(self, record: Record) -> None:
        """Take the run."""
        self._record = record
        self._makers: dict[int, list[int]] = defaultdict(list)
        self.readers: dict[int, list[int]] = defaultdict(list)
        for number, call in enumerate(record.calls):
            for value in dict.fromkeys(call.refs()):
                self.readers[value].append(number)
            for value in call.outputs:
                self._makers[value].append(number)
        self._sources = {one.value: one for one in record.sources if one.parameter}

    def candidates(self, call: int) -> Iterator[tuple[ScaledParameter, ...]]:
        """Parameters of layers by which the result of a call may be multiplied, the likeliest first."""
        calls = self._record.calls
        operands, own = list(calls[call].refs()), calls[call].outputs
        if not operands or set(operands) == set(own):  # it makes a constant: what the constant is combined with
            operands = list[int]()
            waiting = list(own)
            for value in waiting:
                for reader in self.readers[value]:
                    others = [v for v in calls[reader].refs() if v not in waiting]
                    operands += others
                    waiting += [v for v in calls[reader].outputs if not others and v not in waiting]
        # Layers whose result goes in without anything in between that keeps no factor; and all values on the way.
        layers: dict[int, None] = {}
        ancestors = set[int]()
        waiting = operands[::-1]
        while waiting:
            value = waiting.pop()
            for number in () if value in ancestors else self._makers[value]:
                if any(True for _ in self._parameters(calls[number])):
                    layers[number] = None
                elif functional_name(calls[number]) in RULES:
                    waiting += list(calls[number].refs())[::-1]
            ancestors.add(value)
        tried = set[tuple[int, bytes]]()
        for layer in layers:
            for rows in self._channel_parts(layer, ancestors, operands):
                if (layer, rows.tobytes()) not in tried:
                    tried.add((layer, rows.tobytes()))
                    scaled = tuple(self._scaled_parameters(layer, rows))
                    if scaled:
                        yield scaled

    def _parameters(self, call: OperatorCall) -> Iterator[tuple[str, int, ParameterSource, list[OperatorCall]]]:
        """(argument, its channel dimension, parameter, the moves from it to the argument) of a layer."""
        transposed = call.op in CONVOLUTIONS and call.arguments["transposed"]
        if transposed and call.arguments["groups"] > 1:
            return  # a weight [C, O / groups, ...] has no dimension of its own for the channels
        for name, first in CHANNELS.get(call.op, (0, {}))[1].items():
            dim = 1 if transposed and name == "weight" else first
            argument = call.arguments.get(name)
            if isinstance(argument, Ref):
                value, moves = argument.value, list[OperatorCall]()
                while value not in self._sources and len(self._makers[value]) == 1:
                    maker = self._record.calls[self._makers[value][0]]
                    if maker.op not in MOVES or value in maker.reads:
                        break
                    value, moves = next(maker.refs()), [maker, *moves]
                if value in self._sources:
                    yield name, dim, self._sources[value], moves

    def _scaled_parameters(self, layer: int, rows: NDArray[np.int64]) -> Iterator[ScaledParameter]:
        call = self._record.calls[layer]
        for _, dim, source, moves in self._parameters(call):
            for own, size in enumerate(source.shape):
                numbers = np.arange(size).reshape(1, *(size if n == own else 1 for n in range(len(source.shape))))
                for move in moves:
                    numbers = move_entries(move, numbers, self._record.shapes)[0]
                wide = [n for n in range(numbers.ndim - 1) if numbers.shape[n + 1] > 1]
                if wide == [dim % (numbers.ndim - 1)] and np.array_equal(numbers.ravel(), np.arange(size)):
                    yield ScaledParameter(source, own, None if len(rows) == size else rows)
                    break

    def _channel_parts(self, layer: int, ancestors: set[int], operands: list[int]) -> Iterator[NDArray[np.int64]]:
        """Channels of a layer that come together in a product, first those of its first factor; or at the end."""
        record = self._record
        output = record.calls[layer].outputs[0]
        shape = record.shapes[output]
        channel = CHANNELS[record.calls[layer].op][0] % len(shape)
        size = shape[channel]
        exact = {output: np.arange(size).reshape(1, *(size if n == channel else 1 for n in range(len(shape))))}
        mixed: dict[int, NDArray[np.bool_]] = {}

        def channels(value: int) -> NDArray[np.bool_]:
            if value in mixed:
                return mixed[value]
            return np.isin(np.arange(size), exact[value]) if value in exact else np.zeros(size, dtype=np.bool_)

        for number in range(layer + 1, max((n for v in operands for n in self._makers[v]), default=0) + 1):
            call = record.calls[number]
            given = [v for v in call.refs() if v in exact or v in mixed]
            if not given or ancestors.isdisjoint(call.outputs):
                continue
            if call.op in MOVES and given[0] in exact:
                for value, numbers in zip(
                    call.outputs, move_entries(call, exact[given[0]], record.shapes), strict=True
                ):
                    exact[value] = numbers
            elif call.op in PRODUCTS and len({*given}) > 1:
                yield from (np.flatnonzero(channels(v)) for v in given)
            else:
                mixed.update({o: np.logical_or.reduce([channels(v) for v in given]) for o in call.outputs})
        yield from (np.flatnonzero(channels(v)) for v in operands if v in exact or v in mixed)


Place: TypeAlias = tuple[str, str, int]
"""Module, operator, and its number among the operators of that name there."""


class Fold(NamedTuple):
    """What weights of a module take up.

    Attributes:
        weights: What is multiplied.
        numbers: For each call of the original's record whose number is made good: the numbers that it may have.
    """

    weights: Factors
    numbers: Mapping[int, tuple[float, ...]]


class _Wrong(NamedTuple):
    """A call with other numbers than the original's: where, what it is given, and what the original was given."""

    place: Place
    given: tuple[float, ...]
    right: Operation

    @property
    def ratio(self) -> float:
        """Given by right; 0 where that means nothing."""
        known = self.right.op in NUMBER_EXPONENTS or self.right.op in CONSTANT_OPERATORS
        if not known or len(self.given) != 1 or len(self.right.numbers) != 1 or not self.right.numbers[0]:
            return 0.0
        return self.given[0] / self.right.numbers[0]


class Folding:
    """Looks for weights that make good what is wrong in a cut model, module by module.

    Attributes:
        found: For modules with other numbers in them, where these are made good throughout: how.
        asked: There ever was something to make good.
    """

    def __init__(self, model: nn.Module, transition: Transition, inputs: Inputs) -> None:
        """Take the model that is cut, at the state before; it is run once more when something is to be made good."""
        self._model, self._inputs, self._analysis = model, inputs, transition.analysis
        self._kept = transition.kept_before
        self._known: dict[tuple[tuple[Place, float], ...], Fold | None] = {}
        self.found: dict[str, Fold] = {}
        self.asked = False

    @property
    def numbers(self) -> dict[int, tuple[float, ...]]:
        """For calls of the original's record: other numbers that they may have."""
        return {call: numbers for fold in self.found.values() for call, numbers in fold.numbers.items()}

    @property
    def weights(self) -> Factors:
        """All that is multiplied."""
        return tuple(one for fold in self.found.values() for one in fold.weights)

    def clear(self) -> None:
        """Nothing is made good."""
        self.found = {}

    def search(self, run: Attempt, other: Collection[str]) -> None:
        """Find what makes good the numbers of a cut model's run, but in modules with code of another kind."""
        self.found, self.asked = {}, True
        wrong_calls: dict[str, list[_Wrong]] = defaultdict(list)
        for place, now in _number_operations(operations(run.calls, run.weights)):
            right = self._script.get(place)
            if right is not None and now.module not in other and not alike(now.numbers, right.numbers):
                wrong_calls[now.module].append(_Wrong(place, now.numbers, right))
        for module, wrong in wrong_calls.items():
            # Each repair is followed by an audit: what was found for the same numbers holds still.
            key = tuple((one.place, round(one.ratio, 12)) for one in wrong)
            if key not in self._known:
                self._known[key] = self._fold(wrong)
            fold = self._known[key]
            if fold is not None:
                self.found[module] = fold

    @cached_property
    def _script(self) -> dict[Place, Operation]:
        return dict(_number_operations(self._analysis.script))

    @cached_property
    def _record(self) -> Record:
        return record(self._model, self._inputs, self._analysis.outputs)

    @cached_property
    def _calls(self) -> dict[Place, int]:
        sources = [one.value for one in self._record.sources]
        return {place: one.call for place, one in _number_operations(operations(self._record.calls, sources))}

    @cached_property
    def _producers(self) -> ProducerSearch:
        return ProducerSearch(self._record)

    def _fold(self, wrong: list[_Wrong]) -> Fold | None:
        """All wrong numbers of a module, or none: where some stay, its code is repaired as a whole."""
        if any(one.ratio <= 0 or one.place not in self._calls for one in wrong):
            return None
        numbers = {self._calls[one.place]: (one.given[0], one.right.numbers[0]) for one in wrong}
        weights: Factors = ()
        resolved = set[int]()
        for call in numbers:
            if call not in resolved:
                found, calls = next(self._solutions(call, numbers, resolved), ((), set[int]()))
                weights += found
                resolved |= calls
        if resolved != numbers.keys():
            return None
        return Fold(weights, {one.right.call: one.given for one in wrong})

    def _solutions(
        self, call: int, numbers: Mapping[int, tuple[float, float]], resolved: set[int]
    ) -> Iterator[tuple[Factors, set[int]]]:
        """Weights that make good a call's number, and all the calls whose numbers they make good."""
        for seeds in self._producers.candidates(call):
            propagation = DegreePropagation(self._record, self._producers.readers, numbers)
            degrees = {one.source.value: one.degree for one in seeds}
            if not propagation.solve(degrees, numbers) or propagation.solution is None:
                continue
            now = propagation.resolved
            if call in now and now.isdisjoint(resolved):
                scaled = (one for one in self._record.module_calls if propagation.scales_any(one.outputs))
                results = tuple(dict.fromkeys(one.path for one in scaled))
                factor = math.exp(propagation.solution)
                factors: list[Factor] = []
                for source, dim, rows in seeds:  # from the numbering of the model that is cut to the original's
                    kept = self._kept.get(source.name) or ()
                    stays = kept[dim] if kept else None
                    own = rows if stays is None or rows is None else stays[rows]
                    factors.append((source.name, dim, None if own is None else tuple(own.tolist()), factor, results))
                yield tuple(factors), now


def _number_operations(script: Iterable[Operation]) -> Iterator[tuple[Place, Operation]]:
    counts = Counter[tuple[str, str]]()
    for one in script:
        yield (one.module, one.op, counts[one.module, one.op]), one
        counts[one.module, one.op] += 1


def alike(numbers: Sequence[float], others: Sequence[float]) -> bool:
    """Numbers that an operator is given are the same but for the rounding of Python's arithmetic."""
    return numbers == others or (
        len(numbers) == len(others)
        and all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(numbers, others, strict=True))
    )


def relative_factors(earlier: Factors, now: Factors) -> Factors:
    """What is still to be multiplied where the earlier factors are in the weights, for those that shall be now."""
    if earlier == now:
        return ()
    return (*now, *((name, dim, indices, 1 / factor, results) for name, dim, indices, factor, results in earlier))


def scale_weights(model: nn.Module, analysis: Analysis, removed: Mask, factors: Factors) -> None:
    """Multiply weights of a model in place.

    Args:
        model: At the state in which `removed` is gone.
        analysis: Of the original.
        removed: What is gone.
        factors: Indices in the original's numbering.
    """
    own = dict(model.named_parameters())
    for name, rate in rates_of(analysis, removed, factors).items():
        own[name].data = multiply(own[name].data, rate)


def rates_of(analysis: Analysis, removed: Mask, factors: Factors) -> Rates:
    """By what each entry of a parameter is multiplied; of the parameter's shape, or one long in a dimension."""
    kept, tensors = analysis.kept_indices(removed), {one.name: one for one in analysis.tensors}
    rates: dict[str, NDArray[np.float64]] = {}
    for name, dim, indices, factor, _ in factors:
        shape = tensors[name].shape
        if kept.get(name, ()) is not None:  # else it vanished with a block
            rate = np.ones(shape[dim])
            rate[slice(None) if indices is None else list(indices)] = factor
            own = (kept.get(name) or (None,) * len(shape))[dim]
            rate = (rate if own is None else rate[own]).reshape([-1 if n == dim else 1 for n in range(len(shape))])
            rates[name] = rates.get(name, np.ones(1)) * rate
    return {name: torch.from_numpy(rate) for name, rate in rates.items()}


def multiply(tensor: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """Rounded once, to the tensor's own type."""
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    return (tensor.to(wide) * rate.to(tensor.device)).to(tensor.dtype)
