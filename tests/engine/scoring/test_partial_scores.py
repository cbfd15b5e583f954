"""Scores on the way are those of what was looked at so far, finished as the last ones are."""

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.jobs import Progress, finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.protocol import PartialScores, Step
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analyse import analyse
from tests.engine.nets import Residual
from tests.engine.scoring.given_task import GivenTask

IMAGES = torch.randn(256, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("criterion", "parts", "step"),
    [
        ("taylor", (8, 16), Step.BATCHES),
        ("wanda", (8, 16), Step.BATCHES),
        ("gates", (64, 128), Step.SAMPLES),
        ("fisher", (64, 128), Step.SAMPLES),
    ],
)
def test_partial_scores_are_those_of_as_many_batches(criterion, parts, step) -> None:
    torch.manual_seed(0)
    net, task = Residual().eval(), GivenTask(IMAGES, 6, batch=8)
    analysis = analyse(net, task.example_inputs())
    told: list[Progress] = []
    whole = finish(score(net, analysis, analysis.empty(), criterion, task), told.append)
    made = [one.so_far for one in told if one.so_far is not None]
    assert all(isinstance(one, PartialScores) for one in made)
    assert tuple(one.done for one in made) == parts and {one.step for one in made} == {step}
    for one in made:
        looked = Choices(batches=one.done // 8 if step is Step.SAMPLES else one.done)
        expected = finish(score(net, analysis, analysis.empty(), criterion, task, choices=looked))
        assert np.allclose(one.scores, expected, rtol=1e-5, equal_nan=True)
        assert not np.allclose(one.scores, whole, rtol=1e-3, equal_nan=True)


def test_structured_obs_tells_the_scores_of_the_layers_that_are_measured() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*(part for _ in range(9) for part in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())), nn.Flatten())
    task = GivenTask(IMAGES, 6, batch=8)
    analysis, told = analyse(net, task.example_inputs()), list[Progress]()
    whole = finish(score(net, analysis, analysis.empty(), "obs", task), told.append)
    made = [one.so_far for one in told if one.so_far is not None]
    assert [(one.done, one.total, one.step) for one in made] == [(2, 8, Step.LAYERS), (4, 8, Step.LAYERS)]
    for one in made:
        there = np.isfinite(one.scores)
        assert {n for n, part in enumerate(analysis.sets) if there[part.structures].any()} == set(range(one.done))
        assert np.array_equal(one.scores[there], whole[there])


def test_a_few_batches_tell_nothing_on_the_way() -> None:
    torch.manual_seed(0)
    net, task = Residual().eval(), GivenTask(IMAGES[:28], 6, batch=4)
    analysis, told = analyse(net, task.example_inputs()), list[Progress]()
    finish(score(net, analysis, analysis.empty(), "taylor", task), told.append)
    assert len(told) == 7 and all(one.so_far is None for one in told)


def test_they_are_nothing_that_was_made() -> None:
    torch.manual_seed(0)
    net, task = Residual().eval(), GivenTask(IMAGES, 6, batch=4)
    analysis, told = analyse(net, task.example_inputs()), list[Progress]()
    finish(score(net, analysis, analysis.empty(), "taylor", task), told.append)
    assert len(told) == 32 and all(one.made is None for one in told) and any(one.so_far is not None for one in told)
