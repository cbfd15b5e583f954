"""What several panels show alike: the request for data, the verdict on the goal, the legend of scores."""

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QLabel, QPushButton

from secateur.engine.scoring.criteria import FIRST
from secateur.engine.scoring.protocol import Step

from ..document.document import Document, Overlay
from ..text.titles import criterion_title
from ..widgets.card import EmptyState
from ..widgets.score_map import ScoreRange, ScoreScale
from .overlay_text import overlay_text


def ask_for_data(empty: EmptyState, document: Document, title: str, words: str) -> None:
    """Offer to attach data.

    Args:
        empty: What the panel shows instead of its own contents.
        document: To which they belong.
        title: Of the panel.
        words: What it shows with data.
    """
    empty.say(title, words, QCoreApplication.translate("panels", "Attach data..."), lambda: attach_data(document))


def attach_data(document: Document) -> None:
    """Ask which data, in the main window, whichever window the panel is in."""
    document.requested.emit(lambda window: window.run_command("file.data"))


def show_scores(legend: ScoreRange, document: Document, scale: ScoreScale | None, title: str = "") -> None:
    """What the colours mean: scores or what is shown in place of them; how open gates are while masks are learned.

    `title` says which of these, where nothing else says so.
    """
    say, gates = QCoreApplication.translate, document.learned_gates
    if gates is None:
        scored = scale if document.overlay_values is not None else None
        return legend.show_ends(title, scored, *highest(document, scored))
    words = say("rated", "step {0} of {1}").format(f"{gates.step:,}", f"{gates.steps:,}")
    legend.say_ends(say("rated", "gate closed"), say("rated", "open"), words)


def highest(document: Document, scale: ScoreScale | None) -> tuple[str, str]:
    """The highest number, or that none is known yet; while scores are made what is shown meanwhile, else ""."""
    if document.overlay_values is None or scale is None:
        return overlay_text(document).missing, ""
    top, partial = scale.text(scale.top), document.partial
    if document.scores is not None or document.contents.overlay is not Overlay.SCORE:
        return top, ""
    if partial is None:
        words = QCoreApplication.translate("rated", "first scores by {first}; the criterion's follow")
        return top, words.format(first=criterion_title(FIRST))
    words = {
        Step.BATCHES: QCoreApplication.translate("rated", "so far, after {done} of {total} batches"),
        Step.SAMPLES: QCoreApplication.translate("rated", "so far, after {done} of {total} samples"),
        Step.LAYERS: QCoreApplication.translate("rated", "so far, after {done} of {total} layers"),
    }
    return top, words[partial.step].format(done=partial.done, total=partial.total)


def show_text(where: QLabel, text: str) -> None:
    """Show a text; a label without one takes no room."""
    where.setText(text)
    where.setVisible(bool(text))


def name_button(which: QPushButton, text: str) -> None:
    """Say what a button does, to screen readers too."""
    which.setText(text)
    which.setAccessibleName(text)
