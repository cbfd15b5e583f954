"""Watches the products of forwards that read a parameter: which weight, what goes in, what comes out. Loads torch.

A product is seen at its operator, beneath all modules, so it counts however a model writes it: a layer or a subclass of
one, a matmul, attention in one function, experts in one stack, convolutions of any dimension, transposed and grouped.
Each is taken apart into *units* Y = X M^T, one for each group of a convolution or expert of a stack, and M is a view of
the weight: it can be read and written there.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..inference.model_inputs import rows_of
from .operator_mode import OperatorMode
from .tree import tensors_of

ATEN: Any = torch.ops.aten
PRODUCTS: dict[Any, int] = {ATEN.mm.default: 0, ATEN.bmm.default: 0, ATEN.addmm.default: 1, ATEN.baddbmm.default: 1}
"""Operator -> place of its first operand; the second follows, and what is added stands before."""
SCALES = ("alpha", "beta")
"""Factors of a product, and of what is added to it; 1 unless given."""
WITH_WEIGHTS = frozenset((*PRODUCTS, ATEN.convolution.default, ATEN._grouped_mm.default, ATEN.mkldnn_rnn_layer.default))
"""Operators that combine a weight with data."""
FLATTENS = (ATEN.view.default, ATEN._unsafe_view.default, ATEN._reshape_alias.default)
Place: TypeAlias = tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]
"""(offset, sizes, strides) in a weight of each matrix that a product reads, sizes of 1 left out."""
TURNS = (ATEN.t.default, ATEN.transpose.int, ATEN.detach.default)
"""Views that leave the rows of a matrix where they are."""


class ProductUnit(Protocol):
    """Y [R, m] = X [R, k] M^T, with M [m, k] in a weight."""

    @property
    def rows(self) -> int:
        """R: tokens, or samples times places of a convolution's result."""
        ...

    def counting(self) -> Tensor | None:
        """[n] numbers of the rows that count, None where all do (no token only fills up the batch)."""
        ...

    def columns(self, rows: Tensor) -> Tensor:
        """[n, k] what entered at some rows; of convolutions channel by channel, each with the places of the kernel."""
        ...

    def outputs(self, result: Tensor, rows: Tensor) -> Tensor:
        """[n, m] what came out at some rows, with what the operator itself added."""
        ...

    def product(self, rows: Tensor) -> Tensor:
        """[n, m] the bare product at some rows."""
        ...

    def view(self, like: Tensor) -> Tensor:
        """[m, ...] the part of a tensor of the weight's shape and strides in which M lies; `flatten(1)` is [m, k]."""
        ...

    def added(self, vector: Tensor) -> Tensor:
        """[m] view of the part of the parameter that the operator adds to these outputs."""
        ...


@dataclass(frozen=True, slots=True)
class WeightProduct:
    """An operator call that reads a parameter.

    Attributes:
        name: The weight.
        call: How many products of this forward had read the weight before.
        place: What of the weight it reads, and how: attention on two inputs reads one weight in two or three products,
            a loop over experts one expert in each.
        units: None where M lies in no view of the weight.
        bias: Name of the parameter that the same operator adds as it is, "" where it adds none.
        derived: The operand was computed from parameters alone, so that writing the weight changes other numbers.
        adds: The operator adds something to the product.
        steps: The operator goes through a sequence, each step reads the result of the one before: it is reported only
            afterwards, and `outputs` are the bare product.
        result: What came out; None before the operator ran.
    """

    name: str
    call: int
    units: Sequence[ProductUnit]
    bias: str = ""
    derived: bool = False
    adds: bool = False
    steps: bool = False
    result: Any = None
    place: Place = ()


Seen: TypeAlias = Callable[[WeightProduct], None]
Pick: TypeAlias = Callable[[Any], Tensor]
"""Finds the [R, m] of a unit in what its operator gave."""


@dataclass(frozen=True, slots=True)
class MatrixUnit:
    """A product of matrices.

    Attributes:
        features: [R, k].
        operand: [k, m].
        offset: Where it begins in the weight.
        pick: Finds [R, m] in the operator's result; None where the operator does not return it.
        flags: [R] rows that count, None where all do.
        start: Where what the operator adds begins in its parameter.
    """

    features: Tensor
    operand: Tensor
    offset: int
    pick: Pick | None
    flags: Tensor | None = None
    start: int = 0

    @property
    def rows(self) -> int:
        """R."""
        return len(self.features)

    def counting(self) -> Tensor | None:
        """[n] numbers of the rows that count."""
        return None if self.flags is None else torch.nonzero(self.flags).flatten()

    def columns(self, rows: Tensor) -> Tensor:
        """[n, k]."""
        return self.features[rows]

    def outputs(self, result: Any, rows: Tensor) -> Tensor:
        """[n, m]; the bare product where the operator does not return it."""
        return self.product(rows) if self.pick is None else self.pick(result)[rows]

    def product(self, rows: Tensor) -> Tensor:
        """[n, m]."""
        return self.features[rows] @ self.operand

    def view(self, like: Tensor) -> Tensor:
        """[m, k] view of a tensor that lies like the weight."""
        turned = self.operand.mT
        return like.as_strided(turned.shape, turned.stride(), like.storage_offset() + self.offset)

    def added(self, vector: Tensor) -> Tensor:
        """[m] from where it begins: attention may read a part of a vector, experts a row of a matrix."""
        return vector.as_strided((self.operand.shape[1],), (1,), int(vector.storage_offset()) + self.start)


@dataclass(frozen=True, slots=True)
class ConvolutionUnit:
    """A group of a convolution.

    Attributes:
        features: [N, C, ...] of all groups.
        kernel: Size of the kernel.
        stride: Of the kernel.
        padding: On both sides.
        dilation: Of the kernel.
        transposed: It is a transposed convolution.
        output_padding: Of a transposed one.
        groups: How many there are.
        group: Number of this one.
        outputs_of_all: O, outputs of all groups.
        weight: What is read.
        space: Sizes of the result behind [N, O].
    """

    features: Tensor
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    group: int
    outputs_of_all: int
    weight: Tensor
    space: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Work out the size of the result."""
        sizes: list[int] = []
        for d, size in enumerate(self.features.shape[2:]):
            reach = self.dilation[d] * (self.kernel[d] - 1)
            if self.transposed:
                grown = (int(size) - 1) * self.stride[d] + 1 + self.output_padding[d]
                sizes.append(grown - 2 * self.padding[d] + reach)
            else:
                sizes.append((int(size) + 2 * self.padding[d] - reach - 1) // self.stride[d] + 1)
        object.__setattr__(self, "space", tuple(sizes))

    @property
    def rows(self) -> int:
        """N times the places of the result."""
        return int(self.features.shape[0]) * prod(self.space)

    def counting(self) -> Tensor | None:
        """All rows count."""
        return None

    def columns(self, rows: Tensor) -> Tensor:
        """[n, k], gathered at these rows alone: the whole matrix is as many times larger as the kernel has places."""
        each = self.features.shape[1] // self.groups
        given = self.features[:, self.group * each : (self.group + 1) * each]
        around: list[int] = []
        if self.transposed:  # the same convolution with stride 1 on values that lie apart, its kernel the other way
            sizes = [(int(n) - 1) * s + 1 for n, s in zip(given.shape[2:], self.stride, strict=True)]
            apart = given.new_zeros(*given.shape[:2], *sizes)
            apart[(..., *(slice(None, None, s) for s in self.stride))] = given
            given = apart
            for d in reversed(range(len(self.kernel))):
                before = self.dilation[d] * (self.kernel[d] - 1) - self.padding[d]
                around += [before, before + self.output_padding[d]]
        else:
            for padding in reversed(self.padding):
                around += [padding, padding]
        given = F.pad(given, around) if any(around) else given
        for d, (kernel, dilation, stride) in enumerate(zip(self.kernel, self.dilation, self.stride, strict=True)):
            step = 1 if self.transposed else stride
            given = given.unfold(2 + d, (kernel - 1) * dilation + 1, step)[..., ::dilation]
        found = given.movedim(1, 1 + len(self.kernel))[self._places(rows)]
        return (found.flip(tuple(range(2, found.ndim))) if self.transposed else found).flatten(1)

    def outputs(self, result: Any, rows: Tensor) -> Tensor:
        """[n, m]."""
        each = self.outputs_of_all // self.groups
        own = cast("Tensor", result)[:, self.group * each : (self.group + 1) * each]
        return own.movedim(1, -1)[self._places(rows)]

    def product(self, rows: Tensor) -> Tensor:
        """[n, m]."""
        return self.columns(rows) @ self.view(self.weight).flatten(1).T

    def view(self, like: Tensor) -> Tensor:
        """[m, C / groups, *kernel] view of a tensor of the weight's shape."""
        own = like.view(self.groups, -1, *like.shape[1:])[self.group]
        return own.transpose(0, 1) if self.transposed else own

    def added(self, vector: Tensor) -> Tensor:
        """[m] those of the group."""
        return vector.view(self.groups, -1)[self.group]

    def _places(self, rows: Tensor) -> tuple[Tensor, ...]:
        return torch.unravel_index(rows, (int(self.features.shape[0]), *self.space))


def drawn_rows(unit: ProductUnit, count: int, random: torch.Generator) -> Tensor:
    """[n] numbers of at most `count` rows that count, at random."""
    counting = unit.counting()
    total = unit.rows if counting is None else len(counting)
    if total <= count:
        return torch.arange(total) if counting is None else counting.cpu()
    chosen = torch.randint(total, (count,), generator=random) if total > 8 * count else None
    chosen = torch.randperm(total, generator=random)[:count] if chosen is None else chosen
    return chosen if counting is None else counting.cpu()[chosen]


class WeightProducts(OperatorMode):
    """Context manager that reports each product with a parameter in the forwards inside; see `WeightProduct`.

    Attributes:
        present: [N, T] flags of the tokens of this forward that count, None where all do.
        mixed: Names of weights that an operator combined with data otherwise than in a product (an embedding, a scale),
            or of which products read the same numbers in two ways: a decoder that turns the encoder's weight.
        read: Names of weights that any operator read.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        seen: Seen | None = None,
        others: Iterable[Tensor] = (),
        before: Seen | None = None,
        only: Container[str] | None = None,
    ) -> None:
        """Watch weights.

        Args:
            weights: Parameters by name, biases too.
            seen: Takes each product when it has run.
            others: Further parameters and buffers: what is made of these and weights alone is no data.
            before: Takes each product before it runs, where the operator takes what enters as it is; it may write the
                weight.
            only: Names of weights whose products are reported, None for all.
        """
        super().__init__()
        self.present: Tensor | None = None
        self._weights = dict(weights)
        self._seen, self._before, self._only = seen, before, only
        self._known: dict[int, list[tuple[int, int, str]]] = {}
        for name, one in [*weights.items(), *(("", one) for one in others)]:
            start = int(one.storage_offset())
            self._known.setdefault(_memory(one), []).append((start, start + one.numel(), name))
        self._derived: dict[int, tuple[str, Tensor]] = {}
        self._rows: dict[tuple[int, int], tuple[int, ...]] = {}
        self._calls: dict[str, int] = {}
        self._places: dict[str, list[Place]] = {}
        self._added: dict[str, Tensor] = {}
        self._adders: set[tuple[str, Place]] = set()
        self.mixed: set[str] = set()
        self.read: set[str] = set()

    def forget(self) -> None:
        """Begin the next forward: let go of what was made of parameters, of rows, and of the calls so far."""
        self._derived.clear()
        self._rows.clear()
        self._calls.clear()
        self._places.clear()

    def is_shared(self, bias: str, part: Tensor) -> bool:
        """Whether several products, of any forward, added some of a part [m] of a bias, a view of the parameter."""
        if bias not in self._added:
            return False
        offset = int(part.storage_offset() - self._weights[bias].storage_offset())
        return bool((self._added[bias].as_strided(part.shape, part.stride(), offset) > 1).any())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and report the product that it is, if it is one."""
        named: dict[str, Any] = kwargs or {}
        product = None
        if func in PRODUCTS:
            product = self._matrix_product(args, PRODUCTS[func], any(named.get(one, 1) != 1 for one in SCALES))
        elif func is ATEN.convolution.default:
            product = self._convolution_product(args)
        elif func is ATEN._grouped_mm.default and args[1].ndim == 3:
            product = self._expert_product(args)
        if product is not None and self._before is not None:
            self._before(product)
        result = func(*args, **named)
        if self._seen is not None and func is ATEN.mkldnn_rnn_layer.default:
            for product_of_step in self._recurrent_products(args, result):
                self._seen(product_of_step)
        elif self._seen is not None and product is not None:
            self._seen(replace(product, result=result))
        self._note_flattened_rows(func, args, result)
        if product is None and func not in WITH_WEIGHTS:
            self._follow(args, result)
        return result

    def _matrix_product(self, args: Any, place: int, scales: bool) -> WeightProduct | None:
        """Features [(b), R, k] times an operand [(b), k, m], where one of the two is made of a weight."""
        # With the weight on the left it is Y^T = M X^T: both operands and the result are transposed then.
        first, second = args[place : place + 2]
        name = self._name(second)
        turned = not name
        name = name or self._name(first)
        if not self._is_watched(name):
            return None
        features, operand = (second.mT, first.mT) if turned else (first, second)
        # A scaled product or vector is not what the unit's columns times its weight give.
        bias, start = "", 0
        if place and not turned and not scales and operand.ndim == 2 and args[0].shape == operand.shape[1:]:
            bias, start = self._start(args[0]) or ("", 0)
        units: Sequence[ProductUnit] = []
        if operand.ndim == 2:
            offset = self._offset(name, operand)
            if offset is not None:
                flags = self._flags(features, ())
                units = [MatrixUnit(features, operand, offset, lambda y: y.mT if turned else y, flags, start)]
        elif operand.stride(0) == 0 or len(operand) == 1:  # one matrix for the whole batch
            offset = self._offset(name, operand[0])
            if offset is not None:
                rows = features.flatten(0, 1)
                flags = self._flags(rows, tuple(features.shape[:2]))
                pick: Pick = lambda y: (y.mT if turned else y).flatten(0, 1)  # noqa: E731
                units = [MatrixUnit(rows, operand[0], offset, pick, flags)]
        else:
            offsets = [offset for one in operand if (offset := self._offset(name, one)) is not None]
            if len(offsets) == len(operand):
                units = [
                    MatrixUnit(
                        features[place],
                        operand[place],
                        offset,
                        lambda y, place=place: y[place].mT if turned else y[place],
                        self._flags(features[place], ()),
                    )
                    for place, offset in enumerate(offsets)
                ]
        return self._make_product(name, units, bias, operand, place > 0)

    def _start(self, vector: Tensor) -> tuple[str, int] | None:
        """(Name of the parameter that a vector lies in, where it begins there); None for what was computed."""
        name = self._name(vector) if _memory(vector) in self._known else ""
        start = self._offset(name, vector) if name and vector.stride(0) == 1 else None
        return None if start is None else (name, start)

    def _convolution_product(self, args: Any) -> WeightProduct | None:
        features, weight, added, stride, padding, dilation, transposed, output_padding, groups = args[:9]
        name = self._name(weight)
        if not self._is_watched(name):
            return None
        bias = ""
        if added is not None:
            name_of_added, _ = self._start(added) or ("", 0)
            bias = name_of_added if name_of_added and added.shape == self._weights[name_of_added].shape else ""
        units: list[ProductUnit] = []
        if weight.shape == self._weights[name].shape:
            kernel = tuple(int(n) for n in weight.shape[2:])

            def each_axis(given: Any) -> tuple[int, ...]:
                return tuple(int(n) for n in (given * len(kernel) if len(given) == 1 else given))

            units = [
                ConvolutionUnit(
                    features=features,
                    kernel=kernel,
                    stride=each_axis(list(stride)),
                    padding=each_axis(list(padding)),
                    dilation=each_axis(list(dilation)),
                    transposed=bool(transposed),
                    output_padding=each_axis(list(output_padding)),
                    groups=groups,
                    group=group,
                    outputs_of_all=int(weight.shape[1]) * groups if transposed else int(weight.shape[0]),
                    weight=weight,
                )
                for group in range(groups)
            ]
        return self._make_product(name, units, bias, weight, added is not None)

    def _expert_product(self, args: Any) -> WeightProduct | None:
        """One matrix for each expert of a stack; the rows of each end at an offset."""
        rows, stack, ends = args[0], args[1], args[2].tolist()
        name = self._name(stack)
        if not self._is_watched(name):
            return None
        units: list[ProductUnit] = []
        for expert, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
            offset = self._offset(name, stack[expert])
            if offset is None:
                return self._make_product(name, [], "", stack)
            pick: Pick = lambda y, start=start, stop=stop: y[start:stop]  # noqa: E731
            units.append(MatrixUnit(rows[start:stop], stack[expert], offset, pick))
        return self._make_product(name, units, "", stack)

    def _is_watched(self, name: str) -> bool:
        return bool(name) and (self._only is None or name in self._only)

    def _make_product(
        self, name: str, units: Sequence[ProductUnit], bias: str, operand: Tensor, adds: bool = False
    ) -> WeightProduct:
        self.read.add(name)
        number = self._calls.get(name, 0)
        self._calls[name] = number + 1
        weight, views = self._weights[name], list[tuple[int, tuple[int, ...], tuple[int, ...]]]()
        for unit in units:
            view = unit.view(weight)
            dims = [(int(n), int(step)) for n, step in zip(view.shape, view.stride(), strict=True) if n > 1]
            offset = int(view.storage_offset() - weight.storage_offset())
            views.append((offset, tuple(n for n, _ in dims), tuple(step for _, step in dims)))
        place: Place = tuple(views)
        places = self._places.setdefault(name, [])
        if place not in places:
            # Parts of a weight that several products read are fine; a number that two of them read is not, since who
            # repairs the weight for one would change it for the other.
            if places and _overlap(place, places, weight):
                self.mixed.add(name)
            places.append(place)
        # Counted once for each place, not for each forward: `is_shared` asks how many products add a number.
        if bias and (name, place) not in self._adders:
            self._adders.add((name, place))
            counts = self._added.setdefault(bias, torch.zeros_like(self._weights[bias], dtype=torch.int64))
            for unit in units:
                unit.added(counts).add_(1)
        return WeightProduct(name, number, units, bias, _memory(operand) not in self._known, adds, place=place)

    def _recurrent_products(self, args: Any, result: Any) -> Iterator[WeightProduct]:
        """Of a recurrent layer: what enters, and the states that each step reads; it has run already."""
        states = result[0]  # [T, N, H]; each step reads the one before it, the first one what was given
        first = args[5].reshape(1, *states.shape[1:])
        earlier = (states[1:], first) if args[7] else (first, states[:-1])  # backwards the last step is the first
        for place, given in ((1, args[0]), (2, torch.cat(earlier))):
            name = self._name(args[place])
            if self._is_watched(name):
                operand, rows = args[place].t(), given.flatten(0, 1)
                offset, flags = self._offset(name, operand), self._flags(rows, tuple(given.shape[:2]))
                units = [] if offset is None else [MatrixUnit(rows, operand, offset, None, flags)]
                bias = self._name(args[place + 2]) if args[12] else ""
                yield replace(self._make_product(name, units, bias, args[place]), steps=True, result=result)

    def _name(self, operand: Tensor) -> str:
        """Name of the weight that an operand is a view of, or was made of; "" for none."""
        memory = _memory(operand)
        if not operand.numel():
            return ""
        start = int(operand.storage_offset())
        for first, last, name in self._known.get(memory, ()):
            if first <= start < max(last, first + 1):
                return name
        return self._derived[memory][0] if memory in self._derived else ""

    def _offset(self, name: str, operand: Tensor) -> int | None:
        """Where an operand begins in its weight; None where it is no view of anything of the weight's shape."""
        weight = self._weights[name]
        memory = _memory(operand)
        if memory in self._derived:
            made = self._derived[memory][1]
            if made.shape != weight.shape or made.stride() != weight.stride():
                return None
            offset = int(operand.storage_offset() - made.storage_offset())
        else:
            offset = int(operand.storage_offset() - weight.storage_offset())
        last = offset + sum((int(n) - 1) * int(s) for n, s in zip(operand.shape, operand.stride(), strict=True))
        return offset if operand.numel() and offset >= 0 and last < weight.numel() else None

    def _flags(self, features: Tensor, sizes: tuple[int, ...]) -> Tensor | None:
        if self.present is None:
            return None
        sizes = sizes or self._rows.get((int(features.data_ptr()), int(features.shape[0])), ())
        return rows_of(self.present, sizes)

    def _note_flattened_rows(self, func: Any, args: Any, result: Any) -> None:
        """Remember of rows [a b, k] what a and b were."""
        if self.present is None or not isinstance(result, Tensor) or result.ndim != 2:
            return
        place = int(result.data_ptr()), int(result.shape[0])
        given: Any = args[0] if args else None
        if func in FLATTENS and given.ndim > 2 and given.shape[0] * given.shape[1] == result.shape[0]:
            self._rows[place] = tuple(given.shape[:2])
        elif func not in TURNS:
            self._rows.pop(place, None)  # memory that is used again

    def _follow(self, args: Any, result: Any) -> None:
        """What is made of parameters alone and has as many elements as one of them stands for it."""
        given = tensors_of(args)
        sources = [name for one in given if (name := self._name(one))]
        self.read.update(sources)
        known = all(not one.ndim or _memory(one) in self._known or _memory(one) in self._derived for one in given)
        if not given or not known:
            self.mixed.update(sources)
            return
        for one in tensors_of(result):
            if _memory(one) not in self._known and _memory(one) not in self._derived:
                name = next((s for s in sources if self._weights[s].numel() == one.numel()), "")
                self._derived[_memory(one)] = name, one


def _overlap(place: Place, others: Iterable[Place], weight: Tensor) -> bool:
    """Whether products at a place of a weight read what others read at other places."""
    mark = torch.empty_strided(weight.shape, weight.stride(), dtype=torch.bool).zero_()
    for other in others:
        for offset, sizes, strides in other:
            mark.as_strided(sizes, strides, offset).fill_(True)
    return any(bool(mark.as_strided(sizes, strides, offset).any()) for offset, sizes, strides in place)


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())
