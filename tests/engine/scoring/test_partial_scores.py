"""Scores on the way are those of what was looked at so far, finished as the last ones are."""

import numpy as np
import pytest
import torch

from secateur.engine.jobs import Progress, finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.partial_scores import PartialScores
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analyse import analyse
from tests.engine.nets import Residual
from tests.engine.scoring.given_task import GivenTask

IMAGES = torch.randn(256, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("criterion", "parts"),
    [("taylor", (8, 16)), ("wanda", (8, 16)), ("gates", (64, 128)), ("fisher", (64, 128))],
)
def test_partial_scores_are_those_of_as_many_batches(criterion, parts) -> None:
    torch.manual_seed(0)
    net, task = Residual().eval(), GivenTask(IMAGES, 6, batch=8)
    analysis = analyse(net, task.example_inputs())
    told: list[Progress] = []
    whole = finish(score(net, analysis, analysis.empty(), criterion, task), told.append)
    made = [one.so_far for one in told if one.so_far is not None]
    assert all(isinstance(one, PartialScores) for one in made)
    assert tuple(one.done for one in made) == parts and made[0].samples == (criterion in ("gates", "fisher"))
    for one in made:
        looked = Choices(batches=one.done // 8 if one.samples else one.done)
        expected = finish(score(net, analysis, analysis.empty(), criterion, task, choices=looked))
        assert np.allclose(one.scores, expected, rtol=1e-5, equal_nan=True)
        assert not np.allclose(one.scores, whole, rtol=1e-3, equal_nan=True)


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
