"""The numbers of the rows for the current state and plan: recomputed in numpy whenever marks or scores change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import Costs, StructureMacs

from ...widgets.score_map import ScoreScale
from .rows import Rows, nearest

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """N nodes, K coupled sets, S structures.

    Attributes:
        gone: [S] removed or marked.
        kept: [K] structures that stay.
        taken: [N] marked structures in or below a row.
        outputs: [A + 1] positions each axis keeps.
        scores: [S] scores, NaN where unknown.
        node_scores: [N] mean score of what the current state has in or below a row, NaN where unknown.
        scale: From scores of structures to bars.
        node_scale: From mean scores to bars: ranks among rows, as means of what is far apart are mostly high ones.
        shares: [N] share of the plan's MACs in or below a row.
        parameters: [N] parameters that the plan leaves in or below a row.
        times: [N] share of the plan's time on the target in or below a row, NaN where nothing predicts it.
        macs: MACs of single structures that the plan leaves.
    """

    gone: Mask
    kept: NDArray[np.int64]
    taken: NDArray[np.int64]
    outputs: NDArray[np.int64]
    scores: Floats
    node_scores: Floats
    scale: ScoreScale
    node_scale: ScoreScale
    shares: Floats
    parameters: NDArray[np.int64]
    times: Floats
    macs: StructureMacs


def figures_of(
    analysis: Analysis,
    rows: Rows,
    removed: Mask,
    marked: Mask,
    scores: Floats | None,
    plan: Costs,
    times: Mapping[str, float] | None = None,
    ranked: bool = True,
) -> Figures:
    """All numbers of all rows but the costs of single structures.

    `times` are shares by module path, each without its children; scores have colours by rank, else by value.
    """
    gone = removed | marked
    nodes, below = rows.below_operator
    macs = np.bincount(nodes, weights=plan.operator_macs[below].astype(np.float64), minlength=rows.count)
    own = np.zeros(rows.count)
    node_of = {path: node for node, path in enumerate(rows.modules[: rows.module_count])} if times else {}
    for path, share in (times or {}).items():
        if (node := nearest(path, node_of)) >= 0:
            own[node] += share
    totals = rows.upwards(own)
    nodes, below = rows.below_set
    single = StructureMacs(analysis, gone)
    counted = Figures(
        gone=gone,
        kept=rows.by_set(~gone),
        taken=np.bincount(nodes, weights=rows.by_set(marked)[below], minlength=rows.count).astype(np.int64),
        outputs=single.kept,
        scores=np.zeros(0),
        node_scores=np.zeros(0),
        scale=ScoreScale(1.0),
        node_scale=ScoreScale(1.0),
        shares=macs / max(plan.macs, 1),
        parameters=rows.sums_below(np.where(rows.parameters, plan.tensor_sizes, 0)),
        times=np.where(totals > 0, totals, np.nan),
        macs=single,
    )
    return with_scores(counted, analysis, rows, removed, scores, ranked)


def with_scores(
    figures: Figures, analysis: Analysis, rows: Rows, removed: Mask, scores: Floats | None, ranked: bool = True
) -> Figures:
    """The same numbers with other scores, coloured by rank or by value: what the plan leaves is not counted again."""
    known = np.full(analysis.count, np.nan) if scores is None else scores
    counts = np.isfinite(known) & ~removed
    sums, numbers = rows.by_set(np.where(counts, known, 0.0)), rows.by_set(counts)
    nodes, below = rows.below_set
    node_sums = np.bincount(nodes, weights=sums[below], minlength=rows.count)
    node_numbers = np.bincount(nodes, weights=numbers[below], minlength=rows.count)
    with np.errstate(invalid="ignore", divide="ignore"):
        node_scores = np.where(node_numbers > 0, node_sums / node_numbers, np.nan)
    return replace(
        figures,
        scores=known,
        node_scores=node_scores,
        scale=ScoreScale.of(scores, ranked),
        node_scale=ScoreScale.of(node_scores, ranked),
    )
