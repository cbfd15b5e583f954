"""A target shape: how many structures of each kind stay, checked by the engine as they are typed, and how to get there.

Numbers come from a person, from a published shape, or from a budget that the engine makes a shape of. A small table
shows what the shape comes to.
"""

from collections.abc import Iterable
from dataclasses import replace

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Slot
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget
from shiboken6 import isValid

from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.planning.protocol import PRESETS, Choose, Cost, KindLimit, kind_limit_of, limit_of
from secateur.engine.planning.target_shape import KindSize
from secateur.engine.recovery.budget import Budget
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import Costs
from secateur.engine.text.notation import SHARE_OR_COUNT
from secateur.engine.workflows.shape_answer import ShapeAnswer, ShapeProblem

from ..jobs.shape import TYPED, shaped
from ..text.format import about, count, milliseconds, share, size
from ..text.structures import kept_words, many_of
from ..text.titles import budget_title
from ..text.translate import counted, sentence
from ..widgets.buttons import button
from ..widgets.fields import COSTS, ComboBox, CostBox, DoubleSpinBox, LineEdit
from ..widgets.flow import FlowLayout
from ..widgets.labels import label
from .form import FormDialog
from .sweep import WayFields
from .window_api import WindowApi

LONG = 800
"""Milliseconds without an answer after which the dialog says what the engine does."""
SETTLED = 250
"""Milliseconds without a key until the engine is asked."""
NUMBERS, BUDGET = "numbers", "budget"
"""Where a shape comes from, besides the names of published ones."""
FIRST = (Kind.BLOCK, Kind.WIDTH, Kind.HEAD, Kind.KV_GROUP)
"""Kinds from the outside in; the others follow."""
LETTERS = 10
"""Of a number, or share, that are seen in its field."""


class TargetShape(FormDialog):
    """The dialog.

    Attributes:
        source: Where the numbers come from.
        keep: Of a budget, the share to keep at most, in per cent.
        cost: Of a budget, of what.
        lines: By kind, the number or share to keep; empty for all.
        ranges: By kind, what it can be, in words.
        offers: Buttons with numbers near those that cannot be.
        figures: What the shape comes to.
        way: How it is chosen what stays, and how cuts are recovered.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        words = self.tr(
            "Enter how many structures each layer keeps, as a number or a share like 50%. Kinds without an entry keep "
            "all. The weakest go, or those that rounds or learned masks choose."
        )
        super().__init__(window.as_widget(), self.tr("Target shape"), words, self.tr("Plan shape"))
        self._window, self._workbench, self._document = window, window.workbench, window.document
        self._answer: ShapeAnswer | None = None
        self._waits = True
        self._failure = ""
        self._lost = False
        self._timer = QTimer(self, interval=SETTLED, singleShot=True)
        self._timer.timeout.connect(self._ask)
        self._patience = QTimer(self, interval=LONG, singleShot=True)
        self._patience.timeout.connect(self._say_waiting)
        self.finished.connect(self._forget)
        self._add_source()
        analysis = self._document.analysis
        # The command needs a model.
        assert analysis is not None
        found = {one.kind for one in analysis.sets}
        found |= {Kind.HEAD} if Kind.KV_GROUP in found else set()
        asked = {one.kind: SHARE_OR_COUNT.write(one.count or one.share) for one in self._document.goal.shape}
        self.lines: dict[Kind, QLineEdit] = {}
        self.ranges: dict[Kind, QLabel] = {}
        for kind in (one for one in (*FIRST, *(k for k in Kind if k not in FIRST)) if one in found):
            title = self.tr("Blocks of the model") if kind is Kind.BLOCK else many_of(kind)
            line = self.lines[kind] = LineEdit(f"{title[:1].upper()}{title[1:]}", asked.get(kind, ""))
            line.setFixedWidth(line.fontMetrics().horizontalAdvance("0" * LETTERS) + 16)
            line.textEdited.connect(self._choose_numbers)
            line.textChanged.connect(self._ask_soon)
            self.ranges[kind] = label("", "muted", wrap=True)
            holder = _one_row(line, self.ranges[kind])
            holder.setFocusProxy(line)
            self.add_row(line.accessibleName(), holder)
        self.offers = QWidget()
        self._offers = FlowLayout(self.offers, gap=6)
        self.form.addRow(self.offers)
        self.figures = ShapeFigures()
        if (costs := self._document.original_costs) is not None:
            self.figures.show_original(costs)
        self.form.addRow(self.figures)
        self.way = WayFields(self._document, self.add_row, self.check)
        self.estimate = label("", "muted", wrap=True)
        self.form.addRow(self.estimate)
        self._show_source()
        if (last := self._document.contents.pruning) is not None and self._document.goal.shape:
            self.way.show(last)
        self.check()
        self._ask()
        next(iter(self.lines.values())).setFocus()

    def _add_source(self) -> None:
        self.source = ComboBox(self.tr("Numbers"))
        self.source.addItem(self.tr("entered below"), NUMBERS)
        self.source.addItem(self.tr("from a budget"), BUDGET)
        self.add_row(self.source.accessibleName(), self.source)
        self.keep = DoubleSpinBox(self.tr("Keep at most"), 0.1, 99.9, 1, self.tr(" %"))
        self.keep.setValue(min(max(100 * self._document.goal.keep, 0.1), 99.9) if self._document.goal.keep < 1 else 50)
        timed = (Cost.LATENCY,) if self._document.contents.table is not None else ()
        self.cost = CostBox(self.tr("Of the"), (*(one for one in COSTS if one is not Cost.LATENCY), *timed))
        self.cost.choose(self._document.goal.cost)
        self.add_row(self.keep.accessibleName(), _one_row(self.keep, self.cost))
        self.source.currentIndexChanged.connect(self._show_source)
        self.source.activated.connect(self._choose_source)
        self.keep.valueChanged.connect(self._ask_soon)
        self.cost.currentIndexChanged.connect(self._ask_soon)

    # Entries, and what the engine says of them.

    @Slot()
    def _show_source(self) -> None:
        self.show_row(self.keep, self.source.currentData() == BUDGET)

    @Slot()
    def _choose_source(self) -> None:
        """Take the numbers from where a person chose."""
        name = self.source.currentData()
        if name in PRESETS:
            self._fill(PRESETS[name])
        self._ask_soon()

    @Slot()
    def _choose_numbers(self) -> None:
        """Say that numbers are a person's: one that was typed is no budget's, and no published one's."""
        self.source.setCurrentIndex(self.source.findData(NUMBERS))

    @Slot()
    def _forget(self) -> None:
        """Ask nothing any more, and wait for no answer."""
        self._timer.stop()
        self._patience.stop()
        self._workbench.shape.forget()

    @Slot()
    def _ask_soon(self) -> None:
        """Ask the engine once no key is pressed for a while."""
        self._waits, self._failure, self._lost = True, "", False
        if self._unreadable():
            self._forget()
            self.figures.clear()
            self._show_offers(())
        else:
            self._timer.start()
        self.check()

    def _fill(self, shape: Iterable[KindLimit]) -> None:
        """Write a shape into the lines, without asking what it comes to."""
        given = {one.kind: SHARE_OR_COUNT.write(one.count or one.share) for one in shape}
        for kind, line in self.lines.items():
            with QSignalBlocker(line):
                line.setText(given.get(kind, ""))

    def shape(self) -> tuple[KindLimit, ...]:
        """What the lines say; raises SecateurError for what is neither number nor share."""
        given = ((kind, line.text().strip()) for kind, line in self.lines.items())
        return tuple(kind_limit_of((kind, SHARE_OR_COUNT.read(text))) for kind, text in given if text)

    def _unreadable(self) -> str:
        for line in self.lines.values():
            try:
                SHARE_OR_COUNT.read(line.text()) if line.text().strip() else None
            except (SecateurError, ValueError):
                words = self.tr("{0}: enter a share like 50%, or a whole number of at least 1.")
                return words.format(line.accessibleName())
        return ""

    @Slot()
    def _ask(self) -> None:
        """Have the engine say what the entries come to."""
        if self._unreadable():
            return
        goal = shaped(self._document.contents.wanted)
        if self.source.currentData() == BUDGET:
            timed = self._document.target if self.cost.cost is Cost.LATENCY else None
            goal = replace(goal, limits=(limit_of(self.cost.cost, self.keep.value() / 100),), target=timed)
        else:
            goal = replace(goal, shape=self.shape())
        self._patience.start()
        self._workbench.shape.ask(goal, self._show_answer, self._go_without)

    @Slot()
    def _say_waiting(self) -> None:
        """Say that the engine takes its time, or has something else to do first."""
        if self._waits:
            running = next(iter(self._document.jobs), None)
            if running is None or running.about == TYPED:
                words = self.tr("Checking the shape. It takes the engine a moment.")
            else:
                words = self.tr("Waiting for the engine: {job}").format(job=running.title)
            self.figures.notes.setText(words)

    def _go_without(self, error: SecateurError | None) -> None:
        """Ask again where the engine was not asked, or once after it was lost; else say why there is no answer."""
        if not isValid(self) or not self._waits or self._timer.isActive():
            return
        lost = isinstance(error, EngineLost)
        if error is None or (lost and not self._lost):
            self._lost = lost
            return self._timer.start()
        self._patience.stop()
        cancelled = self.tr("The check was cancelled. Change a number to check again.")
        self._failure = cancelled if isinstance(error, Cancelled) else sentence(error.message)
        self.figures.notes.setText("")
        self.check()

    def _show_answer(self, answer: ShapeAnswer) -> None:
        """Show what the shape comes to, and which numbers can be."""
        # An answer is late where something else is typed already.
        if not isValid(self) or self._timer.isActive():
            return
        self._patience.stop()
        # The first answer says how large the model is: offer the published shapes that fit into it.
        if self._answer is None:
            most = {one.kind: one.sizes[-1] for one in answer.sizes if one.step}
            for name, shape in PRESETS.items():
                if all(one.count <= most.get(one.kind, 0) for one in shape):
                    self.source.addItem(name, name)
        self._answer, self._waits = answer, False
        if self.source.currentData() == BUDGET and answer.plan is not None:
            self._fill(answer.shape)
        for kind in answer.sizes:
            self._show_range(kind, kind.kind in answer.joint)
        known = {one.kind for one in answer.sizes}
        for kind, line in self.lines.items():
            self.show_row(line, kind in known)
        self._show_offers(answer.problems, answer.rounded)
        # Numbers, and shares of a budget, need not keep to widths that are fast on the target.
        multiple, remark = self._document.target.multiple, ""
        if answer.rounded and answer.plan is not None:
            words = self.tr("Multiples of {0} are faster on the target: {1}.")
            remark = words.format(multiple, ", ".join(kept_words((one,)) for one in answer.rounded))
        elif self.source.currentData() == BUDGET and multiple > 1 and any(one.share for one in answer.shape):
            remark = self.tr("Shares are not rounded to the target's multiple of {0}.").format(multiple)
        self.figures.show_answer(answer, remark)
        self.check()

    def _show_range(self, size: KindSize, joint: bool) -> None:
        """Show what a kind has and can keep; one that stays as it is takes no number."""
        line = self.lines.get(size.kind)
        if line is None:
            return
        whole = f"{size.sizes[-1]:,}"
        if len(size.sizes) > 1:
            words = self.tr("of {0} to {1}: enter a share").format(f"{size.sizes[0]:,}", whole)
        elif not size.step:
            words = self.tr("of {0}, fixed. {1}").format(whole, sentence(size.fixed or "")).rstrip()
        elif joint:
            words = self.tr("of {0}, at least {1}, as the configuration allows").format(whole, f"{size.least:,}")
        elif size.step == 1:
            words = self.tr("of {0}").format(whole)
        else:
            words = self.tr("of {0}, in steps of {1}").format(whole, f"{size.step:,}")
        self.ranges[size.kind].setText(words)
        line.setEnabled(bool(size.step) or bool(line.text()))
        line.setAccessibleDescription(words)

    def _show_offers(self, problems: Iterable[ShapeProblem], rounded: Iterable[KindLimit] = ()) -> None:
        while (item := self._offers.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        near, fast = [one for problem in problems for one in problem.offers], set(rounded)
        for offer in dict.fromkeys((*near, *rounded)):
            words = self.tr("Keep {0}").format(kept_words((offer,)))
            tip = self.tr("Enter this number: a plan has it")
            multiple = self.tr("Enter this number: a plan has it, and it is a multiple of {0}, as the target likes")
            press = button(words, tip=multiple.format(self._document.target.multiple) if offer in fast else tip)
            press.clicked.connect(lambda _on=False, offer=offer: self._enter_offer(offer))
            self._offers.addWidget(press)
        self.offers.setVisible(self._offers.count() > 0)

    def _enter_offer(self, offer: KindLimit) -> None:
        line = self.lines[offer.kind]
        line.setText(SHARE_OR_COUNT.write(offer.count or offer.share))
        self._choose_numbers()
        line.setFocus()

    # What the button does.

    def check(self) -> None:
        """Say what is missing, which fields count, and what the button does."""
        super().check()
        way = self.way.way
        self.way.enable(recovers=way is not Choose.SCORES)
        words = {
            Choose.SCORES: self.tr("Plan shape"),
            Choose.ROUNDS: self.tr("Start rounds"),
            Choose.MASKS: self.tr("Learn masks"),
        }[way]
        words = self.tr("Remove the target shape") if self._removes else words
        self.accept_button.setText(words)
        self.accept_button.setAccessibleName(words)
        self.estimate.setText(self._estimate())
        if self._waits:
            self.accept_button.setEnabled(False)

    @property
    def _removes(self) -> bool:
        """Whether no number is left of a shape that the goal has."""
        empty = not any(line.text().strip() for line in self.lines.values())
        return empty and bool(self._document.goal.shape)

    def _estimate(self) -> str:
        way = self.way.way
        if way is Choose.SCORES:
            return self.tr("Marks what goes. Nothing is cut before you say so; Undo takes the plan back.")
        settings, trained = self.way.settings(), self._workbench.shape.seconds(self.way.steps.value())
        parts = [self.tr("Cuts are made and verified as they come. A run that is stopped goes on where it was.")]
        if way is Choose.ROUNDS and (rounds := self._rounds_words(settings)):
            parts.insert(0, rounds)
        if way is Choose.MASKS and trained:
            parts.append(self.tr("Learning masks takes about {0}.").format(about(trained)))
        if settings is not None and settings.trains and self._document.task is None:
            parts.append(self.tr("Without data nothing can be recovered: attach it first."))
        return " ".join(parts)

    def _rounds_words(self, recovery: RecoverySettings | None) -> str:
        """How many rounds there are, and about how long they train; "" where no plan has the shape."""
        answer, shape = self._answer, self._workbench.shape
        if self._waits or answer is None or answer.plan is None or not answer.shape:
            return ""
        rounds = shape.rounds(replace(shaped(self._document.contents.wanted), shape=answer.shape))
        words = counted(rounds, self.tr("{count} round"), self.tr("{count} rounds"))
        if recovery is None or not recovery.trains or self._document.task is None:
            return self.tr("{0}.").format(words)
        whole = budget_title(Budget(recovery.budget.unit, rounds * recovery.budget.amount))
        words = self.tr("{0}, {1} of recovery in total.").format(words, whole)
        before, after = answer.plan.macs
        seconds = shape.rounds_seconds(recovery, after / max(before, 1), rounds)
        return self.tr("{0} They take about {1}.").format(words, about(seconds)) if seconds else words

    def problem(self) -> str:
        """Why no plan can have the shape, or no way leads there."""
        if problem := self._unreadable() or self.way.problem():
            return problem
        if self._failure:
            return self._failure
        if not any(line.text().strip() for line in self.lines.values()) and self.source.currentData() != BUDGET:
            return "" if self._removes else self.tr("Enter at least one number, or choose a budget.")
        if self._answer is not None and not self._waits and self._answer.problems:
            return " ".join(sentence(one.message) for one in self._answer.problems)
        way = self.way.way
        if way is not Choose.SCORES and self.way.trains and self._document.task is None:
            return self.tr("Recovering cuts needs data. Attach it, or choose another recovery.")
        return ""

    def accept(self) -> None:
        """Act and close, unless the engine has not said yet whether that can be."""
        if not self._waits:
            super().accept()

    def act(self) -> None:
        """Plan the shape, start towards it, or remove it from the goal."""
        document, way, removes = self._document, self.way.way, self._removes
        if removes:
            return document.plan.remove_shape()
        goal = replace(document.goal, keep=1.0, kept=(), shape=self.shape())
        document.plan.set_goal(goal, planned=way is Choose.SCORES)
        if way is Choose.SCORES:
            self._workbench.plan.suggest()
        else:
            self._workbench.shape.start(way, self.way.steps.value(), self.way.settings())
            self._window.show_panel("gates" if way is Choose.MASKS else "jobs")


def _one_row(*fields: QWidget) -> QWidget:
    """Fields in one row."""
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for number, field in enumerate(fields):
        row.addWidget(field, number)
    return holder


RIGHT = Qt.AlignmentFlag.AlignRight
CACHE = 2
"""The row of the key/value cache, which only decoders have."""
HALF = 2
"""Bytes of a cached number in 16 bits."""
NANOSECONDS = 1e6
"""In a millisecond."""


class ShapeFigures(QWidget):
    """The table, with remarks below it; it keeps its place while the engine is asked.

    Attributes:
        cells: By row and column, the words.
        remarks: What else goes, and what the result cannot be.
        notes: Further hints.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the rows."""
        super().__init__(parent)
        self._titles = (
            self.tr("Parameters"),
            self.tr("MACs"),
            self.tr("Key/value cache, 16 bits a number"),
            self.tr("Latency, predicted"),
        )
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        for column, words in enumerate(("", self.tr("original"), self.tr("with this shape"), self.tr("kept"))):
            grid.addWidget(label(words, "caption"), 0, column, RIGHT)
        self.cells: list[list[QLabel]] = []
        self._named: list[QLabel] = []
        for row, title in enumerate(self._titles, start=1):
            self._named.append(label(title))
            grid.addWidget(self._named[-1], row, 0)
            self.cells.append([label("\u2013"), label("\u2013", "strong"), label("", "muted")])
            for column, cell in enumerate(self.cells[-1], start=1):
                grid.addWidget(cell, row, column, RIGHT)
        self._show_row(CACHE, False)
        outer.addLayout(grid)
        self.remarks, self.notes = label("", wrap=True), label("", "muted", wrap=True)
        outer.addWidget(self.remarks)
        outer.addWidget(self.notes)

    def show_original(self, costs: Costs) -> None:
        """Show what the original costs, whatever the shape is."""
        for cells, cost in zip(self.cells, (costs.parameters, costs.macs), strict=False):
            cells[0].setText(count(cost))

    def clear(self) -> None:
        """Show nothing of a shape any more; the original stays."""
        for cells in self.cells:
            _write(cells, None, None)
        self._remark("")
        self.notes.setText("")

    def show_answer(self, answer: ShapeAnswer, remark: str = "") -> None:
        """Show what the engine says, with a remark; of a shape that no plan has nothing."""
        plan, latency = answer.plan, answer.latency
        pairs = (None, None, None) if plan is None else (plan.parameters, plan.macs, plan.cached)
        per_token = self.tr("{0} a token")
        written = (count, count, lambda number: per_token.format(size(HALF * number)))
        for cells, pair, write in zip(self.cells, pairs, written, strict=False):
            _write(cells, None if pair is None else (write(pair[0]), write(pair[1])), pair)
        if plan is not None:
            self._show_row(CACHE, plan.cached is not None)
        timed = None if latency is None else tuple(milliseconds(one / NANOSECONDS) for one in latency)
        _write(self.cells[3], timed, latency)
        unknown = [] if latency is not None else [self.tr("Run > Measure latency savings predicts the latency.")]
        self._remark(" ".join(map(sentence, plan.notes)) if plan is not None else "")
        self.notes.setText(" ".join(one for one in (remark, *unknown) if one))

    def _remark(self, words: str) -> None:
        self.remarks.setText(words)
        self.remarks.setVisible(bool(words))

    def _show_row(self, row: int, on: bool) -> None:
        for each in (self._named[row], *self.cells[row]):
            each.setVisible(on)


def _write(cells: list[QLabel], words: tuple[str, ...] | None, pair: tuple[int, int] | None) -> None:
    dash = "\u2013"
    before, after = words or (cells[0].text(), dash)
    cells[0].setText(before)
    cells[1].setText(after)
    cells[2].setText(share(pair[1] / pair[0]) if pair is not None and pair[0] else "")
