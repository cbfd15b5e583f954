"""Hands what changed to the views: one of them in each turn of the event loop, so that the window answers in between.

A view says which aspects it shows. What changes again before its turn comes is handed over once; a view that is hidden
behind another tab waits until it is shown. A view that fails is covered, and handed the same with the next change.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from PySide6.QtCore import QEvent, QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from ..widgets.cover import attempt, show_or_cover
from .aspects import Aspect

Aspects = frozenset[Aspect]


@dataclass(slots=True, eq=False)
class _Watch:
    """A view's method, the aspects that it shows, and those that it failed to show."""

    # weakref.WeakMethod: a view that is gone needs no words.
    take: Any
    shown: Aspects
    owed: Aspects = frozenset()

    def view(self) -> QObject | None:
        """The view, None when it is gone."""
        take = self.take()
        return take.__self__ if take is not None and isValid(take.__self__) else None


class ChangeDispatcher(QObject):
    """All that shows the document.

    Signals:
        settled: Every view in front shows the document as it is.
    """

    settled = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        """Start without views."""
        super().__init__(parent)
        self._watches: list[_Watch] = []
        self._due: dict[_Watch, Aspects] = {}
        self._turns = QTimer(self, interval=0)
        self._turns.timeout.connect(self._turn)

    @property
    def busy(self) -> bool:
        """A view in front does not yet show the document as it is."""
        return self._turns.isActive()

    def watch(self, shown: Aspects, take: Callable[[Aspects], None]) -> None:
        """Call `take`, a method of a view, with those of the aspects in `shown` that changed."""
        watch = _Watch(weakref.WeakMethod(take), shown)
        self._watches.append(watch)
        view = watch.view()
        if isinstance(view, QWidget):
            view.installEventFilter(self)

    def tell(self, aspects: Aspects) -> None:
        """These changed."""
        for watch in self._watches:
            if concerned := aspects & watch.shown:
                self._due[watch] = self._due.get(watch, watch.owed) | concerned
                self._turns.start()

    def settle(self) -> None:
        """Hand everything over now, also to what is hidden."""
        while self._due:
            self._hand_over(next(iter(self._due)))
        self._turn()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hand a view that is shown what changed while it was hidden."""
        if event.type() is QEvent.Type.Show:
            for watch in [w for w in self._due if w.view() is watched]:
                self._hand_over(watch)
        return False

    @Slot()
    def _turn(self) -> None:
        """One view; the one that waits longest comes first."""
        watch = next((w for w in self._due if not _hidden(w.view())), None)
        if watch is not None:
            self._hand_over(watch)
        elif self._turns.isActive():
            self._turns.stop()
            self.settled.emit()

    def _hand_over(self, watch: _Watch) -> None:
        aspects, view = self._due.pop(watch), watch.view()
        if view is None:
            self._watches.remove(watch)
            return
        show = partial(watch.take(), aspects)
        # A window has panels of its own in it, and what is no widget shows nothing that could be covered.
        shown = show_or_cover(view, show) if isinstance(view, QWidget) and not view.isWindow() else attempt(show)
        watch.owed = frozenset() if shown else aspects


def _hidden(view: QObject | None) -> bool:
    """Itself, as a tab behind another is: what is hidden with its whole window is made ready all the same."""
    return isinstance(view, QWidget) and view.isHidden()
