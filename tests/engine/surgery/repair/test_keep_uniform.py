"""One configuration describes what plans leave, whatever sizes its numbers decide: stages, bottlenecks, depths."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from secateur.engine.errors import PlanError
from secateur.engine.planning.count_balance import broken_constraints
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Goal, KindLimit
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Constraint, CountRule, Kind
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.repair.keep_uniform import is_configurable, keep_uniform

SIZES: dict[str, Any] = {"num_channels": 3, "embedding_size": 12, "depths": [3, 2], "num_labels": 5}
BOTTLENECK: dict[str, Any] = {**SIZES, "hidden_sizes": [32, 64], "layer_type": "bottleneck"}
BASIC: dict[str, Any] = {**SIZES, "hidden_sizes": [12, 24], "layer_type": "basic"}


def resnet(**sizes: Any) -> Any:
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**sizes)).eval()


def uniform(model: Any) -> Analysis:
    return keep_uniform(model, analyse(model, {"pixel_values": torch.zeros(2, 3, 32, 32)}))


def planned(analysis: Analysis, *shape: KindLimit) -> np.ndarray:
    return solve(analysis, np.random.default_rng(0).random(analysis.count), Goal((), shape=shape)).removed


@pytest.fixture(scope="module")
def bottleneck() -> tuple[Any, Analysis]:
    model = resnet(**BOTTLENECK)
    return model, uniform(model)


def test_what_a_number_decides_in_another_proportion_keeps_the_same_share(bottleneck: tuple[Any, Analysis]) -> None:
    model, analysis = bottleneck
    plan = planned(analysis, KindLimit(Kind.WIDTH, 0.75), KindLimit(Kind.FILTER, count=8))
    assert is_configurable(model, analysis, plan)
    stock = resnet(**BOTTLENECK | {"embedding_size": 8, "hidden_sizes": [24, 48]})  # of a quarter of their width inside
    assert costs(analysis, plan).parameters == sum(one.numel() for one in stock.parameters())


def test_a_share_that_was_broken_is_noticed(bottleneck: tuple[Any, Analysis]) -> None:
    _, analysis = bottleneck
    plan = planned(analysis, KindLimit(Kind.WIDTH, 0.75))
    assert not [*broken_constraints(analysis, plan)]
    narrow = next(one for one in analysis.sets if one.kind is Kind.FILTER and ".layers." in one.module)
    plan[narrow.first + np.flatnonzero(~plan[narrow.structures])[0]] = True
    broken: list[Constraint] = [*broken_constraints(analysis, plan)]
    assert CountRule.PROPORTIONAL in {one.kind for one in broken}


def test_each_stage_counts_its_own_layers(bottleneck: tuple[Any, Analysis]) -> None:
    model, analysis = bottleneck
    plan = planned(analysis, KindLimit(Kind.BLOCK, count=2))
    assert is_configurable(model, analysis, plan)
    stock = resnet(**BOTTLENECK | {"depths": [2, 2]})
    assert costs(analysis, plan).parameters == sum(one.numel() for one in stock.parameters())


def test_a_kind_that_goes_with_the_width_is_no_missing_one() -> None:
    analysis = uniform(resnet(**BASIC))
    with pytest.raises(PlanError, match=r"filters go in step with the residual channels.*Enter how many residual"):
        planned(analysis, KindLimit(Kind.FILTER, 0.5))
    with pytest.raises(PlanError, match="no removable heads"):
        planned(analysis, KindLimit(Kind.HEAD, 0.5))
    plan = planned(analysis, KindLimit(Kind.WIDTH, 0.5))
    stock = resnet(**BASIC | {"embedding_size": 6, "hidden_sizes": [6, 12]})
    assert costs(analysis, plan).parameters == sum(one.numel() for one in stock.parameters())
