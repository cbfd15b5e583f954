"""The window that dialogs are opened over."""

from collections.abc import Iterator

import pytest

from secateur.app.window.main_window import MainWindow
from tests.app.playing import Player


@pytest.fixture
def main(player: Player, qtbot) -> Iterator[MainWindow]:
    """The whole window, on an engine that the test plays."""
    window = MainWindow(player.workbench)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None)
    yield window
    window.document.take_jobs((), None)
    window.close()
