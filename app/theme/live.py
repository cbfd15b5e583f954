"""The present look: follows the system or a choice, switches live, and tells plots to recolour.

Widgets that paint themselves read `tokens()` in their `paintEvent` (a new style sheet repaints them); only what keeps
colours of its own, as plots do, listens to `Theme.changed`.
"""

from enum import StrEnum

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QFont, QFontDatabase
from PySide6.QtWidgets import QApplication

from .palette import palette
from .style import style_sheet
from .values import BODY, DARK, LIGHT, Tokens


class Scheme(StrEnum):
    """What the user chose."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Theme(QObject):
    """The look of one application, its child.

    Attributes:
        tokens: The present look.
        scheme: What was chosen.

    Signals:
        changed: The look is another one now.
    """

    changed = Signal()

    def __init__(self, app: QApplication) -> None:
        """Belong to the application; nothing is applied yet."""
        super().__init__(app)
        self.tokens: Tokens = LIGHT
        self.scheme = Scheme.SYSTEM
        app.styleHints().colorSchemeChanged.connect(self._system_changed)

    def choose(self, scheme: Scheme) -> None:
        """Take a look now."""
        self.scheme = scheme
        app = self.parent()
        assert isinstance(app, QApplication)
        dark = scheme is Scheme.DARK or (scheme is Scheme.SYSTEM and self._system_scheme() is Qt.ColorScheme.Dark)
        self.tokens = DARK if dark else LIGHT
        app.setPalette(palette(self.tokens))
        app.setStyleSheet(style_sheet(self.tokens))
        self.changed.emit()

    @staticmethod
    def _system_scheme() -> Qt.ColorScheme:
        """What the system says now."""
        return QApplication.styleHints().colorScheme()

    @Slot(Qt.ColorScheme)
    def _system_changed(self, _scheme: Qt.ColorScheme) -> None:
        if self.scheme is Scheme.SYSTEM:
            self.choose(self.scheme)


def apply(app: QApplication, scheme: Scheme | str = Scheme.SYSTEM) -> Theme:
    """Dress the application: Fusion, font, palette, style sheet. May be called again to switch."""
    found = _of(app)
    if found is None:
        app.setStyle("Fusion")
        app.setFont(body_font())
        found = Theme(app)
    found.choose(Scheme(scheme))
    return found


def body_font() -> QFont:
    """The system's own interface font, 12 px."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    font.setPixelSize(BODY)
    return font


def theme() -> Theme:
    """The application's look; a light one when nobody applied any."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return _of(app) or Theme(app)


def tokens() -> Tokens:
    """The present colours."""
    return theme().tokens


def _of(app: QApplication) -> Theme | None:
    found = app.findChild(Theme, options=Qt.FindChildOption.FindDirectChildrenOnly)
    return found if isinstance(found, Theme) else None
