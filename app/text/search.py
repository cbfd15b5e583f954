"""Trials of a search in words: what a budget lost, and whether that holds."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from secateur.engine.session.states import State

from ..document.search_trial import Tried
from ..widgets.cost_box import cost_words
from .format import PLUS_MINUS, percent, signed
from .translate import sentence

if TYPE_CHECKING:
    from ..document.document import Document

say = QCoreApplication.translate


def loss_words(loss: float, in_percent: bool, error: float = 0.0) -> str:
    """A loss in points of a fraction, else in per cent of what the original had: 0.31 ± 0.42 points."""
    number = signed(100 * loss, 2).removeprefix("+")
    number += f" {PLUS_MINUS} {100 * error:.2f}" if error else ""
    return say("trials", "{0} points").format(number) if in_percent else f"{number} %"


def told(one: Tried, in_percent: bool) -> str:
    """A trial in a sentence."""
    head = say("trials", "Result, {0} of the {1}: ")
    if not one.trial.final:
        head = say("trials", "Trial {2}, {0} of the {1}: ")
    head = head.format(percent(one.trial.got or one.trial.share), cost_words(one.cost), one.number)
    if one.trial.note is not None:
        return head + sentence(one.trial.note)
    lost, limit = loss_words(one.trial.loss, in_percent, one.trial.error), loss_words(one.limit, in_percent)
    words = (
        say("trials", "within the limit: {0} lost, {1} allowed")
        if one.trial.holds
        else say("trials", "over the limit: {0} lost, {1} allowed")
    )
    ending = (
        say("trials", "; the difference from the limit is below one standard error, so more samples could change this.")
        if one.close
        else "."
    )
    return head + words.format(lost, limit) + ending


def trial_label(document: "Document", state: State) -> str:
    """Words beside the point of a trial, "" for a state that is none."""
    one = document.contents.trials.get(state.id)
    if one is None:
        return ""
    words = say("trials", "trial {0}, within limit") if one.trial.holds else say("trials", "trial {0}, over limit")
    words = words if one.trial.note is None else say("trials", "trial {0}, too slow")
    words = say("trials", "recovered in full, within limit") if one.trial.final and one.trial.holds else words
    return words.format(one.number)


def trial_text(document: "Document", state: State) -> str:
    """A trial in a sentence, for the tooltip of its point."""
    one, first = document.contents.trials[state.id], document.metric(document.original)
    return told(one, first is None or first.percent)
