"""The engine's sentences in the user's language: the template is translated, the arguments are put in after."""

import re

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import Message

FLAG = re.compile(r" \(--[a-z-]+( [A-Z=]+)?\)")
"""An argument of the command line, as the engine's sentences name it."""


def engine_words(text: str) -> str:
    """A title or a formula of the engine in the user's language."""
    return QCoreApplication.translate("engine", text)


def sentence(message: Message) -> str:
    """A message for a person at the window: what the command line would have to be told, in brackets, is left out."""
    template = QCoreApplication.translate("engine", message.template)
    return FLAG.sub("", template).format_map(dict(message.arguments))
