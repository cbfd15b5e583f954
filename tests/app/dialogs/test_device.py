"""The devices of the engine's machine: as they stand now, also while a job runs, and the one that is used."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from PySide6.QtCore import Qt
from shiboken6 import isValid

from secateur.app.dialogs.device import DeviceDialog
from secateur.app.jobs.engine_link import ASIDE
from secateur.app.storage import settings
from secateur.app.window.status_bar import StatusBar
from secateur.engine.errors import EngineLost
from secateur.engine.jobs import Cancelled
from secateur.engine.machine.device_list import Device
from tests.app.playing import Player, Window

LEFT = Qt.MouseButton.LeftButton
PROCESSOR = Device("cpu", "EPYC", 64_000_000_000, 40_000_000_000, 0.5, "bfloat16", False, True)
CARD = Device("cuda:0", "H100", 80_000_000_000, 72_000_000_000, None, "bfloat16", True, True)


@pytest.fixture
def dialog(player: Player, qtbot) -> Iterator[DeviceDialog]:
    window = Window(player.workbench)
    qtbot.addWidget(window)
    dialog = DeviceDialog(window)
    dialog.open()
    yield dialog
    if isValid(dialog):
        dialog.reject()
    for job in player.workbench.runner.queue.jobs():
        player.link.failed.emit(job.id, Cancelled())


def test_devices_are_shown_with_memory_and_load_and_one_is_used(dialog: DeviceDialog, player: Player, qtbot) -> None:
    assert player.link.last("devices") >= ASIDE and not dialog.accept_button.isEnabled()
    player.answer("devices", (PROCESSOR, CARD))
    assert list(dialog.rows) == ["cpu", "cuda:0"] and dialog.device == "cpu"
    row = dialog.rows["cuda:0"]
    assert row.chosen.text() == "cuda:0, H100" and row.used.value() == 10
    assert "72.0 GB free of 80.0 GB" in row.facts.text() and "busy" not in row.facts.text()
    assert "50 % busy" in dialog.rows["cpu"].facts.text()
    row.chosen.setChecked(True)
    dialog.default.setChecked(True)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert player.document.contents.device == "cuda:0" and player.link.asked("use_device") == ("cuda:0",)
    assert settings.value(settings.DEVICE, "") == "cuda:0"
    words = partial(player.workbench.estimator.words, "recover", "s0", player.document.recovery)
    assert "of memory" in words() and "is free now" not in words()
    player.workbench.devices.look()
    player.answer("devices", (PROCESSOR, replace(CARD, free=1000)))
    assert "Only 1 kB of memory is free now" in words()


def test_the_line_at_the_bottom_names_the_device(player: Player, qtbot) -> None:
    bar = StatusBar(player.workbench)
    qtbot.addWidget(bar)
    player.link.ready.emit(2)
    player.workbench.model.set_device("cuda:0")
    player.answer("use_device", "cuda:0")
    player.settle()
    assert bar.facts.text().startswith("cuda:0 \u00b7 CPU, 2 threads")
    for job in player.workbench.runner.queue.jobs():
        player.link.failed.emit(job.id, Cancelled())


def test_they_are_asked_again_and_what_was_chosen_stays(dialog: DeviceDialog, player: Player) -> None:
    player.answer("devices", (PROCESSOR, CARD))
    dialog.rows["cuda:0"].chosen.setChecked(True)
    first = player.link.last("devices")
    player.workbench.devices.look()
    assert player.link.last("devices") == first + 1
    player.workbench.devices.look()
    assert player.link.last("devices") == first + 1, "one question at a time"
    player.answer("devices", (PROCESSOR, replace(CARD, free=8_000_000_000)))
    assert dialog.device == "cuda:0" and dialog.rows["cuda:0"].used.value() == 90
    player.workbench.devices.look()
    player.link.failed.emit(first + 2, EngineLost("engine.lost", "The engine stopped."))
    player.workbench.devices.look()
    assert player.link.last("devices") == first + 3
