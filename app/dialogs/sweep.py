"""A sweep: several budgets, each cut and perhaps recovered, unattended; the points of the trade-off curve.

`WayFields`, how it is chosen what stays and how cuts are recovered, serve every dialog that prunes unattended.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from secateur.engine.planning.protocol import Choose, Cost, Goal
from secateur.engine.recovery.budget import Budget, Unit
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.workflows.prune import PruneRequest
from secateur.engine.workflows.sweep import BUDGETS

from ..document.document import Document
from ..text.titles import budget_title
from ..text.translate import counted
from ..widgets.fields import COSTS, ComboBox, CostBox, SpinBox
from ..widgets.labels import label
from .form import FormDialog
from .settings_fields import SettingsFields, is_valid, shares, trained_for, training_field
from .window_api import WindowApi


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
        self._way = SettingsFields(PruneRequest(Goal(()), ""), add_row, ("choose", "mask_steps"))
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

    def show(self, settings: PruneRequest) -> None:
        """Show how a goal was reached before, so that a run that was stopped goes on."""
        self.choose.setCurrentIndex(self.choose.findData(settings.choose))
        self.steps.setValue(settings.mask_steps)
        recovery = settings.recovery
        how = "none" if recovery is None else "train" if recovery.trains else "repair"
        self.recovery.setCurrentIndex(self.recovery.findData(how))
        if recovery is not None and recovery.trains and recovery.budget.unit is self._document.recovery.budget.unit:
            amount = recovery.budget.amount
            if isinstance(self.length, SpinBox):
                self.length.setValue(int(amount))
            else:
                self.length.setValue(amount)

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


class SweepDialog(FormDialog):
    """The dialog.

    Attributes:
        cost: What is kept shares of.
        budgets: The shares, in per cent.
        way: How it is chosen what stays, and how each cut is recovered.
        length: Epochs, or minutes, of each recovery.
        estimate: What it will cost, in words.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Each budget is planned, cut, verified and recovered separately, starting from the current state. "
            "Results appear in the trade-off as they finish. A stopped sweep resumes where it was."
        )
        super().__init__(window.as_widget(), self.tr("Sweep budgets"), sentence, self.tr("Start sweep"))
        self._window, self._workbench, self._document = window, window.workbench, window.document
        exact = tuple(cost for cost in COSTS if cost is not Cost.LATENCY)
        self.cost = CostBox(self.tr("Keep at most, of the"), exact)
        self.cost.choose(self._document.goal.cost)
        self.add_row(self.cost.accessibleName(), self.cost)
        text = ", ".join(f"{100 * share:.0f}" for share in BUDGETS)
        self.budgets = self.add_line(self.tr("Budgets, %"), text, self.tr("80, 65, 50, 35, 20"))
        self.way = WayFields(self._document, self.add_row, self.check)
        self.length = self.way.length
        self.estimate = label("", "muted", wrap=True)
        self.form.addRow(self.estimate)
        self.check()

    def check(self) -> None:
        """Say what it costs, what is missing, and which fields count."""
        super().check()
        self.way.enable()
        self.estimate.setText("" if self.problem() else self._estimate())

    def settings(self) -> PruneRequest:
        """What is done for each budget."""
        settings = self._workbench.sweep.settings(self.cost.cost, self.way.settings())
        return replace(settings, choose=self.way.way)

    def _estimate(self) -> str:
        """How many cuts, and about how long and how much memory they take where that can be known."""
        budgets, settings, state = shares(self.budgets.text()), self.way.settings(), self._document.contents.present
        estimator, prune_settings = self._workbench.estimator, self.settings()
        cuts = sum(estimator.rounds(state, prune_settings, budgets))
        words = counted(cuts, self.tr("{count} cut"), self.tr("{count} cuts"))
        if settings is None or not settings.trains or self._document.task is None:
            words = self.tr("{0}, each evaluated on the data.").format(words)
        else:
            whole = settings.budget
            training = budget_title(Budget(whole.unit, cuts * whole.amount))
            words = self.tr("{0}, {1} of recovery in total.").format(words, training)
        if self.way.masks:
            words = self.tr("Not counting the masks: {0}").format(words)
        return f"{words} {estimator.words('sweep', state, prune_settings, budgets)}".rstrip()

    def problem(self) -> str:
        """Why it cannot be swept."""
        if problem := self.way.problem():
            return problem
        if is_valid(shares, self.budgets.text()):
            return ""
        return self.tr("Enter percentages to keep, above 0 and below 100, separated by commas: 80, 50, 20.")

    def act(self) -> None:
        """Start the sweep."""
        budgets, cost = shares(self.budgets.text()), self.cost.cost
        way = self.way
        self._workbench.sweep.start(budgets, cost, way.settings(), way.way, way.steps.value())
        self._window.show_panel("tradeoff")
