"""The tool bar: what I have (model, data, target), what I want (goal), and one primary action: the next step.

It is one row, and what a person does moves nothing in it: widths of its parts depend on the size of the text alone, and
which parts have a place of their own on that and on the width of the window. The others are in menus.
"""

from dataclasses import replace
from enum import IntEnum

from PySide6.QtCore import QSignalBlocker, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from secateur.engine.targets.protocol import TargetSpec

from ..commands.command import say
from ..commands.registry import command_named, next_step
from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..text.metrics import details
from ..text.structures import kept_words
from ..theme import theme
from ..widgets.buttons import ElidedButton, MenuButton, button, set_available
from ..widgets.card import Popup
from ..widgets.cover import show_or_cover
from ..widgets.fields import CostBox, DoubleSpinBox, ElidedComboBox
from ..widgets.labels import label

GAP, SPACE = 11, 5
"""Between what one has, what one wants and what comes next; and between their parts."""
STEP, DATA, TARGET = 24, 21, 33
"""Average letters that the next step, the data and the target have room for."""
KINDS = 3
"""The same for how many single kinds have a limit of their own."""
LEAST_DATA, LEAST_TARGET = 12, 10
"""The same where there is no more room."""
SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.GOAL, Aspect.MARKS, Aspect.STATES, Aspect.JOBS})

BUTTONS = ("file.open", "edit.suggest", "run.lowest", "edit.undo", "edit.redo")
"""Commands that have a button of their own here."""
IN_MENU = ("edit.kinds", "edit.shape", "edit.suggest", "edit.search", "run.lowest", "edit.redo")
"""Those that go into a menu where the bar is narrow."""
TARGETS = (
    TargetSpec("onnxruntime", 1, 1, 16),
    TargetSpec("onnxruntime", 1, 64, 16),
    TargetSpec("torch", 1, 1, 16),
    TargetSpec("torch", 1, 64, 16),
)


class Room(IntEnum):
    """How much has a place of its own in the bar, from everything to as little as can be."""

    CAPTIONS = 0
    BUTTONS = 1
    FIELDS = 2
    LEAST = 3


class TopBar(QWidget):
    """Open, data, target, goal, plan, undo, next step.

    Attributes:
        primary: The next step.
        keep: Share of the cost to keep at most, in per cent.
        cost: Which cost.
        lose: What of the metric may be lost, in points or per cent.
        kinds: What is kept of single kinds; opens the dialog for it.
        room: How much has a place of its own.
    """

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget())
        self._window, self._document = window, window.document
        self.data = ElidedButton(DATA, LEAST_DATA)
        self.target = ElidedComboBox(self.tr("Target"), TARGET, LEAST_TARGET)
        self.keep = DoubleSpinBox(self.tr("Keep at most, % of the cost"), 1, 100, 0, self.tr(" % of"))
        self.keep.setPrefix(self.tr("keep "))
        self.keep.setSingleStep(5)
        self.cost = CostBox(self.tr("Cost that the goal limits"))
        tip = self.tr(
            "The cost to limit. Memory: peak of the activations of one sample. Latency: on the target, where the "
            "first plan measures a dozen cut models."
        )
        self.cost.setToolTip(tip)
        units = self.tr(" pt"), self.tr(" %")
        self.lose = DoubleSpinBox(self.tr("Lose at most, of the metric"), 0, 100, 2, units[0], units=units)
        self.lose.setPrefix(self.tr("lose "))
        self.lose.setSingleStep(0.1)
        self.kinds = ElidedButton(KINDS)
        self.primary = ElidedButton(STEP)
        self.primary.setProperty("role", "primary")
        self._lay_out()
        self.data.clicked.connect(lambda: self._run("file.data"))
        self.target.activated.connect(self._choose_target)
        self.keep.valueChanged.connect(self._set_goal)
        self.cost.activated.connect(self._set_goal)
        self.lose.valueChanged.connect(self._set_goal)
        self.kinds.clicked.connect(lambda: self._run(self._kinds_command))
        self.primary.clicked.connect(self._run_next_step)
        self._document.dispatcher.watch(SHOWN, self.refresh)
        # Text of another size needs other room.
        theme().changed.connect(self._arrange)
        self.refresh()

    def _lay_out(self) -> None:
        self._buttons = {name: self._button(name) for name in BUTTONS}
        self._buttons["file.open"].setText(self.tr("Open"))
        self._buttons["edit.suggest"].setText(self.tr("Plan again"))
        data, target, goal = (label(text, "caption") for text in (self.tr("Data"), self.tr("Target"), self.tr("Goal")))
        self._captions: tuple[QLabel, ...] = (data, target, goal)
        self._more = MenuButton(self.tr("More"), self._fill_more)
        self._more.setToolTip(self.tr("Plan again, find the fastest, redo"))
        self._goal_button = button(self.tr("Goal"), tip=self.tr("What to keep of which cost, and what may be lost"))
        self._goal_button.clicked.connect(self._open_goal)
        self._popup = Popup(self)
        self._goal = QWidget()
        _row(self._goal, self.keep, self.cost, self.lose)
        for fixed in (*self._buttons.values(), self._more, self._goal_button, self.cost):
            fixed.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE)
        suggest, search = self._buttons["edit.suggest"], self._buttons["run.lowest"]
        undo, redo = self._buttons["edit.undo"], self._buttons["edit.redo"]
        parts = (
            (self._buttons["file.open"], data, self.data, target, self.target),
            (goal, self._goal, self._goal_button, self.kinds, suggest, search, self._more),
        )
        for part in parts:
            for widget in part:
                row.addWidget(widget)
            row.addSpacing(GAP - SPACE)
        row.addStretch(1)
        for widget in (undo, redo, self.primary):
            row.addWidget(widget)
        self._place = row.indexOf(self._goal)
        self.room = Room.CAPTIONS
        self._show_room(Room.CAPTIONS)

    @property
    def landmarks(self) -> dict[str, QWidget]:
        """What a tour points at, by name."""
        goal = self._goal_button if self.room is Room.LEAST else self._goal
        return {"open": self._buttons["file.open"], "goal": goal, "primary": self.primary}

    def _button(self, name: str) -> QPushButton:
        made = button(say(command_named(name).title).removesuffix("..."))
        made.clicked.connect(lambda: self._run(name))
        return made

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give a place of their own to as many parts as there is room for."""
        super().resizeEvent(event)
        self._arrange()

    @Slot()
    def _arrange(self) -> None:
        fitting = (room for room in Room if self._least_width(room) <= self.width())
        room = next(fitting, Room.LEAST)
        if room is not self.room:
            self._show_room(room)

    def _least_width(self, room: Room) -> int:
        """Width that the bar takes with so much in it: data and target get a third of what they could do with.

        Captions are the first to go, before any name is elided; the goal's fields the last.
        """
        shown = [widget for widget in self._parts() if self._fits(widget, room)]
        elided = (self.data, self.target)
        least = sum((one.minimumSizeHint() if one in elided else one.sizeHint()).width() for one in shown)
        more = sum(one.sizeHint().width() - one.minimumSizeHint().width() for one in elided)
        wanted = {Room.CAPTIONS: more, Room.BUTTONS: more // 3}.get(room, 0)
        return least + wanted + SPACE * (len(shown) + 1) + 2 * (GAP - SPACE)

    def _parts(self) -> list[QWidget]:
        have = [self._buttons["file.open"], self._captions[0], self.data, self._captions[1], self.target]
        want = [self._captions[2], self._goal, self._goal_button, self.kinds, self._more]
        return [*have, *want, *(self._buttons[name] for name in BUTTONS if name != "file.open"), self.primary]

    def _fits(self, widget: QWidget, room: Room) -> bool:
        """Whether a part has a place of its own."""
        if widget in self._captions:
            return room is Room.CAPTIONS
        in_menu = [self.kinds, *(self._buttons[name] for name in IN_MENU if name in self._buttons)]
        if widget is self._more or widget in in_menu:
            return (room >= Room.FIELDS) is (widget is self._more)
        if widget in (self._goal, self._goal_button):
            return (room is Room.LEAST) is (widget is self._goal_button)
        return True

    def _show_room(self, room: Room) -> None:
        self.room = room
        row = self.layout()
        assert isinstance(row, QHBoxLayout)
        if room is Room.LEAST:
            self._popup.hold(self._goal)
        elif row.indexOf(self._goal) < 0:
            self._popup.hide()
            row.insertWidget(self._place, self._goal)
        for widget in self._parts():
            if widget is not self._goal or room is not Room.LEAST:
                widget.setVisible(self._fits(widget, room))

    def _fill_more(self, menu: QMenu) -> None:
        for name in IN_MENU:
            command = command_named(name)
            reason = command.enabled(self._document)
            entry = menu.addAction(command.title_now(self._document), lambda name=name: self._run(name))
            entry.setEnabled(not reason)
            entry.setToolTip(reason or command.explanation())

    @Slot()
    def _open_goal(self) -> None:
        self._popup.open_below(self._goal_button)

    def refresh(self, _aspects: frozenset[Aspect] = frozenset()) -> None:
        """Show what the document has."""
        document = self._document
        for name, made in self._buttons.items():
            command = command_named(name)
            reason = command.enabled(document)
            set_available(made, not reason)
            made.setToolTip(reason or command.title_now(document))
        for part, show in (
            (self.data, self._show_data),
            (self.target, self._show_target),
            (self._goal, self._show_goal),
            (self.primary, self._show_next),
        ):
            # A part that fails must not take the others along: they are the way out.
            show_or_cover(part, show)

    def _show_data(self) -> None:
        task = self._document.task
        self.data.say(task.title if task else self.tr("Attach data"))
        self.data.setAccessibleName(self.tr("Data: {title}").format(title=task.title if task else self.tr("none")))
        reason = command_named("file.data").enabled(self._document)
        set_available(self.data, not reason)
        tip = reason or say(command_named("file.data").tooltip)
        self.data.setToolTip(tip)

    def _show_target(self) -> None:
        specs = list(dict.fromkeys((*TARGETS, self._document.target)))
        with QSignalBlocker(self.target):
            self.target.clear()
            for spec in specs:
                self.target.addItem(target_words(spec), spec)
            self.target.addItem(self.tr("Other..."), "file.target")
            self.target.addItem(self.tr("Another machine..."), "run.over_ssh")
            self.target.setCurrentIndex(specs.index(self._document.target))
        self.target.setToolTip(target_words(self._document.target))

    @property
    def _kinds_command(self) -> str:
        """The command that changes how many structures of single kinds the goal keeps."""
        return "edit.shape" if self._document.goal.shape else "edit.kinds"

    def _show_goal(self) -> None:
        goal = self._document.goal
        task = self._document.task
        with QSignalBlocker(self.cost):
            self.cost.choose(goal.cost)
        set_available(self.cost, not self._document.busy)
        points = self._document.loses_points
        fields = (
            (self.keep, goal.keep * 100, self.tr(" % of")),
            (self.lose, goal.lose, self.tr(" pt") if points else self.tr(" %")),
        )
        for box, value, unit in fields:
            # Setting the same value would disturb what is being typed.
            if (box.value(), box.suffix()) != (round(value, box.decimals()), unit):
                with QSignalBlocker(box):
                    box.setValue(value)
                    box.setSuffix(unit)
            set_available(box, not self._document.busy)
        said = kept_words(goal.shape or goal.kept)
        self.kinds.say(f"+{len(goal.shape or goal.kept)}" if said else "\u2026")
        name = self.tr("Target shape: {0}") if goal.shape else self.tr("Keep by kind: {0}")
        self.kinds.setAccessibleName(name.format(said or self.tr("none")))
        command = command_named(self._kinds_command)
        reason = command.enabled(self._document)
        set_available(self.kinds, not reason)
        told = self.tr("Keep {0} in the whole model. Click to change.")
        told = self.tr("Target shape: {0}. Click to change.") if goal.shape else told
        self.kinds.setToolTip(reason or (told.format(said) if said else say(command.tooltip)))
        metric = task.metric if task else self.tr("the metric")
        words = self.tr("Largest loss of {metric} allowed, in points")
        words = words if points else self.tr("Largest loss allowed, in % of the original's {metric}")
        self.lose.setToolTip(words.format(metric=metric))

    def _show_next(self) -> None:
        document = self._document
        command = next_step(document)
        reason = command.enabled(document)
        words = command.title_now(document).removesuffix("...")
        if document.busy:
            words = f"{next(job.title for job in document.jobs if job.changes)} \u2026"
        elif command.id == "file.open":
            words = self.tr("Open a model")
        self.primary.say(words)
        set_available(self.primary, not reason)
        tip = command.tip_now(self._window.workbench)
        self.primary.setToolTip(tip)
        if command.id == "edit.suggest":
            again = self._buttons["edit.suggest"]
            set_available(again, False)
            again.setToolTip(self.tr("There is no plan yet: suggest one with the button at the right."))

    def _run(self, name: str) -> None:
        self._window.run_command(name)

    @Slot()
    def _run_next_step(self) -> None:
        self._window.run_command(next_step(self._document).id)

    @Slot()
    def _set_goal(self) -> None:
        asked = {"keep": self.keep.value() / 100, "lose": self.lose.value(), "cost": self.cost.cost}
        self._document.plan.set_goal(replace(self._document.goal, **asked))

    @Slot(int)
    def _choose_target(self, index: int) -> None:
        chosen: TargetSpec | str = self.target.itemData(index)
        if isinstance(chosen, str):
            self._show_target()
            self._run(chosen)
        else:
            self._document.set_target(chosen)


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
