"""The top bar: what I have (model, data, target), what I want (goal), and one primary action: the next step."""

from dataclasses import replace

from PySide6.QtCore import QEvent, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from secateur.engine.targets.protocol import TargetSpec

from ..commands.command import say
from ..commands.next_step import next_step
from ..commands.registry import command_named
from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..text.metrics import details
from ..text.structures import kept_words
from ..widgets.buttons import PrimaryButton, button
from ..widgets.cost_box import CostBox
from ..widgets.fields import ComboBox, DoubleSpinBox
from ..widgets.labels import label

GAP, SPACE = 14, 6
"""Between what one has, what one wants and what comes next; and between their parts."""
LONGEST = 22
"""Average characters of a job's title that fit on the button."""
SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.GOAL, Aspect.MARKS, Aspect.STATES, Aspect.JOBS})

BUTTONS = ("file.open", "edit.suggest", "run.lowest", "edit.undo", "edit.redo")
"""Commands that have a button of their own here."""
TARGETS = (
    TargetSpec("onnxruntime", 1, 1, 16),
    TargetSpec("onnxruntime", 1, 64, 16),
    TargetSpec("torch", 1, 1, 16),
    TargetSpec("torch", 1, 64, 16),
)


class TopBar(QWidget):
    """Open, data, target, goal, plan, undo, next step.

    Attributes:
        primary: The next step.
        keep: Share of the cost to keep at most, in per cent.
        cost: Which cost.
        lose: What of the metric may be lost, in points or per cent.
        kinds: What is kept of single kinds; opens the dialog for it.
    """

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget())
        self._window, self._document = window, window.document
        self._laid_out = False
        self.data = button("", tip=say(command_named("file.data").tooltip))
        self.target = ComboBox(self.tr("Target"))
        self.keep = DoubleSpinBox(self.tr("Keep at most, % of the cost"), 1, 100, 0)
        self.keep.setPrefix(self.tr("keep "))
        self.keep.setSingleStep(5)
        self.cost = CostBox(self.tr("Cost that the goal limits"))
        tip = self.tr(
            "The cost to limit. Memory: peak of the activations of one sample. Latency: on the target, where the "
            "first plan measures a dozen cut models."
        )
        self.cost.setToolTip(tip)
        self.lose = DoubleSpinBox(self.tr("Lose at most, of the metric"), 0, 100, 2)
        self.lose.setPrefix(self.tr("lose "))
        self.lose.setSingleStep(0.1)
        self.kinds = self._button("edit.kinds")
        self.primary = PrimaryButton("")
        self._lay_out()
        self.data.clicked.connect(lambda: self._run("file.data"))
        self.target.activated.connect(self._target_chosen)
        self.keep.valueChanged.connect(self._goal_changed)
        self.cost.activated.connect(self._goal_changed)
        self.lose.valueChanged.connect(self._goal_changed)
        self.primary.clicked.connect(self._next)
        self._document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def _lay_out(self) -> None:
        self._buttons = {name: self._button(name) for name in BUTTONS}
        self._buttons["file.open"].setText(self.tr("Open"))
        self._have, self._want, self._do = QWidget(), QWidget(), QWidget()
        self._captions = caption = [
            label(text, "caption") for text in (self.tr("Data"), self.tr("Target"), self.tr("Goal"))
        ]
        _row(self._have, self._buttons["file.open"], caption[0], self.data, caption[1], self.target)
        suggest, search = self._buttons["edit.suggest"], self._buttons["run.lowest"]
        _row(self._want, caption[2], self.keep, self.cost, self.kinds, self.lose, suggest, search)
        _row(self._do, self._buttons["edit.undo"], self._buttons["edit.redo"], self.primary)
        self._rows = QHBoxLayout(), QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for row in self._rows:
            row.setSpacing(GAP)
            layout.addLayout(row)
        self._rows[0].addWidget(self._have)
        self._rows[0].addStretch(1)
        self._rows[0].addWidget(self._do)
        self._rows[0].insertWidget(1, self._want)
        self._wide = self._laid_out = True

    def _button(self, name: str) -> QPushButton:
        made = button(say(command_named(name).title).removesuffix("..."))
        made.clicked.connect(lambda: self._run(name))
        return made

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the goal its own row where one row is too short."""
        super().resizeEvent(event)
        self._arrange()

    def event(self, event: QEvent) -> bool:
        """Parts that got wider, with text of another size, are arranged again."""
        handled = super().event(event)
        if event.type() is QEvent.Type.LayoutRequest and self._laid_out:
            self._arrange()
        return handled

    def _arrange(self) -> None:
        parts = (self._have, self._want, self._do)
        said = sum(caption.sizeHint().width() + SPACE for caption in self._captions)
        hidden = self._captions[0].isHidden()
        short = sum(part.sizeHint().width() for part in parts) + GAP * len(parts) - (0 if hidden else said)
        wide = self.width() >= short  # one row without captions rather than two with them
        hide = wide and self.width() < short + said
        if hide != hidden:
            for caption in self._captions:
                caption.setHidden(hide)
            for part in parts:
                part.updateGeometry()
        if wide != self._wide:
            self._wide = wide
            self._rows[1 - wide].insertWidget(1 if wide else 0, self._want)
            self._rows[not wide].update()
            self._stretch_second(not wide)

    def _stretch_second(self, on: bool) -> None:
        row = self._rows[1]
        if on and row.count() == 1:
            row.addStretch(1)
        elif not on and row.count():
            row.takeAt(row.count() - 1)

    def refresh(self) -> None:
        """Show what the document has."""
        document = self._document
        for name, made in self._buttons.items():
            command = command_named(name)
            reason = command.enabled(document)
            made.setEnabled(not reason)
            made.setToolTip(reason or command.shown(document))
        self._show_data()
        self._show_target()
        self._show_goal()
        self._show_next()
        self._arrange()

    def _show_data(self) -> None:
        task = self._document.task
        self.data.setText(task.title if task else self.tr("Attach data..."))
        self.data.setAccessibleName(self.tr("Data: {title}").format(title=task.title if task else self.tr("none")))
        reason = command_named("file.data").enabled(self._document)
        self.data.setEnabled(not reason)
        self.data.setToolTip(reason or say(command_named("file.data").tooltip))

    def _show_target(self) -> None:
        specs = list(dict.fromkeys((*TARGETS, self._document.target)))
        with QSignalBlocker(self.target):
            self.target.clear()
            for spec in specs:
                self.target.addItem(target_words(spec), spec)
            self.target.addItem(self.tr("Other..."), None)
            self.target.setCurrentIndex(specs.index(self._document.target))

    def _show_goal(self) -> None:
        goal = self._document.goal
        task = self._document.task
        with QSignalBlocker(self.cost):
            self.cost.choose(goal.cost)
        self.cost.setEnabled(not self._document.busy)
        points = self._document.loses_points
        fields = (
            (self.keep, goal.keep * 100, self.tr(" % of")),
            (self.lose, goal.lose, self.tr(" pt") if points else self.tr(" %")),
        )
        for box, value, unit in fields:
            if (box.value(), box.suffix()) != (round(value, box.decimals()), unit):  # else what is being typed stays
                with QSignalBlocker(box):
                    box.setValue(value)
                    box.setSuffix(unit)
            box.setEnabled(not self._document.busy)
        self.kinds.setVisible(bool(goal.kept))
        said = kept_words(goal.kept)
        metrics = QFontMetrics(self.kinds.font())
        most = metrics.averageCharWidth() * LONGEST
        self.kinds.setText(metrics.elidedText(said, Qt.TextElideMode.ElideRight, most))
        self.kinds.setAccessibleName(self.tr("Keep by kind: {0}").format(said))
        self.kinds.setEnabled(not self._document.busy)
        self.kinds.setToolTip(self.tr("Keep {0} in the whole model. Click to change.").format(said))
        metric = task.metric if task else self.tr("the metric")
        words = self.tr("Largest loss of {metric} allowed, in points")
        words = words if points else self.tr("Largest loss allowed, in % of the original's {metric}")
        self.lose.setToolTip(words.format(metric=metric))

    def _show_next(self) -> None:
        document = self._document
        command = next_step(document)
        reason = command.enabled(document)
        words = command.shown(document).removesuffix("...")
        if document.busy:
            title = next(job.title for job in document.jobs if job.changes)
            metrics = QFontMetrics(self.primary.font())  # no name of a file moves the rest of the bar
            most = metrics.averageCharWidth() * LONGEST
            words = metrics.elidedText(f"{title} \u2026", Qt.TextElideMode.ElideRight, most)
        elif command.id == "file.open":
            words = self.tr("Open a model")
        self.primary.say(words)
        self.primary.setEnabled(not reason)
        self.primary.setToolTip(command.told(self._window.workbench))
        self._buttons["edit.suggest"].setVisible(command.id != "edit.suggest")

    def _run(self, name: str) -> None:
        self._window.run_command(name)

    @Slot()
    def _next(self) -> None:
        self._window.run_command(next_step(self._document).id)

    @Slot()
    def _goal_changed(self) -> None:
        asked = {"keep": self.keep.value() / 100, "lose": self.lose.value(), "cost": self.cost.cost}
        self._document.plan.set_goal(replace(self._document.goal, **asked))

    @Slot(int)
    def _target_chosen(self, index: int) -> None:
        spec = self.target.itemData(index)
        if spec is None:
            self._show_target()
            self._run("file.target")
        else:
            self._document.set_target(spec)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()


def target_words(spec: TargetSpec) -> str:
    """A target in words: "onnxruntime, 1 thread, batch 64"."""
    threads = say("1 thread") if spec.threads == 1 else say("{threads} threads").format(threads=spec.threads)
    words = say("{runtime}, {threads}, batch {batch}").format(runtime=spec.runtime, threads=threads, batch=spec.batch)
    return ", ".join([words, *details(spec)])


def _row(widget: QWidget, *children: QWidget) -> None:
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for child in children:
        layout.addWidget(child)
