"""What a panel that needs data shows without any: what they are for, and the button that attaches them."""

from PySide6.QtCore import QCoreApplication

from ..document.document import Document
from ..widgets.empty_state import EmptyState


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
    """Ask which data, in the main window, whichever window the panel lies in."""
    document.requested.emit(lambda window: window.run_command("file.data"))
