"""The Changes panel: which two models are compared, and a page each for classes, confusions, samples, confidence."""

import numpy as np
from PySide6.QtCore import QItemSelectionModel, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QStackedLayout, QWidget

from secateur.engine.inspection.change_tables import confusion_table, group_table, sample_table
from secateur.engine.inspection.changes import Changes, summary
from secateur.engine.tasks.protocol import Sample, Split

from ...dialogs.save_plot import asks_to_save
from ...document.changes_query import TRIAL, ChangesQuery, is_predicted
from ...document.document import Aspect
from ...jobs.workbench import Workbench
from ...text.format import percent
from ...text.translate import counted, sentences
from ...theme import px
from ...widgets.buttons import Chip, button
from ...widgets.card import EmptyState
from ...widgets.fields import ComboBox, ElidedComboBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
from ...widgets.table import RowsTable
from ..compare.sides import state_title
from ..panel_layout import column_of, row_of, stack_of
from ..panel_parts import ask_for_data
from ..samples import Picture
from .model import ChangesModel, confusion_rows, count_words, group_rows, group_title, sample_rows
from .plot import ChangesPlot

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.CHANGES, Aspect.JOBS})
LOW, NARROW = 300, 560
"""Height from which the summary is shown, and width from which a sample is, in device-independent pixels."""
SIDE = 140
"""Of the picture of a sample, in pixels at the first size of text."""
AHEAD = 8
"""Samples after the current one that are read with it: whoever goes down the list does not wait."""
GROUPS, CONFUSIONS, SAMPLES, PLOT = "groups", "confusions", "samples", "plot"
EMPTY, PAGE = 0, 1
MEASURED = 60
"""Rows that the widths of columns go by."""
SAID = {
    "changes.points": "",
    "changes.plain": "",
    "changes.worse": GROUPS,
    "changes.even": GROUPS,
    "changes.mcnemar": SAMPLES,
    "changes.calibration": PLOT,
}
"""Code of a sentence -> the page that says it, "" for none; all others are on each page."""
Flag = QItemSelectionModel.SelectionFlag


class SampleCard(QWidget):
    """A sample as the model sees it, with what both predict."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._picture: Picture | None = None
        self._text = label(role="caption", wrap=True)
        self._words = label(wrap=True)
        self._column = column_of(self._text, self._words, None, on=self, margins=(0, 0, 0, 0), gap=4)
        self._sample: Sample | None = None

    def show_sample(self, sample: Sample | None, words: str) -> None:
        """Show another one; None while it is not read, or cannot be shown."""
        self._words.setText(words)
        if sample is self._sample:
            return
        self._sample = sample
        if self._picture is not None:
            self._column.removeWidget(self._picture)
            self._picture.deleteLater()
            self._picture = None
        self._text.setText("" if sample is None or sample.image is not None else sample.text)
        self._text.setVisible(bool(self._text.text()))
        if sample is not None and sample.image is not None:
            self._picture = Picture(sample)
            self._picture.setFixedSize(px(SIDE), px(SIDE))
            self._column.insertWidget(0, self._picture)


class ChangesPanel(QWidget):
    """What got worse?

    Attributes:
        boxes: Which model is before, and which after.
        split: On which split.
        by: What samples are grouped by.
        outcome: Which samples are listed.
        of_class: Of which class.
        pages: Chips that choose what is shown, by name.
        model: The rows of the table.
        table: Shows them.
        plot: Calibration, or residuals.
        card: The current sample.
        empty: What is said while there is nothing to show.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Compare what the document has."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.boxes = (ComboBox(self.tr("Model before")), ComboBox(self.tr("Model after")))
        self.split, self.by = ComboBox(self.tr("Split")), ComboBox(self.tr("Grouped by"))
        self.outcome = ComboBox(self.tr("Listed samples"))
        # As wide for ten thousand classes as for ten: to measure all of their names takes a second.
        self.of_class = ElidedComboBox(self.tr("Class of the samples"), letters=16, least=6)
        for text, outcome in ((self.tr("All"), None), (self.tr("Lost"), -1), (self.tr("Gained"), 1)):
            self.outcome.addItem(text, outcome)
        for split in (Split.TEST, Split.VAL):
            self.split.addItem(self.tr("{0} split").format(split.value), split)
        self.pages = {
            GROUPS: Chip(self.tr("Classes")),
            CONFUSIONS: Chip(self.tr("Confusions")),
            SAMPLES: Chip(self.tr("Samples")),
            PLOT: Chip(self.tr("Calibration")),
        }
        self.copy = button(self.tr("Copy as CSV"))
        self._versus = label(self.tr("to"), "caption")
        self._said = label(role="caption", wrap=True)
        self._count = label(role="caption")
        self.model = ChangesModel(self)
        self.table = RowsTable(self.model, self.tr("Changes"), self.tr("Columns of the changes; click to sort"), wide=0)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        # Columns are as wide as the first rows in view need: to measure thousands of them would take seconds.
        self.table.horizontalHeader().setResizeContentsPrecision(MEASURED)
        self.plot = ChangesPlot(self.tr("Calibration before and after"))
        self.card = SampleCard()
        self.empty = EmptyState("", "")
        self._lay_out()
        self._drawing = Drawing(
            "changes",
            self.tr("Changes"),
            "changes",
            shown=lambda: self._changes is not None and not self.pages[PLOT].isHidden(),
            widget=lambda: self.plot,
            table=self.plot.table,
        )
        offer(self.plot, self._drawing, asks_to_save(self.document))
        self._sides: tuple[str, ...] = ()
        self._titles = ("", "")
        self._changes: Changes | None = None
        self._listen()

    def _lay_out(self) -> None:
        head, group, listed = FlowLayout(), QButtonGroup(self), FlowLayout()
        for each in (self.boxes[0], self._versus, self.boxes[1], self.split):
            head.addWidget(each)
        for chip in self.pages.values():
            group.addButton(chip)
            head.addWidget(chip)
            chip.clicked.connect(self._show_page)
        for each in (self.by, self.outcome, self.of_class, self.copy, self._count):
            listed.addWidget(each)
        self.pages[GROUPS].setChecked(True)
        self._pages, inside, rows = QStackedLayout(), QWidget(), QWidget()
        row_of((self.table, 1), self.card, on=rows, margins=(0, 0, 0, 0), gap=10)
        column_of(self._said, listed, (self._pages, 1), on=inside, margins=(0, 0, 0, 0), gap=6)
        for page in (rows, self.plot):
            # A low panel gives them the room that there is; else it would be as high as the plot would like to be.
            page.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
            self._pages.addWidget(page)
        below = QWidget()
        self._stack = stack_of(below, self.empty, inside)
        self._head = QWidget()
        column_of(head, on=self._head, margins=(0, 0, 0, 0))
        column_of(self._head, (below, 1), on=self, margins=(6, 8, 6, 4), gap=6)

    def _listen(self) -> None:
        for box in (*self.boxes, self.split):
            box.activated.connect(self._choose)
        for box in (self.by, self.outcome, self.of_class):
            box.activated.connect(self._list_rows)
        self.copy.clicked.connect(self.copy_csv)
        self.table.selectionModel().currentChanged.connect(self._show_current)
        self.table.offer_copy(self.tr("Copy as CSV"), self.copy_csv)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self.refresh()

    def drawings(self) -> tuple[Drawing, ...]:
        """The plot, to be taken along."""
        return (self._drawing,)

    @property
    def query(self) -> ChangesQuery | None:
        """What is compared; None where there are no two models."""
        document, chosen = self.document, self.document.contents.changes
        names = [one.id for one in (*document.states, *document.contents.baselines.values())]
        if document.original is None:
            return None
        if chosen.after == TRIAL and chosen.tried is not None:
            return ChangesQuery(chosen.tried.query.state, TRIAL, chosen.tried.changes.split)
        before = chosen.before if chosen.before in names else document.original.id
        after = chosen.after if chosen.after in names else document.contents.present
        both = [self._one(name) for name in (before, after)]
        usual = next((s for s in (Split.TEST, Split.VAL) if all(is_predicted(one, s) for one in both)), None)
        return ChangesQuery(before, after, chosen.split or usual or document.evaluation_split)

    def _one(self, name: str):  # noqa: ANN202
        contents = self.document.contents
        return contents.states.get(name) or contents.baselines.get(name)

    # What is shown.

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN:
            self.refresh()

    def showEvent(self, event) -> None:  # noqa: ANN001
        """Compare at once what is kept."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known of the two models; ask for it where that takes a moment only."""
        document, query = self.document, self.query
        tried = document.contents.changes.tried is not None
        self._head.setVisible(query is not None and document.task is not None and (len(document.states) > 1 or tried))
        found = None
        if query is not None:
            self._list_sides(query)
            found = document.contents.changes.found(query)
        if found is not None:
            return self._show_found(found)
        self._changes = None
        self._stack.setCurrentIndex(EMPTY)
        if document.analysis is None or query is None:
            words = self.tr("Open a model and cut it: then see which classes and samples got worse.")
            self.empty.say(self.tr("Changes"), words)
        elif document.task is None:
            words = self.tr("Attach data to see which classes and samples got worse.")
            ask_for_data(self.empty, document, self.tr("Changes"), words)
        else:
            self._say_why_nothing(query)

    def _say_why_nothing(self, query: ChangesQuery) -> None:
        """Why there is no comparison yet, and the step that leads to it."""
        document, say = self.document, self.empty.say
        if query.before == query.after:
            words = self.tr("Cut the model: then see here which classes and samples got worse.")
            if len(document.states) > 1:
                words = self.tr("Both sides are the same. Choose another state to compare with.")
            return say(self.tr("Nothing to compare yet"), words)
        if (job := document.job_about(query)) is not None:
            cancel, number = self.workbench.runner.request_cancel, job.id
            return say(self.tr("Comparing"), job.text or job.title, self.tr("Cancel"), lambda: cancel(number))
        if (failed := document.contents.changes.failures.get(query)) is not None:
            return say(self.tr("Not compared"), failed, self.tr("Try again"), self._compare)
        if all(is_predicted(self._one(name), query.split) for name in (query.before, query.after)):
            say(self.tr("Changes"), self.tr("What both predicted is kept, and compared in a moment."))
            if self.isVisible():
                self.workbench.changes.compare(query, background=True)
            return None
        words = self.tr("The predictions on the {0} split are not known of both. That takes a pass over it.")
        words = words.format(query.split.value)
        return say(self.tr("Not compared yet"), words, self.tr("Evaluate and compare"), self._compare)

    def _list_sides(self, query: ChangesQuery) -> None:
        contents = self.document.contents
        titles = {one.id: state_title(one) for one in self.document.states}
        titles |= {one.id: f"{one.title} {one.id}" for one in contents.baselines.values()}
        if (tried := contents.changes.tried) is not None:
            titles[TRIAL] = self.tr("trial without {0}").format(f"{len(tried.query.structures):,}")
        self._sides, self._titles = tuple(titles), (titles[query.before], titles[query.after])
        for box, chosen in zip(self.boxes, (query.before, query.after), strict=True):
            with QSignalBlocker(box):
                box.clear()
                for name, title in titles.items():
                    if name != TRIAL or box is self.boxes[1]:
                        box.addItem(title, name)
                box.setCurrentIndex(self._sides.index(chosen))
            box.updateGeometry()
        with QSignalBlocker(self.split):
            self.split.setCurrentIndex(max(self.split.findData(query.split), 0))
        # A trial is of one state on one split.
        for each in (self.boxes[0], self.split):
            each.setEnabled(query.after != TRIAL)

    def _show_found(self, changes: Changes) -> None:
        self._stack.setCurrentIndex(PAGE)
        if changes is self._changes:
            return self._show_current()
        self._changes = changes
        with QSignalBlocker(self.by):
            before = self.by.currentData()
            self.by.clear()
            for group in changes.groups:
                self.by.addItem(self.tr("by {0}").format(group_title(group.by).lower()), group.by)
            self.by.setCurrentIndex(max(self.by.findData(before), 0))
        with QSignalBlocker(self.of_class):
            self.of_class.clear()
            self.of_class.addItem(self.tr("All classes"), -1)
            if changes.samples is not None and changes.mcnemar is not None:
                for number in np.unique(changes.samples.targets).tolist():
                    self.of_class.addItem(changes.class_name(number), number)
            self.of_class.setCurrentIndex(0)
        has = {
            GROUPS: bool(changes.groups),
            CONFUSIONS: changes.confusions is not None,
            SAMPLES: changes.samples is not None,
            PLOT: bool(changes.calibration) or changes.residuals is not None,
        }
        slices = bool(changes.groups) and changes.by_class is None
        self.pages[GROUPS].setText(self.tr("Slices") if slices else self.tr("Classes"))
        self.pages[PLOT].setText(self.tr("Calibration") if changes.calibration else self.tr("Residuals"))
        for name, chip in self.pages.items():
            chip.setVisible(has[name])
        if not any(has[name] and chip.isChecked() for name, chip in self.pages.items()):
            first = next((name for name in self.pages if has[name]), SAMPLES)
            self.pages[first].setChecked(True)
        if has[PLOT]:
            self.plot.show_changes(changes, self._titles)
        self._show_page()

    @property
    def page(self) -> str:
        """What is shown: the name of its chip."""
        return next((name for name, chip in self.pages.items() if chip.isChecked()), GROUPS)

    @Slot()
    def _show_page(self) -> None:
        page, changes = self.page, self._changes
        self._pages.setCurrentIndex(int(page == PLOT))
        classified = changes is not None and changes.mcnemar is not None
        self.by.setVisible(page == GROUPS and self.by.count() > 1)
        self.outcome.setVisible(page == SAMPLES and classified)
        self.of_class.setVisible(page == SAMPLES and classified)
        self._count.setVisible(page == SAMPLES)
        self._share_room()
        # What the ledger says anyway is left out, and each page says what is its own.
        said = [] if changes is None else [one for one in summary(changes) if SAID.get(one.code, page) == page]
        self._said.setText(sentences(said))
        # The order of one table says nothing of another: groups begin with what lost most.
        with QSignalBlocker(self.table.horizontalHeader()):
            self.table.horizontalHeader().setSortIndicator(4 if page == GROUPS else -1, Qt.SortOrder.AscendingOrder)
        self.model.sort(4 if page == GROUPS else -1, Qt.SortOrder.AscendingOrder)
        self._list_rows()

    @Slot()
    def _list_rows(self) -> None:
        changes, page = self._changes, self.page
        if changes is None or page == PLOT:
            return
        only = None
        if page == GROUPS:
            rows = group_rows(changes, changes.groups[max(self.by.currentIndex(), 0)], self._titles)
        elif page == CONFUSIONS:
            rows = confusion_rows(changes, self._titles)
        else:
            rows, only = sample_rows(changes, self._titles), self._listed(changes)
            self._count.setText(count_words(len(changes.samples.rows) if only is None else int(only.sum())))  # type: ignore[union-attr]
        self.model.show_rows(rows, only)
        if page == SAMPLES and self.model.rowCount():
            self.table.selectionModel().setCurrentIndex(self.model.index(0, 0), Flag.ClearAndSelect | Flag.Rows)
        self._show_current()

    def _listed(self, changes: Changes):  # noqa: ANN202
        """Which samples are listed, None for all."""
        samples, outcome, number = changes.samples, self.outcome.currentData(), self.of_class.currentData()
        if samples is None or changes.mcnemar is None or (outcome is None and number in (None, -1)):
            return None
        listed = np.ones(len(samples.rows), np.bool_)
        if outcome is not None:
            listed &= samples.outcomes == outcome
        if number not in (None, -1):
            listed &= samples.targets == number
        return listed

    @Slot()
    def _show_current(self) -> None:
        """Show the current sample, which is read first where it is not known."""
        changes, index = self._changes, self.table.currentIndex()
        room = self.width() >= px(NARROW) and self.height() >= px(LOW)
        shown = self.page == SAMPLES and changes is not None and index.isValid() and room
        self.card.setVisible(shown)
        if not shown or changes is None or changes.samples is None:
            return
        samples, row = changes.samples, int(self.model.shown[index.row()])
        number = int(samples.rows[row])
        known = self.document.contents.changes.samples.get((changes.split, number))
        self.card.show_sample(known, sample_words(changes, row, self._titles))
        ahead = self.model.shown[index.row() : index.row() + AHEAD]
        self.workbench.changes.read_samples(changes.split, samples.rows[ahead].tolist())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a small panel rows are worth more than words."""
        super().resizeEvent(event)
        self._share_room()
        self._show_current()

    def _share_room(self) -> None:
        self._said.setVisible(self.height() >= px(LOW))
        self.copy.setVisible(self.page != PLOT and self.height() >= px(LOW))
        self.card.setFixedWidth(px(SIDE + 60))

    # What a person does.

    @Slot()
    def _choose(self) -> None:
        first, second = (box.currentData() for box in self.boxes)
        self.document.choose_changes(str(first), str(second), self.split.currentData())

    @Slot()
    def _compare(self) -> None:
        if (query := self.query) is not None:
            self.workbench.changes.compare(query)

    @Slot()
    def copy_csv(self) -> None:
        """Put the table into the clipboard, as it is listed."""
        changes, page = self._changes, self.page
        if changes is None or page == PLOT:
            return
        if page == GROUPS:
            found = group_table(changes.groups[max(self.by.currentIndex(), 0)])
        else:
            found = confusion_table(changes) if page == CONFUSIONS else sample_table(changes)
        rows = [int(row) for row in self.model.shown]
        columns = tuple([column[row] for row in rows] for column in found.columns)
        QGuiApplication.clipboard().setText(Table(found.names, columns).text())
        words = counted(len(rows), self.tr("{count} row copied as CSV"), self.tr("{count} rows copied as CSV"))
        self.document.announced.emit(words)


def sample_words(changes: Changes, row: int, titles: tuple[str, str]) -> str:
    """What both predict of a sample, in words: below its picture, and for screen readers."""
    samples = changes.samples
    assert samples is not None
    if changes.mcnemar is None:
        return ""
    lines = [changes.class_name(int(samples.targets[row]))]
    for place, name in enumerate(titles):
        predicted = changes.class_name(int(samples.predicted[row, place]))
        lines.append(f"{name}: {predicted}, {percent(float(samples.confidences[row, place]))}")
    return "\n".join(lines)
