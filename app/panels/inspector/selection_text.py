"""What the inspector says about a selection, as plain text: title, words, coupling, costs, why it is fixed."""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.count_balance import bundle_of
from secateur.engine.structures.analysis import Analysis, CoupledSet, FixedAxis, Kind, Mask, TensorInfo
from secateur.engine.structures.costs import Costs, marginal

from ...document.document import Selection
from ...text.format import MINUS, count, share
from ...text.structures import counted, many_of, structure_name
from ...text.translate import sentence

say = QCoreApplication.translate
FEW = 3
"""Coupled layers named before the rest is counted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Texts about a selection.

    Attributes:
        title: Module path, or the model.
        words: What it consists of.
        coupled: Which layers share its structures, and what constraints say about their number; "" for none.
        why_title: Heading of the reasons.
        why: Reasons, "" when nothing is fixed.
        warns: True when the outputs themselves are fixed.
    """

    title: str
    words: str
    coupled: str
    why_title: str
    why: str


def subject_of(analysis: Analysis, selection: Selection, removed: Mask, plan: Costs) -> Subject:
    """Texts about what is selected."""
    one = analysis.sets[selection.set_number] if selection.set_number >= 0 else None
    title = selection.module or say("inspector", "Whole model")
    words = _container_words(analysis, selection.module, plan) if one is None else _set_words(analysis, one, removed)
    why_title, why = _reasons(analysis, selection.module)
    coupled = "" if one is None else "\n".join(filter(None, (_coupled(analysis, one), _counts(analysis, selection))))
    return Subject(title, words, coupled, why_title, why)


def costs_text(analysis: Analysis, gone: Mask, structure: int) -> str:
    """What goes with a structure on top of the plan, or what it takes from it when it is marked already."""
    before = gone.copy()
    before[structure] = False
    parameters, macs = marginal(analysis, before, [structure])
    text = say("inspector", "{0} parameters, {1} MACs")
    return text.format(_less(parameters), _less(macs))


def costs_note(marked: bool, gone: bool) -> str:
    """What the costs are counted against."""
    if gone:
        return say("inspector", "Already removed in the current state.")
    return (
        say("inspector", "Marked: already counted in the plan.")
        if marked
        else say("inspector", "In addition to the plan, exact.")
    )


def _less(number: int) -> str:
    return f"{MINUS}{count(number)}" if number else "0"


def _set_words(analysis: Analysis, one: CoupledSet, removed: Mask) -> str:
    if one.kind is Kind.BLOCK:
        number = len(analysis.block_tensors(one.first))
        return say("inspector", "One block. Removing it passes its input on and deletes {0} tensors.").format(number)
    left = one.count - int(np.count_nonzero(removed[one.structures]))
    shape = _shape_words(next((t for t in analysis.tensors if t.name == one.name), None), one)
    words = counted(one.kind, left) + (f", {shape}" if shape else "")
    return words if left == one.count else words + say("inspector", ", of {0} in the original").format(one.count)


def _shape_words(tensor: TensorInfo | None, one: CoupledSet) -> str:
    """Size of one filter or neuron."""
    if tensor is None or one.kind not in (Kind.FILTER, Kind.NEURON, Kind.WIDTH, Kind.CHANNEL) or one.dim != 0:
        return ""
    if len(tensor.shape) > 2:
        return "x".join(map(str, (*tensor.shape[2:], tensor.shape[1])))
    return say("inspector", "{0} inputs each").format(tensor.shape[1]) if len(tensor.shape) == 2 else ""


def _container_words(analysis: Analysis, module: str, plan: Costs) -> str:
    inside = [s for s in analysis.sets if _within(s.module, module)]
    sizes = sum(
        int(n)
        for t, n in zip(analysis.tensors, plan.tensor_sizes, strict=True)
        if t.parameter and _within(t.module, module)
    )
    macs = sum(int(n) for p, n in zip(analysis.operators.module, plan.operator_macs, strict=True) if _within(p, module))
    words = say("inspector", "{0} parameters, {1} MACs ({2} of the plan)").format(
        count(sizes), count(macs), share(macs / max(plan.macs, 1))
    )
    if inside:
        found = sum(s.count for s in inside)
        words += "\n" + say("inspector", "{0} structures in {1} coupled sets can be removed.").format(
            f"{found:,}", len(inside)
        )
    return words


def _within(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")


def _coupled(analysis: Analysis, one: CoupledSet) -> str:
    """Which layers write the same channels, for sets that more than one layer writes."""
    writers = [analysis.tensors[t] for t, dim in one.touches if dim == 0]
    names = list(dict.fromkeys(w.module for w in writers if len(w.shape) > 1))
    if one.kind is Kind.BLOCK or len(names) < 2:
        return ""
    named = ", ".join(names[:FEW])
    if len(names) > FEW:
        named += say("inspector", " and {0} more").format(len(names) - FEW)
    text = say("inspector", "Coupled: {0} write the same {1}, so these are removed from all of them.")
    return text.format(named, many_of(one.kind))


def _counts(analysis: Analysis, selection: Selection) -> str:
    """What constraints say about how many of a set may go."""
    told = [sentence(one.reason) for one in analysis.constraints if selection.set_number in one.sets]
    return "\n".join(dict.fromkeys(told))


def steps_of(analysis: Analysis, set_number: int) -> tuple[int, int]:
    """How many of a set must stay at least, and how many go in a step."""
    bundle = bundle_of(analysis, set_number)
    size = bundle.sizes[bundle.sets.index(set_number)]
    return analysis.sets[set_number].count - size * bundle.most, size


def _reasons(analysis: Analysis, module: str) -> tuple[str, str]:
    channels = (f for f in analysis.fixed if f.dim < 2)  # beyond: extents of kernels, which nobody would cut
    found = [f for f in channels if module and analysis.tensors[f.tensor].module == module]
    if not found:
        return "", ""
    outputs = any(f.dim == 0 for f in found)
    title = say("inspector", "Why {0} is fixed") if outputs else say("inspector", "Why the inputs of {0} are fixed")
    return title.format(module), "\n".join(dict.fromkeys(_reason(f, module) for f in found))


def _reason(fixed: FixedAxis, module: str) -> str:
    """Why, and which module's operator is the cause where that is another one."""
    said = sentence(fixed.reason)
    if not fixed.module or fixed.module == module:
        return said
    return say("inspector", "{0} Caused by {1}.").format(said, fixed.module)


def goes_title(analysis: Analysis, structure: int) -> str:
    """Heading of the list of slices."""
    one = analysis.set_of(structure)
    if one.kind is Kind.BLOCK:
        return say("inspector", "Removed with the block")
    return say("inspector", "Removed with {0}").format(structure_name(analysis, structure, one))
