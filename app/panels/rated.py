"""The highest score in words, and how far scores are made while they are."""

from PySide6.QtCore import QCoreApplication

from ..document import Document
from .scale import ScoreScale


def highest(document: Document, scale: ScoreScale | None) -> str:
    """The upper end of a legend: "0.031", "0.031, after 8 of 32 batches", or that nothing is rated yet."""
    if document.shown_scores is None or scale is None:
        return QCoreApplication.translate("rated", "not rated yet")
    top, partial = scale.text(scale.top), document.partial
    if document.scores is not None or partial is None:
        return top
    batches = QCoreApplication.translate("rated", "{top}, after {done} of {total} batches")
    samples = QCoreApplication.translate("rated", "{top}, after {done} of {total} samples")
    words = samples if partial.samples else batches
    return words.format(top=top, done=partial.done, total=partial.total)
