"""What the inspector says about a selection, as plain text: title, words, coupling, costs, why it is fixed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.count_balance import bundle_of
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind, Mask
from secateur.engine.structures.costs import Costs, marginal

from ...document.document import Document
from ...text.format import MINUS, count, share
from ...text.metrics import difference_text
from ...text.structures import counted, many_of, one_of, structure_name
from ...text.translate import sentence

say = QCoreApplication.translate
FEW = 3
"""Coupled layers named before the rest is counted."""
NUMBERS = 40
"""Structures of a layer that are named by their number."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Texts about a selection.

    Attributes:
        title: Module path, or the model.
        words: What it consists of.
        facts: What it costs, what the plan keeps of it, and what its metric can lose; a line each.
        coupled: Which layers share its structures, and what constraints say about their number; "" for none.
        why_title: Heading of the reasons.
        why: Reasons, "" when nothing is fixed.
    """

    title: str
    words: str
    facts: str
    coupled: str
    why_title: str
    why: str


def subject_of(document: Document, analysis: Analysis, plan: Costs) -> Subject:
    """Texts about what is selected: one thing, or several structures."""
    selection, removed = document.selection, document.removed
    if len(selection.several) > 1:
        return _several_subject(document, analysis)
    one = analysis.sets[selection.set_number] if selection.set_number >= 0 else None
    module = selection.module
    numbers = [selection.set_number]
    if one is None:
        numbers = [number for number, each in enumerate(analysis.sets) if _within(each.module, module)]
    tensors = zip(analysis.tensors, plan.tensor_sizes, strict=True)
    sizes = sum(int(size) for tensor, size in tensors if tensor.parameter and _within(tensor.module, module))
    operators = zip(analysis.operators.module, plan.operator_macs, strict=True)
    macs = sum(int(number) for path, number in operators if _within(path, module))
    costs = say("inspector", "{0} parameters, {1} MACs ({2} of the plan)")
    facts = (
        costs.format(count(sizes), count(macs), share(macs / max(plan.macs, 1))),
        _kept_words(document, analysis, numbers),
        _loss_words(document, analysis, numbers),
    )
    coupled = (_ties_words(analysis, module, numbers),)
    if one is not None:
        limits = [sentence(each.reason) for each in analysis.constraints if selection.set_number in each.sets]
        coupled = (_coupled_words(analysis, one), *dict.fromkeys(limits))
    why_title, why = _reasons(analysis, module)
    title = module or say("inspector", "Whole model")
    words = "" if one is None else _set_words(analysis, one, removed)
    return Subject(title, words, _lines(facts), _lines(coupled), why_title, why)


def _several_subject(document: Document, analysis: Analysis) -> Subject:
    """Structures that were chosen together, by the layers that they are in."""
    found, number_of = dict[int, list[int]](), analysis.set_numbers()
    for structure in document.selection.several:
        found.setdefault(int(number_of[structure]), []).append(structure)
    lines: list[str] = []
    for number, structures in found.items():
        one, marked = analysis.sets[number], int(np.count_nonzero(document.marked[structures]))
        numbers = ", ".join(str(int(analysis.index[structure])) for structure in structures[:NUMBERS])
        numbers += " \u2026" if len(structures) > NUMBERS else ""
        kind = one_of(one.kind) if len(structures) == 1 else many_of(one.kind)
        words = say("inspector", "{0}: {1} {2}").format(one.module, kind, numbers)
        lines.append(words + say("inspector", ", {0} marked").format(marked) if marked else words)
    kinds, total = {analysis.sets[number].kind for number in found}, len(document.selection.several)
    title = counted(kinds.pop(), total) if len(kinds) == 1 else say("inspector", "{0} structures").format(f"{total:,}")
    if len(found) > 1:
        title = say("inspector", "{0} of {1} layers").format(title, len(found))
    return Subject(title, "\n".join(lines), facts="", coupled="", why_title="", why="")


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(filter(None, texts))


def costs_text(analysis: Analysis, gone: Mask, structures: Sequence[int]) -> str:
    """What goes with structures on top of the plan, or what they take from it when they are marked already."""
    before = gone.copy()
    before[list(structures)] = False
    parameters, macs = marginal(analysis, before, list(structures))
    less = (f"{MINUS}{count(number)}" if number else "0" for number in (parameters, macs))
    return say("inspector", "{0} parameters, {1} MACs").format(*less)


def costs_note(marked: bool, gone: bool) -> str:
    """What the costs are counted against."""
    if gone:
        return say("inspector", "Already removed in the current state.")
    return (
        say("inspector", "Marked: already counted in the plan.")
        if marked
        else say("inspector", "In addition to the plan, exact.")
    )


def _set_words(analysis: Analysis, one: CoupledSet, removed: Mask) -> str:
    if one.kind is Kind.BLOCK:
        number = len(analysis.block_tensors(one.first))
        return say("inspector", "One block. Removing it passes its input on and deletes {0} tensors.").format(number)
    left = one.count - int(np.count_nonzero(removed[one.structures]))
    words = counted(one.kind, left)
    shape = next((t.shape for t in analysis.tensors if t.name == one.name), ())
    if one.kind in (Kind.FILTER, Kind.NEURON, Kind.WIDTH, Kind.CHANNEL) and one.dim == 0 and len(shape) > 1:
        inputs = say("inspector", "{0} inputs each").format(shape[1])
        words += ", " + (inputs if len(shape) == 2 else "x".join(map(str, (*shape[2:], shape[1]))))
    return words if left == one.count else words + say("inspector", ", of {0} in the original").format(one.count)


def _kept_words(document: Document, analysis: Analysis, numbers: list[int]) -> str:
    """How many structures of some sets are there, and how many of them the plan takes."""
    if not numbers:
        return ""
    places = [analysis.sets[number].structures for number in numbers]
    present = sum(int(np.count_nonzero(~document.removed[place])) for place in places)
    taken = sum(int(np.count_nonzero(document.marked[place])) for place in places)
    if len(numbers) > 1:
        words = say("inspector", "{0} structures in {1} coupled sets can be removed.").format(
            f"{present:,}", len(numbers)
        )
        return words + (say("inspector", " The plan takes {0}.").format(f"{taken:,}") if taken else "")
    kept = say("inspector", "The plan keeps {0} of {1}.")
    return kept.format(f"{present - taken:,}", f"{present:,}") if taken else ""


def _loss_words(document: Document, analysis: Analysis, numbers: list[int]) -> str:
    """What the metric loses where half of a set goes; of several sets that which loses most. "" before it is known."""
    curves = document.curves
    if curves is None or curves.metric is None:
        return ""
    known = {number: curves.curve(analysis, document.removed, number) for number in numbers}
    losses = {number: curves.lost(curve) for number, curve in known.items() if curve is not None}
    losses = {number: lost for number, lost in losses.items() if lost == lost}
    if not losses:
        return ""
    worst = max(losses, key=lambda number: losses[number])
    metric = curves.metric
    lost = difference_text(-losses[worst] if metric.higher_is_better else losses[worst], metric.percent)
    if len(numbers) == 1:
        return say("inspector", "Sensitivity: {0} if half of it is removed, without recovery.").format(lost)
    words = say("inspector", "Most sensitive: {0}, {1} if half of it is removed, without recovery.")
    return words.format(analysis.sets[worst].module, lost)


def _ties_words(analysis: Analysis, module: str, numbers: list[int]) -> str:
    """Which layers outside of a group lose the same structures as layers in it."""
    outside = [path for number in numbers for path in analysis.sets[number].along if not _within(path, module)]
    outside += [
        one.module
        for one in analysis.sets
        if not _within(one.module, module) and any(_within(path, module) for path in one.along)
    ]
    names = list(dict.fromkeys(outside))
    if not module or not names:
        return ""
    return say("inspector", "Coupled with layers outside of it: {0}.").format(_first_names(names))


def _first_names(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:FEW])
    return shown + say("inspector", " and {0} more").format(len(names) - FEW) if len(names) > FEW else shown


def _within(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")


def _coupled_words(analysis: Analysis, one: CoupledSet) -> str:
    """Which layers write the same channels, for sets that more than one layer writes."""
    writers = [analysis.tensors[t] for t, dim in one.touches if dim == 0]
    names = list(dict.fromkeys(w.module for w in writers if len(w.shape) > 1))
    if one.kind is Kind.BLOCK or len(names) < 2:
        return ""
    text = say("inspector", "Coupled: {0} write the same {1}, so these are removed from all of them.")
    return text.format(_first_names(names), many_of(one.kind))


def steps_of(analysis: Analysis, set_number: int) -> tuple[int, int]:
    """How many of a set must stay at least, and how many go in a step."""
    bundle = bundle_of(analysis, set_number)
    size = bundle.sizes[bundle.sets.index(set_number)]
    return analysis.sets[set_number].count - size * bundle.most, size


def _reasons(analysis: Analysis, module: str) -> tuple[str, str]:
    # Beyond the first two dimensions are extents of kernels, which no user would cut.
    channels = (f for f in analysis.fixed if f.dim < 2)
    found = [f for f in channels if module and analysis.tensors[f.tensor].module == module]
    if not found:
        return "", ""
    outputs = any(f.dim == 0 for f in found)
    title = say("inspector", "Why {0} is fixed") if outputs else say("inspector", "Why the inputs of {0} are fixed")
    reasons: list[str] = []
    for fixed in found:
        words = sentence(fixed.reason)
        if fixed.module and fixed.module != module:
            words = say("inspector", "{0} Caused by {1}.").format(words, fixed.module)
        reasons.append(words)
    return title.format(module), "\n".join(dict.fromkeys(reasons))


def goes_title(analysis: Analysis, structures: Sequence[int]) -> str:
    """Heading of the list of slices, and of what several cost together."""
    if len(structures) > 1:
        return say("inspector", "Removed together")
    structure = structures[0]
    one = analysis.set_of(structure)
    if one.kind is Kind.BLOCK:
        return say("inspector", "Removed with the block")
    return say("inspector", "Removed with {0}").format(structure_name(analysis, structure, one))
