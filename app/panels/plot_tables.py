"""The numbers behind the plots, as tables: what a person would copy into a paper or a sheet."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secateur.engine.masks.learned_gates import GateCount
from secateur.engine.recovery.training_curve import DomainPoint
from secateur.engine.structures.layer_graph import LayerGraph

from ..document.document import Document
from ..document.job_state import CurvePoint
from ..widgets.plot_export import Table

if TYPE_CHECKING:
    from .heads.model import HeadRow
    from .layers.model import LayersModel
    from .tradeoff.points import TradeOff

NOWHERE = DomainPoint(np.nan, np.nan, np.nan)
"""For a point that does not say anything of a domain."""


def trade_off_table(shown: "TradeOff | None") -> Table:
    """A row for each point."""
    assert shown is not None
    points = shown.points
    return Table(
        ("state", "parent", "kind", f"{shown.cost.value} ({shown.unit:g})", shown.metric, "error", "present"),
        (
            [p.state for p in points],
            [p.parent for p in points],
            ["plan" if p.kind is None else p.kind.value for p in points],
            [p.x for p in points],
            [p.y for p in points],
            [p.error for p in points],
            [int(p.present) for p in points],
        ),
    )


def graph_table(graph: LayerGraph) -> Table:
    """A row for each edge."""
    names = [path or kind.value for kind, path in zip(graph.kind, graph.module, strict=True)]
    begins, ends = graph.edges.T.tolist()
    return Table(
        ("from", "operator of from", "to", "operator of to"),
        (
            [names[n] for n in begins],
            [graph.op[n] for n in begins],
            [names[n] for n in ends],
            [graph.op[n] for n in ends],
        ),
    )


def sensitivity_table(document: Document) -> Table:
    """A row for each cut that was tried."""
    analysis, known = document.analysis, document.curves
    assert analysis is not None
    curves = () if known is None else known.all(analysis, document.removed)
    metric = "metric" if known is None or known.metric is None else known.metric.name
    rows = [
        (analysis.sets[c.set_number].module, analysis.sets[c.set_number].kind.value, c.total, int(n), s, v, e)
        for c in curves
        for n, s, v, e in zip(c.removed, c.shares, c.values, c.errors, strict=True)
    ]
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * 7
    return Table(("layer", "kind", "of", "removed", "share", metric, "error"), columns)


def structures_table(document: Document) -> Table:
    """A row for each structure of the model, with its score and what is decided about it."""
    analysis = document.analysis
    names = ("layer", "kind", "set", "index", "score", "state")
    if analysis is None:
        return Table(names, ((),) * len(names))
    scores = np.full(analysis.count, np.nan) if document.scores is None else document.scores
    of = analysis.set_numbers()
    modules = np.array([one.module for one in analysis.sets], object)
    kinds = np.array([one.kind.value for one in analysis.sets], object)
    return Table(names, (modules[of], kinds[of], of, analysis.index, scores, structure_states(document)))


def structure_states(document: Document, free: str = "free") -> NDArray[np.str_]:
    """[S] what is decided about each structure: "removed", "marked" or "locked", else `free`."""
    masks = [document.removed, document.marked, document.locked]
    return np.select(masks, ["removed", "marked", "locked"], free)


def heads_table(document: Document, rows: "tuple[HeadRow, ...]") -> Table:
    """A row for each cell of the map."""
    scores, states = document.scores, structure_states(document)
    lines: list[tuple[str, str, int, float, str]] = []
    for row in rows:
        kind = "key/value group" if row.span > 1 else "head"
        for cell in range(row.count):
            number = row.first + cell
            score = float("nan") if scores is None else float(scores[number])
            lines.append((row.module, kind, cell, score, str(states[number])))
    columns = tuple(zip(*lines, strict=True)) if lines else ((),) * 5
    return Table(("layer", "kind", "index", "score", "state"), columns)


def layers_table(model: "LayersModel") -> Table:
    """A row for each layer."""
    layers, plan = model.layers, model.plan
    assert layers is not None and plan is not None
    half = [model.lost.get(int(number), float("nan")) for number in layers.sets]
    return Table(
        (
            "layer",
            "width",
            "present",
            "kept",
            "mean score",
            "share of MACs",
            "share of parameters",
            "metric lost at half",
        ),
        (layers.modules, layers.width, plan.present, plan.kept, plan.scores, plan.macs, plan.parameters, half),
    )


def set_table(document: Document, set_number: int) -> Table:
    """A row for each structure of a coupled set: what its histogram shows."""
    whole, analysis = structures_table(document), document.analysis
    assert analysis is not None
    place = analysis.sets[set_number].structures
    return Table(whole.names, tuple(column[place] for column in whole.columns))


def gates_table(points: list[tuple[int, tuple[GateCount, ...]]]) -> Table:
    """A row for each kind of each step."""
    rows = [(step, one) for step, counts in points for one in counts]
    return Table(
        ("step", "kind", "structures", "open", "target", "final", "undecided"),
        (
            [step for step, _ in rows],
            [one.kind.value for _, one in rows],
            [one.whole for _, one in rows],
            [one.expected for _, one in rows],
            [one.target for _, one in rows],
            [one.final for _, one in rows],
            [one.undecided for _, one in rows],
        ),
    )


def recovery_table(points: tuple[CurvePoint, ...]) -> Table:
    """A row for each point of the curves; with columns for each domain of text, where they are mixed."""
    names = ["step", "loss", "metric"]
    columns: list[list[float]] = [[p.step for p in points], [p.loss for p in points], [p.metric for p in points]]
    for domain in dict.fromkeys(name for p in points for name, _ in p.domains):
        found = [dict(p.domains).get(domain, NOWHERE) for p in points]
        names += [f"loss of {domain}", f"reference of {domain}", f"share of {domain}"]
        columns += [[one.loss for one in found], [one.reference for one in found], [one.share for one in found]]
    return Table(tuple(names), tuple(columns))
