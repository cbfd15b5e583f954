"""Looks through the folders of the machine that the engine is on, and sends a file of this one there."""

import fnmatch
import re
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path, PurePosixPath
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QDateTime,
    QEvent,
    QLocale,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QStyle, QTableView, QVBoxLayout, QWidget
from shiboken6 import isValid

from secateur.engine.errors import SecateurError
from secateur.engine.process.remote.file_transfer import SENT
from secateur.engine.process.remote.protocol import Entry, Seen

from ..jobs.remote_files import RemoteFiles, Sending
from ..text.format import size
from ..text.translate import counted, sentence
from ..theme import px
from ..widgets.buttons import PrimaryButton, button, lay_out_question
from ..widgets.fields import ComboBox, LineEdit
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from ..widgets.table import RowsTable

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
SIZE = (720, 460)
"""Of the dialog at first, for text of the first size, in device-independent pixels."""


class Column(IntEnum):
    """Columns of the list."""

    NAME = 0
    SIZE = 1
    MODIFIED = 2


class EntriesModel(QAbstractTableModel):
    """The entries of a folder: folders first, then the files that a filter lets through.

    Attributes:
        shown: The rows.
    """

    def __init__(self, parent: QWidget) -> None:
        """Show nothing yet."""
        super().__init__(parent)
        self.shown: tuple[Entry, ...] = ()
        self._style = parent.style()

    def show(self, entries: tuple[Entry, ...]) -> None:
        """Show these."""
        self.beginResetModel()
        self.shown = tuple(sorted(entries, key=lambda one: (not one.is_folder, one.name.casefold())))
        self.endResetModel()

    def rowCount(self, parent: Index = NOWHERE) -> int:
        """One row an entry."""
        return 0 if parent.isValid() else len(self.shown)

    def columnCount(self, parent: Index = NOWHERE) -> int:
        """Name, size, time."""
        return 0 if parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, icon or alignment of a cell."""
        entry, column = self.shown[index.row()], Column(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                when = QDateTime.fromSecsSinceEpoch(int(entry.modified))
                return {
                    Column.NAME: _readable(entry.name),
                    Column.SIZE: "" if entry.is_folder else size(entry.size),
                    Column.MODIFIED: QLocale().toString(when, QLocale.FormatType.ShortFormat),
                }[column]
            case Qt.ItemDataRole.DecorationRole if column is Column.NAME:
                icon = QStyle.StandardPixmap.SP_DirIcon if entry.is_folder else QStyle.StandardPixmap.SP_FileIcon
                return self._style.standardIcon(icon)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _side(column)
            case Qt.ItemDataRole.AccessibleTextRole if column is Column.NAME and entry.is_folder:
                return self.tr("{name}, folder").format(name=_readable(entry.name))
            case _:
                return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings; None beyond the columns."""
        across = orientation is Qt.Orientation.Horizontal and 0 <= section < len(Column)
        if across and role == Qt.ItemDataRole.TextAlignmentRole:
            return _side(Column(section))
        if not across or role != Qt.ItemDataRole.DisplayRole:
            return None
        return (self.tr("Name"), self.tr("Size"), self.tr("Modified"))[section]


class RemoteBrowser(QDialog):
    """The dialog.

    Attributes:
        path: The folder that is shown, or what is chosen in it.
        entries: What is in it.
        table: Shows that.
        filter: Which files are shown; hidden where all are.
        status: What is looked for, or why it cannot be read.

    Signals:
        chosen: A path there.
    """

    chosen = Signal(str)

    def __init__(
        self,
        parent: QWidget,
        elsewhere: RemoteFiles,
        title: str,
        begin: str = "",
        pick: str = "file",
        filters: str = "",
    ) -> None:
        """Look at the folder of `begin`, or the home folder; `pick` and `filters` are as in `choose`."""
        super().__init__(parent)
        self._elsewhere, self._pick = elsewhere, pick
        self._folder = ""
        self._asked = 0
        self._all: tuple[Entry, ...] = ()
        self._left_out = 0
        self.setWindowTitle(self.tr("{title} on {host}").format(title=title, host=elsewhere.host))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.path = LineEdit(self.tr("Path on {host}").format(host=elsewhere.host), "", "")
        self.up, self.home = button(self.tr("Up"), tip=self.tr("Show the folder above")), button(self.tr("Home"))
        self.entries = EntriesModel(self)
        columns = self.tr("Columns of the list")
        self.table = RowsTable(self.entries, self.tr("Files and folders"), columns, Column.NAME)
        self.table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.filter = ComboBox(self.tr("Files that are shown"))
        for one in filter(None, filters.split(";;")):
            self.filter.addItem(one, re.sub(r".*\((.*)\)", r"\1", one).split())
        self.status = label("", "muted", wrap=True)
        self.send = button(self.tr("Send a file from this machine..."))
        self.cancel_button, self.accept_button = button(self.tr("Cancel")), PrimaryButton(self.tr("Choose"))
        self._lay_out()
        self.filter.setVisible(self.filter.count() > 0)
        self.send.setVisible(pick == "file")
        self.path.returnPressed.connect(self._go)
        self.path.textEdited.connect(lambda _text: self.table.clearSelection())
        self.up.clicked.connect(lambda: self.visit(str(PurePosixPath(self._folder).parent)))
        self.home.clicked.connect(lambda: self.visit(""))
        self.table.activated.connect(self._open_entry)
        self.table.selectionModel().selectionChanged.connect(self._show_selected)
        self.filter.currentIndexChanged.connect(lambda _index: self._show_entries())
        self.send.clicked.connect(self._choose_here)
        self.accept_button.clicked.connect(self._go)
        self.cancel_button.clicked.connect(self.reject)
        self.table.installEventFilter(self)
        self.visit(begin.strip())
        self.table.setFocus()

    def _lay_out(self) -> None:
        self.accept_button.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        head = QHBoxLayout()
        head.addWidget(self.path, 1)
        head.addWidget(self.up)
        head.addWidget(self.home)
        layout.addLayout(head)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.status)
        foot = QHBoxLayout()
        foot.addWidget(self.send)
        foot.addWidget(self.filter)
        foot.addStretch(1)
        foot.addWidget(self.cancel_button)
        foot.addWidget(self.accept_button)
        layout.addLayout(foot)
        self.resize(px(SIZE[0]), px(SIZE[1]))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Backspace in the list goes up, Enter opens."""
        if watched is self.table and isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Backspace:
                self.up.click()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and (chosen := self._chosen_index()) is not None:
                self._open_entry(chosen)
                return True
        return super().eventFilter(watched, event)

    def visit(self, path: str, choose: bool = False) -> None:
        """Show a folder there, or that of a file.

        Args:
            path: As it was typed, "" for the home folder.
            choose: A file that is there is what was looked for.
        """
        self._asked += 1
        asked = self._asked
        self.status.setText(self.tr("Looking on {host}").format(host=self._elsewhere.host))

        def done(found: Seen) -> None:
            # What was asked before the last question is answered in vain.
            if isValid(self) and asked == self._asked:
                self._show_found(path, found, choose)

        def fail(error: SecateurError) -> None:
            if isValid(self) and asked == self._asked:
                self.status.setText(sentence(error.message))

        self._elsewhere.look(path, done, fail)

    def _show_found(self, asked: str, found: Seen, choose: bool) -> None:
        if choose and found.is_there and found.is_folder == (self._pick == "folder"):
            self._choose(found.path)
        elif found.is_folder:
            self._folder, self._all, self._left_out = found.path, found.entries, found.left_out
            self.path.setText(found.path)
            self._show_entries()
        elif choose:
            words = self.tr("{path} does not exist on {host}.")
            if found.is_there:
                words = self.tr("{path} on {host} is a file. Choose a folder.")
            self.status.setText(words.format(path=found.path, host=self._elsewhere.host))
        elif asked:  # the folder of a file that was named before, else home
            parent = str(PurePosixPath(found.path).parent)
            self.visit(parent if parent != found.path else "")
        else:
            self.status.setText(self.tr("There is no home folder on {host}.").format(host=self._elsewhere.host))

    def _show_entries(self) -> None:
        patterns: list[str] = self.filter.currentData() or ["*"]
        self.entries.show(
            tuple(
                one
                for one in self._all
                if not one.name.startswith(".")
                and (one.is_folder or (self._pick == "file" and any(fnmatch.fnmatch(one.name, p) for p in patterns)))
            )
        )
        self.status.setText(self._missing_entries())

    def _missing_entries(self) -> str:
        """Which entries of the folder are not in the list, where that is not what is expected."""
        hidden = sum(one.name.startswith(".") for one in self._all)
        if self._left_out:
            words = self.tr("{count} more are not listed. Type the name.")
            return words.format(count=f"{self._left_out:,}")
        if self.entries.shown:
            return ""
        if not self._all:
            return self.tr("This folder is empty.")
        if hidden == len(self._all):
            one, many = self.tr("{count} hidden name is not listed."), self.tr("{count} hidden names are not listed.")
            return f"{counted(hidden, one, many)} {self.tr('Type the name.')}"
        if self._pick == "folder":
            return self.tr("There is no folder in this folder.")
        return self.tr("No file matches {filter}.").format(filter=self.filter.currentText())

    @Slot()
    def _show_selected(self) -> None:
        if (index := self._chosen_index()) is not None:
            self.path.setText(self._path_of(index))

    def _chosen_index(self) -> QModelIndex | None:
        return next(iter(self.table.selectionModel().selectedRows()), None)

    @Slot(QModelIndex)
    def _open_entry(self, index: QModelIndex) -> None:
        if self.entries.shown[index.row()].is_folder:
            self.visit(self._path_of(index))
        else:
            self._choose(self._path_of(index))

    @Slot()
    def _go(self) -> None:
        """Choose what the line says; where that is a folder and a file is wanted, show it."""
        self.visit(self.path.text().strip(), choose=True)

    def _path_of(self, index: QModelIndex) -> str:
        return str(PurePosixPath(self._folder) / self.entries.shown[index.row()].name)

    def _choose(self, path: str) -> None:
        self.accept()
        self.chosen.emit(path)

    @Slot()
    def _choose_here(self) -> None:
        dialog = QFileDialog(self, self.tr("Send a file from this machine"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._send)
        dialog.open()

    @Slot(str)
    def _send(self, path: str) -> None:

        SendFile(self, self._elsewhere, path, self._choose).open()


def _side(column: Column) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column is Column.SIZE else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


def _readable(name: str) -> str:
    """A name that is no UTF-8, as it can be shown."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


LARGEST = 1 << 30
"""Bytes of a file that can be sent."""
FINE = 1000
"""Steps of the bar."""
WIDE = 520
"""Width at first, for text of the first size, in device-independent pixels."""


class SendFile(QDialog):
    """The dialog.

    Attributes:
        sentence: The question.
        problem: Why it cannot be sent, or was not.
        bar: How far it is; hidden until it is sent.
        send_button: Begins.
        cancel_button: Ends it, and sends no more.
    """

    def __init__(self, parent: QWidget, elsewhere: RemoteFiles, path: str, act: Callable[[str], None]) -> None:
        """Ask whether a file is to be sent; `act` takes its path there."""
        super().__init__(parent)
        self._elsewhere, self._path, self._act = elsewhere, Path(path), act
        self._sending: Sending | None = None
        self._size, problem = 0, ""
        try:
            self._size = self._path.stat().st_size
        except OSError as error:
            problem = str(error.strerror)
        words = self.tr(
            "{name} ({size}) is copied into {folder} in your home folder on {host}. It replaces no file there."
        )
        words = words.format(name=self._path.name, size=size(self._size), folder=SENT, host=elsewhere.host)
        if self._size > LARGEST:
            problem = self.tr("Files of more than {size} are not sent. Copy it yourself.").format(size=size(LARGEST))
        self.setWindowTitle(self.tr("Send a file?"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(px(WIDE))
        self.sentence, self.problem = label(words, wrap=True), label(problem, "muted", wrap=True)
        self.bar = ProgressBar(maximum=FINE)
        self.bar.setAccessibleName(self.tr("Progress of sending"))
        self.bar.hide()
        self.cancel_button, self.send_button = button(self.tr("Cancel")), PrimaryButton(self.tr("Send"))
        self.send_button.setDefault(True)
        self.send_button.setEnabled(not problem)
        lay_out_question(self, (self.sentence, self.problem, self.bar), (self.cancel_button, self.send_button))
        self.problem.setVisible(bool(problem))
        self.send_button.clicked.connect(self._send)
        self.cancel_button.clicked.connect(self.reject)

    @Slot()
    def _send(self) -> None:
        """Send it, and close once it is there."""
        sending = self._sending = Sending(self)
        sending.progressed.connect(self._show_progress)
        self.send_button.setEnabled(False)
        self.problem.hide()
        self.bar.show()

        def done(there: str) -> None:
            if isValid(self) and there:
                self.accept()
                self._act(there)

        def fail(error: SecateurError) -> None:
            if isValid(self):
                self._sending = None
                self.problem.setText(sentence(error.message))
                self.problem.show()
                self.bar.hide()
                self.send_button.setEnabled(True)

        self._elsewhere.send(self._path, sending, done, fail)

    @Slot(object)
    def _show_progress(self, sent: int) -> None:
        self.bar.setValue(round(FINE * sent / max(self._size, 1)))

    def reject(self) -> None:
        """Send no more."""
        if self._sending is not None:
            self._sending.cancel()
        super().reject()
