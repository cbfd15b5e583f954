"""What structures are coloured by, in words."""

from typing import NamedTuple

from PySide6.QtCore import QCoreApplication

from ..document.aspects import Overlay
from ..document.document import Document

say = QCoreApplication.translate


class OverlayText(NamedTuple):
    """Words on a number of structures.

    Attributes:
        title: What it is called.
        words: A template that says it of a structure.
        bright: What a bright colour says.
        missing: Why nothing is shown yet.
    """

    title: str
    words: str
    bright: str
    missing: str


def overlay_text(document: Document) -> OverlayText:
    """Words on what structures are coloured by now: gates while these are learned."""
    if document.learned_gates is not None:
        words = say("overlay", "gate open with a probability of {0}")
        return OverlayText(say("overlay", "Gate"), words, say("overlay", "open"), "")
    return overlay_texts()[document.contents.overlay]


def overlay_texts() -> dict[Overlay, OverlayText]:
    """The same of all that structures can be coloured by, in the order in which they are offered."""
    later = say("overlay", "not measured yet")
    return {
        Overlay.SCORE: OverlayText(
            say("overlay", "Score"),
            say("overlay", "score {0}"),
            say("overlay", "important"),
            say("overlay", "not scored yet"),
        ),
        Overlay.ACTIVITY: OverlayText(
            say("overlay", "Activity"), say("overlay", "activity {0}"), say("overlay", "often active"), later
        ),
        Overlay.REDUNDANCY: OverlayText(
            say("overlay", "Redundancy"),
            say("overlay", "redundancy {0}"),
            say("overlay", "responds like another"),
            later,
        ),
        Overlay.SENSITIVITY: OverlayText(
            say("overlay", "Sensitivity"),
            say("overlay", "sensitivity {0}"),
            say("overlay", "the metric needs it"),
            later,
        ),
        Overlay.COST: OverlayText(
            say("overlay", "Cost"), say("overlay", "{0} of the MACs"), say("overlay", "costs most"), ""
        ),
    }
