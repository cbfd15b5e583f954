"""Words of the window: numbers inside sentences, texts marked for translation, and the engine's sentences translated.

English needs no plural files this way; a translation gets both forms.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import Message, filled

if TYPE_CHECKING:

    def QT_TRANSLATE_NOOP(context: str, text: str) -> str:
        """Mark a text for translation and return it; PySide's own annotation says `object`."""
        ...
else:
    from PySide6.QtCore import QT_TRANSLATE_NOOP

__all__ = ["QT_TRANSLATE_NOOP", "counted", "engine_words", "sentence", "sentences"]


def counted(count: int, one: str, many: str) -> str:
    """`one` or `many`, with {count} filled in: 1,184 structures."""
    return (one if count == 1 else many).format(count=f"{count:,}")


def engine_words(text: str) -> str:
    """A title or a formula of the engine in the user's language."""
    return QCoreApplication.translate("engine", text)


def sentence(message: Message | str) -> str:
    """What the engine says, in the user's language: the template is translated, then its fields are put in.

    A sentence in a field is translated, too. Plain text is what an earlier version has kept, and stays as it is.
    """
    if isinstance(message, str):
        return message
    fields = {name: sentence(one) if isinstance(one, Message) else one for name, one in message.arguments.items()}
    return filled(engine_words(message.template), fields)


def sentences(messages: Iterable[Message | str]) -> str:
    """Several of them, one behind the other."""
    return " ".join(map(sentence, messages))
