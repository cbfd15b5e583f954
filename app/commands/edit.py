"""Commands that change the plan, and undo."""

from dataclasses import replace
from functools import partial
from typing import Any

from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..document.preconditions import (
    all_of,
    can_redo,
    can_undo,
    has_blocks,
    has_marks,
    has_model,
    has_selection,
    has_shape,
    has_shares,
    has_task,
    has_weights,
    is_idle,
    no_long_job,
)
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, opens, say

_command = partial(Command, QT_TRANSLATE_NOOP(CONTEXT, "Edit"))


def _selection_mask(document: Document) -> Any:
    """[S] all structures that are selected: those, or all of the selected layer."""
    chosen, analysis = document.selection, document.analysis
    assert analysis is not None
    mask = analysis.empty()
    if chosen.several or chosen.structure >= 0:
        mask[list(chosen.several or (chosen.structure,))] = True
    else:
        mask[analysis.sets[chosen.set_number].structures] = True
    return mask


def _toggle_marks(window: WindowApi) -> None:
    """Mark what is selected, or unmark it."""
    document, mask = window.document, _selection_mask(window.document)
    chosen = document.selection
    # At least one structure of a layer stays unmarked, so toggling a whole layer would never unmark it.
    if not chosen.several and chosen.structure < 0 and document.marked[mask].any():
        document.plan.mark(mask, False)
    else:
        document.plan.toggle_marks(mask)


def _toggle_depth(window: WindowApi) -> None:
    goal = window.document.goal
    window.document.plan.set_goal(replace(goal, depth=not goal.depth))


def _depth_words(document: Document) -> str:
    return say("Keep whole blocks") if document.goal.depth else say("Allow removing whole blocks")


_EDITABLE = all_of(has_model, is_idle)

EDIT = (
    _command(
        "edit.undo",
        "Undo",
        "Undo the last step, even a cut or a recovery. Nothing is retrained.",
        lambda window: window.document.plan.undo(),
        "Ctrl+Z",
        enabled=all_of(can_undo, is_idle),
        words=lambda document: say("Undo {step}").format(step=document.history.undo_text).rstrip(),
    ),
    _command(
        "edit.redo",
        "Redo",
        "Redo the step that was undone. Nothing is retrained.",
        lambda window: window.document.plan.redo(),
        "Ctrl+Shift+Z",
        enabled=all_of(can_redo, is_idle),
        words=lambda document: say("Redo {step}").format(step=document.history.redo_text).rstrip(),
    ),
    _command(
        "edit.suggest",
        "Suggest plan",
        "Mark the least important structures until the goal is met. Your own choices stay.",
        lambda window: window.workbench.plan.suggest(),
        "Ctrl+G",
        enabled=all_of(_EDITABLE, has_weights),
        page="plan",
        line=True,
    ),
    _command(
        "edit.search",
        "Search shares",
        (
            "Plan for the goal, then move shares between layers while the repaired outputs come nearer to the "
            "original's. Takes about as long as an epoch of a recovery; cancelled, it leaves the best plan so far."
        ),
        lambda window: window.workbench.plan.search_shares(),
        enabled=all_of(_EDITABLE, has_weights, has_task, has_shares),
    ),
    _command(
        "edit.depth",
        "Allow removing whole blocks",
        "Let plans, sweeps and searches remove whole blocks as well as filters and heads.",
        _toggle_depth,
        enabled=all_of(_EDITABLE, has_blocks),
        words=_depth_words,
    ),
    _command(
        "edit.kinds",
        "Keep by kind...",
        "Set the share or number of heads, neurons or layers that a plan keeps.",
        opens("keep_by_kind", "KeepByKind"),
        enabled=_EDITABLE,
    ),
    _command(
        "edit.quality",
        "Limit class loss...",
        "Set what no class may lose more than, and the highest calibration error, besides what the metric may lose.",
        opens("limit_class_loss", "LimitClassLoss"),
        enabled=all_of(_EDITABLE, has_task),
    ),
    _command(
        "edit.shape",
        "Target shape...",
        "Enter how many layers, heads, neurons or channels stay, and how it is chosen which ones.",
        opens("target_shape", "TargetShape"),
        "Ctrl+Shift+T",
        enabled=all_of(_EDITABLE, has_weights, has_shape, no_long_job),
    ),
    _command(
        "edit.mark",
        "Mark or unmark selection",
        "Mark the selected structures for removal, or unmark them.",
        _toggle_marks,
        "Ctrl+M",
        enabled=all_of(_EDITABLE, has_selection),
        line=True,
    ),
    _command(
        "edit.lock",
        "Lock or unlock selection",
        "Protect the selected structures from being marked.",
        lambda window: window.document.plan.toggle_locks(_selection_mask(window.document)),
        "Ctrl+L",
        enabled=all_of(_EDITABLE, has_selection),
    ),
    _command(
        "edit.clear",
        "Clear marks",
        "Unmark everything. Locks stay.",
        lambda window: window.document.plan.clear_marks(),
        enabled=all_of(_EDITABLE, has_marks),
    ),
    _command(
        "edit.rating",
        "Score options...",
        "Choose how scores are computed, normalised and compared.",
        lambda window: window.show_rating(),
        enabled=has_model,
        line=True,
    ),
    _command(
        "edit.ratings",
        "Compare two criteria...",
        "Show the scores of two criteria side by side, with their rank correlation per layer.",
        opens("compare_criteria", "show_ratings"),
        enabled=all_of(has_model, is_idle),
    ),
    _command(
        "edit.preferences",
        "Preferences...",
        "Choose theme, text size, threads and device, and clear the cache.",
        opens("preferences", "Preferences"),
        "Ctrl+,",
        line=True,
    ),
)
