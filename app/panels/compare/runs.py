"""All runs as a table: states and baselines, how each was made, and what it costs and scores; sortable, and as CSV."""

import csv
import io
from dataclasses import dataclass
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

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.export.protocol import Exported
from secateur.engine.export.table import EXPORTERS
from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.session.states import State, StateKind, export_name
from secateur.engine.targets.protocol import TargetSpec

from ...document.document import Document
from ...text.format import change, scaled, share, size
from ...text.metrics import error_text, latency_text, metric_tip, target_text, timing_in, timing_tip, value_text
from ...text.translate import counted
from ..ledger_figures import BYTES
from .sides import state_title

say = QCoreApplication.translate
Index = QModelIndex | QPersistentModelIndex
SORT = Qt.ItemDataRole.UserRole + 1
NAME, MADE, PARAMETERS, MACS, LATENCY, METRIC, SIZE = range(7)


@dataclass(frozen=True, slots=True)
class Run:
    """A row.

    Attributes:
        id: Of the state or the baseline.
        state: Id of the state, "" for a baseline.
        texts: Its cells.
        keys: What each of them sorts by.
        plain: The same as plain numbers and words, for CSV: also error, n, unit of the metric, and if it is stale.
        present: The document is there.
        tip: All of it.
    """

    id: str
    state: str
    texts: tuple[str, ...]
    keys: tuple[Any, ...]
    plain: tuple[str, ...]
    present: bool
    tip: str


TITLES = ("run", "made", "parameters", "MACs", "latency ms", "metric", "metric value", "standard error", "n", "split")
PLAIN = (*TITLES, "metric is", "size bytes", "size is", "target")
"""Columns of the CSV; not translated, so that a script finds them."""


def made_words(state: State, parent: State | None = None) -> str:
    """How a state was made: "cut, Taylor, first order, at most 50 % of the MACs"."""
    if state.kind is StateKind.ORIGINAL:
        return say("compare", "as opened")
    if state.kind is StateKind.ATTACHED:
        return say("compare", "weights trained elsewhere")
    if state.kind is StateKind.MASKED:
        steps = state.masks.steps if state.masks is not None else 0
        return counted(
            steps, say("compare", "masks learned, {count} step"), say("compare", "masks learned, {count} steps")
        )
    if state.kind is StateKind.RECOVERED:
        epochs = state.recovery.epochs if state.recovery is not None else 0
        if not epochs:
            return say("compare", "repaired without training")
        return counted(
            epochs, say("compare", "fine-tuned, {count} epoch"), say("compare", "fine-tuned, {count} epochs")
        )
    return _cut_words(state, parent)


def _cut_words(state: State, parent: State | None) -> str:
    plan = state.plan
    fresh = _number(state.removed) - (_number(parent.removed) if parent is not None else 0)
    if plan is None or plan.asked is None or _number(plan.marked) >= fresh:
        return say("compare", "cut, marked by hand")
    rule = CRITERIA.get(plan.criterion)
    limits = [limit_words(one) for one in plan.asked.limits]
    return ", ".join([say("compare", "cut"), *limits, *([rule.title] if rule else [])])


def _number(named: dict[str, list[int]]) -> int:
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
    """All states and baselines."""
    original = document.original
    states = list[Run]()
    for state in document.states:
        states.append(_of_state(document, state, original))
        states += [_of_export(document, state, one, original) for one in state.lower_precision]
    return states + [_of_baseline(document, one, original) for one in document.contents.baselines.values()]


def _of_state(document: Document, state: State, original: State | None) -> Run:
    files = [state.exports[-1]] if state.exports else []
    exported = document.contents.exports.get(state.id) or next(iter(files), None)
    measured = exported is not None and exported.format == "onnx"
    number_of_bytes = exported.bytes if exported is not None and measured else BYTES * state.parameters
    facts = (
        state_title(state),
        made_words(state, document.contents.states.get(state.parent)),
        state.parameters,
        state.macs,
    )
    timing = timing_in(state.timings, document.target)
    row = (*facts, timing, document.metric(state), state.stale, number_of_bytes, measured)
    present = state is document.state and not document.marked.any()
    return _run((state.id, state.id), row, original, document.target, present)


def _of_export(document: Document, state: State, one: Exported, original: State | None) -> Run:
    precision = EXPORTERS[one.format].precision
    name = say("compare", "{0} in {1}").format(state_title(state), precision)
    facts = (name, say("compare", "exported"), state.parameters, state.macs)
    row = (*facts, timing_in(one.timings, document.target), one.metric, False, one.bytes, True)
    return _run((export_name(state.id, one.format), state.id), row, original, document.target, False)


def _of_baseline(document: Document, one: Baseline, original: State | None) -> Run:
    made = say("compare", "baseline of {0}").format(one.against)
    words = counted(one.epochs, say("compare", "{count} epoch"), say("compare", "{count} epochs"))
    facts = (one.title, f"{made}, {words}", one.parameters, one.macs)
    timing = timing_in(one.timings, document.target)
    row = (*facts, timing, one.metric, False, BYTES * one.parameters, False)
    return _run((one.id, ""), row, original, document.target, False)


def _run(ids: tuple[str, str], row: tuple[Any, ...], original: State | None, target: TargetSpec, present: bool) -> Run:
    name, made, parameters, macs, timing, metric, stale, number_of_bytes, measured = row
    nothing = say("compare", "not measured")
    marked = say("compare", "{0}, stale") if stale else "{0}"
    texts = (
        name,
        made,
        scaled(parameters),
        _beside(scaled(macs), macs, original.macs if original else 0),
        nothing if timing is None else latency_text(timing),
        nothing if metric is None else marked.format(f"{value_text(metric)} {error_text(metric)}".strip()),
        size(number_of_bytes) if measured else f"\u2248 {size(number_of_bytes)}",
    )
    last = float("inf")
    keys = (name, made, parameters, macs, timing.median if timing else last, metric.value if metric else -last)
    told = (metric.name, repr(metric.value), repr(metric.error), str(metric.count), str(metric.split)) if metric else ()
    plain = (name, made, str(parameters), str(macs), repr(timing.median) if timing else "", *(told or ("",) * 5))
    plain = (*plain, ("stale" if stale else "measured") if metric else "")
    plain = (*plain, str(number_of_bytes), "measured" if measured else "predicted", target_text(target))
    whole = {METRIC: marked.format(metric_tip(metric))} if metric else {}
    whole |= {LATENCY: f"{latency_text(timing)}: {timing_tip(timing)}"} if timing else {}
    lines = [f"{title}: {whole.get(at, texts[at])}" for at, title in enumerate(titles())]
    tip = "\n".join(
        [*lines, *([] if measured else [say("compare", "The file size is predicted at 4 bytes per parameter.")])]
    )
    return Run(*ids, texts, (*keys, number_of_bytes), plain, present, tip)


def _beside(text: str, value: int, original: int) -> str:
    less = change(float(original), float(value)) if original and value != original else ""
    return f"{text} ({less})" if less else text


def titles() -> tuple[str, ...]:
    """Headings of the table."""
    told = (say("compare", "Run"), say("compare", "Method"), say("compare", "Parameters"))
    told = (*told, say("compare", "MACs"), say("compare", "Latency"), say("compare", "Metric"))
    return (*told, say("compare", "File"))


def as_csv(runs: list[Run]) -> str:
    """Runs as comma-separated values, numbers as they are and without units."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PLAIN)
    writer.writerows(run.plain for run in runs)
    return text.getvalue()


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
