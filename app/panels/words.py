"""The engine's sentences in the user's language: the template is translated, the arguments are put in after."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import Message


def engine_words(text: str) -> str:
    """A title or a formula of the engine in the user's language."""
    return QCoreApplication.translate("engine", text)


def sentence(message: Message) -> str:
    """A message for a person."""
    template = QCoreApplication.translate("engine", message.template)
    return template.format_map(dict(message.arguments))
