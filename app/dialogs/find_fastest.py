"""The fastest on the target that loses at most half a point: what is lowered, what may be lost, how it is searched."""

from dataclasses import replace

from secateur.engine.options import setting_of
from secateur.engine.planning.protocol import Cost
from secateur.engine.recovery.budget import Unit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.workflows.budget_search import TRIALS, LossLimit, brief_limit

from ..document.preconditions import has_blocks
from ..text.format import about
from ..text.metrics import target_text
from ..text.verdicts import quality_words
from ..widgets.check_boxes import CheckBox
from ..widgets.fields import CostBox, DoubleSpinBox
from ..widgets.labels import label
from .form import FormDialog
from .settings_fields import number_field, trained_for, training_field
from .window_api import WindowApi


class FindFastest(FormDialog):
    """The dialog.

    Attributes:
        cost: What shall be as low as possible.
        lose: What of the metric may be lost.
        blocks: Whole blocks may go.
        most: Share of the cost to stay at or under in any case, in per cent.
        trials: Budgets that are tried at most.
        brief: Epochs, or minutes, of each trial's recovery.
        full: The same of the result's.
        estimate: What it takes, in words.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Searches for the smallest budget by bisection. Each trial is cut, verified, briefly recovered, "
            "evaluated on the val split and added to the trade-off. The result is recovered in full and "
            "evaluated on the test split."
        )
        super().__init__(window.as_widget(), self.tr("Find the fastest"), sentence, self.tr("Start search"))
        self._window, self._workbench = window, window.workbench
        document = self._document = window.document
        self.cost = CostBox(self.tr("Minimise"), (Cost.LATENCY, *(c for c in Cost if c is not Cost.LATENCY)))
        asked = document.goal.cost if document.goal.cost is not Cost.MACS else Cost.LATENCY
        self.cost.choose(asked if document.target.is_reachable or asked is not Cost.LATENCY else Cost.MACS)
        self.add_row(self.cost.accessibleName(), self.cost)
        unit = self.tr(" points") if document.loses_points else self.tr(" %")
        metric = document.task.metric if document.task is not None else self.tr("the metric")
        self.lose = DoubleSpinBox(self.tr("Lose at most, of {0}").format(metric), 0.01, 99, 2, unit)
        self.lose.setSingleStep(0.1)
        self.lose.setValue(max(document.goal.lose, 0.01))
        self.add_row(self.lose.accessibleName(), self.lose)
        self.most = DoubleSpinBox(self.tr("Keep at most, of the cost"), 1, 100, 0, self.tr(" %"))
        self.most.setValue(100)
        self.add_row(self.most.accessibleName(), self.most)
        self.blocks = CheckBox(self.tr("whole blocks as well"), self)
        self.blocks.hide()
        self.blocks.setToolTip(self.tr("Blocks compete with filters and heads. Removing a block saves the most time."))
        self.blocks.setChecked(document.goal.depth)
        if not has_blocks(document):
            self.add_row(self.tr("Remove"), self.blocks)
            self.blocks.show()
        recovery = document.recovery
        if not recovery.trains:
            recovery = replace(recovery, epochs=1)
        brief = brief_limit(0, Cost.MACS, recovery).briefly(recovery)
        self.trials = number_field(setting_of(LossLimit, "trials"), TRIALS)
        each = {
            Unit.EPOCHS: self.tr("Epochs per trial"),
            Unit.STEPS: self.tr("Steps per trial"),
            Unit.TOKENS: self.tr("Tokens per trial"),
            Unit.MINUTES: self.tr("Minutes per trial"),
        }
        result = {
            Unit.EPOCHS: self.tr("Epochs for the result"),
            Unit.STEPS: self.tr("Steps for the result"),
            Unit.TOKENS: self.tr("Tokens for the result"),
            Unit.MINUTES: self.tr("Minutes for the result"),
        }
        self.brief = training_field(brief, each, 0)
        self.brief.setToolTip(self.tr("Longer trials predict the recovered metric better"))
        # Of steps and tokens a trial takes a fixed part.
        self.brief.setEnabled(recovery.budget.unit in (Unit.EPOCHS, Unit.MINUTES))
        self.full = training_field(recovery, result)
        for field in (self.trials, self.brief, self.full):
            self.add_row(field.accessibleName(), field)
            field.valueChanged.connect(self.check)
        self.cost.currentIndexChanged.connect(self.check)
        self.estimate = label("", "muted", wrap=True)
        self.form.addRow(self.estimate)
        self.check()

    def recovery(self) -> RecoverySettings:
        """How the result is recovered."""
        return trained_for(self._document.recovery, self.full.value())

    def loss_limit(self) -> LossLimit:
        """What may be lost, and how it is searched."""
        trial = trained_for(self._document.recovery, min(self.brief.value(), self.full.value()))
        return LossLimit(self.lose.value() / 100, self.cost.cost, self.trials.value(), trial.passes, trial.minutes)

    def check(self) -> None:
        """Say what it takes and what is missing."""
        super().check()
        seconds = self._workbench.search.seconds(self.loss_limit(), self.recovery())
        words = [self.tr("About {0} if half of the model is kept.").format(about(seconds))] if seconds else []
        if self.cost.cost is Cost.LATENCY:
            first = self.tr("Latency is measured on {0}, starting with a dozen cut models.")
            first = first if self._document.contents.table is None else self.tr("Latency is measured on {0}.")
            words.insert(0, first.format(target_text(self._document.target)))
        if limits := quality_words(self._document.goal.quality):
            words.append(self.tr("Also kept: {0}.").format(", ".join(limits)))
        self.estimate.setText(" ".join(words))

    def problem(self) -> str:
        """That a target on another machine cannot be timed."""
        if self.cost.cost is Cost.LATENCY and not self._document.target.is_reachable:
            return self.tr("The target is another machine. Choose another cost, or a target on this machine.")
        return ""

    def act(self) -> None:
        """Start the search."""
        goal = replace(self._document.goal, lose=self.lose.value(), depth=self.blocks.isChecked())
        self._document.plan.set_goal(goal)
        self._workbench.search.start(self.loss_limit(), self.most.value() / 100, self.recovery())
        self._window.show_panel("tradeoff")
