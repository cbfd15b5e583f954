"""What goes along as a small graph: the layers that write a structure, what it passes, and the layers that read it.

Which of a layer's dimensions is its output is read from the recorded run; without one (an analysis made by hand) the
first dimension is.
"""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QCoreApplication

from secateur.engine.structures.analysis import Analysis, Kind, Slice

from ...text.structures import structure_name
from .slice_patterns import pattern

say = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class Box:
    """A layer in the graph: its path, and what of it goes."""

    module: str
    parts: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its path; what belongs to the model itself is called by its parameters."""
        return self.module or ", ".join(part.partition(" ")[0] for part in self.parts)


@dataclass(frozen=True, slots=True)
class Flow:
    """The graph of a structure.

    Attributes:
        name: The structure.
        writers: Layers that compute it.
        passes: Norms and scales that it goes through.
        readers: Layers that read it.
    """

    name: str
    writers: tuple[Box, ...]
    passes: tuple[Box, ...]
    readers: tuple[Box, ...]

    def spoken(self) -> str:
        """All of it in a sentence."""
        parts = (
            (say("inspector", "written by {0}"), self.writers),
            (say("inspector", "passes {0}"), self.passes),
            (say("inspector", "read by {0}"), self.readers),
        )
        told = (words.format(", ".join(box.title for box in boxes)) for words, boxes in parts if boxes)
        return f"{self.name}: " + "; ".join(told)


class Flows:
    """Makes the graphs of an analysis; what writes an axis is read once."""

    def __init__(self, analysis: Analysis) -> None:
        """Read the recorded run."""
        self._analysis = analysis
        self._writes = {(step.module, axis) for step in analysis.steps for axis in step.axes if axis >= 0}
        self._tensors = {tensor.name: tensor for tensor in analysis.tensors}
        self._recorded = {step.module for step in analysis.steps}

    def of(self, structure: int) -> Flow | None:
        """The graph of a structure; None for a whole block, which goes with all that is in it."""
        one = self._analysis.set_of(structure)
        if one.kind is Kind.BLOCK:
            return None
        wide, flat = dict[tuple[str, bool], list[Slice]](), dict[str, list[Slice]]()
        for each in self._analysis.slices(structure):
            tensor = self._tensors[each.tensor]
            if len(tensor.shape) > 1:
                wide.setdefault((tensor.module, self._is_output(each)), []).append(each)
            else:
                flat.setdefault(tensor.module, []).append(each)
        writers = [module for module, output in wide if output]
        for module in writers:  # a bias belongs to the layer that adds it
            wide[module, True] += flat.pop(module, [])
        name = structure_name(self._analysis, structure, one)
        made = [Box(module, self._parts(slices)) for (module, output), slices in wide.items() if output]
        read = [Box(module, self._parts(slices)) for (module, output), slices in wide.items() if not output]
        passed = [Box(module, self._parts(slices)) for module, slices in flat.items()]
        return Flow(name, tuple(made), tuple(passed), tuple(read))

    def _is_output(self, one: Slice) -> bool:
        tensor = self._tensors[one.tensor]
        if tensor.module not in self._recorded:
            return one.dim == 0
        axis, others = tensor.axes[one.dim], [a for d, a in enumerate(tensor.axes) if d != one.dim]
        if axis in others:  # reads and writes one axis: the first dimension writes
            return one.dim == 0
        return (tensor.module, axis) in self._writes

    def _parts(self, slices: list[Slice]) -> tuple[str, ...]:
        """Weight [42, :, :, :]."""
        found: list[str] = []
        for one in slices:
            rank = len(self._tensors[one.tensor].shape)
            found.append(f"{one.tensor.rpartition('.')[2]} {pattern(rank, one.dim, np.asarray(one.indices))}")
        return tuple(found)


def set_shown(analysis: Analysis, module: str) -> int:
    """The coupled set that is shown for a layer: its own, else the one that its outputs go along with, else -1."""
    own = next((n for n, one in enumerate(analysis.sets) if one.module == module and one.kind is not Kind.BLOCK), -1)
    along = next((n for n, one in enumerate(analysis.sets) if module in one.along), -1)
    return own if own >= 0 else along
