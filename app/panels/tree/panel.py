"""The tree with its filter box, chips and the line that says why something was refused."""

from dataclasses import replace

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QStackedLayout, QWidget

from ...document.aspects import Aspect
from ...document.document import Document
from ...text.translate import counted
from ...theme import px
from ...widgets.buttons import Chip, button
from ...widgets.card import Card, EmptyState
from ...widgets.fields import FilterLine
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing
from ...widgets.score_map import ScoreRange
from ..panel_layout import column_of, row_of
from ..panel_parts import show_scores
from ..plot_tables import structures_table
from .model import TreeModel
from .options import ColourBox, CriterionBox, RatingOptions, count_changes
from .query import parse, state_mask
from .view import StructureTree

SHOWN = frozenset(
    {Aspect.MODEL, Aspect.MARKS, Aspect.SCORES, Aspect.GATES, Aspect.STATES, Aspect.TARGET, Aspect.SELECTION}
)
TYPING = 150
"""Milliseconds after the last key before the tree is filtered."""


FEW = 60
"""Hits up to which the rows that hold them are opened."""
ROOMY = 340
"""Width from which the filter box says all that it takes, in device-independent pixels."""


class TreePanel(Card):
    """What the model consists of and what is marked in it.

    Attributes:
        model: The rows.
        view: The tree itself.
        search: The filter box.
        criterion: What structures are rated by.
        chips: By state ("" for all).
        options: Opens the options of the rating.
        colours: What structures are coloured by.
        found: How many the filter lets through.
        range: What the colours of the scores mean.
        hint: Why the last gesture was refused.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show what the document has open."""
        super().__init__(parent, margin=10)
        self.document = document
        self.model = TreeModel(document, self)
        self.view = StructureTree(document, self.model, self)
        self.search = FilterLine(self.tr("Filter the layers and structures"))
        self.search.setToolTip(self.tr("Filter by name, type, kind, marked, score < 0.1"))
        self.criterion = CriterionBox(document)
        self.chips: dict[str, Chip] = {}
        self._popover: RatingOptions | None = None
        words = self.tr("Open a model to see its layers, and what can be removed from them.")
        self._empty = EmptyState(self.tr("Layers and structures"), words)
        self.found = label(role="caption")
        self.colours, self.range = ColourBox(document), ScoreRange()
        self._nothing = label(self.tr("Nothing matches this filter."), "muted", wrap=True)
        self.hint = label(role="marked", wrap=True)
        self._timer = QTimer(self, interval=TYPING, singleShot=True)
        self.setMinimumWidth(280)
        self._drawing = Drawing(
            "scores",
            self.tr("Tree and scores"),
            "tree",
            shown=lambda: document.analysis is not None,
            widget=lambda: self.view,
            table=lambda: structures_table(document),
        )
        self.view.drawing = self._drawing
        self._criterion_name = label(self.tr("Criterion"), "caption")
        # Until there is room for it.
        self._criterion_name.hide()
        self.options = button(
            "\u2026", tip=self.tr("How scores are computed and compared, and what the criterion costs")
        )
        self.options.setAccessibleName(self.tr("Score options"))
        self.options.setProperty("role", "small")
        self.options.clicked.connect(self.show_options)
        chips, group = FlowLayout(), QButtonGroup(self)
        for state, title in (
            ("", self.tr("All")),
            ("prunable", self.tr("Prunable")),
            ("marked", self.tr("Marked")),
            ("locked", self.tr("Locked")),
            ("fixed", self.tr("Fixed")),
        ):
            chip = self.chips[state] = Chip(title)
            group.addButton(chip)
            chips.addWidget(chip)
            chip.clicked.connect(self.filter)
        self.chips[""].setChecked(True)
        rating = row_of(self._criterion_name, (self.criterion, 1), self.options, gap=6)
        legend = row_of(self.colours, self.range, None, gap=6)
        tree, found = QWidget(), (self.found, (self.view, 1), self._nothing, self.hint)
        column_of(self.search, rating, chips, *found, legend, on=tree, margins=(0, 0, 0, 0), gap=8)
        self._stack = QStackedLayout()
        # The layout has its widget before its pages: a stack without one shows its first page as a window.
        self.body.addLayout(self._stack)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(tree)
        for each in (self.hint, self.found, self._nothing):
            each.hide()
        self._timer.timeout.connect(self.filter)
        self.search.textChanged.connect(self._filter_soon)
        self.model.refused.connect(self.refuse)
        self.view.refused.connect(self.refuse)
        document.dispatcher.watch(SHOWN, self._show_changes)
        self._show_changes(frozenset({Aspect.MODEL}))

    def drawings(self) -> tuple[Drawing, ...]:
        """The tree, to be taken along: as it is seen, and the scores of all structures."""
        return (self._drawing,)

    @Slot()
    def show_options(self) -> None:
        """Open the options of the scores under their button."""
        if self._popover is None:
            self._popover = RatingOptions(self.document, self)
        self._popover.show_below(self.options)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Say in the filter box what it takes, as far as there is room."""
        super().resizeEvent(event)
        short = self.tr("Name, kind, score < 0.1")
        self.search.setPlaceholderText(short if self.width() < px(ROOMY) else self.search.toolTip())
        self._criterion_name.setVisible(self.width() >= px(ROOMY))

    @Slot()
    def filter(self) -> None:
        """Show what box and chip ask for."""
        self._timer.stop()
        listing = self.document.contents.listing
        listing.typed = self.search.text()
        listing.state = next((s for s, chip in self.chips.items() if chip.isChecked()), "")
        self.model.set_query(parse(f"{listing.typed} {listing.state}"))
        self._nothing.setVisible(self.document.analysis is not None and self.model.rowCount() == 0)
        # Rows that hold few hits are opened, so that they are seen; they close again with the filter.
        if not self.model.query.empty:
            self.view.open_rows.counting = False
            for row in self.model.few(FEW):
                self.view.setExpanded(self.model.at(row), True)
            self.view.open_rows.counting = True
        self._show_hits()

    def _show_hits(self) -> None:
        """How many the filter lets through, while there is one."""
        self.found.setVisible(not self.model.query.empty and self.document.analysis is not None)
        structures = counted(self.model.hits[0], self.tr("{count} structure"), self.tr("{count} structures"))
        layers = counted(self.model.hits[1], self.tr("{count} layer"), self.tr("{count} layers"))
        self.found.setText(self.tr("{0} in {1} found").format(structures, layers))

    def edit_keeps(self) -> None:
        """Type how many the selected layer keeps; a filter that hides it is put away."""
        chosen = self.document.selection
        if not self.model.index_of(chosen.module, chosen.set_number).isValid():
            listing = self.document.contents.listing
            listing.typed = listing.state = ""
            self._restore_filter()
        self.view.show_selection(replace(chosen, structure=-1))
        self.view.setFocus()
        self.view.edit_keeps()

    def _restore_filter(self) -> None:
        """Filter as the document says: another model has no filter yet."""
        listing = self.document.contents.listing
        self.search.setText(listing.typed)
        self.chips[listing.state].setChecked(True)
        self.filter()

    @Slot(str)
    def refuse(self, sentence: str) -> None:
        """Say why something cannot be, until the next change."""
        self.hint.setText(sentence)
        self.hint.show()

    @Slot()
    def _filter_soon(self) -> None:
        self._timer.start()

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & {Aspect.MODEL, Aspect.SCORES}:
            other = count_changes(self.document.contents.choices, self.document.contents.ranking)
            self.options.setText(f"\u2026 {other}" if other else "\u2026")
            words = self.tr("Score options, {0} changed").format(other) if other else self.tr("Score options")
            self.options.setAccessibleName(words)
        if Aspect.MODEL in aspects:
            self._stack.setCurrentIndex(int(self.document.analysis is not None))
            self.model.reload()
            self._restore_filter()
            self._show_numbers()
        elif aspects & {Aspect.MARKS, Aspect.SCORES, Aspect.GATES, Aspect.STATES, Aspect.TARGET}:
            self.model.refresh()
            # With another target, times may be known that were not before.
            if Aspect.TARGET in aspects:
                self.view.columns.share_room(self.view.viewport().width())
            self._show_hits()
            self._show_numbers()
            self.hint.hide()
        if Aspect.SELECTION in aspects:
            self.view.show_selection(self.document.selection)
            self.hint.hide()

    def _show_numbers(self) -> None:
        """Numbers on the chips, and in words what they count."""
        if self.document.analysis is None:
            return
        facts = self.model.facts()
        scale = self.model.figures.scale if self.model.figures else None
        show_scores(self.range, self.document, scale)
        numbers = {s: int(state_mask(s, facts).sum()) for s in ("prunable", "marked", "locked")}
        numbers[""] = self.document.analysis.count
        rows = self.model.rows
        numbers["fixed"] = 0 if rows is None else int((rows.fixed >= 0).sum())
        words = {
            "": self.tr("{0} structures in total"),
            "prunable": self.tr("{0} structures that can be removed"),
            "marked": self.tr("{0} structures marked for removal"),
            "locked": self.tr("{0} structures locked"),
            "fixed": self.tr("{0} layers with fixed outputs"),
        }
        for state, chip in self.chips.items():
            chip.tell(f"{numbers[state]:,}", words[state].format(f"{numbers[state]:,}"))
