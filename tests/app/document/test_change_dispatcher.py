"""What changed reaches the views one after the other, once each, and those in front first."""

import pytest
from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QTabWidget, QWidget

from secateur.app.document.aspects import Aspect
from secateur.app.document.change_dispatcher import ChangeDispatcher

BOTH = frozenset({Aspect.MARKS, Aspect.SCORES})


class View(QWidget):
    """Writes down what it is told."""

    def __init__(self, views: ChangeDispatcher, shown: frozenset[Aspect] = BOTH) -> None:
        super().__init__()
        self.told: list[frozenset[Aspect]] = []
        views.watch(shown, self.take)

    def take(self, aspects: frozenset[Aspect]) -> None:
        self.told.append(aspects)


@pytest.fixture
def views(qapp) -> ChangeDispatcher:
    return ChangeDispatcher()


@pytest.fixture
def tabs(qtbot, views) -> QTabWidget:
    tabs = QTabWidget()
    qtbot.addWidget(tabs)
    for name in "ab":
        tabs.addTab(View(views), name)
    tabs.show()
    return tabs


def settled(qtbot, views: ChangeDispatcher) -> None:
    qtbot.waitUntil(lambda: not views.busy)


def test_a_view_is_told_only_what_it_shows_and_several_changes_at_once(qtbot, views) -> None:
    one, other = View(views), View(views, frozenset({Aspect.LOG}))
    for each in (one, other):
        qtbot.addWidget(each)
        each.show()
    for aspect in (Aspect.MARKS, Aspect.JOBS, Aspect.SCORES, Aspect.MARKS):
        views.tell(frozenset({aspect}))
    assert one.told == []
    settled(qtbot, views)
    assert one.told == [BOTH] and other.told == []


def test_the_event_loop_turns_between_two_views(qtbot, views) -> None:
    class Beaten(View):
        def take(self, aspects: frozenset[Aspect]) -> None:
            super().take(aspects)
            seen.append(len(beats))

    seen, beats = list[int](), list[int]()
    kept = [Beaten(views) for _ in range(4)]
    for each in kept:
        qtbot.addWidget(each)
        each.show()
    timer = QTimer(interval=0)
    timer.timeout.connect(lambda: beats.append(1))
    timer.start()
    views.tell(BOTH)
    settled(qtbot, views)
    timer.stop()
    assert len(set(seen)) == 4


def test_a_view_behind_another_tab_waits_until_it_is_shown(qtbot, views, tabs) -> None:
    front, behind = tabs.widget(0), tabs.widget(1)
    views.tell(frozenset({Aspect.MARKS}))
    settled(qtbot, views)
    views.tell(frozenset({Aspect.SCORES}))
    settled(qtbot, views)
    assert (len(front.told), behind.told) == (2, [])
    tabs.setCurrentIndex(1)
    assert behind.told == [BOTH]


def test_what_a_hidden_window_has_in_front_is_made_ready_before_it_is_shown(qtbot, views, tabs) -> None:
    tabs.hide()
    with qtbot.waitSignal(views.settled):
        views.tell(BOTH)
    assert tabs.widget(0).told == [BOTH] and tabs.widget(1).told == []


def test_a_view_that_is_told_often_does_not_keep_the_others_waiting(qtbot, views) -> None:
    order = list[View]()

    class Greedy(View):
        def take(self, aspects: frozenset[Aspect]) -> None:
            order.append(self)
            if len(order) < 50:
                views.tell(frozenset({Aspect.MARKS}))

    class Patient(View):
        def take(self, aspects: frozenset[Aspect]) -> None:
            order.append(self)

    greedy, patient = Greedy(views), Patient(views, frozenset({Aspect.SCORES}))
    for each in (greedy, patient):
        qtbot.addWidget(each)
        each.show()
    views.tell(BOTH)
    settled(qtbot, views)
    assert order[:3] == [greedy, patient, greedy]


def test_settling_tells_everybody_now_and_a_view_that_is_gone_nothing(qtbot, views, tabs) -> None:
    class Ear(QObject):
        def take(self, aspects: frozenset[Aspect]) -> None:
            raise AssertionError("it is gone")

    ear = Ear()
    views.watch(BOTH, ear.take)
    del ear
    views.tell(BOTH)
    views.settle()
    assert [tabs.widget(n).told for n in (0, 1)] == [[BOTH], [BOTH]] and not views.busy
