"""The log shows its last line to who reads there, and leaves alone who reads further up."""

from PySide6.QtWidgets import QApplication

from secateur.app.panels.log import LogPanel
from tests.app.playing import Player


def test_it_follows_at_the_end_also_after_it_got_another_height(qtbot, player: Player) -> None:
    log, document = LogPanel(player.workbench), player.document
    qtbot.addWidget(log)
    log.resize(500, 260)
    log.show()
    qtbot.waitUntil(lambda: log.windowHandle().isExposed())
    for number in range(60):
        document.note(f"line {number}")
    log.show_all()
    bar = log.text.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    log.resize(500, 180)
    QApplication.processEvents()
    assert bar.value() == bar.maximum()
    document.note("the last")
    log.refresh()
    assert bar.value() == bar.maximum()
    bar.setValue(3)
    document.note("one more")
    log.refresh()
    assert bar.value() == 3


def test_lines_are_read_from_their_beginning(qtbot, player: Player) -> None:
    log, document = LogPanel(player.workbench), player.document
    qtbot.addWidget(log)
    log.resize(500, 260)
    across = log.text.horizontalScrollBar()
    for number in range(60):
        document.note(f"line {number} " + 30 * "has many words ")
        log.refresh()
    log.show()
    qtbot.waitUntil(lambda: log.windowHandle().isExposed())
    assert across.maximum() > 0 == across.value()
    document.note("short")
    log.refresh()
    document.note(60 * "long ")
    log.refresh()
    QApplication.processEvents()
    assert across.value() == 0
    across.setValue(40)
    document.note(60 * "long ")
    log.refresh()
    assert across.value() == 40
