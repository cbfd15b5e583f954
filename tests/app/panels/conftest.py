"""Panels on a screen."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

Panel = TypeVar("Panel", bound=QWidget)


@pytest.fixture
def shown(qtbot: QtBot, dressed: QApplication) -> Callable[..., QWidget]:
    """Shows a panel in a size, and keeps it for the test."""
    kept: list[QWidget] = []

    def make(panel: Panel, width: int = 620, height: int = 400) -> Panel:
        kept.append(panel)
        qtbot.addWidget(panel)
        panel.resize(width, height)
        panel.setFocus()  # as in the window: nothing within it has the focus before somebody goes there
        panel.show()
        qtbot.waitUntil(lambda: panel.windowHandle().isExposed())
        return panel

    return make
