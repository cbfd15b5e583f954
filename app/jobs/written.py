"""Tells what a job has written: a sentence in the log, and a receipt over a corner of the window."""

from PySide6.QtCore import QCoreApplication

from ..document.document import Document
from ..document.job_state import FolderReceipt


def show_written(document: Document, receipt: FolderReceipt) -> None:
    """Tell where it is and how to go on with it."""
    words = QCoreApplication.translate("written", "Written to {path}.").format(path=receipt.path)
    document.say(" ".join((words, *receipt.facts)))
    document.show_receipt(receipt)
