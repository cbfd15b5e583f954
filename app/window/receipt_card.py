"""The receipt of what was written: where it is, what it is worth, and what to do with it.

It covers a corner of the window, so that nothing moves for it, and takes no focus.
"""

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QWidget

from secateur.engine.export.usage import command_line, place_of

from ..document.document import Document
from ..document.job_state import FolderReceipt, Receipt
from ..text.receipts import format_title, receipt_lines, receipt_notes
from ..widgets.buttons import button
from ..widgets.card import Card, corner_place
from ..widgets.flow import FlowLayout
from ..widgets.labels import ElidedLabel, label

WIDTH, GAP = 460, 12
"""Of the card, and around it, in device-independent pixels."""


class ReceiptCard(Card):
    """Hidden while no receipt is out; it stays until it is closed, and the history brings it back.

    Attributes:
        title: The format, or what else it is.
        path: The file or folder.
        facts: Of an export difference, metric, size, latency, opset, one a line; else how to go on.
        notes: What the file does less than the model.
        folder: Opens its folder.
        copy_path: Copies the path.
        copy_command: Copies a command line that runs it, where there is one.
        dismiss: Puts the receipt away.
    """

    def __init__(self, document: Document, over: QWidget) -> None:
        """Show a document's receipt in the corner of a widget."""
        super().__init__(over, role="floating")
        self._document, self._over = document, over
        self.title, self.path = label(role="strong"), ElidedLabel()
        self.facts, self.notes = label(role="caption", wrap=True), label(role="caption", wrap=True)
        self.folder, self.copy_path = button(self.tr("Open folder")), button(self.tr("Copy path"))
        self.copy_command = button(self.tr("Copy command to run it"))
        self.dismiss = button(self.tr("Close"), "link")
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.dismiss)
        self.body.addLayout(head)
        for each in (self.path, self.facts, self.notes):
            self.body.addWidget(each)
        ways = QWidget()
        row = FlowLayout(ways, gap=8)
        for each in (self.folder, self.copy_path, self.copy_command):
            row.addWidget(each)
        self.body.addWidget(ways)
        self.folder.clicked.connect(self._open_folder)
        self.copy_path.clicked.connect(self._copy_path)
        self.copy_command.clicked.connect(self._copy_command)
        self.dismiss.clicked.connect(lambda: document.show_receipt(None))
        over.installEventFilter(self)
        self.hide()

    def refresh(self) -> None:
        """Show the receipt that is out; the window calls it, as the dispatcher passes over hidden views."""
        receipt, document = self._document.contents.receipt, self._document
        if receipt is None:
            return self.hide()
        match receipt:
            case Receipt(state, exported):
                self.title.setText(self.tr("Exported, {0}").format(format_title(exported)))
                lines = receipt_lines(exported, document.contents.states.get(state), document.target)
                self.facts.setText("\n".join(lines))
                self.notes.setText(receipt_notes(exported))
                tip = self.tr("A command line that loads it and runs it once")
                kept = self.tr("The history keeps the receipt")
            case FolderReceipt(title, _, facts):
                self.title.setText(title)
                self.facts.setText("\n".join(facts))
                self.notes.clear()
                tip, kept = self.tr("The command that is run there"), ""
        self.path.setText(str(_place(receipt)))
        self.facts.setVisible(bool(self.facts.text()))
        self.notes.setVisible(bool(self.notes.text()))
        self.copy_command.setVisible(not isinstance(receipt, FolderReceipt) or bool(receipt.command))
        self.copy_command.setToolTip(tip)
        self.dismiss.setToolTip(kept)
        self.setAccessibleName(f"{self.title.text()}: {self.facts.text()}")
        self.show()
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep to the corner of the widget below."""
        if event.type() is QEvent.Type.Resize and not self.isHidden():
            self._place()
        return False

    def changeEvent(self, event: QEvent) -> None:
        """Larger text needs more room."""
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange and not self.isHidden():
            self._place()

    def _place(self) -> None:
        self.setGeometry(corner_place(self, self._over.size(), WIDTH, GAP))
        self.raise_()

    @Slot()
    def _open_folder(self) -> None:
        if self._document.contents.receipt is not None:
            place = _place(self._document.contents.receipt)
            folder = place if place.is_dir() else place.parent
            if not (folder.is_dir() and QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))):
                self._document.tell(self.tr("No program opens the folder {0}.").format(folder))

    @Slot()
    def _copy_path(self) -> None:
        if self._document.contents.receipt is not None:
            QGuiApplication.clipboard().setText(str(_place(self._document.contents.receipt)))
            self._document.tell(self.tr("Path copied."))

    @Slot()
    def _copy_command(self) -> None:
        receipt = self._document.contents.receipt
        if receipt is None:
            return
        command = receipt.command if isinstance(receipt, FolderReceipt) else command_line(receipt.exported)
        if command:
            QGuiApplication.clipboard().setText(command)
        self._document.tell(self.tr("Command copied.") if command else self.tr("No command is known for this format."))


def _place(receipt: Receipt | FolderReceipt) -> Path:
    """The file or folder on the disk."""
    return Path(receipt.path) if isinstance(receipt, FolderReceipt) else place_of(receipt.exported)
