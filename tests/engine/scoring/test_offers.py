"""Before it runs, each criterion says what it costs and why it is not available; the window needs no model for that."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from secateur.engine.errors import TaskError
from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import CRITERIA, CriterionOffer, default_criterion, offers, score
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.tasks.protocol import TaskInfo
from tests.engine.builders import tiny_analysis
from tests.engine.nets import Transformer, image

TASK = TaskInfo("toy", {}, (), "top-1", (), batches={"train": 10, "val": 3}, batch=16)


def _offers(analysis: Analysis, task: TaskInfo | None, choices: Choices | None = None) -> dict[str, CriterionOffer]:
    return {one.criterion.name: one for one in offers(analysis, analysis.empty(), task, choices)}


def test_all_criteria_are_offered_and_each_says_what_it_is() -> None:
    found = _offers(tiny_analysis(), TASK)
    assert list(found) == list(CRITERIA)
    assert all(one.criterion.formula and one.criterion.paper and str(one.cost.message) for one in found.values())


def test_without_data_what_needs_it_is_not_available() -> None:
    for name, one in _offers(tiny_analysis(), None).items():
        assert ("Attach data" in str(one.reason)) == CRITERIA[name].needs_data, name


def test_without_a_loss_what_needs_one_is_not_available() -> None:
    found = _offers(tiny_analysis(), replace(TASK, loss=False))
    lacking = {name for name, one in found.items() if one.reason is not None and "needs a loss" in str(one.reason)}
    assert lacking == {"taylor", "gates", "fisher"}


def test_a_folded_batchnorm_leaves_nothing_to_rate_by() -> None:
    folded = nn.Sequential(
        fuse_conv_bn_eval(nn.Conv2d(3, 8, 3).eval(), nn.BatchNorm2d(8).eval()), nn.ReLU(), nn.Conv2d(8, 2, 3)
    )
    analysis = analyse(folded, image())
    reason = str(_offers(analysis, TASK)["batchnorm"].reason)
    assert "folded" in reason
    with pytest.raises(TaskError, match="folded"):
        finish(score(folded, analysis, analysis.empty(), "batchnorm"))


def test_without_blocks_their_influence_is_not_available() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))
    assert "blocks only" in str(_offers(analyse(plain, image()), TASK)["block-influence"].reason)
    torch.manual_seed(0)
    assert _offers(analyse(Transformer().eval(), image()), TASK)["block-influence"].reason is None


def test_costs_are_said_in_passes() -> None:
    analysis = analyse(Transformer().eval(), image())
    found = _offers(analysis, TASK)
    assert str(found["l1"].cost.message) == "Reads only the weights; needs no data."
    assert (found["taylor"].cost.forwards, found["taylor"].cost.backwards) == (10, 10)
    assert "At most 160 forward and backward passes of one sample each" in str(found["gates"].cost.message)
    assert (found["wanda"].cost.forwards, found["wanda"].cost.backwards) == (10, 0)
    few = sum(one.count for one in analysis.sets if one.kind in (Kind.HEAD, Kind.BLOCK))
    assert found["ablation"].cost.forwards == 4 * (few + 1)
    assert _offers(analysis, replace(TASK, loss=False))["ablation"].cost.forwards == 3 * (few + 1)


def test_fewer_batches_cost_less() -> None:
    found = _offers(tiny_analysis(), TASK, Choices(batches=2))
    assert found["taylor"].cost.forwards == 2 and found["gates"].cost.forwards == 32


def test_the_default_is_the_best_that_the_task_allows() -> None:
    analysis = tiny_analysis()
    assert [
        default_criterion(analysis, analysis.empty(), task) for task in (TASK, replace(TASK, loss=False), None)
    ] == ["taylor", "l1", "l1"]


def test_a_task_that_only_evaluates_has_no_data_to_score_by() -> None:
    analysis, judge = tiny_analysis(), replace(TASK, batches={}, samples=(), loss=False)
    assert default_criterion(analysis, analysis.empty(), judge, repaired=True) == "l1"
    assert _offers(analysis, judge)["obs"].reason is not None


def test_where_cuts_are_only_repaired_the_default_is_what_counts_on_that() -> None:
    analysis = tiny_analysis()
    tasks = (TASK, replace(TASK, loss=False), None)
    assert [default_criterion(analysis, analysis.empty(), one, repaired=True) for one in tasks] == ["obs", "obs", "l1"]


@pytest.mark.parametrize("module", ["scoring.criteria", "planning.goal", "planning.marks", "recovery.protocol"])
def test_what_the_window_imports_loads_no_torch(module: str) -> None:
    program = f"import sys, secateur.engine.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
