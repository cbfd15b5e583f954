"""The present look: follows the system or a choice, switches live, and tells plots to recolour.

Widgets that paint themselves read `tokens()` in their `paintEvent` (a new style sheet repaints them); only what keeps
colours of its own, as plots do, listens to `Theme.changed`.
"""

from collections.abc import Iterator
from enum import StrEnum

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QFont, QFontDatabase
from PySide6.QtWidgets import QApplication

from .design_tokens import CONTRAST, DARK, LARGEST, LIGHT, SMALLEST, Sizes, Tokens
from .dressing import dress
from .palette import palette
from .style import style_sheet
from .switching import Step, Switching, take_all


class Scheme(StrEnum):
    """What the user chose."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"
    CONTRAST = "contrast"


class Theme(QObject):
    """The look of one application, its child.

    Attributes:
        tokens: The present look.
        scheme: What was chosen.
        sizes: The present sizes of text.
        still: Nothing moves that need not.

    Signals:
        changing: Colours or sizes are about to be others; what is seen is still as it was.
        changed: Colours or sizes are others now.
    """

    changing = Signal()
    changed = Signal()

    def __init__(self, app: QApplication) -> None:
        """Belong to the application; nothing is applied yet."""
        super().__init__(app)
        self.tokens: Tokens = LIGHT
        self.scheme = Scheme.SYSTEM
        self.sizes = Sizes()
        self.still = False
        self._flashing = QApplication.cursorFlashTime()
        self._worn: tuple[Tokens, Sizes] | None = None
        self._switching = Switching(self)
        app.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def switching(self) -> bool:
        """A switch is under way: what is seen is the look from before."""
        return self._switching.busy

    def choose(self, scheme: Scheme) -> None:
        """Take a look now, all at once."""
        self._take(scheme, self.sizes.body)
        self._switching.end()
        for step in (self._tell,) if self._worn == (self.tokens, self.sizes) else self._steps:
            take_all(step())

    def reduce_motion(self, still: bool) -> None:
        """Have nothing move that need not: cursors do not blink, bars of jobs whose length is unknown stand still."""
        self.still = still
        QApplication.setCursorFlashTime(0 if still else self._flashing)

    def resize(self, body: int) -> None:
        """Make all text smaller or larger now, all at once: `body` pixels for body text, within its bounds."""
        self._take(self.scheme, body)
        self.choose(self.scheme)

    def switch(self, scheme: Scheme | None = None, body: int = 0) -> None:
        """Take a look, or another size of text, in turns of the event loop; what is seen changes after the last."""
        self._take(scheme or self.scheme, body or self.sizes.body)
        if self.switching or self._worn != (self.tokens, self.sizes):
            self._switching.begin(self._steps)
        else:  # Light as the system has it, after light as chosen: nothing looks different.
            self._tell()

    def _take(self, scheme: Scheme, body: int) -> None:
        self.scheme, self.sizes = scheme, Sizes(min(max(body, SMALLEST), LARGEST))
        dark = scheme is Scheme.DARK or (scheme is Scheme.SYSTEM and self._system_scheme() is Qt.ColorScheme.Dark)
        self.tokens = CONTRAST if scheme is Scheme.CONTRAST else DARK if dark else LIGHT

    @property
    def _steps(self) -> tuple[Step, ...]:
        return self._undress, self._set_font, self._dress, self._tell

    def _undress(self) -> Iterator[None]:
        self._worn = None
        self.changing.emit()
        yield from dress(self._app, "")

    def _set_font(self) -> None:
        font = body_font(self.sizes)
        if font != QApplication.font():
            QApplication.setFont(font)

    def _dress(self) -> Iterator[None]:
        self._worn = (self.tokens, self.sizes)
        self._app.setPalette(palette(self.tokens))
        yield from dress(self._app, style_sheet(self.tokens, self.sizes))

    def _tell(self) -> None:
        self.changed.emit()

    @property
    def _app(self) -> QApplication:
        app = self.parent()
        assert isinstance(app, QApplication)
        return app

    @staticmethod
    def _system_scheme() -> Qt.ColorScheme:
        """What the system says now."""
        return QApplication.styleHints().colorScheme()

    @Slot(Qt.ColorScheme)
    def _system_changed(self, _scheme: Qt.ColorScheme) -> None:
        if self.scheme is Scheme.SYSTEM:
            self.switch()


def apply(app: QApplication, scheme: Scheme | str = Scheme.SYSTEM, body: int = 0) -> Theme:
    """Dress the application: Fusion, font, palette, style sheet. May be called again to switch.

    Args:
        app: The application.
        scheme: Light, dark, or as the system has it.
        body: Size of body text in device-independent pixels, 0 for the present one.
    """
    found = _of(app)
    if found is None:
        app.setStyle("Fusion")
        found = Theme(app)
        app.setFont(body_font(found.sizes))
    found.scheme = Scheme(scheme)
    if body and body != found.sizes.body:
        found.resize(body)
    else:
        found.choose(found.scheme)
    return found


def body_font(sizes: Sizes) -> QFont:
    """The system's own interface font, as large as body text."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    font.setPixelSize(sizes.body)
    return font


def theme() -> Theme:
    """The application's look; a light one when nobody applied any."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return _of(app) or Theme(app)


def tokens() -> Tokens:
    """The present colours."""
    return theme().tokens


def sizes() -> Sizes:
    """The present sizes of text."""
    return theme().sizes


def px(length: float) -> int:
    """A length that fits text of the first size, for the present one (device-independent pixels)."""
    return theme().sizes.px(length)


def _of(app: QApplication) -> Theme | None:
    found = app.findChild(Theme, options=Qt.FindChildOption.FindDirectChildrenOnly)
    return found if isinstance(found, Theme) else None
