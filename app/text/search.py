"""Trials of a search in words: what a budget lost, and whether that holds."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.protocol import Cost
from secateur.engine.workflows.budget_search import Trial

from .costs import cost_words
from .format import PLUS_MINUS, percent, signed
from .translate import sentence

say = QCoreApplication.translate


def loss_words(loss: float, in_percent: bool, error: float = 0.0) -> str:
    """A loss in points of a fraction, else in per cent of what the original had: 0.31 ± 0.42 points."""
    number = signed(100 * loss, 2).removeprefix("+")
    number += f" {PLUS_MINUS} {100 * error:.2f}" if error else ""
    return say("trials", "{0} points").format(number) if in_percent else f"{number} %"


def trial_sentence(trial: Trial, number: int, limit: float, cost: Cost, in_percent: bool) -> str:
    """A trial in a sentence.

    Args:
        trial: What the engine said of it.
        number: Its place in the search, from 1.
        limit: What was allowed to be lost, as `Trial.loss` counts.
        cost: What the search makes as low as possible.
        in_percent: Losses are points of a fraction; else shares of the original's metric.
    """
    head = say("trials", "Result, {0} of the {1}: ")
    if not trial.final:
        head = say("trials", "Trial {2}, {0} of the {1}: ")
    head = head.format(percent(trial.got or trial.share), cost_words(cost), number)
    if trial.note is not None:
        return head + sentence(trial.note)
    lost, allowed = loss_words(trial.loss, in_percent, trial.error), loss_words(limit, in_percent)
    words = (
        say("trials", "within the limit: {0} lost, {1} allowed")
        if trial.holds
        else say("trials", "over the limit: {0} lost, {1} allowed")
    )
    close = bool(trial.state) and abs(trial.loss - limit) <= trial.error
    ending = (
        say("trials", "; the difference from the limit is below one standard error, so more samples could change this.")
        if close
        else "."
    )
    return head + words.format(lost, allowed) + ending


def trial_label(trial: Trial, number: int) -> str:
    """Words beside the point of a trial."""
    words = say("trials", "trial {0}, within limit") if trial.holds else say("trials", "trial {0}, over limit")
    words = words if trial.note is None else say("trials", "trial {0}, too slow")
    words = say("trials", "recovered in full, within limit") if trial.final and trial.holds else words
    return words.format(number)
