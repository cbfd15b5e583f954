"""Why a command cannot be done now, in words; "" when it can. One small function a condition, and their conjunction."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.share_exchange import has_fixed_shares
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.structures.analysis import Kind

from .document import Document, Overlay

CONTEXT = "Precondition"
Reason = Callable[[Document], str]


def say(text: str) -> str:
    """A reason in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


def all_of(*reasons: Reason) -> Reason:
    """The first reason that holds."""

    def reason(document: Document) -> str:
        return next((why for one in reasons if (why := one(document))), "")

    return reason


def engine_is_elsewhere(document: Document) -> str:
    """The engine is on another machine."""
    return "" if document.engine.place else say("The engine is on this machine already.")


def has_model(document: Document) -> str:
    """A model is open."""
    return "" if document.analysis is not None else say("Open a model first.")


def is_idle(document: Document) -> str:
    """No job that changes states runs."""
    return say("Wait for the running job, or cancel it.") if document.busy else ""


def has_weights(document: Document) -> str:
    """The model itself is here, not only numbers of it."""
    return document.absent


def is_untrained(document: Document) -> str:
    """The weights are random: others are needed."""
    return "" if document.untrained else say("The model has trained weights. Use Open model for others.")


def has_offer(document: Document) -> str:
    """The library of the model offers weights."""
    return "" if document.contents.offered is not None else say("No library offers weights for this model.")


def has_task(document: Document) -> str:
    """A task is attached."""
    return "" if document.task is not None else say("Attach data first.")


def has_marks(document: Document) -> str:
    """The plan is not empty."""
    return "" if document.marked.any() else say("Nothing is marked. Mark structures, or suggest a plan.")


def has_to_try(document: Document) -> str:
    """Structures are selected or marked."""
    return "" if len(document.to_try) else say("Select structures, or mark some.")


def has_scores(document: Document) -> str:
    """There are scores."""
    return "" if document.scores is not None else say("Scores are not ready yet. Wait until scoring ends.")


def has_no_marks(document: Document) -> str:
    """The plan is empty: what follows works on the state, not on the plan."""
    return say("Cut the marked structures first, or clear the marks.") if document.marked.any() else ""


def is_pruned(document: Document) -> str:
    """The current state is not the original."""
    return "" if document.state is not None and document.state.parent else say("Cut something first.")


def has_selection(document: Document) -> str:
    """Structures are selected."""
    chosen = document.selection
    return "" if chosen.set_number >= 0 or chosen.several else say("Select a layer or a structure first.")


def can_undo(document: Document) -> str:
    """There is a step to undo."""
    return "" if document.history.undo_text else say("There is nothing to undo.")


def can_redo(document: Document) -> str:
    """There is a step to redo."""
    return "" if document.history.redo_text else say("There is nothing to redo.")


def target_is_reachable(document: Document) -> str:
    """The target is this machine, or one that is reached over `ssh`."""
    if document.target.is_reachable:
        return ""
    words = say("The target is {machine}. Use Run > Measure over SSH, or choose another target.")
    return words.format(machine=document.target.machine)


def needs_sensitivity(document: Document) -> str:
    """The sensitivity of the current state is neither known nor being measured."""
    if document.job_about(("sensitivity", document.contents.present, document.contents.rating)) is not None:
        return say("Sensitivity is already being measured.")
    known = document.curves
    return say("Already measured. See the Sensitivity tab.") if known is not None and known.finished else ""


def has_sensitivity(document: Document) -> str:
    """Something of the sensitivity of the current state is known."""
    return "" if document.curves is not None else say("Use Run > Measure sensitivity first.")


def has_blocks(document: Document) -> str:
    """The model has whole blocks that can go, and the criterion leaves them their part."""
    if document.analysis is None or not any(one.kind is Kind.BLOCK for one in document.analysis.sets):
        return say("This model has no block that can be removed as a whole.")
    return (
        say("The criterion scores only some kinds of structure. Choose another one.")
        if CRITERIA[document.criterion].kinds
        else ""
    )


def has_shape(document: Document) -> str:
    """The model has structures that a target shape can count."""
    if document.analysis is None or any(one.count > 1 or one.kind is Kind.BLOCK for one in document.analysis.sets):
        return ""
    return say("This model has no layers, heads or channels that a target shape could count.")


def has_shares(document: Document) -> str:
    """The goal leaves open how much each layer keeps, and no search of that is under way."""
    if any(job.method == "search_shares" for job in document.jobs):
        return no_long_job(document)
    spec = document.contents.spec
    if has_fixed_shares(document.contents.wanted, uniform=spec is not None and spec.uniform):
        return say("The goal says how much each layer keeps, so there are no shares to search.")
    return ""


def needs_latency_table(document: Document) -> str:
    """What removal saves on the target is neither known nor being measured."""
    if document.job_about(("latencies", document.target)) is not None:
        return say("Already being measured.")
    return say("Already measured. See the Layers tab.") if document.contents.table is not None else ""


def no_long_job(document: Document) -> str:
    """No long job runs that forbids making a state meanwhile."""
    methods = {job.method for job in document.jobs}
    sentences = {
        "sweep": say("A sweep is running. Wait for it, or cancel it and resume later."),
        "prune": say("Pruning to the target shape is running. Wait for it, or cancel it and resume later."),
        "lowest": say("A search is running. Wait for it, or cancel it and resume later."),
        "compare": say("Baselines are being made. Wait, or cancel: finished baselines are kept."),
        "sensitivity": say("Sensitivity is being measured. Wait, or cancel: results so far are kept."),
        "search_shares": say("Shares are being searched. Wait, or cancel it to take the best plan so far."),
    }
    return next((sentence for method, sentence in sentences.items() if method in methods), "")


def can_add_baselines(document: Document) -> str:
    """No baseline is being made, and the current state can have baselines."""
    if any(job.method == "compare" for job in document.jobs):
        return say("Baselines are being made. Wait, or cancel: finished baselines are kept.")
    return is_pruned(document)


def has_restorable_session(document: Document) -> str:
    """A session ended without being closed."""
    return "" if document.restorable else say("Nothing to restore: the last session closed normally.")


def has_jobs(document: Document) -> str:
    """A job runs."""
    return "" if document.jobs else say("No job is running.")


COLOURED = {
    Overlay.SCORE: has_model,
    Overlay.ACTIVITY: all_of(has_model, has_weights, has_task),
    Overlay.REDUNDANCY: all_of(has_model, has_weights, has_task),
    Overlay.SENSITIVITY: all_of(has_model, has_sensitivity),
    Overlay.COST: has_model,
}
"""Why structures cannot be coloured by an overlay now."""
