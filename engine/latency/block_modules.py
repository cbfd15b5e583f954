"""Assigns fused blocks to modules, so that it is known which of them vanish with a removed block.

A fused block goes with a removed block when its module lies in one of those that go. What a runtime adds by itself, a
change of layout, belongs to none and stays: a prediction without a block is rather too slow than too fast.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Mask
from ..structures.costs import kept_sizes
from .block_names import block_of, module_of
from .protocol import LatencyTable


def block_modules(blocks: tuple[tuple[str, str], ...], files: Mapping[str, str] | None) -> tuple[str, ...]:
    """[blocks] the module of each, "" for none.

    Args:
        blocks: Names and kinds of fused blocks.
        files: What an exported file says, module by block; None where a runtime runs modules and names them.
    """
    if files is None:
        return tuple(module_of(name) for name, _ in blocks)
    return tuple(files.get(block_of(name), "") for name, _ in blocks)


def module_times(analysis: Analysis, table: LatencyTable, removed: Mask) -> dict[str, float]:
    """Share of the predicted time of what a plan leaves, 0..1, by module; what belongs to none is left out."""
    kept, alive = kept_sizes(analysis, removed)[None], running_blocks(analysis, table, removed)
    each = table.by_block(kept)[0] * alive
    whole, found = max(float(each.sum()) + max(table.overhead, 0.0), 1.0), dict[str, float]()
    for home, time in zip(table.homes, each.tolist(), strict=False):
        if home:
            found[home] = found.get(home, 0.0) + time / whole
    return found


def running_blocks(analysis: Analysis, table: LatencyTable, removed: Mask) -> NDArray[np.bool_]:
    """[blocks] the fused blocks that a plan leaves."""
    alive, pairs = np.ones(len(table.blocks), np.bool_), vanishing_blocks(analysis, table)
    alive[pairs[removed[pairs[:, 0]], 1]] = False
    return alive


def vanishing_blocks(analysis: Analysis, table: LatencyTable) -> NDArray[np.int64]:
    """[*, 2] (structure, fused block): fused blocks that vanish with a whole block."""
    held: dict[str, list[int]] = {}  # by module, the fused blocks of it and of all that lies in it
    for number, home in enumerate(table.homes):
        parts = home.split(".")
        for depth in range(1, len(parts) + 1 if home else 0):
            held.setdefault(".".join(parts[:depth]), []).append(number)
    rows = [(one.structure, number) for one in analysis.stand_ins for number in held.get(one.path, ())]
    return np.array(sorted(set(rows)), np.int64).reshape(-1, 2)
