"""What the verification of the current state's cut found, in words: it says nothing about accuracy, and says so."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.session.states import State, StateKind
from secateur.engine.surgery.cut.edits import Verification

from .format import rough
from .metrics import path_to
from .translate import engine_words, sentence

say = QCoreApplication.translate


def cut_of(states: tuple[State, ...], present: State | None) -> State | None:
    """The cut that a state is or came from, None where nothing was cut."""
    way = [] if present is None else path_to(states, present)
    return next((s for s in reversed(way) if s.kind is StateKind.CUT and s.verification is not None), None)


def verified_text(states: tuple[State, ...], present: State | None) -> str:
    """In a few words: cut verified: equals the masked original, 3e-7; "" where there is no state."""
    if present is None:
        return ""
    cut = cut_of(states, present)
    if cut is None or cut.verification is None:
        return say("verified", "nothing cut yet")
    if not cut.verification.passed:
        return say("verified", "cut not verified (see tooltip)")
    return say("verified", "cut verified: equals the masked original, {0}").format(rough(cut.verification.difference))


def verified_tip(states: tuple[State, ...], present: State | None) -> str:
    """Every comparison that was made, those that could not be made, and what they do not say."""
    cut = cut_of(states, present)
    if cut is None or cut.verification is None:
        return say("verified", "Every cut is compared with the original in which the removed structures are masked.")
    repairs = [say("verified", "Repaired: {0}").format(sentence(one)) for one in cut.repairs]
    title = say("verified", "Cut {0}, largest relative difference of the outputs:").format(cut.id)
    return "\n".join((title, *_lines(cut.verification), say("verified", "This says nothing about accuracy."), *repairs))


def _lines(verification: Verification) -> list[str]:
    words = say("verified", "{0}: {1}, below {2} ({3})")
    made = [
        words.format(engine_words(c.name), rough(c.difference), rough(c.tolerance), c.dtype)
        for c in verification.checks
    ]
    scope = [sentence(line) for line in verification.scope]
    skipped = [say("verified", "skipped: {0}").format(sentence(reason)) for reason in verification.skipped]
    return [*made, *scope, *skipped]
