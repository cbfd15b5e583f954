"""What jobs are called, and the states and criteria that they are about."""

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication

from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.session.states import State, StateKind

from .metrics import kind_text
from .translate import counted, engine_words

say = QCoreApplication.translate


def state_called(states: Iterable[State], state: str) -> str:
    """A state as the pictures call it: "the original", "cut s1"."""
    known = next((one for one in states if one.id == state), None)
    if known is None:
        return state
    return say("Work", "the original") if known.kind is StateKind.ORIGINAL else f"{kind_text(known.kind)} {state}"


def recovery_called(settings: RecoverySettings) -> str:
    """A recovery by what it does: "Recover, 8 epochs"."""
    if settings.minutes:
        return say("Work", "Recover, {0} min").format(f"{settings.minutes:g}")
    if settings.epochs:
        return counted(settings.epochs, say("Work", "Recover, {count} epoch"), say("Work", "Recover, {count} epochs"))
    repairs = settings.repairs is not Repair.NONE
    return say("Work", "Repair without training") if repairs else say("Work", "Recalibrate BatchNorm")


def kept_words(done: int, total: float, timed: bool) -> str:
    """What of a cancelled recovery is kept: "3 of 5 epochs are kept; Recover continues from there."; or minutes."""
    if not done:
        return say("Work", "What was trained is kept; Recover continues from there.")
    words = say("Work", "{0} of {1} epochs are kept; Recover continues from there.")
    if timed:
        words = say("Work", "{0} of {1} minutes are kept; Recover continues from there.")
    return words.format(done, f"{total:g}")


def criterion_called(name: str) -> str:
    """A criterion by its title: "Taylor, first order"."""
    from secateur.engine.scoring.criteria import CRITERIA  # not at the top: the window starts without it

    return engine_words(CRITERIA[name].title) if name in CRITERIA else name
