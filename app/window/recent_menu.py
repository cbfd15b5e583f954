"""What was opened recently, as a menu: filled whenever it is opened, so that files that are gone are not offered."""

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QMenu

from ..dialogs.window_api import WindowApi
from ..storage import settings


class RecentMenu(QMenu):
    """Entries that open again, and one that forgets all."""

    def __init__(self, window: WindowApi, parent: QMenu, forgotten: Callable[[], None]) -> None:
        """Stand in a menu of a window; `forgotten` is told when the list was cleared."""
        super().__init__(parent)
        self._window, self._forgotten = window, forgotten
        self.setTitle(self.tr("Open recent"))
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.fill)

    @Slot()
    def fill(self) -> None:
        """List what is there now."""
        self.clear()
        entries = self._window.workbench.sessions.recent_models()
        for title, source in entries:
            action = self.addAction(title.replace("&", "&&"))
            action.setToolTip(source)
            action.setEnabled(not self._window.document.busy)
            action.triggered.connect(lambda _checked=False, path=source: self._window.reopen(path))
        self.addSeparator()
        forget = self.addAction(self.tr("Clear this list"), self._forget)
        forget.setEnabled(bool(entries))

    @Slot()
    def _forget(self) -> None:
        settings.forget(self._window.document.engine.place)
        self._forgotten()
