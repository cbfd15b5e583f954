"""Exceptions that no code expects: in a slot, in `data()`, in a paint or in a thread. They are shown, and all goes on.

One dialog at a time, and one for each place that fails: a paint that fails sixty times a second is one dialog, and a
number in it that grows.
"""

import sys
import threading
import traceback
from collections import Counter
from types import TracebackType
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from ..text.translate import counted
from ..widgets.buttons import PrimaryButton, button
from ..widgets.labels import label


class UnexpectedError(QDialog):
    """The dialog.

    Attributes:
        sentence: What happened.
        times: How often, hidden at once.
        details: For whoever will mend it.
        copy: Copies all of it.
    """

    def __init__(self, parent: QWidget | None, sentence: str) -> None:
        """Take the sentence."""
        super().__init__(parent)
        self.setWindowTitle(self.tr("Unexpected error"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(560)
        self.sentence = label(sentence, wrap=True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.times = label("", "muted", wrap=True)
        self.times.hide()
        self.details = QPlainTextEdit(readOnly=True)
        self.details.setAccessibleName(self.tr("Details of the error"))
        self.details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.details.setMinimumHeight(180)
        self.copy = button(self.tr("Copy"), tip=self.tr("Copy the message and its details"))
        self.go_on = PrimaryButton(self.tr("Continue"))
        self.go_on.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        hint = self.tr("If it happens again, attach these details to a bug report.")
        for each in (self.sentence, self.times, label(hint, "muted", wrap=True)):
            layout.addWidget(each)
        layout.addWidget(self.details, 1)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addStretch(1)
        row.addWidget(self.go_on)
        layout.addLayout(row)
        self.go_on.setFocus()
        self.copy.clicked.connect(self._copy)
        self.go_on.clicked.connect(self.accept)

    def tell(self, details: str, count: int) -> None:
        """Show details, and how often it happened."""
        if details != self.details.toPlainText():
            self.details.setPlainText(details)
        words = counted(count, self.tr("It happened {count} time."), self.tr("It happened {count} times."))
        self.times.setText(words)
        self.times.setVisible(count > 1)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.sentence.text()}\n\n{self.details.toPlainText()}")


PLACES = 20
"""Places whose details are kept."""


class ExceptionHook(QObject):
    """Hears of every exception that no code caught.

    Attributes:
        dialog: The one that is open, None where none is.
        counts: How often each place has failed.

    Signals:
        happened: (place, sentence, details), in the interface's thread; from whichever thread it was.
    """

    happened = Signal(str, str, str)

    def __init__(self, parent: QObject) -> None:
        """Belong to the application; nothing is heard before `install`."""
        super().__init__(parent)
        self.dialog: UnexpectedError | None = None
        self.counts: Counter[str] = Counter()
        self._details: dict[str, str] = {}
        self._before: tuple[Any, Any] | None = None
        # Queued: within a paint, or a model's data(), no dialog can be opened.
        self.happened.connect(self._show_error, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Hear from now on."""
        self._before = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._caught
        threading.excepthook = lambda args: self._caught(args.exc_type, args.exc_value, args.exc_traceback)

    def remove(self) -> None:
        """Hear no more."""
        if self._before is not None:
            (sys.excepthook, threading.excepthook), self._before = self._before, None

    def _caught(self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        # Ctrl-C, and what ends a program on purpose.
        if not issubclass(kind, Exception):
            if issubclass(kind, KeyboardInterrupt):
                QApplication.quit()
            return
        frames = traceback.extract_tb(trace)
        place = f"{kind.__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else kind.__name__
        self.counts[place] += 1
        if self.counts[place] == 1:
            details = "".join(traceback.format_exception(kind, error, trace))
            if sys.stderr is not None:
                sys.stderr.write(details)
        elif self.dialog is None:
            return  # It was shown, and closed.
        else:
            details = ""
        words = (str(error).strip().splitlines() or [""])[0]
        self.happened.emit(place, f"{kind.__name__}: {words}" if words else kind.__name__, details)

    @Slot(str, str, str)
    def _show_error(self, place: str, sentence: str, details: str) -> None:
        if self.dialog is None:
            if not details:
                return
            words = self.tr("Unexpected error: {0}. Your work is kept, and you can continue.")
            self.dialog = UnexpectedError(QApplication.activeWindow(), words.format(sentence.rstrip(".")))
            self.dialog.destroyed.connect(self._forget_dialog)
            self.dialog.open()
            self._details = {}
        if details and len(self._details) < PLACES:
            self._details[place] = details
        self.dialog.tell("\n".join(self._details.values()), sum(self.counts[one] for one in self._details))

    @Slot()
    def _forget_dialog(self) -> None:
        self.dialog = None
