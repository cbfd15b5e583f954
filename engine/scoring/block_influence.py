"""Block influence: how much a block changes the direction of its input (ShortGPT, Men et al. 2024).

One minus the cosine of a feature vector before and after the block, averaged over samples and positions. For a residual
branch that may go, before and after are the two sides of the addition that takes its result in.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch_parts import input_parts
from ..errors import Message
from ..jobs import CancelToken, Job
from ..model_inputs import call, filled
from ..structures.analysis import Kind, StandInSpec
from .gradients import each_batch, forward_cost
from .protocol import Criterion, Needs, RatedModel, ScoringContext
from .weight_slices import roles_of
from .weights import shape_of


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean of 1 - cos for each block, 0 to 2; NaN for everything else."""
    from .block_similarity import BlockSimilarity

    assert rated.task is not None
    blocks = list(_blocks(rated))
    turning = BlockSimilarity({one.structure: _channels(rated, one.structure) for one in blocks})
    for batch, progress in each_batch(
        rated, token, Message("progress.blocks", "Measuring how much each block changes its input")
    ):
        for inputs in input_parts(rated.task.inputs(batch), rated.limit):
            with _watched(rated, turning, blocks, token):
                turning.present = filled(inputs)
                call(rated.model, inputs)
        yield progress
    scores = np.full(rated.analysis.count, np.nan)
    for block, (total, count) in turning.sums.items():
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


def _blocks(rated: RatedModel) -> Generator[StandInSpec]:
    """What stands for the result of each block that is left; the first of a block does."""
    seen: set[int] = set()
    for one in rated.analysis.stand_ins:
        if one.structure not in seen and not rated.removed[one.structure]:
            yield one
        seen.add(one.structure)


@contextmanager
def _watched(rated: RatedModel, turning: Any, blocks: list[StandInSpec], token: CancelToken) -> Generator[None]:
    from ..tracing.isolated_forward import quiet_forward
    from .cancellable_autograd import interruptible

    handles: list[Any] = []
    try:
        for one in blocks:
            handles += turning.watch(rated.model, one)
        with quiet_forward(rated.model), interruptible(token), turning:
            yield
    finally:
        turning.forget()
        for handle in handles:
            handle.remove()


def _channels(rated: RatedModel, block: int) -> tuple[int, bool]:
    """How many features the last weight of a block makes, and whether they lie behind the batch, as in images."""
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
