"""Which parameters make what an operator is given: those whose multiplication could multiply that."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....tracing.record import OperatorCall, ParameterSource, Record, Ref
from .degrees import Degree
from .homogeneous import PRODUCTS, RULES
from .moves import MOVES, moved

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
"""Of layers: the dimension of the result on which the channels lie, and by the parameter's argument theirs there."""

CONVOLUTIONS = ("aten.convolution", "aten._convolution")


class Scaled(NamedTuple):
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


class Producers:
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

    def before(self, call: int) -> Iterator[tuple[Scaled, ...]]:
        """Parameters of layers by which the result of a call may be multiplied, the likeliest first."""
        tried = set[tuple[int, bytes]]()
        operands = self._operands(call)
        layers, ancestors = self._layers(operands)
        for layer in layers:
            for rows in self._parts(layer, ancestors, operands):
                if (layer, rows.tobytes()) not in tried:
                    tried.add((layer, rows.tobytes()))
                    scaled = tuple(self._scaled(layer, rows))
                    if scaled:
                        yield scaled

    def _operands(self, call: int) -> list[int]:
        """What goes into a call; of one that makes a constant: what the constant is combined with."""
        given = list(self._record.calls[call].refs())
        own = self._record.calls[call].outputs
        if given and set(given) != set(own):
            return given
        found: list[int] = []
        waiting = list(own)
        for value in waiting:
            for reader in self.readers[value]:
                others = [v for v in self._record.calls[reader].refs() if v not in waiting]
                found += others
                waiting += [v for v in self._record.calls[reader].outputs if not others and v not in waiting]
        return found

    def _layers(self, values: list[int]) -> tuple[list[int], set[int]]:
        """Layers whose result goes into values without anything in between that keeps no factor; and all on the way."""
        layers: dict[int, None] = {}
        seen = set[int]()
        waiting = values[::-1]
        while waiting:
            value = waiting.pop()
            for number in () if value in seen else self._makers[value]:
                call = self._record.calls[number]
                if any(True for _ in self._parameters(call)):
                    layers[number] = None
                elif call.op.removesuffix("_") in RULES:
                    waiting += list(call.refs())[::-1]
            seen.add(value)
        return list(layers), seen

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

    def _scaled(self, layer: int, rows: NDArray[np.int64]) -> Iterator[Scaled]:
        call = self._record.calls[layer]
        for _, dim, source, moves in self._parameters(call):
            for own, size in enumerate(source.shape):
                numbers = np.arange(size).reshape(1, *(size if n == own else 1 for n in range(len(source.shape))))
                for move in moves:
                    numbers = moved(move, numbers, self._record.shapes)[0]
                wide = [n for n in range(numbers.ndim - 1) if numbers.shape[n + 1] > 1]
                if wide == [dim % (numbers.ndim - 1)] and np.array_equal(numbers.ravel(), np.arange(size)):
                    yield Scaled(source, own, None if len(rows) == size else rows)
                    break

    def _parts(self, layer: int, ancestors: set[int], operands: list[int]) -> Iterator[NDArray[np.int64]]:
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
                for value, numbers in zip(call.outputs, moved(call, exact[given[0]], record.shapes), strict=True):
                    exact[value] = numbers
            elif call.op in PRODUCTS and len({*given}) > 1:
                yield from (np.flatnonzero(channels(v)) for v in given)
            else:
                mixed.update({o: np.logical_or.reduce([channels(v) for v in given]) for o in call.outputs})
        yield from (np.flatnonzero(channels(v)) for v in operands if v in exact or v in mixed)
