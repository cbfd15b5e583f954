"""A walk from model to model in one window, and what must hold after each of its steps: nothing stale is shown."""

import random

from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel

from secateur.app.commands.registry import command_named, next_step
from secateur.app.document.aspects import Goal
from secateur.app.text.verdicts import goal_short
from secateur.app.widgets.buttons import is_available
from secateur.app.widgets.cover import Cover
from secateur.app.window.main_window import MainWindow
from secateur.engine.planning.isomorphic_classes import with_their_blocks
from secateur.engine.planning.marks import check_plan
from secateur.engine.planning.protocol import Cost, KindLimit
from secateur.engine.planning.target_shape import shape_of
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs

from .demo_analysis import llama, small_resnet
from .stand_in import state_of, task_info
from .walk import Answers, Walker

ANALYSES = {"resnet": small_resnet(), "llama": llama(2), "narrow": small_resnet((8, 16), 1)}
TURNS = 2000
"""Of the event loop, after which all panels show a change."""


class ModelWalk:
    """The steps of a walk, and what is looked at after each.

    Attributes:
        window: The window.
        answers: Plays the engine.
        walker: Takes the steps.
    """

    def __init__(self, window: MainWindow, answers: Answers, seed: int) -> None:
        self.window, self.answers, self.document = window, answers, window.document
        for name, analysis in ANALYSES.items():
            state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914 * (name != "narrow"), 0.76)
            task = None if name == "llama" else task_info()
            answers.models[name] = OpenedModel(name, analysis, state, (), task, ModelSpec(name))
        further = {
            "engine": (9.0, answers.step), "open": (0.6, self.open), "shape": (1.0, self.plan_shape),
            "goal": (1.0, self.type_goal), "rows": (3.0, self.select_rows), "marks": (3.0, self.act),
            "cut": (1.0, self.cut),
            "filter": (1.0, self.filter), "click": (2.0, lambda draw: self.walker.click(draw)),
            "key": (2.0, lambda draw: self.walker.key(draw)), "wait": (0.0, lambda draw: self.walker.wait(draw)),
        }  # fmt: skip
        self.walker = Walker(window, seed, further)
        self.walker.check = self.check

    # Steps.

    def open(self, draw: random.Random) -> str:
        """Open a model, or the same once more; the engine answers when it comes to that."""
        if self.document.busy:
            return "open nothing: busy"
        name = draw.choice(list(ANALYSES))
        self.window.workbench.model.open(ModelSpec(name))
        return f"open {name}"

    def plan_shape(self, draw: random.Random) -> str:
        """Ask for a shape of kinds that the model has, and plan for it."""
        if self.document.analysis is None or self.document.busy:
            return "shape of nothing"
        sizes = [one for one in shape_of(self.document.analysis) if one.step]
        one = draw.choice(sizes)
        limit = KindLimit(one.kind, share=draw.choice((0.25, 0.5, 0.75)))
        self.document.plan.set_goal(Goal(keep=1.0, shape=(limit,)), planned=True)
        self.window.run_command("edit.suggest")
        return f"plan {limit}"

    def type_goal(self, draw: random.Random) -> str:
        """Type into a field of the goal, with either decimal sign."""
        bar = self.window.top_bar
        box, text = draw.choice(
            ((bar.keep, str(draw.randrange(5, 100))), (bar.lose, draw.choice(("0,75", "1.5", "3"))))
        )
        if not box.isVisible() or not is_available(box):
            return "type nothing"
        box.selectAll()
        QTest.keyClicks(box, text)
        QTest.keyClick(box, Qt.Key.Key_Return)
        return f"type {text} into {box.accessibleName()!r}"

    def select_rows(self, draw: random.Random) -> str:
        """Select some rows of the tree, one after another."""
        analysis, tree = self.document.analysis, self.window.area.panels["tree"]
        if analysis is None:
            return "select nothing"
        number = draw.randrange(len(analysis.sets))
        one = analysis.sets[number]
        for place in range(draw.randrange(1, 5)):
            structure = one.first + min(place, one.count - 1) if one.count > 1 or draw.random() < 0.5 else -1
            index = tree.model.index_of(one.module, number, structure)
            flag = QItemSelectionModel.SelectionFlag
            if index.isValid():
                kind = flag.Select if place else flag.ClearAndSelect
                tree.view.selectionModel().setCurrentIndex(index, kind | flag.Rows)
        return f"select rows of {one.module}, {len(self.document.selection.several)} together"

    def act(self, draw: random.Random) -> str:
        """Mark, lock, undo and so on."""
        name = draw.choice(
            ("edit.mark", "edit.mark", "edit.lock", "edit.lock", "edit.undo", "edit.redo", "edit.suggest",
             "mark.invert", "mark.grow", "edit.clear")
        )  # fmt: skip
        self.window.run_command(name)
        return f"command {name}"

    def cut(self, draw: random.Random) -> str:
        """The next step, whatever it is, unless it asks for a file."""
        command = next_step(self.document)
        if command.id in ("run.cut", "edit.suggest", "run.recover"):
            QTest.mouseClick(self.window.top_bar.primary, Qt.MouseButton.LeftButton)
        return f"next step: {command.id}"

    def filter(self, draw: random.Random) -> str:
        """Filter and sort the tree."""
        tree = self.window.area.panels["tree"]
        tree.search.setText(draw.choice(("", "layer", "attn", "score < 0,3", "nothing of the kind")))
        draw.choice(list(tree.chips.values())).click()
        tree.view.columns.sort_by(draw.randrange(4))
        return f"filter {tree.search.text()!r}"

    # What must hold.

    def check(self) -> None:
        """After each step: nothing locked is marked, and what is shown is what follows from the contents."""
        for _ in range(TURNS):
            if not self.document.dispatcher.busy:
                break
            QApplication.processEvents()
        document, window = self.document, self.window
        found = [] if document.analysis is None else [*self._plan(), *self._shown()]
        if not document.jobs:
            found += self._rests()
        found += [f"covered: {type(one.parent()).__name__}" for one in window.findChildren(Cover)]
        self.walker.faults += found

    def _plan(self) -> list[str]:
        document, analysis = self.document, self.document.analysis
        assert analysis is not None
        found = []
        if (
            document.contents.unpreviewed is None
            and (document.marked & with_their_blocks(analysis, document.locked)).any()
        ):
            found.append("something locked is marked")
        if document.marked.shape != (analysis.count,):
            found.append("marks of another model")
        check_plan(analysis, document.removed | document.marked)
        known = {one.kind for one in analysis.sets}
        found += [f"shape of {one.kind}" for one in document.goal.shape if one.kind not in known | {Kind.HEAD}]
        return found

    def _shown(self) -> list[str]:
        """What the panels say, beside what is worked out here from costs and goal."""
        document, window, found = self.document, self.window, []
        assert document.analysis is not None
        bar = window.top_bar
        verdict, goal = document.goal_verdict, document.goal
        if (goal.keep * 100).is_integer() and not bar.keep.hasFocus() and bar.keep.value() != round(goal.keep * 100):
            found.append(f"the bar keeps {bar.keep.value()}, the goal {goal.keep}")
        if verdict is not None and goal.cost is Cost.MACS and not goal.shaped:
            whole, left = (costs(document.analysis, mask).macs for mask in (None, document.removed | document.marked))
            if verdict.costs[0].met != (left <= int(goal.keep * whole + 0.5)):
                found.append(f"verdict {verdict.sentence} with {left} of {whole} MACs")
        said = window.area.panels["ledger"].goal.text()
        if verdict is not None and said != str(verdict.sentence):
            found.append(f"the ledger says {said!r}, not {verdict.sentence}")
        remarks = {one.text() for one in window.area.panels["tree"].window().findChildren(QLabel) if one.isVisible()}
        for words in ("goal met", "goal missed"):
            if words in remarks and words != goal_short(verdict):
                found.append(f"{words!r} is shown, not {goal_short(verdict)!r}")
        tree, typed = window.area.panels["tree"], document.contents.listing.typed
        typing = tree.search.hasFocus()  # what is typed counts after a pause
        if tree.model.analysis is not document.analysis or (not typing and tree.search.text() != typed):
            found.append("the tree lists another model")
        return found

    def _rests(self) -> list[str]:
        document, window = self.document, self.window
        found = ["busy without a job"] if document.busy or not window.status.running.isHidden() else []
        primary, command = window.top_bar.primary, next_step(document)
        if is_available(primary) == bool(command.enabled(document)):
            found.append(f"{command.id} is {'offered' if is_available(primary) else 'dead'}")
        if primary.text().endswith("\u2026"):
            found.append(f"the button says {primary.text()!r}")
        for name in ("edit.suggest", "edit.mark", "edit.undo", "run.cut"):
            if window.commands.by_id[name].isEnabled() == bool(command_named(name).enabled(document)):
                found.append(f"{name} is dead or offered in vain")
        return found


def walk_through_models(window: MainWindow, answers: Answers, seed: int, steps: int) -> str:
    """Walk from seed; what was done."""
    walk = ModelWalk(window, answers, seed)
    walk.walker.steps.append(walk.open(walk.walker.random))
    answers.finish()
    walk.check()  # once all panels show the model, as nobody can act on them before
    walk.walker.walk(steps)
    walk.walker.tidy()
    answers.finish()
    window.document.failed.disconnect(walk.walker._failed)
    walk.check()
    assert not walk.walker.faults, walk.walker.account()
    return walk.walker.account()
