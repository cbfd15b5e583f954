"""What of a layer graph is shown while some blocks are folded: boxes, and the edges between them."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

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
        layers: [B] how many layers are in each block.
    """

    graph: LayerGraph
    paths: tuple[str, ...]
    around: NDArray[np.int32]
    inside: NDArray[np.int32]
    layers: NDArray[np.int64]

    def holders(self, node: int) -> list[int]:
        """The blocks that hold a node, the innermost first, without the model."""
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
    members: dict[str, int] = {}
    for node, module in enumerate(graph.module):
        path = module
        while path:
            members[path] = members.get(path, 0) | 1 << node
            path = path.rpartition(".")[0]
    # The nodes before and behind each, as bits.
    before, behind = [0] * len(graph.kind), [0] * len(graph.kind)
    forward = [(int(a), int(b)) for a, b in graph.edges if a < b]
    for a, b in sorted(forward, key=lambda edge: edge[1]):
        before[b] |= before[a] | 1 << a
    for a, b in sorted(forward, key=lambda edge: -edge[0]):
        behind[a] |= behind[b] | 1 << b
    # Of modules with the same nodes, the outermost one is the block. A node outside that is both behind and before its
    # nodes is on a way that leads out of the block and in again: no box could be drawn around it.
    chosen: dict[int, str] = {}
    for path in sorted(members, key=lambda path: path.count(".")):
        held = left = members[path]
        if held.bit_count() < 2 or held in chosen:
            continue
        all_before = all_behind = 0
        while left:
            node = (left & -left).bit_length() - 1
            all_before |= before[node]
            all_behind |= behind[node]
            left &= left - 1
        if not all_before & all_behind & ~held:
            chosen[held] = path
    paths = ["", *sorted(chosen.values(), key=lambda path: (path.count("."), members[path] & -members[path]))]
    place = {path: n for n, path in enumerate(paths)}
    around = [-1, *(_nearest(path.rpartition(".")[0], place) for path in paths[1:])]
    inside = [_nearest(graph.module[node], place) for node in range(len(graph.kind))]
    layers = np.zeros(len(paths), np.int64)
    for node, block in enumerate(inside):
        each = block if graph.kind[node] is NodeKind.LAYER else -1
        while each >= 0:
            layers[each] += 1
            each = around[each]
    return Blocks(graph, tuple(paths), np.array(around, np.int32), np.array(inside, np.int32), layers)


def _nearest(path: str, place: dict[str, int]) -> int:
    """The block of a module, or of the nearest one around it."""
    while path not in place:
        path = path.rpartition(".")[0]
    return place[path]


@dataclass(frozen=True)
class Boxes:
    """I boxes in the order of the run, an open block before what is in it.

    Attributes:
        blocks: Of the whole graph.
        folded: Numbers of the folded blocks.
        node: [I] node of the graph, -1 for a block.
        block: [I] block, -1 for a node.
        around: [I] box of the open block that holds a box, -1 for none.
        edges: (from, to) between nodes and folded blocks, forward, without those in `skips`.
        skips: (from, to) where a longer way leads to the same box: residual connections, dense ones; and those that
            lead back.
        of_node: [N] the box in which each node of the graph is seen.
    """

    blocks: Blocks
    folded: frozenset[int]
    node: NDArray[np.int32]
    block: NDArray[np.int32]
    around: NDArray[np.int32]
    edges: tuple[tuple[int, int], ...]
    skips: tuple[tuple[int, int], ...]
    of_node: NDArray[np.int32]

    def __len__(self) -> int:
        """I."""
        return len(self.node)

    def open(self, box: int) -> bool:
        """A block whose contents are shown."""
        return bool(self.block[box] >= 0) and int(self.block[box]) not in self.folded

    def join(self, box: int) -> bool:
        """A join of streams."""
        return bool(self.node[box] >= 0) and self.blocks.graph.kind[self.node[box]] is NodeKind.JOIN

    def end(self, box: int) -> bool:
        """An input or the output."""
        return bool(self.node[box] >= 0) and self.blocks.graph.kind[self.node[box]] in (NodeKind.INPUT, NodeKind.OUTPUT)

    def path(self, box: int) -> str:
        """The module that a box shows."""
        node = int(self.node[box])
        return self.blocks.graph.module[node] if node >= 0 else self.blocks.paths[self.block[box]]

    def local(self, box: int) -> str:
        """The path as it is read inside the open block around the box."""
        around, path = int(self.around[box]), self.path(box)
        outer = self.path(around) if around >= 0 else ""
        return path.removeprefix(f"{outer}.") if outer and path != outer else path

    @cached_property
    def of_path(self) -> dict[str, int]:
        """Boxes of layers and blocks by module path."""
        graph = self.blocks.graph
        layers = {graph.module[n]: b for b, n in enumerate(self.node) if n >= 0 and graph.kind[n] is NodeKind.LAYER}
        return {self.blocks.paths[n]: b for b, n in enumerate(self.block) if n >= 0} | layers

    @cached_property
    def neighbours(self) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """(boxes that feed each, boxes that each feeds)."""
        into, out = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for a, b in (*self.edges, *self.skips):
            into[b].append(a)
            out[a].append(b)
        return into, out

    def shows(self, path: str) -> int:
        """The box in which a module is seen, -1 for none."""
        while path and path not in self.of_path:
            path = path.rpartition(".")[0]
        return self.of_path.get(path, -1)


def boxes_of(blocks: Blocks, folded: frozenset[int]) -> Boxes:
    """The boxes while these blocks are folded."""
    hidden = [any(b in folded for b in blocks.up(int(around))) if around > 0 else False for around in blocks.around]
    first = np.full(len(blocks.paths), len(blocks.inside), np.int64)
    top = [
        next((block for block in reversed(blocks.holders(node)) if block in folded), -1)
        for node in range(len(blocks.inside))
    ]
    for node in range(len(blocks.inside)):
        for block in blocks.holders(node):
            first[block] = min(first[block], node)
    rank = [len(blocks.up(block)) for block in range(len(blocks.paths))]
    order = [(node, 1 << 30, node, -1) for node, block in enumerate(top) if block < 0]
    order += [(int(first[b]), rank[b], -1, b) for b in range(1, len(blocks.paths)) if not hidden[b]]
    order.sort()
    node = np.array([n for _, _, n, _ in order], np.int32)
    block = np.array([b for _, _, _, b in order], np.int32)
    box_of_node = {int(n): i for i, n in enumerate(node) if n >= 0}
    box_of_block = {int(b): i for i, b in enumerate(block) if b >= 0}
    homes = [int(blocks.inside[n]) if n >= 0 else int(blocks.around[b]) for n, b in zip(node, block)]
    around = np.array([box_of_block.get(home, -1) for home in homes], np.int32)
    of_node = np.array([box_of_node[n] if b < 0 else box_of_block[b] for n, b in enumerate(top)], np.int32)
    pairs = {(int(of_node[a]), int(of_node[b])) for a, b in blocks.graph.edges}
    edges, skips = transitive_reduction(len(order), {(a, b) for a, b in pairs if a != b})
    return Boxes(blocks, folded, node, block, around, edges, skips, of_node)


Edges = tuple[tuple[int, int], ...]


def transitive_reduction(count: int, edges: set[tuple[int, int]]) -> tuple[Edges, Edges]:
    """Edges without which some box could not be reached, and the others (the transitive reduction and the rest).

    Edges that close a circle are among the others.
    """
    out, into = defaultdict[int, list[int]](list), defaultdict[int, int](int)
    for a, b in edges:
        out[a].append(b)
        into[b] += 1
    place = _in_order(count, out, into)
    forward = {(a, b) for a, b in edges if place[a] < place[b]}
    # The boxes that can be reached from each, as bits.
    reach = [0] * count
    needed: list[tuple[int, int]] = []
    for a in sorted(range(count), key=lambda box: -place[box]):
        for b in sorted((b for b in out[a] if (a, b) in forward), key=lambda box: place[box]):
            # What an earlier successor reaches needs no edge of its own.
            if not reach[a] >> b & 1:
                needed.append((a, b))
                reach[a] |= reach[b] | 1 << b
    return tuple(sorted(needed)), tuple(sorted(edges - set(needed)))


def _in_order(count: int, out: dict[int, list[int]], into: dict[int, int]) -> list[int]:
    """Each box's place in an order in which edges lead forward; on a circle the first box of the run begins."""
    waiting, open_edges = set(range(count)), [into[box] for box in range(count)]
    ready = sorted((box for box in waiting if not open_edges[box]), reverse=True)
    place = [0] * count
    for number in range(count):
        # On a circle none is ever ready: the first in the order of the run breaks it.
        box = ready.pop() if ready else min(waiting)
        waiting.discard(box)
        place[box] = number
        for after in out[box]:
            open_edges[after] -= 1
            if not open_edges[after] and after in waiting:
                ready.append(after)
    return place
