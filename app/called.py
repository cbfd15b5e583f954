"""What jobs call the states and criteria that they are about."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from secateur.engine.session.states import StateKind

from .panels.measures import kind_text
from .words import engine_words

if TYPE_CHECKING:
    from .document import Document

say = QCoreApplication.translate


def state_called(document: "Document", state: str) -> str:
    """A state as the pictures call it: "the original", "cut s1"."""
    known = next((one for one in document.states if one.id == state), None)
    if known is None:
        return state
    return say("Work", "the original") if known.kind is StateKind.ORIGINAL else f"{kind_text(known.kind)} {state}"


def criterion_called(name: str) -> str:
    """A criterion by its title: "Taylor, first order"."""
    from secateur.engine.scoring.criteria import CRITERIA  # not at the top: the window starts without it

    return engine_words(CRITERIA[name].title) if name in CRITERIA else name
