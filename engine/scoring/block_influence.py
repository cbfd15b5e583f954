"""Block influence: how much a block changes the direction of its input (ShortGPT, Men et al. 2024).

One minus the cosine of a feature vector before and after the block, averaged over samples and positions. For a residual
branch that may go, before and after are the two sides of the addition that takes its result in.
"""

from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..inference.batch_parts import input_parts
from ..inference.model_inputs import filled
from ..jobs import CancelToken, Job
from ..structures.analysis import Kind, StandInSpec
from .gradients import each_batch, forward_cost
from .protocol import Criterion, Needs, RatedModel, ScoringContext
from .weight_slices import roles_of
from .weights import run_rated, shape_of


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean of 1 - cos for each block, 0 to 2; NaN for everything else."""
    from .block_similarity import BlockSimilarity

    assert rated.task is not None
    # The first stand-in of each block that is left is that of its result.
    blocks: dict[int, StandInSpec] = {}
    for one in rated.analysis.stand_ins:
        if not rated.removed[one.structure]:
            blocks.setdefault(one.structure, one)
    similarity = BlockSimilarity({block: _features(rated, block) for block in blocks})
    for batch, progress in each_batch(
        rated, token, Message("progress.blocks", "Measuring how much each block changes its input")
    ):
        for inputs in input_parts(rated.task.inputs(batch), rated.limit):
            with ExitStack() as stack:
                stack.callback(similarity.forget)
                for handle in (handle for one in blocks.values() for handle in similarity.watch(rated.model, one)):
                    stack.callback(handle.remove)
                similarity.present = filled(inputs)
                run_rated(rated, token, inputs, similarity)
        yield progress
    scores = np.full(rated.analysis.count, np.nan)
    for block, (total, count) in similarity.sums.items():
        scores[block] = total / count
    return scores


def missing(context: ScoringContext) -> Message | None:
    """Why there is nothing to rate."""
    blocks = {one.structure for one in context.analysis.stand_ins}
    if any(not context.removed[block] for block in blocks):
        return None
    return Message(
        "scoring.no_blocks",
        "This criterion scores whole blocks only, and no block of this model can be removed. Choose another criterion.",
    )


def _features(rated: RatedModel, block: int) -> tuple[int, bool]:
    """How many features the last weight of a block makes, and whether they are on dimension 1, as in images."""
    analysis = rated.analysis
    outputs = roles_of(analysis).outputs
    held: list[int] = sorted(analysis.block_tensor[analysis.block_tensor[:, 0] == block, 1].tolist())
    shapes = [
        (shape_of(rated, analysis.tensors[t].name), outputs[t][-1])
        for t in held
        if analysis.tensors[t].name in rated.parameters and outputs[t]
    ]
    shape, dim = shapes[-1] if shapes else ((0, 0), 0)
    return shape[dim], len(shape) > 2


INFLUENCE = Criterion(
    name="block-influence",
    title="Block influence (ShortGPT)",
    formula="blocks only: mean of 1 - cos between a feature vector before and after the block",
    paper="Men et al., ShortGPT: Layers in Large Language Models are More Redundant Than You Expect, 2024",
    needs=Needs.DATA,
    rate=rate,
    kinds=(Kind.BLOCK,),
    missing=missing,
    cost=forward_cost,
)
