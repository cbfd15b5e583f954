"""Choose where models score, evaluate and train: each device with its memory and load, as they are at the moment."""

from itertools import pairwise

from PySide6.QtCore import QCoreApplication, QTimer, Slot
from PySide6.QtWidgets import QButtonGroup, QVBoxLayout, QWidget

from secateur.engine.machine.device_list import CPU, Device

from ..storage import settings
from ..text.format import percent, size
from ..widgets.check_boxes import CheckBox, RadioButton
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from .form import FormDialog
from .window_api import WindowApi


def device_facts(device: Device) -> str:
    """Memory and load as they are now, and the precision that serves there."""
    parts = [say("memory unknown")]
    if device.total:
        parts = [say("{free} free of {total}").format(free=size(device.free), total=size(device.total))]
    if device.load is not None:
        parts.append(say("{share} busy").format(share=percent(device.load, 0)))
    if not device.half:
        parts.append(say("float32 only"))
    elif device.fast:
        parts.append(say("mixed precision in {type}").format(type=device.half))
    return " \u00b7 ".join(parts)


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate("Devices", text)


REFRESH = 2000
"""Milliseconds between two looks at the devices."""
INDENT = 24
"""Of the rows below a device's name, in device-independent pixels."""


class DeviceRow(QWidget):
    """A device: its name to choose it by, how full its memory is, and how busy it is.

    Attributes:
        chosen: The button.
        used: How much of its memory is used.
        facts: The same in words, with load and precision.
    """

    def __init__(self, device: Device) -> None:
        """Show a device."""
        super().__init__()
        self.chosen = RadioButton()
        self.used = ProgressBar()
        self.facts = label(role="caption", wrap=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 6)
        column.setSpacing(3)
        below = QVBoxLayout()
        below.setContentsMargins(INDENT, 0, 0, 0)
        below.setSpacing(3)
        below.addWidget(self.used)
        below.addWidget(self.facts)
        column.addWidget(self.chosen)
        column.addLayout(below)
        self.show_device(device)

    def show_device(self, device: Device) -> None:
        """Show it as it is now."""
        words = device_facts(device)
        self.chosen.setText(f"{device.name}, {device.title}" if device.title else device.name)
        self.chosen.setAccessibleDescription(words)
        self.facts.setText(words)
        self.used.setVisible(device.total > 0)
        self.used.setAccessibleName(self.tr("Memory used of {device}").format(device=device.name))
        if device.total:
            self.used.setValue(round(100 * (1 - device.free / device.total)))


class DeviceDialog(FormDialog):
    """The dialog.

    Attributes:
        rows: By the name of a device.
        default: Begin with this device from now on.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Scores, evaluation, repair and training run there. Analysis, cuts and their verification run on the CPU."
        )
        super().__init__(window.as_widget(), self.tr("Device"), sentence, self.tr("Use this device"))
        self._window, self._watch = window, window.workbench.devices
        self.rows: dict[str, DeviceRow] = {}
        self._group = QButtonGroup(self)
        self.looking = label(self.tr("Asking the engine for its devices"), "caption")
        self.form.addRow(self.looking)
        self.default = CheckBox(self.tr("Begin with this device from now on"))
        self.form.addRow(self.default)
        self._watch.updated.connect(self.show_devices)
        self._clock = QTimer(self, interval=REFRESH)
        self._clock.timeout.connect(self._watch.look)
        self._clock.start()
        if self._watch.known:
            self.show_devices(self._watch.known)
        self._watch.look()
        self.check()

    @property
    def device(self) -> str:
        """The chosen one, "" for none."""
        return next((name for name, row in self.rows.items() if row.chosen.isChecked()), "")

    @Slot(object)
    def show_devices(self, devices: tuple[Device, ...]) -> None:
        """Show devices as they are now; one that is new gets a row."""
        present = self._window.document.contents.device
        self.form.setRowVisible(self.looking, False)
        for place, one in enumerate(devices, 1):
            if (row := self.rows.get(one.name)) is not None:
                row.show_device(one)
                continue
            row = self.rows[one.name] = DeviceRow(one)
            self._group.addButton(row.chosen)
            row.chosen.toggled.connect(self.check)
            self.form.insertRow(place, row)
            if one.name == present:
                row.chosen.setChecked(True)
                row.chosen.setFocus()
        buttons = [*(row.chosen for row in self.rows.values()), self.default]
        for before, after in pairwise(buttons):
            self.setTabOrder(before, after)
        self.check()

    def problem(self) -> str:
        """That none is chosen."""
        return "" if self.device else self.tr("Choose a device.")

    def act(self) -> None:
        """Compute on the chosen one."""
        device = self.device or CPU
        if self.default.isChecked():
            settings.store(settings.DEVICE, device)
        self._window.workbench.model.set_device(device)
