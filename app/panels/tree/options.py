"""Options of the scores: what the criterion computes and costs, and what may be chosen about its scores."""

from dataclasses import replace
from enum import StrEnum
from typing import Any, cast

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFormLayout, QWidget

from secateur.engine.options import Setting, setting_of
from secateur.engine.planning.protocol import Goal, Ranking
from secateur.engine.scoring.criteria import CRITERIA, context_of, unavailable
from secateur.engine.scoring.protocol import Criterion
from secateur.engine.scoring.score_options import Choices, Combine, Normalise, Slices

from ...dialogs.settings_fields import explain
from ...document.document import Aspect, Document
from ...text.translate import engine_words, sentence
from ...widgets.availability import set_available
from ...widgets.buttons import button
from ...widgets.card import Card
from ...widgets.fields import ComboBox
from ...widgets.labels import label

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SCORES, Aspect.JOBS})
WIDTH = 400
"""Of the popover, in device-independent pixels."""


def changed(choices: Choices, ranking: Ranking) -> int:
    """How many of the choices are not the criterion's own."""
    chosen = (choices.combine, choices.slices, choices.normalise)
    return sum(one is not None for one in chosen) + (ranking is not Ranking.AUTO)


class RatingOptions(Card):
    """A popover: it closes with Escape or a click beside it; what is chosen holds at once.

    Attributes:
        combine: How weights become one number.
        slices: Which weights count.
        normalise: What scores of a set are divided by.
        ranking: What competes.
        compare: Opens a comparison with another rating.
        help: What the criterion computes, costs, and where it comes from.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Choose for a document."""
        super().__init__(parent, margin=14)
        self.setWindowFlag(Qt.WindowType.Popup)
        self.document = document
        self._title = label(role="heading", wrap=True)
        self._title.setMinimumWidth(WIDTH - 28)  # of the popover none: words may need more
        self.help = {name: label(role="caption", wrap=True) for name in ("formula", "cost", "paper")}
        self._make()
        self._lay_out()
        for box in (self.combine, self.slices, self.normalise, self.ranking):
            box.activated.connect(self._choose)
        self._reset.clicked.connect(self._back)
        self.compare.clicked.connect(self._compare)
        document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def _make(self) -> None:
        self.combine = _box(setting_of(Choices, "combine"))
        self.slices = _box(setting_of(Choices, "slices"))
        self.normalise = _box(setting_of(Choices, "normalise"))
        self.ranking = _box(setting_of(Goal, "ranking"))
        self._reset = button(self.tr("Use the criterion's defaults"), "link")
        self.compare = button(self.tr("Compare with another criterion"), "link")

    def _lay_out(self) -> None:
        self.body.addWidget(self._title)
        for each in self.help.values():
            self.body.addWidget(each)
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(6)
        form.setContentsMargins(0, 6, 0, 0)
        for box in (self.combine, self.slices, self.normalise, self.ranking):
            caption = label(box.accessibleName(), "muted")
            caption.setBuddy(box)
            caption.setMinimumHeight(box.sizeHint().height())  # stands level with the box
            form.addRow(caption, box)
        self.body.addLayout(form)
        for each in (self.compare, self._reset):
            self.body.addWidget(each, 0, Qt.AlignmentFlag.AlignLeft)

    def show_below(self, anchor: QWidget) -> None:
        """Open under a button, moved so that it lies on the screen."""
        self.refresh()
        self.adjustSize()
        place = anchor.mapToGlobal(QPoint(0, anchor.height() + 4))
        room = (anchor.screen() or QGuiApplication.primaryScreen()).availableGeometry()
        x = min(max(place.x(), room.left()), room.right() - self.width())
        self.move(x, min(place.y(), max(room.top(), room.bottom() - self.height())))
        self.show()
        self.normalise.setFocus(Qt.FocusReason.PopupFocusReason)

    def refresh(self) -> None:
        """Show the criterion in use and what was chosen."""
        document, rule = self.document, CRITERIA[self.document.criterion]
        choices, ranking = document.choices, document.contents.ranking
        self._title.setText(engine_words(rule.title))
        self.help["formula"].setText(self.tr("Score: {0}").format(engine_words(rule.formula)))
        self.help["paper"].setText(rule.paper)
        self.help["cost"].setText(self._cost(rule))
        _show(self.combine, choices.combine, rule.combine, self.tr("as in the paper: {0}"), self.tr("not available"))
        _show(self.slices, choices.slices, rule.slices, self.tr("as in the paper: {0}"), self.tr("not available"))
        _show(self.normalise, choices.normalise, rule.normalise, self.tr("as in the paper: {0}"), "")
        with QSignalBlocker(self.ranking):
            self.ranking.setCurrentIndex(self.ranking.findData(str(ranking)))
        busy = document.busy or document.analysis is None
        set_available(self.combine, not busy and rule.combine is not None)
        set_available(self.slices, not busy and rule.slices is not None)
        set_available(self.normalise, not busy)
        set_available(self.ranking, not busy)
        set_available(self.compare, not busy)
        set_available(self._reset, not busy and changed(choices, ranking) > 0)

    def _cost(self, rule: Criterion) -> str:
        document = self.document
        if document.analysis is None:
            return ""
        setting = context_of(document.analysis, document.removed, document.task)
        return sentence(unavailable(rule, setting) or rule.cost(setting, document.choices).message)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()

    @Slot()
    def _choose(self) -> None:
        choices = replace(
            self.document.choices,
            combine=_chosen(self.combine, Combine),
            slices=_chosen(self.slices, Slices),
            normalise=_chosen(self.normalise, Normalise),
        )
        self.document.set_choices(choices, Ranking(self.ranking.currentData()))

    @Slot()
    def _compare(self) -> None:
        """Beside another one, in a page of its own; this popover is in its way."""
        from ...dialogs.compare_criteria import show_ratings

        self.hide()
        self.document.requested.emit(show_ratings)

    @Slot()
    def _back(self) -> None:
        self.document.set_choices(Choices(), Ranking.AUTO)


def _box(setting: Setting) -> ComboBox:
    """A box of choices; the first entry is the criterion's own where a setting may be left to it."""
    box = ComboBox(engine_words(setting.option.title))
    explain(box, setting.option)
    if setting.optional:
        box.addItem("", None)
    for value in cast("type[StrEnum]", setting.kind):
        box.addItem(engine_words(setting.words(value)), str(value))
    return box


def _show(box: ComboBox, chosen: Any, own: Any, words: str, none: str) -> None:
    """Show what is chosen; the first entry says what the criterion does by itself."""
    with QSignalBlocker(box):
        name = box.itemText(box.findData(str(own))) if own is not None else ""
        box.setItemText(0, words.format(name) if name else none)
        box.setCurrentIndex(0 if chosen is None else box.findData(str(chosen)))


def _chosen(box: ComboBox, kind: type) -> Any:
    value = box.currentData()
    return None if value is None else kind(value)
