"""Words of the window: numbers inside sentences, and texts marked for translation.

English needs no plural files this way; a translation gets both forms.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:

    def QT_TRANSLATE_NOOP(context: str, text: str) -> str:
        """Mark a text for translation and return it; PySide's own annotation says `object`."""
        ...
else:
    from PySide6.QtCore import QT_TRANSLATE_NOOP

__all__ = ["QT_TRANSLATE_NOOP", "counted"]


def counted(count: int, one: str, many: str) -> str:
    """`one` or `many`, with {count} filled in: 1,184 structures."""
    return (one if count == 1 else many).format(count=f"{count:,}")
