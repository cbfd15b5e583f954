"""The order in which Tab goes through a window: part by part, as they are read."""

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

MOST = 5000
"""Widgets of a window that are looked at."""


def put_in_order(window: QWidget, parts: Sequence[QWidget]) -> None:
    """Let Tab go through the parts one after the other; inside each of them as it did."""
    chain, place = reached(window), {id(part): number for number, part in enumerate(parts)}
    ranks = [_rank(widget, place, len(parts)) for widget in chain]
    if ranks == sorted(ranks):
        return
    ordered = [widget for _, _, widget in sorted(zip(ranks, range(len(chain)), chain, strict=True))]
    for one, other in pairwise(ordered):
        QWidget.setTabOrder(one, other)


def reached(window: QWidget) -> list[QWidget]:
    """All that Tab could reach in a window, in its order."""
    found: list[QWidget] = []
    widget: QWidget | None = window.nextInFocusChain()
    while widget is not None and widget is not window and len(found) < MOST:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.window() is window:
            found.append(widget)
        widget = widget.nextInFocusChain()
    return found


def _rank(widget: QWidget, place: dict[int, int], last: int) -> int:
    """The part that holds a widget; widgets outside all parts come last."""
    each: QWidget | None = widget
    while each is not None:
        if id(each) in place:
            return place[id(each)]
        each = each.parentWidget()
    return last
