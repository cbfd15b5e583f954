"""What jobs are called, and the states and criteria that they are about."""

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication

from secateur.engine.recovery.budget import Budget, Unit
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.session.states import State, StateKind
from secateur.engine.text.notation import write_amount

from .metrics import kind_text
from .translate import counted, engine_words

say = QCoreApplication.translate


def state_name(states: Iterable[State], state: str) -> str:
    """A state as the pictures call it: "the original", "cut s1"."""
    known = next((one for one in states if one.id == state), None)
    if known is None:
        return state
    return say("Work", "the original") if known.kind is StateKind.ORIGINAL else f"{kind_text(known.kind)} {state}"


def recovery_title(settings: RecoverySettings) -> str:
    """A recovery by what it does: "Recover, 8 epochs"."""
    if settings.trains:
        return say("Work", "Recover, {0}").format(budget_title(settings.budget))
    repairs = settings.repairs is not Repair.NONE
    return say("Work", "Repair without training") if repairs else say("Work", "Recalibrate BatchNorm")


def budget_title(budget: Budget) -> str:
    """A budget in words: "8 epochs", "1,000 steps", "10M tokens", "20 min"."""
    amount = int(budget.amount)
    match budget.unit:
        case Unit.EPOCHS:
            return counted(amount, say("Work", "{count} epoch"), say("Work", "{count} epochs"))
        case Unit.STEPS:
            return counted(amount, say("Work", "{count} step"), say("Work", "{count} steps"))
        case Unit.TOKENS:
            return say("Work", "{0} tokens").format(write_amount(amount))
        case Unit.MINUTES:
            return say("Work", "{0} min").format(f"{budget.amount:g}")


def kept_words(done: int, budget: Budget) -> str:
    """What of a cancelled recovery is kept: "3 of 5 epochs are kept; Recover continues from there."; or minutes."""
    if not done:
        return say("Work", "What was trained is kept; Recover continues from there.")
    words = {
        Unit.EPOCHS: say("Work", "{0} of {1} epochs are kept; Recover continues from there."),
        Unit.STEPS: say("Work", "{0} of {1} steps are kept; Recover continues from there."),
        Unit.TOKENS: say("Work", "{0} of {1} tokens are kept; Recover continues from there."),
        Unit.MINUTES: say("Work", "{0} of {1} minutes are kept; Recover continues from there."),
    }[budget.unit]
    return words.format(f"{done:,}", f"{budget.amount:,.12g}")


def criterion_title(name: str) -> str:
    """A criterion by its title: "Taylor, first order"."""
    # Not at the top: the window starts without it.
    from secateur.engine.scoring.criteria import CRITERIA

    return engine_words(CRITERIA[name].title) if name in CRITERIA else name
