"""The tour goes on as its steps are done, by its own button or by any other, and ends wherever it is stopped."""

import numpy as np
import pytest
from PySide6.QtCore import Qt

from secateur.app.document.aspects import Aspect, Selection
from secateur.app.widgets.buttons import is_available
from secateur.app.window.main_window import MainWindow
from secateur.app.window.tour import STEPS, Tour
from secateur.engine.export.protocol import Exported
from secateur.engine.session.states import StateKind
from tests.app.playing import Player
from tests.app.stand_in import state_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(main: MainWindow, qtbot) -> MainWindow:
    main.resize(1024, 700)
    qtbot.waitUntil(lambda: main.area is not None and main.area.isVisible())
    return main


def at(tour: Tour) -> int:
    return int(tour.title.text().split(" ")[0])


def test_nobody_is_taken_on_a_tour_unasked(window: MainWindow) -> None:
    assert window.tour.isHidden() and window.tour.ring.isHidden()
    window.run_command("help.tour")
    assert window.tour.isVisible() and at(window.tour) == 1 and len(STEPS) == 6


def test_the_tour_goes_on_by_what_is_done_in_the_window(window: MainWindow, player: Player, qtbot) -> None:
    tour, document = window.tour, player.document
    window.run_command("help.tour")
    qtbot.mouseClick(tour.ahead, LEFT)  # a model is open already
    assert at(tour) == 2 and tour.ring.isVisible() and tour.act.isHidden()
    document.select(Selection("layer1.0.conv1"))
    qtbot.waitUntil(lambda: at(tour) == 3)
    assert tour.act.text() == "Suggest plan"
    qtbot.mouseClick(tour.act, LEFT)
    qtbot.waitUntil(lambda: document.marked.any())
    qtbot.waitUntil(lambda: at(tour) == 4)
    qtbot.mouseClick(tour.act, LEFT)
    assert document.analysis is not None
    removed = np.asarray(player.link.asked("cut")[1])
    player.answer("cut", state_of(document.analysis, "s1", "s0", StateKind.CUT, removed, 0.4, 0.5))
    qtbot.waitUntil(lambda: at(tour) == 5)


def test_the_tour_is_stopped_at_any_step_and_ends_behind_the_last(window: MainWindow, qtbot) -> None:
    tour = window.tour
    for steps in range(6):
        window.run_command("help.tour")
        for _ in range(steps):
            qtbot.mouseClick(tour.ahead, LEFT)
        assert at(tour) == steps + 1 and tour.back.isEnabled() == (steps > 0)
        qtbot.mouseClick(tour.stop, LEFT)
        assert tour.isHidden() and tour.ring.isHidden()
        window.document.announce(Aspect.JOBS)
        assert tour.isHidden()
    window.run_command("help.tour")
    tour.ahead.setFocus()
    for _ in range(6):
        qtbot.keyClick(tour.ahead, Qt.Key.Key_Space)
    assert tour.isHidden()


def test_the_focus_stays_where_it_is_and_goes_back_where_it_was(window: MainWindow, player: Player, qtbot) -> None:
    tour, document = window.tour, player.document
    window.activateWindow()
    window.top_bar.primary.setFocus()
    window.run_command("help.tour")
    tour.go(2)
    tour.act.setFocus()
    qtbot.keyClick(tour.act, Qt.Key.Key_Space)
    document.take_jobs((), None)
    qtbot.waitUntil(lambda: at(tour) == 4)
    qtbot.keyClick(tour.act, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: not is_available(tour.act))
    assert window.focusWidget() is tour.act, "nothing can be cut beside a cut"
    player.stop("cut")
    tour.go(1)
    assert tour.act.isHidden() and window.focusWidget() is tour.ahead
    qtbot.keyClick(tour.ahead, Qt.Key.Key_Tab)
    tour.back.setFocus()
    qtbot.keyClick(tour.back, Qt.Key.Key_Space)
    assert at(tour) == 1 and window.focusWidget() is tour.back and not is_available(tour.back)
    tour.stop.setFocus()
    qtbot.keyClick(tour.stop, Qt.Key.Key_Space)
    assert tour.isHidden() and window.focusWidget() is window.top_bar.primary


def test_the_tour_lies_beside_a_receipt_and_ends_with_the_export(window: MainWindow, player: Player, qtbot) -> None:
    tour, document = window.tour, player.document
    exported = Exported("onnx", ("net.onnx",), 3e-7, None, 1_530_000)
    window.run_command("help.tour")
    document.take_export("s0", exported)
    qtbot.waitUntil(window.receipt.isVisible)
    tour.go(5)
    assert tour.isVisible() and not tour.geometry().intersects(window.receipt.geometry())
    document.show_receipt(None)
    document.take_export("s0", exported)
    qtbot.waitUntil(tour.isHidden)
    assert window.receipt.isVisible()


def test_the_tour_does_not_cover_what_it_points_at(window: MainWindow, qtbot) -> None:
    tour = window.tour
    window.run_command("help.tour")
    for _ in STEPS:
        assert tour.ring.isVisible() and not tour.geometry().intersects(tour.ring.geometry())
        qtbot.mouseClick(tour.ahead, LEFT)
