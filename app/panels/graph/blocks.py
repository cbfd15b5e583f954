"""The blocks in which the nodes of a layer graph lie, made once a model: modules that can be drawn as one box.

A module is a block where no way leads out of it and in again; else its box would be around what does not belong to it
(lists of modules that are used in turn), and its nodes belong to the block around it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.layer_graph import LayerGraph, NodeKind

ROOMY = 48
"""How many boxes and joins are shown at first, at most."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """N nodes in B blocks, those around others first; block 0 is the model.

    Attributes:
        graph: The nodes.
        paths: [B] module of each block.
        around: [B] block around each, -1 for the model.
        inside: [N] innermost block of each node.
        layers: [B] how many layers lie in each block.
    """

    graph: LayerGraph
    paths: tuple[str, ...]
    around: NDArray[np.int32]
    inside: NDArray[np.int32]
    layers: NDArray[np.int64]

    def holders(self, node: int) -> list[int]:
        """The blocks in which a node lies, the innermost first, without the model."""
        return self.up(int(self.inside[node]))

    def up(self, block: int) -> list[int]:
        """A block and those around it, without the model."""
        found: list[int] = []
        while block > 0:
            found.append(block)
            block = int(self.around[block])
        return found

    def folded_at_first(self) -> frozenset[int]:
        """Blocks to fold so that a large model begins with few boxes: it is opened level by level while there is room.

        A level is opened as a whole, so that blocks of a kind look alike.
        """
        depth = [len(self.up(block)) for block in range(len(self.paths))]
        nodes = [len(self.holders(node)) for node in range(len(self.inside))]
        for level in range(max(depth, default=0), 0, -1):
            if sum(d <= level for d in nodes) + sum(d == level + 1 for d in depth) <= ROOMY:
                return frozenset(block for block, d in enumerate(depth) if d > level)
        return frozenset(range(1, len(self.paths)))


def blocks_of(graph: LayerGraph) -> Blocks:
    """All blocks of a graph."""
    members = _members(graph)
    convex = _Convex(graph)
    chosen: dict[int, str] = {}  # of modules with the same nodes the outermost
    for path in sorted(members, key=lambda path: path.count(".")):
        held = members[path]
        if held.bit_count() > 1 and held not in chosen and convex.holds(held):
            chosen[held] = path
    paths = ["", *sorted(chosen.values(), key=lambda path: (path.count("."), members[path] & -members[path]))]
    place = {path: n for n, path in enumerate(paths)}
    around = [-1, *(_nearest(path.rpartition(".")[0], place) for path in paths[1:])]
    inside = [_home(graph, node, place) for node in range(len(graph.kind))]
    layers = np.zeros(len(paths), np.int64)
    for node, block in enumerate(inside):
        each = block if graph.kind[node] is NodeKind.LAYER else -1
        while each >= 0:
            layers[each] += 1
            each = around[each]
    return Blocks(graph, tuple(paths), np.array(around, np.int32), np.array(inside, np.int32), layers)


def _members(graph: LayerGraph) -> dict[str, int]:
    """For each module but the model the nodes at and below it, as bits."""
    found: dict[str, int] = {}
    for node, module in enumerate(graph.module):
        path = module
        while path:
            found[path] = found.get(path, 0) | 1 << node
            path = path.rpartition(".")[0]
    return found


class _Convex:
    """Tells sets of nodes that no way leaves and enters again; sets are bits."""

    def __init__(self, graph: LayerGraph) -> None:
        count = len(graph.kind)
        self._before, self._after = [0] * count, [0] * count
        forward = [(int(a), int(b)) for a, b in graph.edges if a < b]
        for a, b in sorted(forward, key=lambda edge: edge[1]):
            self._before[b] |= self._before[a] | 1 << a
        for a, b in sorted(forward, key=lambda edge: -edge[0]):
            self._after[a] |= self._after[b] | 1 << b

    def holds(self, held: int) -> bool:
        """Whether no way leads out of these nodes and in again."""
        before = after = 0
        left = held
        while left:
            node = (left & -left).bit_length() - 1
            before |= self._before[node]
            after |= self._after[node]
            left &= left - 1
        return not before & after & ~held


def _nearest(path: str, place: dict[str, int]) -> int:
    """The block of a module, or of the nearest one around it."""
    while path not in place:
        path = path.rpartition(".")[0]
    return place[path]


def _home(graph: LayerGraph, node: int, place: dict[str, int]) -> int:
    return _nearest(graph.module[node], place)
