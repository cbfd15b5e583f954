"""The log: what happened, line by line, of one job or of all, by level and by words; to read, to copy and to save."""

from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Slot
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtWidgets import QFileDialog, QPlainTextEdit, QWidget

from ..document.aspects import Aspect
from ..document.message_log import MOST, Level, Line
from ..jobs.workbench import Workbench
from ..widgets.buttons import button
from ..widgets.fields import HEIGHT, ComboBox, ElidedComboBox, FilterLine
from ..widgets.flow import FlowLayout
from .panel_layout import column_of

SHOWN = frozenset({Aspect.LOG})
PAUSE = 100
"""Milliseconds between two refreshes: what prints a thousand lines a second is shown in batches."""


class LogPanel(QWidget):
    """Lines of the document's log.

    Attributes:
        text: The lines.
        job: The job whose lines are shown, with all of its steps; or all jobs.
        level: From which level on they are shown.
        search: Words that a line must have.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's log."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self._seen, self._at_end = 0, True
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(MOST)
        self.text.setUndoRedoEnabled(False)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName(self.tr("Log"))
        self.text.setPlaceholderText(self.tr("Events appear here, newest last."))
        self._pause = QTimer(self, interval=PAUSE, singleShot=True)
        self.job = ElidedComboBox(self.tr("Job whose lines are shown"), 22, 8)
        self.job.addItem(self.tr("all jobs"), 0)
        self.level = ComboBox(self.tr("Lowest level shown"))
        for words, level in (
            (self.tr("all lines"), Level.STEP),
            (self.tr("without printed output"), Level.INFO),
            (self.tr("warnings and errors"), Level.WARNING),
            (self.tr("errors"), Level.ERROR),
        ):
            self.level.addItem(words, level)
        self.search = FilterLine(self.tr("Words that lines must contain"), self.tr("Filter"))
        self.search.setMinimumWidth(80)
        self.copy = button(self.tr("Copy"), "link", self.tr("Copy the lines shown"))
        self.save = button(self.tr("Save..."), "link", self.tr("Save the lines shown to a file"))
        self.clear = button(self.tr("Clear"), "link", self.tr("Delete all lines"))
        for each in (self.copy, self.save, self.clear):
            # As tall as the fields beside them.
            each.setMinimumHeight(HEIGHT)
        row = FlowLayout(gap=6)
        for each in (self.job, self.level, self.search, self.copy, self.save, self.clear):
            row.addWidget(each)
        column_of(row, (self.text, 1), on=self, margins=(6, 4, 6, 6), gap=4)
        bar = self.text.verticalScrollBar()
        bar.valueChanged.connect(self._note_end)
        bar.rangeChanged.connect(self._stay_at_end)
        self.job.currentIndexChanged.connect(self.show_all)
        self.level.currentIndexChanged.connect(self.show_all)
        self.search.textChanged.connect(self.show_all)
        self.copy.clicked.connect(self._copy_lines)
        self.save.clicked.connect(self._ask_where_to_save)
        self.clear.clicked.connect(self._clear_lines)
        self._pause.timeout.connect(self.refresh)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self.refresh()

    def _show_changes(self, _aspects: frozenset[Aspect]) -> None:
        if not self._pause.isActive():
            self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Add what was written since the last time, then wait a little."""
        book = self.document.messages
        self._list_jobs()
        if book.total < self._seen:
            self.text.clear()
            self._seen = 0
        fresh = [line.written() for line in book.since(self._seen) if self._matches(line)]
        # While lines come, they are shown once in a pause; when it ends, those that came meanwhile are.
        if book.total > self._seen:
            self._pause.start()
        self._seen = book.total
        if fresh:
            # Who reads further up, or has selected text, is not taken away from it.
            follows = self._at_end and not self.text.textCursor().hasSelection()
            across = self.text.horizontalScrollBar().value()
            self.text.appendPlainText("\n".join(fresh))
            if follows:
                self._go_to_end(across)

    def show_job(self, number: int) -> None:
        """Show the lines of one job, 0 for all."""
        self._list_jobs()
        self.level.setCurrentIndex(0)
        self.search.clear()
        self.job.setCurrentIndex(max(self.job.findData(number), 0))

    def _list_jobs(self) -> None:
        """Offer the jobs that wrote something, the newest first below all of them."""
        titles = self.document.messages.titles
        listed = [self.job.itemData(row) for row in range(1, self.job.count())]
        if listed == [*titles][::-1]:
            return
        chosen = self.job.currentData()
        with QSignalBlocker(self.job):
            while self.job.count() > 1:
                self.job.removeItem(1)
            for number, title in reversed(titles.items()):
                self.job.addItem(title, number)
            self.job.setCurrentIndex(max(self.job.findData(chosen), 0))
        if self.job.currentData() != chosen:
            self.show_all()

    @Slot()
    def show_all(self) -> None:
        """Filter again."""
        self._seen = self.document.messages.total
        lines = (line for line in self.document.messages.lines() if self._matches(line))
        self.text.setPlainText("\n".join(line.written() for line in lines))
        self._go_to_end(0)

    def _go_to_end(self, across: int) -> None:
        """Go to the last line; the cursor to its beginning, as the view goes to the cursor when it is first shown."""
        for step in (QTextCursor.MoveOperation.End, QTextCursor.MoveOperation.StartOfBlock):
            self.text.moveCursor(step)
        self.text.verticalScrollBar().setValue(self.text.verticalScrollBar().maximum())
        self.text.horizontalScrollBar().setValue(across)

    @Slot(int)
    def _note_end(self, value: int) -> None:
        self._at_end = value == self.text.verticalScrollBar().maximum()

    @Slot()
    def _stay_at_end(self) -> None:
        """Who read the last line reads the last line, also when lines came or the panel has another height."""
        if self._at_end:
            self.text.verticalScrollBar().setValue(self.text.verticalScrollBar().maximum())

    def _matches(self, line: Line) -> bool:
        words, job = self.search.text().casefold().split(), self.job.currentData()
        if line.job != job if job else line.level is Level.STEP:
            return False
        # Qt gives back a plain string.
        matters = line.level.rank >= Level(self.level.currentData()).rank
        return matters and all(word in line.casefold() for word in words)

    @Slot()
    def _copy_lines(self) -> None:
        QGuiApplication.clipboard().setText(self.text.toPlainText())

    @Slot()
    def _clear_lines(self) -> None:
        self.document.messages.clear()
        self.document.announce(Aspect.LOG)
        self.show_all()

    @Slot()
    def _ask_where_to_save(self) -> None:
        dialog = QFileDialog(self, self.tr("Save the log"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("log")
        dialog.selectFile("secateur.log")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.save_to)
        dialog.open()

    @Slot(str)
    def save_to(self, path: str) -> None:
        """Write the lines that are shown."""
        content = (self.text.toPlainText() + "\n").encode()
        self.workbench.save_file(Path(path), lambda: content)
