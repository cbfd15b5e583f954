"""The frame of every dialog that asks: a sentence, a form, what is missing, one button worded with what it does.

A dialog that writes a folder is a `FolderDialog`.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from PySide6.QtCore import QEvent, QSize, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..jobs.remote_files import RemoteFiles
from ..storage import settings
from ..storage.open_target import is_folder
from ..storage.user_folders import home
from ..theme import px
from ..widgets.buttons import PrimaryButton, button
from ..widgets.fields import LineEdit
from ..widgets.labels import label
from .paths import RemotePaths, choose, path_problem
from .window_api import WindowApi

WIDE = 640
"""Width of a dialog at first, for text of the first size, in device-independent pixels."""
TITLE = 40
"""Of a screen's height, what the frame that the system draws around a dialog may take."""


class Rows(QScrollArea):
    """The rows of a form: as high as they are where there is room for them, else scrolled."""

    def __init__(self, form: QFormLayout) -> None:
        """Show a form."""
        super().__init__()
        self.page = _Page()
        self.page.setProperty("role", "page")
        self.page.setLayout(form)
        self.setFrameShape(QFrame.Shape.NoFrame)
        # The fields take the focus, and are scrolled to.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setWidgetResizable(True)
        self.setWidget(self.page)

    def sizeHint(self) -> QSize:
        """That of the rows."""
        return self.page.sizeHint()

    def minimumSizeHint(self) -> QSize:
        """As wide as the rows must be; some height."""
        return QSize(self.page.minimumSizeHint().width(), 0)

    def hasHeightForWidth(self) -> bool:
        """Words wrap."""
        return True

    def heightForWidth(self, width: int) -> int:
        """What the rows need, with a scroll bar too: one that is there for a moment would stay for what it wraps."""
        page = self.page
        if not page.hasHeightForWidth():
            return page.minimumSizeHint().height()
        narrow = width - self.verticalScrollBar().sizeHint().width()
        return max(page.heightForWidth(narrow), page.heightForWidth(width))


class _Page(QWidget):
    """What is scrolled.

    Signals:
        laid_out: Its rows are others, or need other heights.
    """

    laid_out = Signal()

    def event(self, event: QEvent) -> bool:
        """Tell of rows that ask to be laid out again, once they are."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self.laid_out.emit()
        return done

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay the rows out for this width: Qt's form may have kept heights of the last one, where words wrapped."""
        super().resizeEvent(event)
        if (form := self.layout()) is not None:
            form.invalidate()
            form.activate()

    def minimumSizeHint(self) -> QSize:
        """Words need height for the width that they have, not for the least: Qt would scroll over that."""
        least = super().minimumSizeHint()
        return QSize(least.width(), 0) if self.hasHeightForWidth() else least


def one_row(wide: QWidget, *others: QWidget) -> QWidget:
    """Fields in one row of a form; the first takes the room that is left."""
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(wide, 1)
    for field in others:
        row.addWidget(field)
    return holder


class FormDialog(QDialog):
    """A form that checks itself while it is filled in.

    A dialog overrides `problem` and `act`, and `written` where it writes other paths than its row to save names. It
    calls `check` once all its rows are there.

    Attributes:
        form: Rows to add to.
        paths_there: What is known of paths that the engine reads on another machine, None where it reads this one.
        buttons: The row at the bottom; what helps with a problem is at its left end.
    """

    def __init__(self, parent: QWidget, title: str, sentence: str, verb: str) -> None:
        """Take the words; `verb` is what the button says."""
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._paths: list[QLineEdit] = []
        self._read: list[tuple[QLineEdit, str | Callable[[], str]]] = []
        self._machine: RemoteFiles | None = None
        self.paths_there: RemotePaths | None = None
        self._saved: QLineEdit | None = None
        self._replaced: set[Path] = set()
        self.form = QFormLayout()
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.form.setHorizontalSpacing(14)
        self.form.setVerticalSpacing(7)
        self.missing = label("", "muted", wrap=True)
        self.accept_button = PrimaryButton(verb)
        self.accept_button.setDefault(True)
        self.cancel_button = button(self.tr("Cancel"))
        layout = self._outer = QVBoxLayout(self)
        # Without a constraint: Qt's would make wrapped words as high as they are at the least width.
        layout.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        layout.addWidget(label(sentence, "muted", wrap=True))
        self._rows = Rows(self.form)
        self._rows.page.laid_out.connect(self._fit)
        layout.addWidget(self._rows)
        layout.addWidget(self.missing)
        layout.addStretch(1)
        self.buttons = QHBoxLayout()
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel_button)
        self.buttons.addWidget(self.accept_button)
        layout.addLayout(self.buttons)
        self.accept_button.clicked.connect(self.accept)
        self.cancel_button.clicked.connect(self.reject)

    def problem(self) -> str:
        """What is missing, in words; "" when the form can be accepted."""
        return ""

    def act(self) -> None:
        """Do what the button says; the dialog closes before."""

    def written(self) -> list[Path]:
        """The paths that will be written: where something is there, the user is asked."""
        return [] if self._saved is None else [Path(self._saved.text().strip()).expanduser()]

    def sizeHint(self) -> QSize:
        """Wide enough for paths, and as high as its words are at that width: Qt reckons with narrower ones."""
        over, room = self.parentWidget(), self.screen().availableGeometry().width()
        if over is not None:
            room = min(room, max(over.window().width(), WIDE))
        width = min(max(self._outer.totalSizeHint().width(), px(WIDE)), room)
        return QSize(width, self._height_for(width))

    def showEvent(self, event: QShowEvent) -> None:
        """Begin in the first field, not on a button."""
        super().showEvent(event)
        # The minimum so far was for another width.
        self.setMinimumHeight(0)
        # Qt shrinks a dialog to two thirds of the screen; it may be as wide as the window below.
        over = self.parentWidget()
        wide = min(px(WIDE), over.window().width()) if over is not None else 0
        self.resize(max(self.width(), wide), self._height_for(max(self.width(), wide)))
        self._fit()
        if self.focusWidget() in (None, self.cancel_button) and not self.cancel_button.isDefault():
            self._first_field().setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter on a button presses that one, elsewhere the default one."""
        focused = self.focusWidget()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and isinstance(focused, QPushButton):
            return focused.click()
        super().keyPressEvent(event)

    def _first_field(self) -> QWidget:
        """The first field that can be filled in, without one the button."""
        page, widget = self._rows.page, self.nextInFocusChain()
        while widget is not None and widget is not self:
            tabbed = widget.focusPolicy() & Qt.FocusPolicy.TabFocus and page.isAncestorOf(widget)
            if tabbed and widget.isEnabled() and widget.isVisibleTo(self):
                return widget
            widget = widget.nextInFocusChain()
        return self.accept_button

    @Slot()
    def check(self) -> None:
        """Say what is missing, and enable the button when nothing is."""
        problem = self._whole_problem()
        self.missing.setText(problem)
        self.missing.setVisible(bool(problem))
        self.accept_button.setEnabled(not problem)
        self._fit()

    def _whole_problem(self) -> str:
        """What is missing; else which path is not where the engine reads it."""
        problem = self.problem()
        if problem or self.paths_there is None:
            return problem
        for line, pick in self._read:
            # The row of a path is hidden by its holder. What is picked as "" is a name, and not on a disk.
            holder = line.parentWidget()
            shown = not line.isHidden() and (holder is None or not holder.isHidden())
            if shown and line.text() and _value_of(pick) and (problem := self.paths_there.problem(line.text())):
                return problem
        return ""

    def read_elsewhere(self, elsewhere: RemoteFiles | None) -> None:
        """Paths of rows are those of the engine's machine, None for this one; those that are written stay here."""
        self._machine = elsewhere
        if elsewhere is not None:
            self.paths_there = RemotePaths(elsewhere, self)
            self.paths_there.found.connect(self.check)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Other widths need other heights."""
        super().resizeEvent(event)
        self._fit()

    @Slot()
    def _fit(self) -> None:
        """Be so high that no line of a sentence that wraps is cut off."""
        self._rows.updateGeometry()
        least = self._outer.totalMinimumSize().width()
        needed = self._height_for(max(self.width(), least))
        if self.minimumWidth() != least or self.minimumHeight() != needed:
            self.setMinimumSize(least, needed)

    def _height_for(self, width: int) -> int:
        """What all rows need at a width, as far as the screen allows."""
        needed = (
            self._outer.totalHeightForWidth(width)
            if self._outer.hasHeightForWidth()
            else self._outer.totalMinimumSize().height()
        )
        return min(needed, self.screen().availableGeometry().height() - TITLE)

    def accept(self) -> None:
        """Act and close; a file that would be replaced is asked about first."""
        if self._whole_problem():
            return self.check()
        taken = next((path for path in self.written() if _has_content(path) and path not in self._replaced), None)
        if taken is not None:

            def replace() -> None:
                self._replaced.add(taken)
                self.accept()

            return Replace(self, taken, replace).open()
        super().accept()
        self.act()

    def prefer_cancel(self) -> None:
        """Cancel is the default button and has the focus: what the other one does cannot be undone."""
        self.accept_button.setDefault(False)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus()

    def add_row(self, title: str, field: QWidget) -> None:
        """Add a row whose title is level with the field's text."""
        caption = label(title)
        caption.setBuddy(field)
        caption.setMinimumHeight(field.sizeHint().height())
        self.form.addRow(caption, field)

    def show_row(self, field: QWidget, on: bool) -> None:
        """Show or hide the row of a field, also of one that `add_line` or `add_path` made."""
        holder = field.parentWidget()
        self.form.setRowVisible(field if holder is self._rows.page or holder is None else holder, on)
        self._fit()

    def show_browse(self, line: QLineEdit, on: bool) -> None:
        """Show or hide the button of a path: not everything is on disk."""
        if (holder := line.parentWidget()) is not None and (browse := holder.findChild(QPushButton)) is not None:
            browse.setVisible(on)

    def add_line(self, title: str, text: str = "", hint: str = "") -> QLineEdit:
        """A row with a line of text."""
        line = LineEdit(title, text, hint)
        line.textChanged.connect(self.check)
        self.add_row(title, line)
        return line

    def add_path(
        self,
        title: str,
        text: str = "",
        hint: str = "",
        pick: str | Callable[[], str] = "file",
        filters: str | Callable[[], str] = "",
    ) -> QLineEdit:
        """A row with a path and a button to look for it.

        Args:
            title: Of the row.
            text: The path at first.
            hint: What is shown while it is empty.
            pick: "file", "folder" or "save", or what says so when the button is pressed.
            filters: Of files, as Qt takes them; or what says so then.
        """
        line = LineEdit(title, text, hint)
        line.textChanged.connect(self.check)
        browse = button(self.tr("Browse..."), tip=self.tr("Choose it on disk"))
        browse.clicked.connect(lambda: self._browse(line, _value_of(pick), _value_of(filters)))
        self._paths.append(line)
        self._read.append((line, pick))
        line.textChanged.connect(self._look_again)
        if pick == "save":
            self._saved = line
        self.add_row(title, one_row(line, browse))
        return line

    @Slot()
    def _look_again(self) -> None:
        if self.paths_there is not None:
            self.paths_there.forget_missing()

    def _browse(self, line: QLineEdit, pick: str, filters: str) -> None:
        # Begin at what the row holds, in the folder of what another row holds, or where was looked last.
        title, begin = line.accessibleName(), line.text() or settings.value(self._last_folder, "")
        if not line.text() and self._machine is None:
            others = (str(Path(other.text()).parent) for other in self._paths if other.text())
            begin = next((str(Path(folder).expanduser()) for folder in others if is_folder(folder)), begin)
        if pick != "save":
            found = partial(self.take_path, line)
            return choose(self, self._machine, title, found, begin=begin, pick=pick, filters=filters)
        dialog = QFileDialog(self, title, begin, filters)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        # The file dialog of Qt has asked already whether the file is to be replaced.
        dialog.fileSelected.connect(lambda path: self._replaced.add(Path(path)))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.take_path(line, path))
        dialog.open()

    def take_path(self, line: QLineEdit, path: str) -> None:
        """Take a path that was looked for and found."""
        line.setText(path)
        line.setFocus()
        settings.store(self._last_folder, str(PurePosixPath(path).parent if self._machine else Path(path).parent))

    @property
    def _last_folder(self) -> str:
        """Name of the setting of where was looked last, on each machine its own."""
        return "folder" if self._machine is None else f"folder on {self._machine.host}"


class Replace(FormDialog):
    """A file that is there already: it is replaced only when the user says so."""

    def __init__(self, parent: QWidget, path: Path, act: Callable[[], None]) -> None:
        """Ask over a dialog; `act` writes."""
        sentence = self.tr("{path} already exists. Replacing it cannot be undone.")
        super().__init__(parent, self.tr("Replace existing files?"), sentence.format(path=path), self.tr("Replace"))
        self.prefer_cancel()
        self._write = act

    def act(self) -> None:
        """Replace it."""
        self._write()


def _has_content(path: Path) -> bool:
    """Whether something would be lost by writing there."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _value_of(given: str | Callable[[], str]) -> str:
    """A text, or what a function says now."""
    return given if isinstance(given, str) else given()


class FolderDialog(FormDialog):
    """Asks for a folder that may be new.

    Attributes:
        path: The folder to write.
    """

    def __init__(self, window: WindowApi, title: str, sentence: str, action: str, what: str) -> None:
        """Ask in a window; the folder offered is called by the model and by what it will be."""
        super().__init__(window.as_widget(), title, sentence, action)
        # Only signs that every file system takes.
        name = re.sub(r"[^\w.-]+", "-", window.document.model_name or "model")
        self.path = self.add_path(self.tr("Folder"), str(home() / f"{name} {what}"), pick="folder")

    def problem(self) -> str:
        """Why the folder cannot be written."""
        return path_problem(self.path.text(), self.folder_problem)

    def folder_problem(self, path: Path) -> str:
        """What speaks against a folder; raises OSError where it cannot be read."""
        if not self.path.text() or not path.parent.is_dir():
            return self.tr("Enter a folder. Its parent folder must exist.")
        if path.is_file():
            return self.tr("{path} is a file. Choose a folder.").format(path=path)
        if path.is_dir():
            # Raises where the folder cannot be read: its files are looked at before they are replaced.
            next(path.iterdir(), None)
        return ""
