"""A sweep: several budgets, each cut and perhaps recovered, unattended; the points of the trade-off curve."""

from dataclasses import replace

from secateur.engine.planning.protocol import Cost
from secateur.engine.recovery.budget import Budget
from secateur.engine.workflows.prune import PruneSettings
from secateur.engine.workflows.sweep import BUDGETS

from ..text.titles import budget_called
from ..text.translate import counted
from ..widgets.cost_box import ORDER, CostBox
from ..widgets.labels import label
from .form import FormDialog
from .form_parsing import is_valid, shares
from .way_fields import WayFields
from .window_api import WindowApi


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
        exact = tuple(cost for cost in ORDER if cost is not Cost.LATENCY)
        self.cost = CostBox(self.tr("Keep at most, of the"), exact)
        self.cost.choose(self._document.goal.cost)
        self.add_row(self.cost.accessibleName(), self.cost)
        text = ", ".join(f"{100 * share:.0f}" for share in BUDGETS)
        self.budgets = self.add_line(self.tr("Budgets, %"), text, self.tr("80, 65, 50, 35, 20"))
        self.way = WayFields(self._document, self.add_row, self.check)
        self.length = self.way.length
        self.estimate = label("", "muted", wrap=True)
        self.form.addRow(self.estimate)
        self.problem = self._problem
        self.act = self._start
        self.check()

    def check(self) -> None:
        """Say what it costs, what is missing, and which fields count."""
        super().check()
        self.way.enable()
        self.estimate.setText("" if self.problem() else self._estimate())

    def swept(self) -> PruneSettings:
        """What is done for each budget."""
        settings = self._workbench.sweep.settings(self.cost.cost, self.way.settings())
        return replace(settings, choose=self.way.way)

    def _estimate(self) -> str:
        """How many cuts, and about how long and how much memory they take where that can be known."""
        budgets, settings, state = shares(self.budgets.text()), self.way.settings(), self._document.contents.present
        estimator, prune_settings = self._workbench.estimator, self.swept()
        cuts = sum(estimator.rounds(state, prune_settings, budgets))
        words = counted(cuts, self.tr("{count} cut"), self.tr("{count} cuts"))
        if settings is None or not settings.trains or self._document.task is None:
            words = self.tr("{0}, each evaluated on the data.").format(words)
        else:
            whole = settings.budget
            training = budget_called(Budget(whole.unit, cuts * whole.amount))
            words = self.tr("{0}, {1} of recovery in total.").format(words, training)
        if self.way.masks:
            words = self.tr("Not counting the masks: {0}").format(words)
        return f"{words} {estimator.words('sweep', state, prune_settings, budgets)}".rstrip()

    def _problem(self) -> str:
        if problem := self.way.problem():
            return problem
        if is_valid(shares, self.budgets.text()):
            return ""
        return self.tr("Enter percentages to keep, above 0 and below 100, separated by commas: 80, 50, 20.")

    def _start(self) -> None:
        budgets, cost = shares(self.budgets.text()), self.cost.cost
        way = self.way
        self._workbench.sweep.start(budgets, cost, way.settings(), way.way, way.steps.value())
        self._window.show_panel("tradeoff")


def ask(window: WindowApi) -> None:
    """Open the dialog over a window."""
    SweepDialog(window).open()
