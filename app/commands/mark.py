"""Commands that mark by a rule: the lowest, a range, a kind, a pattern; and what is done with marks that are there."""

from typing import Any

from ..dialogs.window_api import WindowApi
from ..document import preconditions
from ..document.document import Document
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, say

MENU = QT_TRANSLATE_NOOP(CONTEXT, "Mark")

_EDITABLE = preconditions.all_of(preconditions.has_model, preconditions.is_idle)
_RATED = preconditions.all_of(_EDITABLE, preconditions.has_scores)


def _ask(which: str, then: str = "mark", here: bool = False) -> Any:
    def run(window: WindowApi) -> None:
        from secateur.engine.planning.selection_rules import StructureChoice

        from ..dialogs.mark import ask

        ask(window, StructureChoice[which], then, here)

    return run


def _keep(window: WindowApi) -> None:
    """Type into the tree how many the selected layer keeps."""
    window.edit_keeps()


def _invert(window: WindowApi) -> None:
    """The selected layer; with none selected every layer that has marks."""
    document = window.document
    analysis = document.analysis
    assert analysis is not None
    scope, numbers = analysis.empty(), analysis.set_numbers()
    chosen = document.selection.set_number
    if chosen >= 0:
        scope[analysis.sets[chosen].structures] = True
    else:
        scope = _sets_with(document.marked, numbers)
    document.plan.invert(scope)


def _sets_with(marked: Any, numbers: Any) -> Any:
    import numpy as np

    return np.isin(numbers, np.unique(numbers[marked]))


def _chosen_or_marked(document: Document) -> str:
    return "" if document.selection.set_number >= 0 else preconditions.has_marks(document)


def _grow_words(document: Document) -> str:
    multiple = document.target.multiple
    return say("Align widths to multiples of {0}").format(multiple) if multiple > 1 else say("Align widths")


MARK = (
    Command(
        "mark.lowest",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Mark the lowest..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark the lowest scores: a share of each layer, or of all layers together."),
        _ask("LOWEST_EACH"),
        "Ctrl+Shift+W",
        _RATED,
    ),
    Command(
        "mark.below",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Mark below a score..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark structures that score below a threshold, in all layers or some."),
        _ask("BELOW"),
        "",
        _RATED,
    ),
    Command(
        "mark.between",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Mark a range of scores..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark structures whose scores lie between two numbers."),
        _ask("BETWEEN"),
        "",
        _RATED,
    ),
    Command(
        "mark.range",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Mark by index..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark filters, neurons or heads by index: 0-7, 12."),
        _ask("NUMBERS", here=True),
        "",
        _EDITABLE,
        line=True,
    ),
    Command(
        "mark.kind",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Mark by kind or pattern..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark all structures of one kind in layers whose names match a pattern."),
        _ask("ALL"),
        "",
        _EDITABLE,
    ),
    Command(
        "mark.keep",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Keep a number..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Enter how many structures the selected layer keeps. The weakest are marked."),
        _keep,
        "Ctrl+K",
        preconditions.all_of(_EDITABLE, preconditions.has_selection),
        line=True,
    ),
    Command(
        "mark.keep_pattern",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Keep by pattern..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Set what every layer with a matching name keeps, for example 50 % of layer3.*.conv1."
        ),
        _ask("KEEP_SHARE"),
        "Ctrl+Shift+K",
        _EDITABLE,
    ),
    Command(
        "mark.invert",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Invert marks"),
        QT_TRANSLATE_NOOP(CONTEXT, "Mark what is unmarked and unmark what is marked in the selected layer."),
        _invert,
        "Ctrl+I",
        preconditions.all_of(_EDITABLE, _chosen_or_marked),
        line=True,
    ),
    Command(
        "mark.grow",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Align widths to the target"),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Mark the next weakest structures until every layer keeps a multiple that is fast on the target."
        ),
        lambda window: window.document.plan.grow(),
        "",
        preconditions.all_of(_EDITABLE, preconditions.has_marks),
        _grow_words,
    ),
    Command(
        "mark.lock_pattern",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Lock by pattern..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Lock every layer whose name matches, or one kind of structure."),
        _ask("ALL", "lock"),
        "",
        _EDITABLE,
    ),
)
