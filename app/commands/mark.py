"""Commands that mark by a rule: the lowest, a range, a kind, a pattern; and what is done with marks that are there."""

from functools import partial
from typing import Any

from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..document.preconditions import all_of, has_marks, has_model, has_scores, has_selection, is_idle
from ..text.translate import QT_TRANSLATE_NOOP
from .command import CONTEXT, Command, say

_command = partial(Command, QT_TRANSLATE_NOOP(CONTEXT, "Mark"))

_EDITABLE = all_of(has_model, is_idle)
_RATED = all_of(_EDITABLE, has_scores)


def _ask(which: str, then: str = "mark", here: bool = False) -> Any:
    def run(window: WindowApi) -> None:
        from secateur.engine.planning.selection_rules import StructureChoice

        from ..dialogs.mark import ask

        ask(window, StructureChoice[which], then, here)

    return run


def _invert(window: WindowApi) -> None:
    """Invert the marks of the selected layer; with none selected, of every layer that has marks."""
    import numpy as np

    document = window.document
    analysis = document.analysis
    assert analysis is not None
    scope, numbers = analysis.empty(), analysis.set_numbers()
    chosen = document.selection.set_number
    if chosen >= 0:
        scope[analysis.sets[chosen].structures] = True
    else:
        scope = np.isin(numbers, np.unique(numbers[document.marked]))
    document.plan.invert(scope)


def _has_layer_or_marks(document: Document) -> str:
    return "" if document.selection.set_number >= 0 else has_marks(document)


def _grow_words(document: Document) -> str:
    multiple = document.target.multiple
    return say("Align widths to multiples of {0}").format(multiple) if multiple > 1 else say("Align widths")


MARK = (
    _command(
        "mark.lowest",
        "Mark the lowest...",
        "Mark the lowest scores: a share of each layer, or of all layers together.",
        _ask("LOWEST_EACH"),
        "Ctrl+Shift+W",
        enabled=_RATED,
    ),
    _command(
        "mark.below",
        "Mark below a score...",
        "Mark structures that score below a threshold, in all layers or some.",
        _ask("BELOW"),
        enabled=_RATED,
    ),
    _command(
        "mark.between",
        "Mark a range of scores...",
        "Mark structures whose scores lie between two numbers.",
        _ask("BETWEEN"),
        enabled=_RATED,
    ),
    _command(
        "mark.range",
        "Mark by index...",
        "Mark filters, neurons or heads by index: 0-7, 12.",
        _ask("NUMBERS", here=True),
        enabled=_EDITABLE,
        line=True,
    ),
    _command(
        "mark.kind",
        "Mark by kind or pattern...",
        "Mark all structures of one kind in layers whose names match a pattern.",
        _ask("ALL"),
        enabled=_EDITABLE,
    ),
    _command(
        "mark.keep",
        "Keep a number...",
        "Enter how many structures the selected layer keeps. The weakest are marked.",
        lambda window: window.edit_keeps(),
        "Ctrl+K",
        enabled=all_of(_EDITABLE, has_selection),
        line=True,
    ),
    _command(
        "mark.keep_pattern",
        "Keep by pattern...",
        "Set what every layer with a matching name keeps, for example 50 % of layer3.*.conv1.",
        _ask("KEEP_SHARE"),
        "Ctrl+Shift+K",
        enabled=_EDITABLE,
    ),
    _command(
        "mark.invert",
        "Invert marks",
        "Mark what is unmarked and unmark what is marked in the selected layer.",
        _invert,
        "Ctrl+I",
        enabled=all_of(_EDITABLE, _has_layer_or_marks),
        line=True,
    ),
    _command(
        "mark.grow",
        "Align widths to the target",
        "Mark the next weakest structures until every layer keeps a multiple that is fast on the target.",
        lambda window: window.document.plan.grow(),
        enabled=all_of(_EDITABLE, has_marks),
        words=_grow_words,
    ),
    _command(
        "mark.lock_pattern",
        "Lock by pattern...",
        "Lock every layer whose name matches, or one kind of structure.",
        _ask("ALL", "lock"),
        enabled=_EDITABLE,
    ),
)
