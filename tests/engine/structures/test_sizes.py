"""Counts that modules remember (groups, heads) stand on axes that the analysis knows."""

import torch

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import kept_sizes
from tests.benchmarks.breadth import transformers_models


def test_heads_that_no_parameter_shows_are_counted() -> None:
    subject = transformers_models.subject("WavLMForCTC")  # its gated positions ask for heads by a number of their own
    torch.manual_seed(0)
    analysis = analyse(subject.make().eval(), subject.inputs(), outputs=subject.outputs)
    kept = kept_sizes(analysis, analysis.empty())
    counted = {(module, what): int(kept[axis]) for module, what, axis, _ in analysis.sizes if axis >= 0}
    assert counted and min(counted.values()) > 0
