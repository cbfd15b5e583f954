"""Options of the scores: what the criterion computes and costs, and what may be chosen about its scores."""

from dataclasses import replace
from enum import StrEnum
from typing import Any, cast

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QGuiApplication, QStandardItemModel
from PySide6.QtWidgets import QFormLayout, QWidget

from secateur.engine.options import Setting, setting_of
from secateur.engine.planning.protocol import Goal, Ranking
from secateur.engine.scoring.criteria import CRITERIA, context_of, offers, unavailable
from secateur.engine.scoring.score_options import Choices, Combine, Normalise, Slices

from ...dialogs.settings_fields import explain
from ...document.aspects import Aspect, Overlay
from ...document.document import Document
from ...document.preconditions import COLOURED
from ...text.translate import engine_words, sentence
from ...widgets.buttons import button, set_available
from ...widgets.card import Card
from ...widgets.fields import ComboBox
from ...widgets.labels import label
from ..overlay_text import overlay_texts

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SCORES, Aspect.JOBS})
WIDTH = 400
"""Of the popover, in device-independent pixels."""


def count_changes(choices: Choices, ranking: Ranking) -> int:
    """How many of the choices are not the criterion's own."""
    chosen = (choices.combine, choices.slices, choices.normalise)
    return sum(one is not None for one in chosen) + (ranking is not Ranking.AUTO)


class RatingOptions(Card):
    """A popover: it closes with Escape or a click outside; what is chosen applies at once.

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
        # The popover itself has no fixed width: words in another language may need more.
        self._title.setMinimumWidth(WIDTH - 28)
        self.help = {name: label(role="caption", wrap=True) for name in ("formula", "cost", "paper")}
        self.combine = _box(setting_of(Choices, "combine"))
        self.slices = _box(setting_of(Choices, "slices"))
        self.normalise = _box(setting_of(Choices, "normalise"))
        self.ranking = _box(setting_of(Goal, "ranking"))
        self._reset = button(self.tr("Use the criterion's defaults"), "link")
        self.compare = button(self.tr("Compare with another criterion"), "link")
        self.body.addWidget(self._title)
        for each in self.help.values():
            self.body.addWidget(each)
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(6)
        form.setContentsMargins(0, 6, 0, 0)
        for box in (self.combine, self.slices, self.normalise, self.ranking):
            box.activated.connect(self._set_choices)
            caption = label(box.accessibleName(), "muted")
            caption.setBuddy(box)
            # The caption is level with the box.
            caption.setMinimumHeight(box.sizeHint().height())
            form.addRow(caption, box)
        self.body.addLayout(form)
        for each in (self.compare, self._reset):
            self.body.addWidget(each, 0, Qt.AlignmentFlag.AlignLeft)
        self._reset.clicked.connect(self._set_defaults)
        self.compare.clicked.connect(self._open_comparison)
        document.dispatcher.watch(SHOWN, self.refresh)
        self.refresh()

    def show_below(self, anchor: QWidget) -> None:
        """Open under a button, moved so that it is on the screen."""
        self.refresh()
        self.adjustSize()
        place = anchor.mapToGlobal(QPoint(0, anchor.height() + 4))
        room = (anchor.screen() or QGuiApplication.primaryScreen()).availableGeometry()
        x = min(max(place.x(), room.left()), room.right() - self.width())
        self.move(x, min(place.y(), max(room.top(), room.bottom() - self.height())))
        self.show()
        self.normalise.setFocus(Qt.FocusReason.PopupFocusReason)

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show the criterion in use and what was chosen."""
        document, rule = self.document, CRITERIA[self.document.criterion]
        choices, ranking = document.contents.choices, document.contents.ranking
        self._title.setText(engine_words(rule.title))
        self.help["formula"].setText(self.tr("Score: {0}").format(engine_words(rule.formula)))
        self.help["paper"].setText(rule.paper)
        cost = ""
        if document.analysis is not None:
            setting = context_of(document.analysis, document.removed, document.task)
            cost = sentence(unavailable(rule, setting) or rule.cost(setting, document.contents.choices).message)
        self.help["cost"].setText(cost)
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
        set_available(self._reset, not busy and count_changes(choices, ranking) > 0)

    @Slot()
    def _set_choices(self) -> None:
        choices = replace(
            self.document.contents.choices,
            combine=_choice(self.combine, Combine),
            slices=_choice(self.slices, Slices),
            normalise=_choice(self.normalise, Normalise),
        )
        self.document.set_choices(choices, Ranking(self.ranking.currentData()))

    @Slot()
    def _open_comparison(self) -> None:
        """Beside another one, in a page of its own; this popover is in its way."""
        from ...dialogs.compare_criteria import show_ratings

        self.hide()
        self.document.requested.emit(show_ratings)

    @Slot()
    def _set_defaults(self) -> None:
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


def _choice(box: ComboBox, kind: type) -> Any:
    value = box.currentData()
    return None if value is None else kind(value)


class CriterionBox(ComboBox):
    """Chooses the criterion.

    Attributes:
        document: What is rated.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Choose for a document."""
        super().__init__("", parent)
        self.setAccessibleName(self.tr("Criterion that scores structures"))
        self.document = document
        self._known: tuple[object, ...] = (None, None, None, None)
        self.activated.connect(self._set_criterion)
        document.dispatcher.watch(SHOWN, self.refresh)
        self.refresh()

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show what the document may be scored by."""
        document = self.document
        set_available(self, document.analysis is not None and not document.busy)
        # What is offered depends on these alone; the box is filled again only where one of them is another object.
        known = (document.analysis, document.state, document.task, document.contents.choices)
        same = all(one is other for one, other in zip(known, self._known, strict=True))
        if document.analysis is not None and not same:
            self._known = known
            with QSignalBlocker(self):
                self.clear()
                found = offers(document.analysis, document.removed, document.task, document.contents.choices)
                for number, one in enumerate(found):
                    self.addItem(engine_words(one.criterion.title), one.criterion.name)
                    # What it computes, what that costs, and where it comes from; or why it is not available.
                    rule = one.criterion
                    tip = "\n".join((engine_words(rule.formula), sentence(one.cost.message), rule.paper))
                    if one.reason is not None:
                        tip = self.tr("Not available. {reason}").format(reason=sentence(one.reason))
                    self.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
                    model = self.model()
                    if isinstance(model, QStandardItemModel):
                        model.item(number).setEnabled(one.reason is None)
        place = self.findData(document.criterion)
        if place >= 0:
            with QSignalBlocker(self):
                self.setCurrentIndex(place)
            self.setToolTip(str(self.itemData(place, Qt.ItemDataRole.ToolTipRole)))

    @Slot(int)
    def _set_criterion(self, number: int) -> None:
        self.document.set_criterion(str(self.itemData(number)))


class ColourBox(ComboBox):
    """Chooses what structures are coloured by, here and in every view.

    Attributes:
        document: What is coloured.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Choose for a document."""
        super().__init__("", parent)
        self.setAccessibleName(self.tr("What structures are coloured by"))
        self.document = document
        for overlay, words in overlay_texts().items():
            self.addItem(words.title, str(overlay))
        self.activated.connect(self._set_overlay)
        document.dispatcher.watch(SHOWN | {Aspect.SENSITIVITY}, self.refresh)
        self.refresh()

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show the choice, and why others cannot be made."""
        model = self.model()
        assert isinstance(model, QStandardItemModel)
        for number, overlay in enumerate(Overlay):
            reason = COLOURED[overlay](self.document)
            model.item(number).setEnabled(not reason)
            self.setItemData(number, reason or None, Qt.ItemDataRole.ToolTipRole)
        with QSignalBlocker(self):
            self.setCurrentIndex(self.findData(str(self.document.contents.overlay)))
        set_available(self, self.document.learned_gates is None)

    @Slot(int)
    def _set_overlay(self, number: int) -> None:
        command = f"view.colour_{self.itemData(number)}"
        self.document.requested.emit(lambda window: window.run_command(command))
