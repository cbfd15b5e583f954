"""Slices as people write them: `layer1.0.conv1.weight [42, :, :, :]`, equal ones of a module in one line."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Kind

FEW = 4
"""Indices written out before a set is abbreviated."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list: tensors of a module and the part that goes ("" for all of it)."""

    name: str
    pattern: str


def indices_text(indices: NDArray[np.int64]) -> str:
    """42, 8:16, 0:64:4, or "1, 5, 9, 12 and 44 more"."""
    numbers = [int(i) for i in indices]
    if len(numbers) <= 2:
        return ", ".join(map(str, numbers)) if len(numbers) < 2 else f"{{{numbers[0]}, {numbers[1]}}}"
    steps = np.diff(indices)
    if (steps == steps[0]).all() and steps[0] > 0:
        step = int(steps[0])
        return f"{numbers[0]}:{numbers[-1] + step}" + ("" if step == 1 else f":{step}")
    if len(numbers) <= FEW:
        return "{" + ", ".join(map(str, numbers)) + "}"
    return "{" + ", ".join(map(str, numbers[:FEW])) + f", \u2026 {len(numbers)} in all}}"


def pattern(rank: int, dim: int, indices: NDArray[np.int64]) -> str:
    """[:, 42, :, :]."""
    return "[" + ", ".join(indices_text(indices) if d == dim else ":" for d in range(rank)) + "]"


def lines(analysis: Analysis, structure: int) -> list[Line]:
    """Everything that goes along with a structure; for a block the tensors that vanish."""
    if analysis.set_of(structure).kind is Kind.BLOCK:
        parts = [(*_split(name), "") for name in analysis.block_tensors(structure)]
    else:
        ranks = {t.name: len(t.shape) for t in analysis.tensors}
        parts = [(*_split(s.tensor), pattern(ranks[s.tensor], s.dim, s.indices)) for s in analysis.slices(structure)]
    joined: list[Line] = []
    for (module, where), same in groupby(parts, key=lambda p: (p[0], p[2])):
        leaves = list(dict.fromkeys(leaf for _, leaf, _ in same))
        name = (
            f"{module}.{leaves[0]}".lstrip(".") if len(leaves) == 1 else f"{module}  {', '.join(map(_short, leaves))}"
        )
        joined.append(Line(name, where))
    return joined


def _split(name: str) -> tuple[str, str]:
    module, _, leaf = name.rpartition(".")
    return module, leaf


def _short(leaf: str) -> str:
    return {"running_mean": "mean", "running_var": "var", "num_batches_tracked": "batches"}.get(leaf, leaf)
