"""The tool bar in every state of work: one row, the same parts in the same places, and the focus where it was."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from secateur.app.theme import Scheme, theme
from secateur.app.theme.design_tokens import LARGEST
from secateur.app.window.main_window import MainWindow
from secateur.app.window.top_bar import Room, TopBar
from secateur.engine.errors import SecateurError
from secateur.engine.session.states import OpenedModel, State, StateKind
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Metric, Split, TaskInfo

from ..demo_analysis import scores_of, small_resnet
from ..stand_in import SPEC, exported, state_of, task_info, weak
from ..turns import TURNS

LONG = "A data set whose name is longer than any bar could show, with all of its classes and splits"


class Road:
    """A window that is led through all states of work; the engine is the test."""

    def __init__(self, window: MainWindow) -> None:
        self.window, self.document = window, window.document
        self.link: Any = window.workbench.runner.link
        self.analysis = small_resnet()
        self.removed = weak(self.analysis, scores_of(self.analysis), 0.25)

    def settle(self) -> None:
        """Score; measurements that nobody asked for stay where they are."""
        for job in self.window.workbench.runner.queue.jobs():
            if job.method == "score":
                scores = np.where(self.document.removed, np.nan, scores_of(self.analysis))
                self.link.finished.emit(job.id, scores)

    def answer(self, method: str, result: object) -> None:
        self.link.finished.emit(self.link.last(method), result)
        self.settle()

    def adopt(self, task: TaskInfo | None, metric: Metric | None = None) -> None:
        state = state_of(self.analysis, "s0", "", StateKind.ORIGINAL, self.analysis.empty())
        state = state if metric is None else state.with_metric(metric)
        self.document.adopt(OpenedModel("net", self.analysis, state, (), task, SPEC), SPEC)
        self.settle()

    def made(self, name: str, parent: str, kind: StateKind) -> State:
        return state_of(self.analysis, name, parent, kind, self.removed, 0.9, 0.44)

    def states(self) -> list[tuple[str, Callable[[], object]]]:
        document, workbench = self.document, self.window.workbench
        perplexity = Metric("perplexity", 20.0, 100, 0.1, Split.TEST, percent=False, higher_is_better=False)
        fail = SecateurError("recovery.diverged", "The loss became NaN. Lower the learning rate.")
        return [
            ("no model", lambda: None),
            ("model", lambda: self.adopt(None)),
            ("data", lambda: self.adopt(replace(task_info(), title=LONG), perplexity)),
            ("data with points", lambda: self.adopt(task_info(), Metric("top-1", 0.91, 2000, 0.006, Split.TEST))),
            ("another target", lambda: document.set_target(TargetSpec("openvino", 16, 128, 16, size=(320, 320)))),
            ("plan", lambda: document.plan.mark(self.removed, True)),
            ("cutting", lambda: workbench.states.cut()),
            ("cut", lambda: self.answer("cut", self.made("s1", "s0", StateKind.CUT))),
            ("recovering", lambda: workbench.states.recover(replace(document.recovery, epochs=8))),
            ("failed", lambda: self.link.failed.emit(self.link.last("recover"), fail)),
            ("recovering again", lambda: workbench.states.recover(document.recovery)),
            ("recovered", lambda: self.answer("recover", self.made("s2", "s1", StateKind.RECOVERED))),
            ("exporting", lambda: workbench.states.export("onnx", "small.onnx")),
            ("exported", lambda: self.answer("export", exported())),
            ("undone", lambda: document.plan.undo()),
        ]


@pytest.fixture
def road(empty: MainWindow, monkeypatch) -> Road:
    monkeypatch.setattr("secateur.app.dialogs.closing.jobs_to_confirm", lambda _document: ())
    return Road(empty)


def geometries(bar: TopBar) -> dict[str, tuple[int, int, int, int]]:
    """Every part that is shown, by its name in the bar: where it lies in the window, and how large it is."""
    names = {id(one): name for name, one in vars(bar).items() if isinstance(one, QWidget)}
    names |= {id(one): name for name, one in bar._buttons.items()}
    names |= {id(one): f"caption {n}" for n, one in enumerate(bar._captions)}
    found = {}
    for part in bar.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
        if part.isVisible() and not part.isWindow():
            corner = part.mapTo(bar.window(), QPoint(0, 0))
            found[names[id(part)]] = (corner.x(), corner.y(), part.width(), part.height())
    return found


def settled(bar: TopBar) -> dict[str, tuple[int, int, int, int]]:
    """The same, once turns of the event loop change nothing more."""
    found, same = geometries(bar), 0
    while same < TURNS:
        QApplication.processEvents()
        before, found = found, geometries(bar)
        same = same + 1 if found == before else 0
    return found


@pytest.mark.parametrize(
    ("width", "some"),
    [(1440, {"edit.suggest", "run.lowest", "edit.undo", "edit.redo", "_goal", "kinds"}), (1024, {"_more", "_goal"})],
)
def test_no_state_of_work_moves_anything_in_the_bar(road, qtbot, width: int, some: set[str]) -> None:
    bar, seen = road.window.top_bar, {}
    road.window.resize(width, 700)
    qtbot.waitUntil(lambda: bar.width() == width - 24)
    for name, step in road.states():
        step()
        qtbot.waitUntil(lambda: not road.document.dispatcher.busy)
        seen[name] = settled(bar)
    first = seen["no model"]
    moved = {
        f"{name}: {part}": (first.get(part), found.get(part))
        for name, found in seen.items()
        for part in first.keys() | found.keys()
        if first.get(part) != found.get(part)
    }
    assert moved == {}
    assert some <= set(first)
    rows = {y + height // 2 for _, y, _, height in first.values()}
    assert max(rows) - min(rows) <= 1, "one row"
    spans = sorted((x, x + w) for x, _, w, _ in first.values())
    assert all(one[1] <= other[0] for one, other in pairwise(spans)), "nothing overlaps"
    assert spans[-1][1] <= width - 12


@pytest.mark.parametrize("width", [1440, 1024])
def test_a_switch_of_the_look_moves_nothing_in_the_bar_and_leaves_the_focus(road, qtbot, width: int) -> None:
    bar = road.window.top_bar
    road.window.resize(width, 700)
    qtbot.waitUntil(lambda: bar.width() == width - 24)
    bar.keep.setFocus()
    before = settled(bar)
    for scheme in (Scheme.DARK, Scheme.CONTRAST, Scheme.LIGHT):
        theme().switch(scheme)
        qtbot.waitUntil(lambda: not theme().switching)
        assert settled(bar) == before, scheme
        assert QApplication.focusWidget() is bar.keep, scheme


@pytest.mark.parametrize("place", ["primary", "keep", "cost", "data"])
def test_the_focus_stays_where_it_was_when_a_job_starts_and_ends(road, qtbot, place: str) -> None:
    road.adopt(task_info(), Metric("top-1", 0.91, 2000, 0.006, Split.TEST))
    road.document.plan.mark(road.removed, True)
    qtbot.waitUntil(lambda: not road.document.dispatcher.busy)
    bar = road.window.top_bar
    field = getattr(bar, place)
    road.window.activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    if place == "primary":
        qtbot.keyClick(field, Qt.Key.Key_Space)
    else:
        road.window.workbench.states.cut()
    qtbot.waitUntil(lambda: road.document.busy and not road.document.dispatcher.busy)
    assert QApplication.focusWidget() is field
    calls, goal = len(road.link.calls), road.document.goal
    qtbot.keyClick(field, Qt.Key.Key_Space)
    qtbot.keyClick(field, Qt.Key.Key_Up)
    qtbot.mouseClick(field, Qt.MouseButton.LeftButton)
    assert QApplication.activePopupWidget() is None
    assert (len(road.link.calls), road.document.goal) == (calls, goal), "it takes nothing while the job runs"
    road.answer("cut", road.made("s1", "s0", StateKind.CUT))
    qtbot.waitUntil(lambda: not road.document.busy and not road.document.dispatcher.busy)
    assert QApplication.focusWidget() is field and field.isEnabled() and not field.property("inert")


def test_what_the_focus_leaves_while_a_job_runs_is_disabled_like_the_rest(road, qtbot) -> None:
    road.adopt(task_info())
    road.document.plan.mark(road.removed, True)
    qtbot.waitUntil(lambda: not road.document.dispatcher.busy)
    bar = road.window.top_bar
    bar.keep.setFocus()
    road.window.workbench.states.cut()
    qtbot.waitUntil(lambda: bool(bar.keep.property("inert")))
    qtbot.keyClick(bar.keep, Qt.Key.Key_Tab)
    qtbot.waitUntil(lambda: not bar.keep.isEnabled())
    assert QApplication.focusWidget() is not bar.keep and not bar.keep.property("inert")


def test_where_the_bar_is_narrow_the_menu_has_what_has_no_button(road, qtbot) -> None:
    road.adopt(task_info())
    road.document.plan.mark(road.removed, True)
    road.window.resize(1024, 700)
    bar = road.window.top_bar
    qtbot.waitUntil(lambda: bar.room is Room.FIELDS)
    qtbot.mouseClick(bar._more, Qt.MouseButton.LeftButton)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    entries = {action.text(): action.isEnabled() for action in menu.actions()}
    menu.close()
    assert "Keep by kind..." in entries
    assert entries["Suggest plan"] and not entries["Find the fastest..."] and not entries["Redo"]


def test_with_the_largest_text_the_goal_opens_under_its_button_and_nothing_is_cut_off(road, qtbot) -> None:
    road.window.resize(1024, 700)
    bar = road.window.top_bar
    theme().resize(LARGEST)
    try:
        qtbot.waitUntil(lambda: bar.room is Room.LEAST)
        QApplication.processEvents()
        assert max(x + w for x, _, w, _ in geometries(bar).values()) <= 1024 - 12
        qtbot.mouseClick(bar._goal_button, Qt.MouseButton.LeftButton)
        assert bar.keep.isVisible() and bar._popup.isAncestorOf(QApplication.focusWidget())
        bar._popup.close()
        road.window.resize(2000, 900)
        qtbot.waitUntil(lambda: bar.room is not Room.LEAST)
        assert bar.keep.window() is road.window
        assert bar.keep.isVisible()
    finally:
        theme().resize(12)
        qtbot.waitUntil(lambda: not theme().switching)


@pytest.mark.parametrize("width", [1440, 1024])
def test_the_next_step_is_written_whole(road, qtbot, width: int) -> None:
    bar, elided = road.window.top_bar, dict[str, str]()
    road.window.resize(width, 700)
    qtbot.waitUntil(lambda: bar.width() == width - 24)
    assert not bar.data.elided, bar.data.shown()
    for name, step in road.states():
        step()
        qtbot.waitUntil(lambda: not road.document.dispatcher.busy)
        if bar.primary.elided:
            elided[name] = bar.primary.shown()
    assert elided == {}
    for words in ("Open sample ResNet \u2026", "Cut 99,999 structures", "Recover, 20 minutes \u2026"):
        bar.primary.say(words)
        assert not bar.primary.elided, words
