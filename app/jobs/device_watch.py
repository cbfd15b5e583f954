"""The devices of the engine's machine now: asked outside the job queue, also while a job runs."""

import math
from itertools import count
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from secateur.engine.machine.device_list import Device

from .engine_supervisor import ASIDE
from .job_runner import JobRunner


class DeviceWatch(QObject):
    """Asks for devices.

    Attributes:
        known: The last answer.

    Signals:
        told: tuple of Device in the engine's order, the CPU first.
    """

    told = Signal(object)

    def __init__(self, runner: JobRunner) -> None:
        """Ask the engine that a runner has."""
        super().__init__(runner)
        self._runner, self._tickets, self._asked = runner, count(ASIDE), 0
        self.known: tuple[Device, ...] = ()
        if runner.link is not None:
            runner.link.finished.connect(self._on_finished)
            runner.link.failed.connect(self._on_failed)

    def look(self) -> None:
        """Ask, unless an answer is still to come; the engine is started for it."""
        if self._runner.link is None or self._asked:
            return
        self._runner.start()
        self._asked = next(self._tickets)
        self._runner.link.call(self._asked, "devices")

    def free_of(self, device: str) -> float:
        """Bytes of memory that were free on a device when it was looked at last, NaN unknown."""
        return next((float(one.free) for one in self.known if one.name == device and one.total), math.nan)

    @Slot(object, object)
    def _on_finished(self, ticket: int, result: Any) -> None:
        if ticket == self._asked:
            self._asked, self.known = 0, result
            self.told.emit(result)

    @Slot(object, object)
    def _on_failed(self, ticket: int, _error: object) -> None:
        # The engine has gone, or is an older one without this call: ask again next time.
        if ticket == self._asked:
            self._asked = 0
