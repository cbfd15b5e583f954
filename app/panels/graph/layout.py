"""Places the boxes of a graph: layers from top to bottom by Sugiyama's method, block by block from the inside out.

The library (`fast_sugiyama`) knows no boxes in boxes and no sizes, so each open block is laid out by itself and is then
one box of the block around it; ranks become as tall as what is in them. Edges that skip ahead do not take part:
they run down a lane at the side, one for each box they come from, as residual connections are drawn.
Lengths are in units: device-independent pixels at a scale of 1.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from fast_sugiyama import from_edges
from numpy.typing import NDArray

from .boxes import Boxes

WIDTH, HEIGHT, ENDS, JOIN = 200.0, 42.0, 24.0, 22.0
"""Of a layer or a folded block, height of an input or output, and of a join."""
GAP, BESIDE = 16.0, 20.0
"""Between ranks, and between neighbours in a rank."""
HEAD, PADDING = 24.0, 10.0
"""Of an open block."""
LANE, LANES = 7.0, 30
"""Between two lanes, and how many there are at most."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bus:
    """What skips ahead of one box, or what ties boxes: a line down a lane, with stubs.

    Attributes:
        boxes: The box it comes from, and those it leads to; or all that are tied.
        lane: Where the line runs.
        ends: [*, 2] places where the stubs meet the boxes.
    """

    boxes: tuple[int, ...]
    lane: float
    ends: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """Where I boxes are.

    Attributes:
        places: [I, 4] left, top, width, height.
        edges: For each of `Boxes.edges` the points it passes, [P, 2].
        skips: Lines at the right of what they pass.
        ties: Lines at the left of all.
        size: (width, height) of all.
    """

    places: Floats
    edges: tuple[Floats, ...]
    skips: tuple[Bus, ...]
    ties: tuple[Bus, ...]
    size: tuple[float, float]


def lay_out(boxes: Boxes, ties: Sequence[tuple[int, ...]]) -> Layout:
    """Place everything; `ties` are boxes that lose the same channels."""
    return _Layouter(boxes).layout(ties)


class _Layouter:
    """One layout in the making."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self.places = np.zeros((len(boxes), 4))
        self.children = defaultdict[int, list[int]](list)
        # By box: itself and the open blocks around it, then -1 for the model.
        self.above: list[list[int]] = []
        for box, around in enumerate(boxes.around.tolist()):
            self.children[around].append(box)
            self.above.append([box, *(self.above[around] if around >= 0 else [-1])])
        # By block, between its own boxes.
        self.edges = defaultdict[int, dict[tuple[int, int], list[int]]](dict)
        for number, (a, b) in enumerate(boxes.edges):
            block, pair = self._common_block(a, b)
            self.edges[block].setdefault(pair, []).append(number)
        self.skips = defaultdict[int, dict[int, list[int]]](lambda: defaultdict(list))
        for a, b in boxes.skips:
            self.skips[self._common_block(a, b)[0]][a].append(b)
        # By edge: the block, and points in it.
        self.bends: dict[int, tuple[int, Floats]] = {}
        # Block, boxes from the first on, lane in the block.
        self.lanes: list[tuple[int, tuple[int, ...], float]] = []

    def layout(self, ties: Sequence[tuple[int, ...]]) -> Layout:
        """Everything, with the model's own corner at 0, 0."""
        # What is in a block comes after it: from the end, each block is filled before it is placed itself.
        for box in reversed(range(len(self.boxes))):
            if self.boxes.open(box):
                width, height = self._fill(box, HEAD, PADDING)
                self.places[box, 2:] = max(width, WIDTH), height
            else:
                height = ENDS if self.boxes.end(box) else HEIGHT
                self.places[box, 2:] = (JOIN, JOIN) if self.boxes.join(box) else (WIDTH, height)
        width, height = self._fill(-1, PADDING, PADDING)
        for box in range(len(self.boxes)):
            if (around := int(self.boxes.around[box])) >= 0:
                self.places[box, :2] += self.places[around, :2]
        middle = self.places[:, 1] + self.places[:, 3] / 2
        placed = lanes((float(middle[list(tie)].min()), float(middle[list(tie)].max())) for tie in ties)
        tied = tuple(
            Bus(tie, -4 - lane * LANE, np.stack([self.places[list(tie), 0], middle[list(tie)]], 1))
            for tie, lane in zip(ties, placed, strict=True)
        )
        left = max((-bus.lane for bus in tied), default=0.0) + PADDING
        self.places[:, 0] += left
        tied = tuple(Bus(bus.boxes, bus.lane + left, bus.ends + np.array([left, 0.0])) for bus in tied)
        # What was placed from a block's corner is moved along with the block.
        x, y, widths, heights = self.places.T
        skips: list[Bus] = []
        for block, boxes, lane in self.lanes:
            ends = np.stack([x + widths, y + heights / 2], 1)[list(boxes)]
            skips.append(Bus(boxes, (float(x[block]) if block >= 0 else left) + lane, ends))
        edges: list[Floats] = []
        for number, (a, b) in enumerate(self.boxes.edges):
            block, bends = self.bends[number]
            corner = self.places[block, :2] if block >= 0 else np.array([left, 0.0])
            begin, end = (x[a] + widths[a] / 2, y[a] + heights[a]), (x[b] + widths[b] / 2, y[b])
            edges.append(np.concatenate([[begin], bends + corner, [end]]))
        return Layout(self.places, tuple(edges), tuple(skips), tied, (float(width + left), float(height)))

    def _common_block(self, a: int, b: int) -> tuple[int, tuple[int, int]]:
        """The innermost block that holds both, and its own boxes that hold them."""
        holders = set(self.above[b])
        block = next(box for box in self.above[a] if box in holders)
        return block, (self.above[a][self.above[a].index(block) - 1], self.above[b][self.above[b].index(block) - 1])

    def _fill(self, block: int, head: float, padding: float) -> tuple[float, float]:
        """Place the boxes of a block relative to its corner; its size."""
        mine = self.children[block]
        if not mine:
            return WIDTH, HEIGHT
        right = padding
        height = head
        for part, ways in _parts(mine, self.edges[block]):
            right, low = self._place_part(block, part, ways, right, head)
            height = max(height, low)
            right += BESIDE
        right -= BESIDE
        spans: list[tuple[float, float]] = []
        skips = [(one, *others) for one, others in self.skips[block].items()]
        for boxes in skips:
            # Heights of their middles, from the corner of the block: boxes are placed inside the block around each.
            middles: list[float] = []
            for box in boxes:
                holders = self.above[box][: self.above[box].index(block)]
                middles.append(sum(self.places[each, 1] for each in holders) + self.places[box, 3] / 2)
            spans.append((min(middles), max(middles)))
        placed = lanes(spans)
        for boxes, lane in zip(skips, placed, strict=True):
            self.lanes.append((block, boxes, right + 12 + lane * LANE))
        if placed:
            right += 12 + max(placed) * LANE
        return right + padding, height + padding

    def _place_part(
        self, block: int, part: Sequence[int], ways: Mapping[tuple[int, int], Sequence[int]], left: float, top: float
    ) -> tuple[float, float]:
        """Place boxes that hang together; their right and their lower end."""
        number = {box: n for n, box in enumerate(part)}
        spots, chains = _sugiyama(len(part), [(number[a], number[b]) for a, b in ways])
        ranks = sorted({y for _, y in spots.values()})
        tall = {
            y: max((self.places[part[n], 3] for n in range(len(part)) if spots[n][1] == y), default=0) for y in ranks
        }
        # A rank is as tall as its tallest box, and each box is in the middle of its rank.
        tops, at = dict[float, float](), top
        for y in ranks:
            tops[y] = at
            at += tall[y] + GAP
        # A column has room for the widest box; what is left of the left end, bends included, shifts all to the right.
        column = max(float(self.places[box, 2]) for box in part) + BESIDE
        xs = {n: x * column for n, (x, _) in spots.items()}
        shift = left - min(xs[n] - self.places[part[n], 2] / 2 for n in range(len(part)))
        shift = max(shift, left + BESIDE / 2 - min(xs.values()))
        for n, box in enumerate(part):
            y = spots[n][1]
            self.places[box, 0] = xs[n] + shift - self.places[box, 2] / 2
            self.places[box, 1] = tops[y] + (tall[y] - self.places[box, 3]) / 2
        for pair, edges in ways.items():
            through = chains.get((number[pair[0]], number[pair[1]]), ())
            points = [(xs[d] + shift, tops[spots[d][1]] + tall[spots[d][1]] / 2) for d in through]
            for edge in edges:
                self.bends[edge] = block, np.array(points).reshape(-1, 2)
        ends = [xs[n] + shift + self.places[part[n], 2] / 2 for n in range(len(part))]
        return max(*ends, max(xs.values()) + shift + BESIDE / 2), at - GAP


def lanes(spans: Iterable[tuple[float, float]]) -> list[int]:
    """A lane for each span: short ones innermost, and no two that overlap share one while there are lanes."""
    given = list(spans)
    found, taken = [0] * len(given), list[list[tuple[float, float]]]()
    for number in sorted(range(len(given)), key=lambda n: (given[n][1] - given[n][0], given[n])):
        low, high = given[number]
        free = (n for n, lane in enumerate(taken) if all(high < a or b < low for a, b in lane))
        # Beyond the last lane, lines share it rather than take more room.
        lane = next(free, min(len(taken), LANES - 1))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((low, high))
        found[number] = lane
    return found


def _parts(
    boxes: Sequence[int], edges: Mapping[tuple[int, int], Sequence[int]]
) -> list[tuple[list[int], dict[tuple[int, int], Sequence[int]]]]:
    """Boxes that hang together, with the edges between them."""
    part = {box: box for box in boxes}

    def root(box: int) -> int:
        while part[box] != box:
            part[box] = box = part[part[box]]
        return box

    for a, b in edges:
        part[root(b)] = root(a)
    found: dict[int, tuple[list[int], dict[tuple[int, int], Sequence[int]]]] = {}
    for box in boxes:
        found.setdefault(root(box), ([], {}))[0].append(box)
    for pair, numbers in edges.items():
        found[root(pair[0])][1][pair] = numbers
    return list(found.values())


def _sugiyama(
    count: int, edges: Sequence[tuple[int, int]]
) -> tuple[dict[int, tuple[float, float]], dict[tuple[int, int], tuple[int, ...]]]:
    """Places of connected nodes in columns and ranks, and the bends of edges that pass ranks.

    Returns:
        ({node or bend: (column, rank)}, {edge: its bends}); bends are numbered from `count` on.
    """
    if count == 1:
        return {0: (0.0, 0.0)}, {}
    ((spots, _, _, lines),) = from_edges(
        list(edges), vertex_spacing=1.0, dummy_vertices=True, dummy_size=0.3, check_layout=False
    )
    # The library counts ranks from the bottom up.
    deepest = max(y for _, (_, y) in spots)
    places = {int(n): (x, float(round(deepest - y))) for n, (x, y) in spots}
    after = {int(a): int(b) for a, b in lines or () if int(a) >= count}
    chains: dict[tuple[int, int], tuple[int, ...]] = {}
    for a, b in lines or ():
        if int(a) < count <= int(b):
            way, at = [int(b)], int(b)
            while (at := after[at]) >= count:
                way.append(at)
            chains[int(a), at] = tuple(way)
    return places, chains
