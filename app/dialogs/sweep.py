"""A sweep: several budgets, each cut and perhaps recovered, unattended; the points of the trade-off curve."""

from dataclasses import replace

from secateur.engine.planning.protocol import Choose, Cost, Goal
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.workflows.prune import PruneSettings
from secateur.engine.workflows.sweep import BUDGETS

from ..text.translate import counted
from ..widgets.cost_box import ORDER, CostBox
from ..widgets.fields import ComboBox
from ..widgets.labels import label
from .form import FormDialog
from .form_parsing import is_valid, shares
from .settings_fields import SettingsFields, trained_for, training_field
from .window_api import WindowApi


class SweepDialog(FormDialog):
    """The dialog.

    Attributes:
        cost: What is kept shares of.
        budgets: The shares, in per cent.
        way: How it is chosen what stays, and in how many steps masks are learned.
        recovery: How each cut is recovered: "train", "repair" or "none".
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
        exact = tuple(cost for cost in ORDER if cost is not Cost.LATENCY)
        self.cost = CostBox(self.tr("Keep at most, of the"), exact)
        self.cost.choose(self._document.goal.cost)
        self.add_row(self.cost.accessibleName(), self.cost)
        text = ", ".join(f"{100 * share:.0f}" for share in BUDGETS)
        self.budgets = self.add_line(self.tr("Budgets, %"), text, self.tr("80, 65, 50, 35, 20"))
        self._add_way()
        self._add_recovery()
        self.estimate = label("", "muted", wrap=True)
        self.form.addRow(self.estimate)
        self.problem = self._problem
        self.act = self._start
        self.check()

    def _add_way(self) -> None:
        self.way = SettingsFields(PruneSettings(Goal(()), ""), self.add_row, ("choose", "mask_steps"))
        self._choose, self._steps = self.way.widgets["choose"], self.way.widgets["mask_steps"]
        assert isinstance(self._choose, ComboBox)
        self._choose.currentIndexChanged.connect(self.check)

    def _add_recovery(self) -> None:
        self.recovery = ComboBox(self.tr("Recovery"))
        self.recovery.addItem(self.tr("fine-tune after each cut"), "train")
        self.recovery.addItem(self.tr("repair without training"), "repair")
        self.recovery.addItem(self.tr("none"), "none")
        self.add_row(self.recovery.accessibleName(), self.recovery)
        self.length = training_field(self._document.recovery, self.tr("Epochs each"), self.tr("Minutes each"))
        self.length.setToolTip(self.tr("Other settings come from the Recovery tab"))
        self.add_row(self.length.accessibleName(), self.length)
        self.recovery.currentIndexChanged.connect(self.check)
        self.length.valueChanged.connect(self.check)

    def check(self) -> None:
        """Say what it costs, what is missing, and which fields count."""
        super().check()
        self._steps.setEnabled(self._masks)
        self.length.setEnabled(self.recovery.currentData() == "train")
        self.estimate.setText("" if self.problem() else self._estimate())

    @property
    def _masks(self) -> bool:
        """Whether masks are learned."""
        return self.way.values()["choose"] is Choose.MASKS

    def settings(self) -> RecoverySettings | None:
        """How each cut is recovered, None for not at all."""
        before, how = self._document.recovery, self.recovery.currentData()
        if how == "train":
            return trained_for(before, self.length.value())
        return replace(before, epochs=0, minutes=0.0, repair=Repair.LEAST_SQUARES) if how == "repair" else None

    def swept(self) -> PruneSettings:
        """What is done for each budget."""
        settings = self._workbench.sweep.settings(self.cost.cost, self.settings())
        return replace(settings, choose=self.way.values()["choose"])

    def _estimate(self) -> str:
        """How many cuts, and about how long and how much memory they take where that can be known."""
        budgets, settings, state = shares(self.budgets.text()), self.settings(), self._document.contents.present
        estimator, prune_settings = self._workbench.estimator, self.swept()
        cuts = sum(estimator.rounds(state, prune_settings, budgets))
        words = counted(cuts, self.tr("{count} cut"), self.tr("{count} cuts"))
        if settings is None or not settings.trains or self._document.task is None:
            words = self.tr("{0}, each evaluated on the data.").format(words)
        elif settings.minutes:
            words = self.tr("{0}, {1} min of recovery in total.").format(words, f"{cuts * settings.minutes:g}")
        else:
            epochs = counted(cuts * settings.epochs, self.tr("{count} epoch"), self.tr("{count} epochs"))
            words = self.tr("{0}, {1} in total.").format(words, epochs)
        if self._masks:
            words = self.tr("Not counting the masks: {0}").format(words)
        return f"{words} {estimator.words('sweep', state, prune_settings, budgets)}".rstrip()

    def _problem(self) -> str:
        if self._masks and self._document.task is None:
            return self.tr("Learning masks needs data. Attach it, or choose by scores.")
        if self._masks and self._document.contents.removed.any():
            return self.tr("Masks are learned on a model of which nothing is cut. Go to the original first.")
        if is_valid(shares, self.budgets.text()):
            return ""
        return self.tr("Enter percentages to keep, above 0 and below 100, separated by commas: 80, 50, 20.")

    def _start(self) -> None:
        budgets, cost = shares(self.budgets.text()), self.cost.cost
        way = self.way.values()
        self._workbench.sweep.start(budgets, cost, self.settings(), way["choose"], way["mask_steps"])
        self._window.show_panel("tradeoff")


def ask(window: WindowApi) -> None:
    """Open the dialog over a window."""
    SweepDialog(window).open()
