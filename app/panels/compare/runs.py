"""All runs as a table: states and baselines, how each was made, and what it costs and scores; sortable, and as CSV."""

import csv
import io
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from secateur.engine.export.table import EXPORTERS
from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.session.states import State, StateKind, export_name
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric

from ...document.document import Document
from ...text.format import change, scaled, share, size
from ...text.metrics import error_text, latency_text, metric_tip, target_text, timing_in, timing_tip, value_text
from ...text.titles import budget_title
from ...text.translate import counted
from ..ledger_figures import BYTES
from .sides import state_title

say = QCoreApplication.translate
Index = QModelIndex | QPersistentModelIndex
SORT = Qt.ItemDataRole.UserRole + 1
NAME, MADE, PARAMETERS, MACS, LATENCY, METRIC, SIZE = range(7)


@dataclass(frozen=True)
class Run:
    """A row: what is known of a state, of its export in lower precision or of a baseline.

    Attributes:
        id: Of the state, the export or the baseline.
        state: Id of the state, "" for a baseline.
        name: What the row is called.
        made: How it was made.
        parameters: Their number.
        macs: Of one sample.
        original_macs: Of the original; 0 if there is none.
        timing: Latency on the target, None if it was not measured.
        metric: None if it was not measured.
        file_bytes: Size of the exported file.
        file_measured: A file was written; else the size is predicted.
        target: The target that latencies are shown for.
        stale: The metric is of another state of the data or the task.
        present: The document is there.
    """

    id: str
    state: str
    name: str
    made: str
    parameters: int
    macs: int
    original_macs: int
    timing: Timing | None
    metric: Metric | None
    file_bytes: int
    file_measured: bool
    target: TargetSpec
    stale: bool = False
    present: bool = False

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Its cells."""
        nothing = say("compare", "not measured")
        value = "" if self.metric is None else f"{value_text(self.metric)} {error_text(self.metric)}".strip()
        macs = scaled(self.macs)
        if self.original_macs and self.macs != self.original_macs:
            macs = f"{macs} ({change(float(self.original_macs), float(self.macs))})"
        return (
            self.name,
            self.made,
            scaled(self.parameters),
            macs,
            nothing if self.timing is None else latency_text(self.timing),
            nothing if self.metric is None else self._mark_stale(value),
            size(self.file_bytes) if self.file_measured else f"\u2248 {size(self.file_bytes)}",
        )

    @cached_property
    def keys(self) -> tuple[Any, ...]:
        """What each cell sorts by; what was not measured comes last."""
        last = float("inf")
        return (
            self.name,
            self.made,
            self.parameters,
            self.macs,
            self.timing.median if self.timing else last,
            self.metric.value if self.metric else -last,
            self.file_bytes,
        )

    @property
    def tip(self) -> str:
        """All of it, a line each."""
        whole = {METRIC: self._mark_stale(metric_tip(self.metric))} if self.metric else {}
        whole |= {LATENCY: f"{latency_text(self.timing)}: {timing_tip(self.timing)}"} if self.timing else {}
        lines = [f"{title}: {whole.get(at, self.texts[at])}" for at, title in enumerate(titles())]
        if not self.file_measured:
            lines.append(say("compare", "The file size is predicted at 4 bytes per parameter."))
        return "\n".join(lines)

    @property
    def csv_row(self) -> tuple[str | int | float, ...]:
        """Plain numbers and words under `HEADS`; nothing for what was not measured."""
        metric = self.metric
        measured: tuple[str | int | float, ...] = ("",) * 6
        if metric is not None:
            state = "stale" if self.stale else "measured"
            measured = (metric.name, metric.value, metric.error, metric.count, str(metric.split), state)
        latency = "" if self.timing is None else self.timing.median
        file = (self.file_bytes, "measured" if self.file_measured else "predicted", target_text(self.target))
        return (self.name, self.made, self.parameters, self.macs, latency, *measured, *file)

    def _mark_stale(self, text: str) -> str:
        return say("compare", "{0}, stale").format(text) if self.stale else text


HEADS = (
    "run,made,parameters,MACs,latency ms,metric,metric value,standard error,n,split,metric is,size bytes,size is,target"
)
"""First line of the CSV; not translated, so that a script finds the columns."""


def made_words(state: State, parent: State | None = None) -> str:
    """How a state was made: "cut, Taylor, first order, at most 50 % of the MACs"."""
    if state.kind in (StateKind.ORIGINAL, StateKind.ATTACHED):
        opened = state.kind is StateKind.ORIGINAL
        return say("compare", "as opened") if opened else say("compare", "weights trained elsewhere")
    if state.kind is StateKind.MASKED:
        steps = state.masks.steps if state.masks is not None else 0
        return counted(
            steps, say("compare", "masks learned, {count} step"), say("compare", "masks learned, {count} steps")
        )
    if state.kind is StateKind.RECOVERED:
        if state.recovery is None or not state.recovery.trains:
            return say("compare", "repaired without training")
        return say("compare", "fine-tuned, {0}").format(budget_title(state.recovery.budget))
    # Of a cut: the goal that was asked for, unless all that it took was marked by hand already.
    plan = state.plan
    fresh = _count(state.removed) - (_count(parent.removed) if parent is not None else 0)
    if plan is None or plan.asked is None or _count(plan.marked) >= fresh:
        return say("compare", "cut, marked by hand")
    rule = CRITERIA.get(plan.criterion)
    limits = [limit_words(one) for one in plan.asked.limits]
    return ", ".join([say("compare", "cut"), *limits, *([rule.title] if rule else [])])


def _count(named: dict[str, list[int]]) -> int:
    return sum(len(indices) for indices in named.values())


def limit_words(limit: Limit) -> str:
    """At most 50 % of the MACs."""
    name = {
        Cost.PARAMETERS: say("compare", "parameters"),
        Cost.MACS: say("compare", "MACs"),
        Cost.SIZE: say("compare", "file size"),
        Cost.PEAK: say("compare", "memory"),
        Cost.LATENCY: say("compare", "latency"),
    }[limit.cost]
    if limit.share:
        return say("compare", "at most {0} of the {1}").format(share(limit.share), name)
    return say("compare", "at most {0} {1}").format(scaled(limit.amount), name)


def runs_of(document: Document) -> list[Run]:
    """All states, each with its exports in lower precision, then the baselines."""
    original, target = document.original, document.target
    run = partial(Run, original_macs=original.macs if original else 0, target=target)
    found = list[Run]()
    for state in document.states:
        exported = document.contents.exports.get(state.id) or next(iter(state.exports[-1:]), None)
        measured = exported is not None and exported.format == "onnx"
        found.append(
            run(
                id=state.id,
                state=state.id,
                name=state_title(state),
                made=made_words(state, document.contents.states.get(state.parent)),
                parameters=state.parameters,
                macs=state.macs,
                timing=timing_in(state.timings, target),
                metric=document.metric(state),
                stale=state.stale,
                file_bytes=exported.bytes if exported is not None and measured else BYTES * state.parameters,
                file_measured=measured,
                present=state is document.state and not document.marked.any(),
            )
        )
        for one in state.lower_precision:
            found.append(
                run(
                    id=export_name(state.id, one.format),
                    state=state.id,
                    name=say("compare", "{0} in {1}").format(state_title(state), EXPORTERS[one.format].precision),
                    made=say("compare", "exported"),
                    parameters=state.parameters,
                    macs=state.macs,
                    timing=timing_in(one.timings, target),
                    metric=one.metric,
                    file_bytes=one.bytes,
                    file_measured=True,
                )
            )
    for one in document.contents.baselines.values():
        made = say("compare", "baseline of {0}").format(one.against)
        epochs = counted(one.epochs, say("compare", "{count} epoch"), say("compare", "{count} epochs"))
        found.append(
            run(
                id=one.id,
                state="",
                name=one.title,
                made=f"{made}, {epochs}",
                parameters=one.parameters,
                macs=one.macs,
                timing=timing_in(one.timings, target),
                metric=one.metric,
                file_bytes=BYTES * one.parameters,
                file_measured=False,
            )
        )
    return found


def titles() -> tuple[str, ...]:
    """Headings of the table."""
    return (
        say("compare", "Run"),
        say("compare", "Method"),
        say("compare", "Parameters"),
        say("compare", "MACs"),
        say("compare", "Latency"),
        say("compare", "Metric"),
        say("compare", "File"),
    )


def as_csv(runs: list[Run]) -> str:
    """Runs as comma-separated values, numbers as they are and without units."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(run.csv_row for run in runs)
    return f"{HEADS}\n{text.getvalue()}"


class RunsModel(QAbstractTableModel):
    """The table.

    Attributes:
        runs: Its rows.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.runs: list[Run] = []

    def show_runs(self, runs: list[Run]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.runs = runs
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many runs."""
        return 0 if parent.isValid() else len(self.runs)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Seven."""
        return 0 if parent.isValid() else SIZE + 1

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell."""
        if not index.isValid():
            return None
        run, column = self.runs[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            name = say("compare", "{0}, current").format(run.texts[NAME]) if run.present else run.texts[NAME]
            return name if column == NAME else run.texts[column]
        if role == SORT:
            return run.keys[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return run.tip
        if role == Qt.ItemDataRole.TextAlignmentRole and column > MADE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section > MADE else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return titles()[section] if role == Qt.ItemDataRole.DisplayRole else None


class Sorted(QSortFilterProxyModel):
    """Rows by the number behind a cell, not by its text."""

    def __init__(self, model: RunsModel, parent: QObject | None = None) -> None:
        """Sort a table."""
        super().__init__(parent)
        self.setSourceModel(model)
        self.setSortRole(SORT)
        self._model = model

    def lessThan(self, left: Index, right: Index) -> bool:
        """By the key: Python's numbers are longer than Qt's."""
        one, other = (self._model.runs[i.row()].keys[i.column()] for i in (left, right))
        return bool(one < other)

    def runs(self) -> list[Run]:
        """The rows in the order shown."""
        rows = range(self.rowCount())
        return [self._model.runs[self.mapToSource(self.index(row, 0)).row()] for row in rows]
