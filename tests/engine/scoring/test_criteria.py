"""Scores are what the papers' formulas say, in original coordinates, and leave nothing behind in the model."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from secateur.engine.errors import AnalysisError, SecateurError, TaskError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.scoring.criteria import CRITERIA, score
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.engine.builders import HEAD_DIM, INNER, tiny_analysis, tiny_net
from tests.engine.toy_task import ToyTask

ANALYSIS = tiny_analysis()
REAL = analyse(tiny_net(), ToyTask(2).example_inputs(), "tiny net")
RATED = {
    "batchnorm": {Kind.WIDTH, Kind.FILTER, Kind.BLOCK},
    "block-influence": {Kind.BLOCK},
    "ablation": {Kind.BLOCK, Kind.HEAD},
}
"""Kinds that not every criterion rates."""


def _set(name: str, kind: Kind, analysis: Analysis = ANALYSIS) -> CoupledSet:
    return next(s for s in analysis.sets if s.name == name and s.kind is kind)


def _flags(model: nn.Module) -> list[Any]:
    hooks = [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks, *m._backward_hooks)]
    modes = [m.training for m in model.modules()]
    return [hooks, modes, [(p.requires_grad, p.grad is None) for p in model.parameters()], _bits(model)]


def _bits(model: nn.Module) -> list[bytes]:
    return [v.numpy().tobytes() for v in model.state_dict().values()]


@pytest.mark.parametrize(
    ("criterion", "norm"), [("l1", lambda w: w.abs().mean()), ("l2", lambda w: w.square().mean().sqrt())]
)
def test_magnitude_of_a_filter_is_that_of_its_kernel(criterion: str, norm: Any) -> None:
    net = tiny_net()
    scores = finish(score(net, ANALYSIS, ANALYSIS.empty(), criterion))
    kernels = net.layer1[1].conv1.weight.detach()
    assert np.allclose(scores[_set("layer1.1.conv1.weight", Kind.FILTER).structures], [norm(k) for k in kernels])


def test_magnitude_of_a_head_covers_its_rows_of_query_key_and_value() -> None:
    net = tiny_net()
    scores = finish(score(net, ANALYSIS, ANALYSIS.empty(), "l1"))
    rows = net.attn.qkv.weight.detach().reshape(3, INNER // HEAD_DIM, HEAD_DIM, -1)
    heads = _set("attn.qkv.weight", Kind.HEAD)
    assert np.allclose(scores[heads.structures], [rows[:, h].abs().mean() for h in range(heads.count)])


def test_magnitude_of_residual_width_covers_every_weight_that_writes_to_it() -> None:
    net = tiny_net()
    scores = finish(score(net, ANALYSIS, ANALYSIS.empty(), "l1"))
    writers = [net.conv1, net.layer1[0].conv2, net.layer1[1].conv2, net.attn.proj]
    channel = torch.cat([m.weight.detach()[3].flatten() for m in writers]).abs().mean()
    assert np.isclose(scores[_set("conv1.weight", Kind.WIDTH).first + 3], channel)


def test_taylor_of_a_filter_is_the_gradient_of_a_gate_on_its_activation() -> None:
    net, task = tiny_net(), ToyTask(64, 32)
    scores = finish(score(net, ANALYSIS, ANALYSIS.empty(), "taylor", task))
    hidden = _set("layer1.0.conv1.weight", Kind.FILTER)
    squares = torch.zeros(hidden.count)
    for images, labels in task.batches(Split.TRAIN, seed=0):
        gate = torch.ones(hidden.count, requires_grad=True)
        handle = net.layer1[0].conv2.register_forward_pre_hook(lambda _, x, g=gate: (x[0] * g[:, None, None],))
        nn.functional.cross_entropy(net(images), labels).backward()
        handle.remove()
        assert gate.grad is not None
        squares += gate.grad.square()
    assert np.allclose(scores[hidden.structures], (squares / 2).sqrt(), rtol=1e-4)


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_scores_of_a_cut_model_come_in_original_coordinates(criterion: str) -> None:
    removed = REAL.empty()
    for one in REAL.sets:
        removed[one.first + 1 : one.first + (0 if one.kind is Kind.BLOCK else 3)] = True
    small: Any = cut(tiny_net(), REAL, removed, ToyTask(2).example_inputs()).model
    scores = finish(score(small, REAL, removed, criterion, ToyTask(64)))
    rated = np.zeros(REAL.count, np.bool_)
    for one in REAL.sets:
        rated[one.structures] = one.kind in RATED.get(criterion, set(Kind))
    assert (np.isfinite(scores) == (rated & ~removed)).all()
    if criterion == "l1":
        filters = _set("layer1.0.conv1.weight", Kind.FILTER, REAL)
        kept = np.flatnonzero(~removed[filters.structures])
        assert np.allclose(scores[filters.first + kept], small.layer1[0].conv1.weight.detach().abs().mean((1, 2, 3)))


def test_a_block_gets_the_mean_of_what_it_holds() -> None:
    scores = finish(score(tiny_net(), ANALYSIS, ANALYSIS.empty(), "l2"))
    block, filters = _set("layer1.0", Kind.BLOCK), _set("layer1.0.conv1.weight", Kind.FILTER)
    assert np.isclose(scores[block.first], scores[filters.structures].mean())


def test_what_vanished_with_a_block_has_no_score() -> None:
    net, removed = tiny_net(), ANALYSIS.empty()
    removed[_set("layer1.1", Kind.BLOCK).first] = True
    net.layer1[1] = nn.Identity()
    scores = finish(score(net, ANALYSIS, removed, "taylor", ToyTask(64)))
    assert np.isnan(scores[_set("layer1.1.conv1.weight", Kind.FILTER).structures]).all()
    assert np.isfinite(scores[_set("layer1.0.conv1.weight", Kind.FILTER).structures]).all()


@pytest.mark.parametrize("end", ["success", "cancelled", "abandoned", "raised"])
@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_a_score_leaves_nothing_behind(criterion: str, end: str) -> None:
    net, token = tiny_net(), threading.Event()
    net.layer1.train()
    net.fc.weight.requires_grad_(False)
    if end == "raised":
        net.fc.register_forward_pre_hook(_raises)
    before = _flags(net), _surroundings()
    job = score(net, REAL, REAL.empty(), criterion, ToyTask(64), token=token)
    if end == "success":
        finish(job)
    elif end == "raised" and CRITERIA[criterion].needs_data:
        with pytest.raises(TaskError, match="no such class") as caught:
            finish(job)
        assert "Traceback" in caught.value.details
    else:
        next(job)
        _stop(job, token, end == "cancelled")
    assert (_flags(net), _surroundings()) == before


@pytest.mark.parametrize("criterion", [name for name, one in CRITERIA.items() if one.needs_data])
def test_a_score_is_cancelled_in_the_middle_of_a_pass(criterion: str) -> None:
    net, token = tiny_net(), threading.Event()
    net.fc.register_forward_pre_hook(lambda *_: token.set())
    reached: list[int] = []
    net.fc.register_forward_hook(lambda *_: reached.append(1))
    before = _flags(net), _surroundings()
    with pytest.raises(Cancelled):
        finish(score(net, REAL, REAL.empty(), criterion, ToyTask(64), token=token))
    assert len(reached) <= 1 and (_flags(net), _surroundings()) == before


def _stop(job: Any, token: threading.Event, cancel: bool) -> None:
    if not cancel:
        return job.close()
    token.set()
    with pytest.raises((Cancelled, StopIteration)):
        next(job)  # what only reads weights may be done already
    return None


def _raises(*_: Any) -> None:
    raise IndexError("no such class")


def _surroundings() -> list[Any]:
    """What a pass could leave behind outside of the model."""
    hooks = torch.nn.modules.module._global_forward_pre_hooks
    modes = _get_current_dispatch_mode_stack()
    flags = [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.backends.mha.get_fastpath_enabled()]
    return [len(hooks), list(modes), flags, torch.get_rng_state().tolist()[:32]]


@pytest.mark.parametrize(
    ("criterion", "task", "sentence"),
    [
        ("l3", None, "Choose one of l1, l2, obs, taylor"),
        ("taylor", None, "Attach data, or choose"),
        ("taylor", ToyTask(loss_of=None), "this task has none"),
        ("taylor", ToyTask(loss_of=lambda x, y: x.sum() * float("nan")), "NaN or infinity"),
        ("taylor", ToyTask(0), "empty"),
        ("wanda", None, "Attach data, or choose"),
        ("wanda", ToyTask(0), "empty"),
        ("ablation", ToyTask(0), "empty"),
        ("block-influence", ToyTask(64), "no block of this model can be removed"),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_sentence(criterion: str, task: ToyTask | None, sentence: str) -> None:
    with pytest.raises(SecateurError, match=sentence):
        finish(score(tiny_net(), ANALYSIS, ANALYSIS.empty(), criterion, task))


def test_a_model_of_another_state_is_refused() -> None:
    removed = ANALYSIS.empty()
    removed[0] = True
    with pytest.raises(AnalysisError, match=r"conv1\.weight does not match this state"):
        finish(score(tiny_net(), ANALYSIS, removed, "l1"))
