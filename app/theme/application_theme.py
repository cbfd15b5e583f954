"""The present look: follows the system or a choice, switches live, and has plots recolour.

Widgets that paint themselves read `tokens()` in their `paintEvent` (a new style sheet repaints them). Only what keeps
colours of its own, as plots do, listens to `Theme.changed`.

A switch takes several turns of the event loop, so that the window answers in between. Where the application's style
sheet is replaced, Qt dresses each widget once for itself and once for each of its ancestors. One that is taken away and
then set again costs a third, and both go in parts. Meanwhile windows keep their picture: none is seen half switched.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import TypeAlias

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFont, QFontDatabase
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from .design_tokens import CONTRAST, DARK, LARGEST, LIGHT, SMALLEST, Sizes, Tokens
from .style import palette, style_sheet

Step: TypeAlias = Callable[[], Iterator[None] | None]
"""What is done at once, or in parts."""
PAUSE = 1
"""Milliseconds between two steps: other timers, and what a step has others do, come before the next."""
_DONE = object()
PART = 120
"""Widgets that are dressed at a time: under 10 ms."""
_OWN_STYLE, _POLISHED = Qt.WidgetAttribute.WA_SetStyle, Qt.WidgetAttribute.WA_WState_Polished


class Scheme(StrEnum):
    """What the user chose."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"
    CONTRAST = "contrast"


class Switching(QObject):
    """Takes the steps of a switch, one a turn, or one part of a step."""

    def __init__(self, parent: QObject) -> None:
        """Nothing is under way."""
        super().__init__(parent)
        self._steps: list[Step] = []
        self._parts: Iterator[None] = iter(())
        self._still: list[QWidget] = []
        self._turns = QTimer(self, interval=PAUSE, singleShot=True)
        self._turns.timeout.connect(self._take_part)

    @property
    def busy(self) -> bool:
        """Steps are left, or windows are not painted."""
        return self._turns.isActive()

    def begin(self, steps: Iterable[Step]) -> None:
        """Take these steps from the next turn on; those that an earlier switch has not begun are dropped."""
        self._steps = list(steps)
        for window in QApplication.topLevelWidgets():
            if window.isVisible() and window.updatesEnabled():
                window.setUpdatesEnabled(False)
                self._still.append(window)
        self._turns.start()

    def end(self) -> None:
        """Finish the step that was begun, drop what is left; windows are painted again."""
        self._turns.stop()
        self._steps.clear()
        take_all(self._parts)
        still, self._still = self._still, []
        for window in still:
            if isValid(window):
                window.setUpdatesEnabled(True)

    @Slot()
    def _take_part(self) -> None:
        # Started first: a step that raises must not leave windows without painting.
        self._turns.start()
        if next(self._parts, _DONE) is not _DONE:
            return
        if self._steps:
            self._parts = self._steps.pop(0)() or iter(())
        else:
            self.end()


def take_all(parts: Iterator[None] | None) -> None:
    """All parts of a step at once."""
    for _ in parts or ():
        pass


def dress(app: QApplication, sheet: str) -> Iterator[None]:
    """Put a style sheet on, in parts; has to be gone through to its end.

    Qt puts it on all widgets at once, which takes 40 ms and more for a thousand. It passes over those that seem to have
    a style of their own and were never polished: so they get later, in parts, what Qt would have done.

    Args:
        app: The application.
        sheet: The style sheet, "" to take it away.
    """
    # Qt passes over these now; their turn comes below, so that no single turn of the event loop takes long.
    later = [one for one in app.allWidgets() if one.testAttribute(_POLISHED) and not one.testAttribute(_OWN_STYLE)]
    for one in later:
        _hide_from_qt(one, True)
    app.setStyleSheet(sheet)
    for start in range(0, len(later), PART):
        yield
        for one in later[start : start + PART]:
            if isValid(one):
                _hide_from_qt(one, False)
                app.style().polish(one)
                QCoreApplication.sendEvent(one, QEvent(QEvent.Type.StyleChange))
                one.update()


def _hide_from_qt(widget: QWidget, aside: bool) -> None:
    widget.setAttribute(_OWN_STYLE, aside)
    widget.setAttribute(_POLISHED, not aside)


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
        app.styleHints().colorSchemeChanged.connect(self._follow_system)

    @property
    def switching(self) -> bool:
        """A switch is under way: what is seen is the look from before."""
        return self._switching.busy

    def choose(self, scheme: Scheme) -> None:
        """Take a look now, all at once."""
        self._take(scheme, self.sizes.body)
        self._switching.end()
        for step in (self._announce,) if self._worn == (self.tokens, self.sizes) else self._steps:
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
        else:
            # Light as the system has it, after light as chosen: nothing looks different.
            self._announce()

    def _take(self, scheme: Scheme, body: int) -> None:
        self.scheme, self.sizes = scheme, Sizes(min(max(body, SMALLEST), LARGEST))
        dark = scheme is Scheme.DARK or (scheme is Scheme.SYSTEM and self._system_scheme() is Qt.ColorScheme.Dark)
        self.tokens = CONTRAST if scheme is Scheme.CONTRAST else DARK if dark else LIGHT

    @property
    def _steps(self) -> tuple[Step, ...]:
        return self._undress, self._set_font, self._dress, self._announce

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

    def _announce(self) -> None:
        self.changed.emit()

    @property
    def _app(self) -> QApplication:
        app = self.parent()
        assert isinstance(app, QApplication)
        return app

    @staticmethod
    def _system_scheme() -> Qt.ColorScheme:
        """What the system says now; tests say something else."""
        return QApplication.styleHints().colorScheme()

    @Slot()
    def _follow_system(self) -> None:
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
    """The application's look; a light one when none was applied."""
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
