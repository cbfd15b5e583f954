"""Turns of the event loop in tests: until all that is due is done, however long each turn takes."""

from pytestqt.qtbot import QtBot

from secateur.app.document.document import Document

TURNS = 20
"""More than a layout needs of which one part gives room to the next."""
LEAST = 60
"""Milliseconds: longer than what is put off until a pause."""


def settle(qtbot: QtBot, document: Document | None = None) -> None:
    """Wait until views in front show a document as it is, and are laid out."""
    if document is not None:
        qtbot.waitUntil(lambda: not document.dispatcher.busy)
    qtbot.wait(LEAST)
    for _ in range(TURNS):
        qtbot.wait(1)
