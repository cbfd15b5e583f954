"""The command palette: type a few letters of any command; what cannot be done now is greyed, with the reason."""

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Slot
from PySide6.QtGui import QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QDialog, QHeaderView, QLineEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout

from ..commands.command import Command
from ..commands.registry import COMMANDS
from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..theme import px

ROW = 26
"""Height of a command in device-independent pixels."""
KEYS = 0.3
"""Share of the width that shortcuts may take."""
MOVES = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


def rank(query: str, title: str) -> int:
    """How well a title answers a query, smaller is better; -1 where its letters do not occur in that order."""
    text, at, cost = title.casefold(), -1, 0
    for letter in query.casefold().replace(" ", ""):
        found = text.find(letter, at + 1)
        if found < 0:
            return -1
        starts = found == 0 or not text[found - 1].isalnum()
        cost += 0 if found == at + 1 or starts else found - at
        at = found
    return cost


def answers(query: str, command: Command, document: Document) -> tuple[int, int] | None:
    """The place of a command in the list, smaller is earlier: by its title, else by the words of its explanation."""
    if (cost := rank(query, command.title_now(document))) >= 0:
        return 0, cost
    explanation = command.explanation().casefold()
    return (1, 0) if all(word in explanation for word in query.casefold().split()) else None


class CommandPalette(QDialog):
    """A box to type into and the commands that match."""

    def __init__(self, window: WindowApi) -> None:
        """Show all commands of a window."""
        super().__init__(window.as_widget())
        self._window = window
        self.setWindowTitle(self.tr("Command palette"))
        self.resize(680, 460)
        self.box = QLineEdit(placeholderText=self.tr("Type a command"))
        self.box.setAccessibleName(self.tr("Command to find"))
        table = QTreeWidget()
        table.setAccessibleName(self.tr("Commands"))
        table.setColumnCount(3)
        table.setHeaderHidden(True)
        table.setRootIsDecorated(False)
        table.setUniformRowHeights(True)
        table.setProperty("role", "commands")
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.header().setStretchLastSection(False)
        table.header().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.list = table
        layout = QVBoxLayout(self)
        layout.addWidget(self.box)
        layout.addWidget(self.list)
        layout.setContentsMargins(12, 12, 12, 12)
        self.box.textChanged.connect(self.fill)
        self.box.returnPressed.connect(self.choose)
        self.list.itemActivated.connect(self.choose)
        self.box.installEventFilter(self)
        self.fill("")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width has room for more of the reasons."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        """Names and keys as wide as they are, as far as there is room; reasons in the rest."""
        room = self.list.viewport().width()
        keys = min(self.list.sizeHintForColumn(2), round(KEYS * room))
        name = min(self.list.sizeHintForColumn(0), room - keys)
        for column, width in enumerate((name, room - keys - name, keys)):
            self.list.setColumnWidth(column, width)

    @Slot(str)
    def fill(self, query: str) -> None:
        """List what matches, best first."""
        document = self._window.document
        places = {one.id: answers(query, one, document) for one in COMMANDS}
        found = sorted((one for one in COMMANDS if places[one.id]), key=lambda one: places[one.id] or (0, 0))
        self.list.clear()
        self.list.addTopLevelItems([self._item(one) for one in found])
        self._share_room()
        if (first := self.list.topLevelItem(0)) is not None:
            return self.list.setCurrentItem(first)
        nothing = QTreeWidgetItem(["", self.tr("No command found. Try another word.")])
        nothing.setFlags(Qt.ItemFlag.NoItemFlags)
        self.list.addTopLevelItem(nothing)

    def _item(self, command: Command) -> QTreeWidgetItem:
        document = self._window.document
        reason = command.enabled(document)
        keys = QKeySequence(command.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
        item = QTreeWidgetItem([command.title_now(document), reason, keys])
        item.setData(0, Qt.ItemDataRole.UserRole, command.id)
        muted = self.palette().placeholderText()
        # Only the height counts: this column takes the width that is left.
        item.setSizeHint(1, QSize(0, px(ROW)))
        for column in range(3):
            item.setToolTip(column, command.tip_now(self._window.workbench))
            if reason or column == 2:
                item.setForeground(column, muted)
        return item

    @Slot()
    def choose(self) -> None:
        """Run the chosen command; one that cannot be done now stays where it is, with its reason."""
        item = self.list.currentItem()
        command = next((c for c in COMMANDS if item and c.id == item.data(0, Qt.ItemDataRole.UserRole)), None)
        if command is not None and not command.enabled(self._window.document):
            self.accept()
            self._window.run_command(command.id)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys in the box move in the list."""
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress and event.key() in MOVES:
            self.list.event(event)
            return True
        return super().eventFilter(watched, event)
