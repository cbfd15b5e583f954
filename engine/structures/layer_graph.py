"""Which layers feed which, as the recorded run had it: the graph that a person draws of a network.

A layer is a module that multiplies by its own parameters or looks rows of them up. Whatever is between two layers
(norms, activations, views) is an edge; where what several layers made meets, there is a node of its own: the addition
of a residual branch, a concatenation, a gate, the products of an attention. All of it is read off the record's values;
no class of module is known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..tracing.record import OperatorCall, Record
from .value_uses import VIEWS, SharedMemory, changed_values, paths_around, shared_memory

LOOK_UPS = frozenset({"aten.embedding", "aten._embedding_bag", "aten.index_select"})
"""Products with rows of the identity, which cost nothing."""
SHAPE_ONLY = frozenset(
    f"aten.{name}"
    for name in (
        "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
        "new_full", "new_empty", "new_empty_strided", "sym_size", "sym_numel", "sym_stride",
    )
)  # fmt: skip
"""Operators that take the size of a tensor, and none of its numbers."""


class NodeKind(StrEnum):
    """What a node of the graph is."""

    INPUT = "input"
    LAYER = "layer"
    JOIN = "join"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """N nodes in the order of the run, E edges.

    Attributes:
        kind: [N] what each node is.
        module: [N] path of the layer ("" where the model itself multiplies); of a join the module that makes it.
        op: [N] operator of a join without its name space ("add", "cat", "mul"; "matmul" for products), "" for others.
        edges: [E, 2] int32, (from, to), without doubles, rising. Where a layer runs again (a recurrent cell) an edge
            leads back.
    """

    kind: tuple[NodeKind, ...]
    module: tuple[str, ...]
    op: tuple[str, ...]
    edges: NDArray[np.int32]


NO_GRAPH = LayerGraph((), (), (), np.zeros((0, 2), np.int32))
"""Of an analysis that was made by hand, or written by a version that kept none."""


def layer_graph(record: Record, products: Iterable[int]) -> LayerGraph:
    """The graph of a run.

    Args:
        record: The run.
        products: Numbers of the calls that cost multiply-accumulates.
    """
    return _Walk(record, frozenset(products), shared_memory(record)).graph()


@dataclass(slots=True)
class _Walk:
    """The walk over a record, call by call.

    Attributes:
        record: The run.
        products: Calls that multiply.
        memory: Which values share it.
        sizes: Elements of each piece of memory.
        nodes: (kind, module, operator) of each node so far.
        edges: Pairs of nodes.
        made_by: Nodes that wrote what is in a piece of memory.
        before: For each node those from which a way leads to it, itself among them, as bits.
        read: Nodes that another one has read.
        joins: Joins by module, operator and streams, so that a loop makes each of them once.
        open: By module the last join of products in it.
    """

    record: Record
    products: frozenset[int]
    memory: SharedMemory
    sizes: dict[int, int] = field(default_factory=dict[int, int])
    nodes: list[tuple[NodeKind, str, str]] = field(default_factory=list[tuple[NodeKind, str, str]])
    edges: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    made_by: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    before: list[int] = field(default_factory=list[int])
    read: set[int] = field(default_factory=set[int])
    joins: dict[tuple[str, str, frozenset[int]], int] = field(
        default_factory=dict[tuple[str, str, frozenset[int]], int]
    )
    open: dict[str, int] = field(default_factory=dict[str, int])

    def graph(self) -> LayerGraph:
        """Walk to the end."""
        record = self.record
        for value, shape in enumerate(record.shapes):
            place = self.memory.of(value)
            self.sizes[place] = max(self.sizes.get(place, 0), prod(shape))
        # Parameters and buffers, and what is made of these alone (casts, a mask on a weight).
        weights = {source.value for source in record.sources}
        for call in record.calls:
            refs = set(call.refs())
            if refs and refs <= weights:
                weights.update(call.outputs)
        weighted = {n for n in range(len(record.calls)) if self._reads_weight(n, weights)}
        layers, numbers = {record.calls[n].module for n in weighted}, dict[str, int]()
        whole = layers - {above for path in layers for above in paths_around(path) if above != path}
        choosing = self._add_inputs()
        for number, call in enumerate(record.calls):
            if call.op in VIEWS or call.op in SHAPE_ONLY or not (call.outputs or call.op.endswith("_")):
                continue
            sources = self._sources(call.refs())
            # All that runs in a layer belongs to it; where there are layers below (a model that multiplies by its own
            # embedding again), only the product itself does.
            inside = (path for path in paths_around(call.module) if path in whole)
            layer = call.module if number in weighted and call.module not in whole else next(inside, None)
            if layer is None:
                streams = sources - choosing
                made = self._join(call, number, streams) if len(streams) > 1 else streams or sources
            else:
                if layer not in numbers:
                    numbers[layer] = self._add(NodeKind.LAYER, layer)
                made = self._lead(sources, numbers[layer])
            for value in (*call.outputs, *(changed_values(call) - set(call.outputs))):
                # A change of a part of a tensor leaves the rest of it as it was.
                place = self.memory.of(value)
                part = value in call.reads and prod(record.shapes[value]) < self.sizes[place]
                self.made_by[place] = made | self.made_by.get(place, frozenset()) if part else made
        self._lead(self._sources(record.outputs), self._add(NodeKind.OUTPUT))
        # Without inputs that lead nowhere.
        used = {node for edge in self.edges for node in edge}
        kept = [n for n, (kind, _, _) in enumerate(self.nodes) if kind is NodeKind.LAYER or n in used]
        place_of = {node: n for n, node in enumerate(kept)}
        edges = sorted((place_of[a], place_of[b]) for a, b in self.edges)
        kinds, modules, ops = zip(*(self.nodes[n] for n in kept), strict=True) if kept else ((), (), ())
        return LayerGraph(kinds, modules, ops, np.array(edges, np.int32).reshape(-1, 2))

    def _add_inputs(self) -> frozenset[int]:
        """Nodes for all inputs; those of whole numbers choose rows and masks, and are no stream that meets another."""
        choosing = set[int]()
        for value in self.record.inputs:
            node = self._add(NodeKind.INPUT)
            self.made_by[self.memory.of(value)] = frozenset({node})
            if self.record.dtypes and not self.record.dtypes[value].startswith(("float", "bfloat", "complex")):
                choosing.add(node)
        return frozenset(choosing)

    def _reads_weight(self, number: int, weights: set[int]) -> bool:
        """A call multiplies by weights, or looks rows of them up."""
        call, refs = self.record.calls[number], set(self.record.calls[number].refs())
        return (number in self.products or call.op in LOOK_UPS) and bool(refs & weights) and not refs <= weights

    def _sources(self, values: Iterable[int]) -> frozenset[int]:
        nothing = frozenset[int]()
        return nothing.union(*(self.made_by.get(self.memory.of(value), nothing) for value in values))

    def _add(self, kind: NodeKind, module: str = "", op: str = "") -> int:
        self.nodes.append((kind, module, op))
        self.before.append(1 << (len(self.nodes) - 1))
        return len(self.nodes) - 1

    def _lead(self, sources: Iterable[int], node: int) -> frozenset[int]:
        """Edges from all sources to a node; the node as what is made."""
        for source in sources:
            if source != node:
                self.edges.add((source, node))
                self.read.add(source)
                self.before[node] |= self.before[source]
        return frozenset({node})

    def _join(self, call: OperatorCall, number: int, streams: frozenset[int]) -> frozenset[int]:
        """The node where streams meet: a new one, or that of the same module with the same streams.

        The products of an attention follow each other in one module (queries by keys, then by values) and are one
        node, as long as nothing else has read the first of them.
        """
        product = number in self.products
        op = "matmul" if product else call.op.rpartition(".")[2].removesuffix("_")
        known = self.joins.get((call.module, op, streams))
        if known is not None:
            return frozenset({known})
        last = self.open.get(call.module, -1) if product else -1
        if last in streams and last not in self.read:
            others = streams - {last}
            if not any(self.before[other] >> last & 1 for other in others):
                return self._lead(others, last)
        made = self.joins[call.module, op, streams] = self._add(NodeKind.JOIN, call.module, op)
        if product:
            self.open[call.module] = made
        return self._lead(streams, made)
