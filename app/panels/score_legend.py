"""What a legend of scores says: the highest, and how far scores are made while they are."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.scoring.partial_scores import Step

from ..document.document import Document
from ..widgets.score_map import ScoreRange, ScoreScale


def show_scores(legend: ScoreRange, document: Document, scale: ScoreScale | None) -> None:
    """What the colours mean: scores, or how open gates are while masks are learned."""
    say, gates = QCoreApplication.translate, document.learned_gates
    if gates is None:
        return legend.show_ends("0", *highest(document, scale))
    words = say("rated", "step {0} of {1}").format(f"{gates.step:,}", f"{gates.steps:,}")
    legend.say_ends(say("rated", "gate closed"), say("rated", "open"), words)


def highest(document: Document, scale: ScoreScale | None) -> tuple[str, str]:
    """The highest score, or that nothing is scored yet; "after 8 of 32 batches" while scores are made, else ""."""
    if document.shown_scores is None or scale is None:
        return QCoreApplication.translate("rated", "not scored yet"), ""
    top, partial = scale.text(scale.top), document.partial
    if document.scores is not None or partial is None:
        return top, ""
    words = {
        Step.BATCHES: QCoreApplication.translate("rated", "so far, after {done} of {total} batches"),
        Step.SAMPLES: QCoreApplication.translate("rated", "so far, after {done} of {total} samples"),
        Step.LAYERS: QCoreApplication.translate("rated", "so far, after {done} of {total} layers"),
    }
    return top, words[partial.step].format(done=partial.done, total=partial.total)
