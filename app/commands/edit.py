"""Commands that change the plan, and undo."""

from dataclasses import replace
from typing import Any

from ..dialogs.window_api import WindowApi
from ..document import preconditions
from ..document.document import Document
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, opens, say

MENU = QT_TRANSLATE_NOOP(CONTEXT, "Edit")


def _selected(document: Document) -> Any:
    """[S] all structures that are selected: those, or all of the selected layer."""
    chosen, analysis = document.selection, document.analysis
    assert analysis is not None
    mask = analysis.empty()
    if chosen.several or chosen.structure >= 0:
        mask[list(chosen.several or (chosen.structure,))] = True
    else:
        mask[analysis.sets[chosen.set_number].structures] = True
    return mask


def _mark(window: WindowApi) -> None:
    """Of a whole layer at least one structure stays: there it is rather unmarked."""
    document, mask = window.document, _selected(window.document)
    chosen = document.selection
    if not chosen.several and chosen.structure < 0 and document.marked[mask].any():
        document.plan.mark(mask, False)
    else:
        document.plan.toggle_marks(mask)


def _lock(window: WindowApi) -> None:
    window.document.plan.toggle_locks(_selected(window.document))


def _depth(window: WindowApi) -> None:
    goal = window.document.goal
    window.document.plan.set_goal(replace(goal, depth=not goal.depth))


def _depth_words(document: Document) -> str:
    return say("Keep whole blocks") if document.goal.depth else say("Allow removing whole blocks")


def _undo_words(document: Document) -> str:
    return say("Undo {step}").format(step=document.undo_text).rstrip()


def _redo_words(document: Document) -> str:
    return say("Redo {step}").format(step=document.redo_text).rstrip()


_EDITABLE = preconditions.all_of(preconditions.has_model, preconditions.is_idle)

EDIT = (
    Command(
        "edit.undo",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Undo"),
        QT_TRANSLATE_NOOP(CONTEXT, "Undo the last step, even a cut or a recovery. Nothing is retrained."),
        lambda window: window.document.plan.undo(),
        "Ctrl+Z",
        preconditions.all_of(preconditions.can_undo, preconditions.is_idle),
        _undo_words,
    ),
    Command(
        "edit.redo",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Redo"),
        QT_TRANSLATE_NOOP(CONTEXT, "Redo the step that was undone. Nothing is retrained."),
        lambda window: window.document.plan.redo(),
        "Ctrl+Shift+Z",
        preconditions.all_of(preconditions.can_redo, preconditions.is_idle),
        _redo_words,
    ),
    Command(
        "edit.suggest",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Suggest plan"),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark the least important structures until the goal is met. Your own choices stay."),
        lambda window: window.workbench.plan.suggest(),
        "Ctrl+G",
        preconditions.all_of(_EDITABLE, preconditions.has_weights),
        line=True,
    ),
    Command(
        "edit.search",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Search shares"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Plan for the goal, then move shares between layers while the repaired outputs come nearer to the "
            "original's. Takes about as long as an epoch of a recovery; cancelled, it leaves the best plan so far.",
        ),
        lambda window: window.workbench.plan.search_shares(),
        "",
        preconditions.all_of(_EDITABLE, preconditions.has_weights, preconditions.has_task, preconditions.has_shares),
    ),
    Command(
        "edit.depth",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Allow removing whole blocks"),
        QT_TRANSLATE_NOOP(CONTEXT, "Let plans, sweeps and searches remove whole blocks as well as filters and heads."),
        _depth,
        "",
        preconditions.all_of(_EDITABLE, preconditions.has_blocks),
        _depth_words,
    ),
    Command(
        "edit.kinds",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Keep by kind..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Set the share or number of heads, neurons or layers that a plan keeps."),
        opens("keep_by_kind"),
        "",
        _EDITABLE,
    ),
    Command(
        "edit.shape",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Target shape..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Enter how many layers, heads, neurons or channels stay, and how it is chosen which ones."
        ),
        opens("target_shape"),
        "Ctrl+Shift+T",
        preconditions.all_of(_EDITABLE, preconditions.has_weights, preconditions.has_shape, preconditions.no_long_job),
    ),
    Command(
        "edit.mark",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Mark or unmark selection"),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark the selected structures for removal, or unmark them."),
        _mark,
        "Ctrl+M",
        preconditions.all_of(_EDITABLE, preconditions.has_selection),
        line=True,
    ),
    Command(
        "edit.lock",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Lock or unlock selection"),
        QT_TRANSLATE_NOOP(CONTEXT, "Protect the selected structures from being marked."),
        _lock,
        "Ctrl+L",
        preconditions.all_of(_EDITABLE, preconditions.has_selection),
    ),
    Command(
        "edit.clear",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Clear marks"),
        QT_TRANSLATE_NOOP(CONTEXT, "Unmark everything. Locks stay."),
        lambda window: window.document.plan.clear_marks(),
        "",
        preconditions.all_of(_EDITABLE, preconditions.has_marks),
    ),
    Command(
        "edit.rating",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Score options..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Choose how scores are computed, normalised and compared."),
        lambda window: window.show_rating(),
        "",
        preconditions.has_model,
        line=True,
    ),
    Command(
        "edit.ratings",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Compare two criteria..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Show the scores of two criteria side by side, with their rank correlation per layer."
        ),
        opens("compare_criteria", "show_ratings"),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.is_idle),
    ),
    Command(
        "edit.preferences",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Preferences..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Choose theme, text size, threads and device, and clear the cache."),
        opens("preferences"),
        "Ctrl+,",
        line=True,
    ),
)
