"""A state that baselines are made for: half of a tiny network, cut by L1."""

from copy import deepcopy

import numpy as np

from secateur.engine.baselines.protocol import ComparedState, PruningRound
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.jobs import finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.criteria import score
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import cut
from tests.engine import tiny_net
from tests.engine.toy_task import ToyTask

GOAL = Goal((Limit(Cost.MACS, 0.5),))


def half(epochs: int | None = 1, source: str = "net.py:make") -> ComparedState:
    """The net without half of its MACs, as if it had been recovered for some epochs (it was not)."""
    net, task = tiny_net.build(0), ToyTask(96)
    inputs = task.example_inputs()
    analysis = analyse(net, inputs)
    nothing = analysis.empty()
    scores = finish(score(net, analysis, nothing, "l1"))
    removed = solve(analysis, scores, GOAL, nothing, nothing).removed
    smaller = cut(net, analysis, removed, inputs)
    left = costs(analysis, removed)
    recoveries = () if epochs is None else (RecoverySettings(epochs=epochs, threads=1),)
    return ComparedState(
        original=net,
        factory=lambda: deepcopy(tiny_net.build(1)),
        model=smaller.model,
        spec=ModelSpec(source),
        analysis=analysis,
        inputs=inputs,
        task=task,
        removed=removed,
        edits=smaller.edits,
        rounds=(PruningRound(GOAL, np.zeros_like(removed), recoveries),),
        parameters=left.parameters,
        macs=left.macs,
        consent=FULL_CONSENT,
    )
