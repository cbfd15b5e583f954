"""Fields for how it is chosen what stays, and how cuts are recovered: of every dialog that prunes unattended."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from secateur.engine.planning.protocol import Choose, Goal
from secateur.engine.recovery.budget import Budget, Unit
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.workflows.prune import PruneSettings

from ..document.document import Document
from ..widgets.fields import ComboBox, SpinBox
from .settings_fields import SettingsFields, trained_for, training_field


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate("WayFields", text)


class WayFields:
    """The rows.

    Attributes:
        choose: How it is chosen what stays.
        steps: In how many steps masks are learned.
        recovery: How each cut is recovered: "train", "repair" or "none".
        length: Of each recovery, in what its budget counts.
    """

    def __init__(
        self, document: Document, add_row: Callable[[str, QWidget], None], changed: Callable[[], None]
    ) -> None:
        """Add the rows; `changed` is called when one of them is."""
        self._document = document
        self._way = SettingsFields(PruneSettings(Goal(()), ""), add_row, ("choose", "mask_steps"))
        self.choose = cast("ComboBox", self._way.widgets["choose"])
        self.steps = cast("SpinBox", self._way.widgets["mask_steps"])
        self.recovery = ComboBox(say("Recovery"))
        self.recovery.addItem(say("fine-tune after each cut"), "train")
        self.recovery.addItem(say("repair without training"), "repair")
        self.recovery.addItem(say("none"), "none")
        add_row(self.recovery.accessibleName(), self.recovery)
        self.length = training_field(
            document.recovery,
            {
                Unit.EPOCHS: say("Epochs each"),
                Unit.STEPS: say("Steps each"),
                Unit.TOKENS: say("Tokens each"),
                Unit.MINUTES: say("Minutes each"),
            },
        )
        self.length.setToolTip(say("Other settings come from the Recovery tab"))
        add_row(self.length.accessibleName(), self.length)
        for each in (self.choose, self.recovery):
            each.currentIndexChanged.connect(changed)
        for each in (self.steps, self.length):
            each.valueChanged.connect(changed)

    def show(self, settings: PruneSettings) -> None:
        """Show how a goal was reached before, so that a run that was stopped goes on."""
        self.choose.setCurrentIndex(self.choose.findData(settings.choose))
        self.steps.setValue(settings.mask_steps)
        recovery = settings.recovery
        how = "none" if recovery is None else "train" if recovery.trains else "repair"
        self.recovery.setCurrentIndex(self.recovery.findData(how))
        if recovery is not None and recovery.trains and recovery.budget.unit is self._document.recovery.budget.unit:
            amount = recovery.budget.amount
            self.length.setValue(int(amount)) if isinstance(self.length, SpinBox) else self.length.setValue(amount)

    @property
    def way(self) -> Choose:
        """How it is chosen what stays."""
        return self._way.values()["choose"]

    @property
    def masks(self) -> bool:
        """Whether masks are learned."""
        return self.way is Choose.MASKS

    @property
    def trains(self) -> bool:
        """Whether cuts are fine-tuned."""
        return self.recovery.currentData() == "train"

    def enable(self, recovers: bool = True) -> None:
        """Enable the fields that count; without `recovers` nothing is recovered."""
        self.steps.setEnabled(self.masks)
        self.recovery.setEnabled(recovers)
        self.length.setEnabled(recovers and self.trains)

    def settings(self) -> RecoverySettings | None:
        """How each cut is recovered, None for not at all."""
        before, how = self._document.recovery, self.recovery.currentData()
        if how == "train":
            return trained_for(before, self.length.value())
        untrained = replace(before.within(Budget(Unit.EPOCHS, 0)), repair=Repair.AUTO)
        return untrained if how == "repair" else None

    def problem(self) -> str:
        """Why this way cannot be gone from the current state, "" where it can."""
        if self.masks and self._document.task is None:
            return say("Learning masks needs data. Attach it, or choose by scores.")
        if self.masks and self._document.contents.removed.any():
            return say("Masks are learned on a model of which nothing is cut. Go to the original first.")
        return ""
