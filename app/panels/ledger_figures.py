"""The ledger's figures as plain text: original, now, change, and how each is known. Nothing here is invented."""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from secateur.engine.session.states import State, StateKind
from secateur.engine.tasks.protocol import Split, lost

from ..document.document import Document
from ..text.format import change, milliseconds, scaled, size, three_digits
from ..text.metrics import (
    difference_text,
    elsewhere_tip,
    error_text,
    kind_text,
    metric_of,
    metric_tip,
    target_text,
    timing_of,
    timing_tip,
    value_text,
)

say = QCoreApplication.translate
UNKNOWN = float("nan")
BYTES = 4
"""Bytes of a float32 parameter: what a file's size is predicted with."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell of the ledger.

    Attributes:
        title: What it is.
        number: The value now, or words when it is not known.
        short: The title for a narrow cell.
        state: Whose number it is, in a word.
        source: "exact", "predicted" or "measured".
        before: The original's value, "" when now is the original or it is unknown.
        error: Uncertainty.
        change: Change against the original.
        good: The change is what one prunes for, or within what may be lost.
        known: False when `number` is words.
        share: Part of the original that is left, NaN unknown.
        step: Words of a small button that finds the value out.
        tip: All of it in words.
    """

    title: str
    number: str
    short: str = ""
    state: str = ""
    source: str = ""
    before: str = ""
    error: str = ""
    change: str = ""
    good: bool = True
    known: bool = True
    share: float = UNKNOWN
    step: str = ""
    tip: str = ""

    @property
    def origin(self) -> str:
        """State and how it is known."""
        return ", ".join(t for t in (self.state, self.source) if t)

    @property
    def spoken(self) -> str:
        """The cell for a screen reader."""
        return ", ".join(t for t in (self.title, self.number, self.error, self.change, self.origin) if t)


def ledger_figures(document: Document) -> dict[str, Figure]:
    """All five."""
    original, plan, state = document.original_costs, document.plan_costs, document.state
    if original is None or plan is None or state is None:
        return {name: Figure(title, "\u2013", title, known=False) for name, title in _titles().items()}
    planned = bool(document.marked.any())
    where = kind_text(state.kind)
    if state.kind is StateKind.MASKED:
        # The metric of masks is what the cut will have, their costs are those of the whole model.
        where = say("ledger", "masked, not cut yet")
    if planned:
        where = say("ledger", "plan")
    titles, exported = _titles(), document.contents.last_export
    before, now = BYTES * original.parameters, BYTES * plan.parameters
    source = say("ledger", "predicted")
    if exported is not None and exported.format == "onnx" and not planned:
        now, source = exported.bytes, say("ledger", "measured")
    smaller = plan.parameters != original.parameters
    return {
        "parameters": _exact(titles["parameters"], where, original.parameters, plan.parameters),
        "macs": _exact(titles["macs"], where, original.macs, plan.macs),
        "file": Figure(
            titles["file"],
            size(now),
            titles["file"],
            where,
            source,
            before=size(before) if smaller else "",
            change=change(before, now) if smaller else "",
            share=now / max(before, 1),
            tip=say("ledger", "Predicted at 4 bytes per parameter. Measured after an export."),
        ),
        "latency": _latency(document, where, state, planned),
        "metric": _metric(document, where, state, planned),
    }


def _titles() -> dict[str, str]:
    return {
        "parameters": say("ledger", "Parameters"),
        "macs": say("ledger", "MACs"),
        "file": say("ledger", "ONNX file"),
        "latency": say("ledger", "Latency"),
        "metric": say("ledger", "Metric"),
    }


def _exact(title: str, where: str, before: int, now: int) -> Figure:
    return Figure(
        title,
        scaled(now),
        title,
        where,
        say("ledger", "exact"),
        before=scaled(before) if now != before else "",
        change=change(before, now) if now != before else "",
        share=now / max(before, 1),
        tip=say("ledger", "{0}: original {1}, now {2} (exact count)").format(title, f"{before:,}", f"{now:,}"),
    )


def _latency(document: Document, where: str, state: State, planned: bool) -> Figure:
    short, target = _titles()["latency"], document.target
    title = say("ledger", "{0}, batch {1}").format(short, target.batch)
    tip = target_text(target)
    first, now = timing_of(document.original, target), timing_of(None if planned else state, target)
    before = milliseconds(first.median) if first is not None and (planned or state is not document.original) else ""
    predicted = document.contents.plan_latency() if planned else None
    if predicted is not None:
        # From what was measured of other cut models, with how far such predictions are off.
        table = document.contents.table
        assert table is not None
        original, off = table.original / 1e6, three_digits(100 * table.trust.ninetieth)
        how = say("ledger", "; predicted from {0} measured blocks, with an error below {1} % for 9 of 10 cut models")
        return Figure(
            title,
            milliseconds(predicted),
            short,
            where,
            say("ledger", "predicted"),
            milliseconds(original),
            change=change(original, predicted),
            good=predicted <= original,
            share=predicted / original,
            tip=tip + how.format(len(table.blocks), off),
        )
    if now is None:
        step = say("ledger", "Measure") if first is None or not planned else ""
        words = say("ledger", "not cut yet") if planned and first is not None else say("ledger", "not measured")
        whose = where if first is not None else ""
        tip = _with_original(tip, timing_tip(first) if first is not None and before else "")
        return Figure(title, words, short, whose, "", before, known=False, step=step, tip=tip)
    tip = timing_tip(now)
    if now.step is not None:
        # What one further token behind the prompt takes, against the original's.
        tip += "; " + say("ledger", "next token {0}").format(milliseconds(now.step.median))
        if first is not None and first.step is not None and state is not document.original:
            tip += f" ({change(first.step.median, now.step.median)})"
    tip = _with_original(tip, timing_tip(first) if first is not None and before else "")
    source = say("ledger", "measured")
    if first is None or state is document.original:
        share = UNKNOWN if first is None else 1.0
        return Figure(title, milliseconds(now.median), short, where, source, share=share, tip=tip)
    return Figure(
        title,
        milliseconds(now.median),
        short,
        where,
        source,
        before,
        change=change(first.median, now.median),
        good=now.median <= first.median,
        share=now.median / first.median,
        tip=tip,
    )


def _with_original(tip: str, original: str) -> str:
    """What a cell says, and beneath it how the original's value in it is known, "" where it shows none."""
    return f"{tip}\n{say('ledger', 'Original: {0}').format(original)}" if original else tip


def _metric(document: Document, where: str, state: State, planned: bool) -> Figure:
    measured = metric_of(document.original)
    # A bundle has numbers, and no data that would name the metric.
    named = measured.name if measured is not None else _titles()["metric"]
    title = document.task.metric if document.task is not None and measured is None else named
    # "mAP" keeps its small letter.
    title = title if title[1:2].isupper() else title[:1].upper() + title[1:]
    if document.task is None and measured is None:
        words, tip = say("ledger", "no data"), say("ledger", "Attach data to measure the metric.")
        step = "" if document.analysis is None else say("ledger", "Attach data...")
        return Figure(title, words, title, known=False, step=step, tip=tip)
    first, now = metric_of(document.original), None if planned else document.metric(state)
    others = "" if planned else elsewhere_tip(state, document.evaluation_split)
    before = value_text(first) if first is not None and (planned or state is not document.original) else ""
    if now is None:
        known = planned and first is not None
        words = say("ledger", "not cut yet") if known else say("ledger", "not measured")
        step = "" if known or document.task is None else say("ledger", "Evaluate")
        tip = _with_original(words, metric_tip(first) if first is not None and before else "")
        tip = "\n".join(filter(None, (tip, others)))
        return Figure(title, words, title, where if known else "", "", before, known=False, step=step, tip=tip)
    stale, lines = state.stale, [metric_tip(now)]
    if stale:
        lines.append(say("ledger", "The data or the code has changed since: evaluate again."))
    if state.kind is StateKind.MASKED:
        lines.append(
            say("ledger", "Measured without the structures that the masks close; the cut has this metric too.")
        )
    if first is not None and state is not document.original:
        lines.append(say("ledger", "Original: {0}").format(metric_tip(first)))
    points_lost = 0.0 if first is None else 100 * lost(first, now)[0]
    # A stale metric is measured again before it is compared; a split that results are not compared on is named.
    compared = before and first is not None and not stale
    points = difference_text(now.value - first.value, now.percent) if compared and first is not None else ""
    source = say("ledger", "measured, {0}").format(now.split.value)
    source = say("ledger", "measured") if now.split is Split.TEST else source
    source = say("ledger", "stale") if stale else source
    return Figure(
        say("ledger", "{0}, n = {1}").format(title, f"{now.count:,}") if now.count else title,
        value_text(now),
        title,
        where,
        source,
        before,
        error_text(now),
        points,
        good=round(points_lost, 6) <= document.goal.lose,
        share=now.value if now.percent else UNKNOWN,
        tip="\n".join(filter(None, (*lines, others))),
        step=say("ledger", "Evaluate") if stale else "",
    )
