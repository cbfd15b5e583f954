"""Tabs over widgets that come and go many at a time: those taken away stay hidden below, so nothing is styled anew.

`QTabWidget` gives each widget another parent when it is added; the style sheet is then applied to all that is in it: a
few milliseconds for each, several frames for a page of panels.
"""

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget


class Tabs(QWidget):
    """A bar of tabs that can be dragged, and the widget of the one in front.

    Attributes:
        bar: The tabs.

    Signals:
        double_clicked: On the tab of that widget.
    """

    double_clicked = Signal(QWidget)

    def __init__(self, name: str) -> None:
        """Begin without tabs; `name` is read out."""
        super().__init__()
        self.bar, self._stack = QTabBar(), QStackedWidget()
        self.bar.setDocumentMode(True)
        self.bar.setExpanding(False)
        self.bar.setDrawBase(False)
        self.bar.setMovable(True)
        self.setAccessibleName(name)
        self.bar.setAccessibleName(name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self._stack, 1)
        self.bar.currentChanged.connect(self._show_current)
        self.bar.tabBarDoubleClicked.connect(lambda index: self.double_clicked.emit(self.widgets()[index]))

    def widgets(self) -> list[QWidget]:
        """Those of all tabs, as they lie from left to right."""
        return [self.bar.tabData(index) for index in range(self.bar.count())]

    def texts(self) -> list[str]:
        """The titles of all tabs, as they lie from left to right."""
        return [self.bar.tabText(index) for index in range(self.bar.count())]

    def fill(self, tabs: Sequence[tuple[QWidget, str]]) -> None:
        """Have these widgets with these titles, the first in front; all others are taken away."""
        if self.widgets() == [widget for widget, _ in tabs]:
            return
        with QSignalBlocker(self.bar):
            while self.bar.count():
                self.bar.removeTab(0)
            for widget, title in tabs:
                if self._stack.indexOf(widget) < 0:
                    self._stack.addWidget(widget)
                self.bar.setTabData(self.bar.addTab(title), widget)
        self._show_current(self.bar.currentIndex())

    def current(self) -> QWidget | None:
        """The one in front, None without tabs."""
        return self.bar.tabData(self.bar.currentIndex())

    def show_widget(self, widget: QWidget) -> None:
        """Bring a widget to the front, if it has a tab."""
        if widget in self.widgets():
            self.bar.setCurrentIndex(self.widgets().index(widget))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+Tab goes through the tabs, from within them too."""
        step = {Qt.Key.Key_Tab: 1, Qt.Key.Key_Backtab: -1}.get(Qt.Key(event.key()), 0)
        if step and event.modifiers() & Qt.KeyboardModifier.ControlModifier and self.bar.count():
            self.bar.setCurrentIndex((self.bar.currentIndex() + step) % self.bar.count())
        else:
            super().keyPressEvent(event)

    @Slot(int)
    def _show_current(self, index: int) -> None:
        if index >= 0:
            self._stack.setCurrentWidget(self.bar.tabData(index))
