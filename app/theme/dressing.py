"""Another style sheet for an application, put on some widgets at a time.

Qt puts it on all widgets at once, which takes 40 ms and more for a thousand. It passes over those that are said to
have a style of their own and were never polished: so they are told later, in parts, what Qt would have told them.
"""

from collections.abc import Iterator

from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

PART = 120
"""Widgets that are dressed at a time: under 10 ms."""
_OWN_STYLE, _POLISHED = Qt.WidgetAttribute.WA_SetStyle, Qt.WidgetAttribute.WA_WState_Polished


def dress(app: QApplication, sheet: str) -> Iterator[None]:
    """Put a style sheet on, in parts; has to be gone through to its end.

    Args:
        app: The application.
        sheet: The style sheet, "" to take it away.
    """
    later = [one for one in app.allWidgets() if one.testAttribute(_POLISHED) and not one.testAttribute(_OWN_STYLE)]
    for one in later:
        _set_aside(one, True)
    app.setStyleSheet(sheet)
    for start in range(0, len(later), PART):
        yield
        for one in later[start : start + PART]:
            if isValid(one):
                _set_aside(one, False)
                app.style().polish(one)
                QCoreApplication.sendEvent(one, QEvent(QEvent.Type.StyleChange))
                one.update()


def _set_aside(widget: QWidget, aside: bool) -> None:
    widget.setAttribute(_OWN_STYLE, aside)
    widget.setAttribute(_POLISHED, not aside)
