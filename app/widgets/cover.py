"""Steps that may fail without taking others along, and the cover of a view that could not be brought up to date.

A view shows the last state until it has shown the present one. Where it fails in that, nothing of it may be read.
"""

import sys
from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QLabel, QWidget

from ..theme import px

LOW = 60
"""Height below which a cover has no room for its words, in pixels at the first size of text."""


def attempt(step: Callable[[], object]) -> bool:
    """Take a step; False where it raises, which is shown like any exception that no code caught."""
    try:
        step()
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return False
    return True


def show_or_cover(view: QWidget, show: Callable[[], object]) -> bool:
    """Bring a view, or a part of one, up to date; it is covered until that succeeds."""
    shown = attempt(show)
    known = view.findChild(Cover, options=Qt.FindChildOption.FindDirectChildrenOnly)
    if not shown and known is None:
        Cover(view)
    elif shown and known is not None:
        known.hide()
        known.setParent(None)
        known.deleteLater()
    return shown


class Cover(QLabel):
    """Covers all of a view, and says why nothing of it is to be seen."""

    def __init__(self, view: QWidget) -> None:
        """Cover a view."""
        super().__init__(view)
        self._view = view
        self.setProperty("role", "cover")
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        words = self.tr("This could not be shown. Undo the last step, or open the model again.")
        self.setToolTip(words)
        self.setAccessibleName(words)
        view.installEventFilter(self)
        self._fit()
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay as large as the view."""
        if event.type() is QEvent.Type.Resize:
            self._fit()
        return False

    def _fit(self) -> None:
        self.setGeometry(self._view.rect())
        self.setText(self.toolTip() if self.height() >= px(LOW) else "\u2013")
