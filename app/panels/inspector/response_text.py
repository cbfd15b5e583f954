"""What a structure does, in words: how active it is, which classes it serves, where a head looks, what is like it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QCoreApplication

from secateur.engine.inspection.response_data import LayerResponses, MapForm
from secateur.engine.structures.analysis import Analysis, CoupledSet

from ...text.format import MINUS, share, three_digits
from ...text.structures import counted, one_of, structure_name
from ...widgets.score_map import ScoreScale

ALIKE = 0.9
"""Correlation from which structures are said to respond alike."""
CLASSES, MANY = 3, 4
"""Classes and structures that are named."""
ENOUGH = 2
"""Samples that a class needs for its mean to be said, where any has so many."""


def say(text: str) -> str:
    """In the language of the window."""
    return QCoreApplication.translate("responses", text)


def activity_words(found: LayerResponses, row: int) -> str:
    """How often a structure is active, where a response above 0 says so."""
    active = float(found.active[row])
    if found.dead[row]:
        return say("Dead: its response is the same at every place of all samples.")
    return "" if active != active else say("Active (above 0) at {0} of all places.").format(share(active))


def class_words(found: LayerResponses, row: int) -> str:
    """The classes with the largest and the smallest mean response."""
    enough = found.class_counts >= ENOUGH
    places = np.flatnonzero(enough if enough.any() else found.class_counts > 0)
    if len(places) < 2 or found.dead[row]:
        return ""
    order = places[np.argsort(-found.class_means[row, places], kind="stable")]
    # As many decimals for all as the largest needs: a mean of almost nothing is 0.00.
    means = found.class_means[row]
    scale = ScoreScale(float(np.abs(means[order]).max()) or 1.0)
    chosen = (*order[:-1][:CLASSES], order[-1])
    numbers = [scale.text(float(means[n])) for n in chosen]
    zero = scale.text(0.0)
    numbers = [zero if number == f"-{zero}" else number.replace("-", MINUS) for number in numbers]
    named = [f"{found.classes[n]} {number}" for n, number in zip(chosen, numbers, strict=True)]
    return say("Mean response by class: most {0}; least {1}.").format(", ".join(named[:-1]), named[-1])


def attention_words(found: LayerResponses, row: int) -> str:
    """How a head spreads its attention."""
    view = found.attention
    if view is None:
        return ""
    words = say("Attention: entropy {0} bits, {1} tokens away on average, {2} on the first token.")
    if view.form is MapForm.IMAGE:
        words = say("Attention: entropy {0} bits, {1} patches away on average, {2} on the first token.")
    numbers = three_digits(float(view.entropy[row])), three_digits(float(view.distance[row]))
    return words.format(*numbers, share(float(view.first[row])))


def alike_words(found: LayerResponses, analysis: Analysis, structure: int) -> str:
    """What responds like a structure, or the other way round."""
    row = found.place(structure)
    near = [(int(n), float(r)) for n, r in zip(found.partners[row], found.similarity[row], strict=True) if n >= 0]
    one = analysis.set_of(structure)

    def names(some: Sequence[tuple[int, float]]) -> str:
        return ", ".join(f"{structure_name(analysis, n, one)} ({f'{r:.2f}'.replace('-', MINUS)})" for n, r in some)

    like, against = [x for x in near if x[1] >= ALIKE], [x for x in near if x[1] <= -ALIKE]
    if like:
        words = say("Responds like {0}.").format(names(like[:MANY]))
    elif not near:
        return ""
    else:
        words = say("Nothing responds alike; nearest {0}.").format(names(near[:1]))
    return words + (" " + say("Opposite to {0}.").format(names(against[:MANY])) if against else "")


def alike_group(found: LayerResponses, structure: int, scores: NDArray[np.float64] | None) -> tuple[int, list[int]]:
    """(the structure to keep, the others) of those that respond like one: the best score stays, else the one itself."""
    group = [structure, *(int(n) for n in found.alike(structure, ALIKE))]
    if scores is not None and np.isfinite(scores[group]).any():
        keep = group[int(np.nanargmax(scores[group]))]
    else:
        keep = structure
    return keep, [n for n in group if n != keep]


def dead_words(one: CoupledSet, dead: int) -> str:
    """How many of a set are dead."""
    words = say("{0} of this layer respond to nothing.") if dead > 1 else say("{0} of this layer responds to nothing.")
    return words.format(counted(one.kind, dead)) if dead else ""


def basis_words(found: LayerResponses, one: CoupledSet) -> str:
    """What the samples and their colours are."""
    on = say("{0} samples of the train split").format(f"{found.seen:,}")
    if found.attention is not None:
        return say("Where this {0} looks on some samples; more colour, more attention. Measured on {1}.").format(
            one_of(one.kind), on
        )
    if found.form is MapForm.NONE:
        return say("The samples that excite this {0} most, of {1}.").format(one_of(one.kind), on)
    return say("The samples that excite this {0} most, of {1}; colour: where it responds.").format(one_of(one.kind), on)
