"""Measured BatchNorm statistics are averages over batches by their samples, adjusted ones follow what a cut changed.

Nothing else changes.
"""

import copy
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.inference.batch_parts import PassLimit
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.recovery import batchnorm
from secateur.engine.recovery.batchnorm import adjust_batchnorm, adjusting_batchnorm, calibrate_batchnorm
from secateur.engine.tasks.protocol import Split
from tests.engine.builders import tiny_net
from tests.engine.norm_nets import Turned
from tests.engine.toy_task import ToyTask


def test_statistics_are_the_averages_of_the_batches() -> None:
    net, task = tiny_net(), ToyTask(128, 32)
    assert finish(calibrate_batchnorm(net, task)) == 4
    with torch.no_grad():
        flows = [net.conv1(images) for images, _ in task.batches(Split.TRAIN, seed=0)]
    assert torch.allclose(net.bn1.running_mean, torch.stack([f.mean((0, 2, 3)) for f in flows]).mean(0), atol=1e-6)
    assert torch.allclose(net.bn1.running_var, torch.stack([f.var((0, 2, 3)) for f in flows]).mean(0), rtol=1e-5)


def test_only_statistics_change() -> None:
    net = tiny_net().train()
    net.layer1[0].bn1.momentum = 0.03
    before = {name: value.clone() for name, value in net.state_dict().items()}
    finish(calibrate_batchnorm(net, ToyTask()))
    changed = {name.rpartition(".")[2] for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert changed == {"running_mean", "running_var"}
    assert all(m.training for m in net.modules()) and net.layer1[0].bn1.momentum == 0.03


@pytest.mark.parametrize(("batches", "used"), [(3.5, 3), (0.5, 2)])
def test_forwards_have_a_bound_on_their_work(batches: float, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3))
    macs = 32 * 3 * 6 * 6 * 9  # of a batch of 8 x 8 images
    monkeypatch.setattr(batchnorm, "LEAST", 64)
    monkeypatch.setattr(batchnorm, "LEAST_COMPARED", 64)
    monkeypatch.setattr(batchnorm, "WORK", batches * macs)
    assert finish(calibrate_batchnorm(net, ToyTask(256, 32))) == used
    monkeypatch.setattr(batchnorm, "WORK", batches * 2 * macs)  # both models run
    assert finish(adjust_batchnorm(copy.deepcopy(net), net, {}, ToyTask(256, 32))) == used


@pytest.mark.parametrize(("said", "totals"), [(0, {0}), (2, {2}), (5, {5})])
def test_how_many_batches_a_task_says_there_are_ends_nothing(said: int, totals: set[int]) -> None:
    class Uncertain(ToyTask):
        def batch_count(self, split: Split) -> int:
            return said

    shown: list[int] = []
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    assert finish(calibrate_batchnorm(net, Uncertain(80, 16)), lambda one: shown.append(one.total)) == 5
    assert set(shown) == totals


def test_a_cancel_puts_the_old_statistics_back() -> None:
    net, token = tiny_net(), threading.Event()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    job = calibrate_batchnorm(net, ToyTask(), token)
    next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())


def test_without_data_the_old_statistics_stay() -> None:
    net = tiny_net()
    assert finish(calibrate_batchnorm(net, ToyTask(0))) == 0
    assert net.bn1.running_mean.equal(tiny_net().bn1.running_mean)


def test_a_batch_of_one_is_left_out_for_batchnorm_only() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.BatchNorm1d(3))
    assert finish(calibrate_batchnorm(net, ToyTask(33, 32))) == 1
    assert finish(calibrate_batchnorm(net[:2], ToyTask(33, 32))) == 0


def test_batches_count_by_their_samples() -> None:
    norm, task = nn.BatchNorm1d(64), ToyTask(34, 32)
    assert finish(calibrate_batchnorm(nn.Sequential(nn.Flatten(), norm), task)) == 2
    flows = [images.flatten(1) for images, _ in task.batches(Split.TRAIN, seed=0)]
    assert [len(flow) for flow in flows] == [32, 2]
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, torch.cat(flows).mean(0), atol=1e-6)


def test_batches_of_one_sample_are_taken_where_all_are() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    assert finish(calibrate_batchnorm(net, ToyTask(5, 1))) == 5


class Twice(nn.Module):
    """One norm for two inputs."""

    def __init__(self, added: float = 10, named: bool = False, calls: int = 2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(64)
        self.added, self.named, self.calls = added, named, calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, 1, 8, 8] to [N, 64], in place at first."""
        x.mul_(2)
        given = [x.flatten(1), x.flatten(1) * self.added, x.flatten(1)][: self.calls]
        return sum((self.norm(input=one) if self.named else self.norm(one) for one in given), torch.zeros(()))


def test_a_norm_that_runs_twice_has_the_average_of_both() -> None:
    net, task = Twice(), ToyTask(34, 32)
    finish(calibrate_batchnorm(net, task))
    flow = torch.cat([images.flatten(1) for images, _ in task.batches(Split.TRAIN, seed=0)])
    assert net.norm.running_mean is not None
    assert torch.allclose(net.norm.running_mean, flow.mean(0) * 11, atol=1e-5)
    assert not net.norm._forward_pre_hooks


def narrowed(net: Any, left: list[int]) -> tuple[Any, Any]:
    """(A copy with some channels of the first convolution, what it keeps of the tensors), by hand."""
    cut = copy.deepcopy(net)
    cut[0] = nn.Conv2d(1, len(left), 3)
    cut[1] = nn.BatchNorm2d(len(left))
    cut[3] = nn.Conv2d(len(left), 5, 3)
    indices, kept = np.array(left), {}
    for name, value in net.state_dict().items():
        dims = [None] * value.ndim
        if name.startswith(("0.", "1.")) and value.ndim:
            dims[0] = indices
        if name == "3.weight":
            dims[1] = indices
        own = value
        for dim, one in enumerate(dims):
            own = own if one is None else own.index_select(dim, torch.from_numpy(one))
        cut.state_dict()[name].copy_(own)
        if own.shape != value.shape:
            kept[name] = tuple(dims)
    return cut.eval(), kept


def normed() -> Any:
    """Two norms with statistics of other data than that of the task."""
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5))
    for norm in (net[1], net[4]):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.05, 0.2)
    return net.eval()


def test_adjusted_statistics_follow_what_the_cut_changed_and_not_the_data() -> None:
    net, task, left = normed(), ToyTask(128, 32), [0, 2, 3, 5]
    cut, kept = narrowed(net, left)
    assert finish(adjust_batchnorm(cut, net, kept, task)) == 4
    assert torch.allclose(cut[1].running_mean, net[1].running_mean[left], rtol=0, atol=1e-6)
    assert torch.allclose(cut[1].running_var, net[1].running_var[left], rtol=1e-5)
    with torch.no_grad():
        given = [[one[:4](images) for images, _ in task.batches(Split.TRAIN, seed=0)] for one in (cut, net)]
    means = [torch.stack([flow.mean((0, 2, 3)) for flow in flows]).mean(0) for flows in given]
    variances = [torch.stack([flow.var((0, 2, 3), correction=0) for flow in flows]).mean(0) for flows in given]
    assert not torch.allclose(means[0], means[1], atol=1e-3)
    assert torch.allclose(cut[4].running_mean, net[4].running_mean + means[0] - means[1], atol=1e-6)
    before, (own, other) = net[4].running_var, variances
    floor = 1e-5 + before / 100
    expected = (before + 1e-5) * (own + floor) / (other + floor) - 1e-5
    assert not torch.allclose(expected, before, rtol=1e-2)
    assert torch.allclose(cut[4].running_var, expected, rtol=1e-4)
    again = {name: value.clone() for name, value in cut.state_dict().items()}
    finish(adjust_batchnorm(cut, net, kept, task))
    assert all(value.equal(again[name]) for name, value in cut.state_dict().items())


def test_adjusting_leaves_the_reference_and_the_weights_as_they_were() -> None:
    net = normed().train()
    cut, kept = narrowed(net, [1, 4])
    before = [{name: value.clone() for name, value in one.state_dict().items()} for one in (net, cut)]
    finish(adjust_batchnorm(cut.train(), net, kept, ToyTask()))
    assert all(value.equal(before[0][name]) for name, value in net.state_dict().items())
    changed = {name for name, value in cut.state_dict().items() if not value.equal(before[1][name])}
    assert changed <= {"4.running_mean", "4.running_var", "1.running_var"} and "4.running_mean" in changed
    modules = [*net.modules(), *cut.modules()]
    assert all(one.training and not one._forward_pre_hooks for one in modules)


def test_without_a_counterpart_for_each_norm_nothing_is_adjusted() -> None:
    net = normed()
    cut, _ = narrowed(net, [1, 4])
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    assert finish(adjust_batchnorm(cut, net, {}, ToyTask())) == 0
    assert finish(adjust_batchnorm(cut[:2], nn.Sequential(nn.Flatten()), {}, ToyTask())) == 0
    assert all(value.equal(before[name]) for name, value in cut.state_dict().items())


def test_a_cancelled_adjustment_puts_the_old_statistics_back() -> None:
    net, token = normed(), threading.Event()
    cut, kept = narrowed(net, [1, 4])
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    job = adjust_batchnorm(cut, net, kept, ToyTask(), token)
    next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    assert all(value.equal(before[name]) for name, value in cut.state_dict().items())


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("most", [0, 8])
def test_a_norm_that_runs_twice_is_adjusted_by_both_calls(named: bool, most: int) -> None:
    net: Any = Twice(12, named).eval()
    other: Any = Twice(10, named).eval()
    task = ToyTask(34, 32)
    other.norm.running_mean.fill_(7.0)
    assert finish(adjust_batchnorm(net, other, {}, task, limit=PassLimit(most))) == 2
    flow = torch.cat([images.flatten(1) for images, _ in task.batches(Split.TRAIN, seed=0)])
    assert torch.allclose(net.norm.running_mean, 7 + (2 * 12 - 2 * 10) / 2 * flow.mean(0), atol=1e-4)


def test_another_layout_or_number_of_calls_leaves_the_statistics_as_they_were() -> None:
    turned = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(2), nn.LazyLinear(5), Turned(5)).eval()
    turned(torch.zeros(2, 1, 8, 8))
    for net, other in (
        (turned, copy.deepcopy(turned)),
        (Twice(calls=1).eval(), Twice().eval()),
        (Twice(calls=3), Twice()),
    ):
        before = {name: value.clone() for name, value in net.state_dict().items()}
        assert finish(adjust_batchnorm(net, other, {}, ToyTask())) == 0
        assert all(value.equal(before[name]) for name, value in net.state_dict().items())
        assert not any(one._forward_pre_hooks for model in (net, other) for one in model.modules())


@pytest.mark.parametrize(("there", "here"), [(0.0, 0.1), (0.1, 0.0), (0.0, 0.0)])
def test_channels_with_hardly_any_variance_on_the_samples_keep_about_theirs(there: float, here: float) -> None:
    def scaled(by: float) -> Any:
        net: Any = nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False), nn.BatchNorm1d(3)).eval()
        images = torch.cat([images for images, _ in ToyTask().batches(Split.TRAIN)]).flatten(1)
        torch.manual_seed(0)
        weight = torch.randn(3, 64)
        net[1].weight.data = by * weight / (images @ weight.T).std(0)[:, None]
        return net

    net, other = scaled(here), scaled(there)
    finish(adjust_batchnorm(net, other, {}, ToyTask()))
    assert ((net[2].running_var > 0.4) & (net[2].running_var < 2.5)).all(), net[2].running_var


def test_a_batch_runs_on_statistics_that_are_adjusted_to_it() -> None:
    net, left = normed(), [0, 2, 3, 5]
    cut, kept = narrowed(net, left)
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    images = torch.randn(64, 1, 8, 8)
    with torch.no_grad(), adjusting_batchnorm(cut, net, kept):
        alone = cut(images)  # the reference has not run
    with torch.no_grad(), adjusting_batchnorm(cut, net, kept):
        net(images)
        found = cut(images)
        adjusted = {name: value.clone() for name, value in cut.state_dict().items()}
    assert all(value.equal(before[name]) for name, value in cut.state_dict().items())
    assert torch.allclose(alone, cut(images)) and not any(
        m._forward_pre_hooks for m in [*net.modules(), *cut.modules()]
    )
    cut.load_state_dict(adjusted)
    assert torch.allclose(found, cut(images), atol=1e-5) and not torch.allclose(found, alone, atol=0.01)


def test_channels_with_numbers_that_are_none_keep_their_statistics() -> None:
    net = normed()
    cut, kept = narrowed(net, [1, 4])
    images = torch.randn(64, 1, 8, 8)
    images[3] = torch.nan
    with torch.no_grad(), adjusting_batchnorm(cut, net, kept):
        net(images)
        cut(images)
        assert all(value.isfinite().all() for value in cut.state_dict().values())


def test_an_error_within_leaves_statistics_and_hooks_as_they_were() -> None:
    net = normed()
    cut, kept = narrowed(net, [1, 4])
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    with pytest.raises(RuntimeError), adjusting_batchnorm(cut, net, kept):
        net(torch.randn(8, 1, 8, 8))
        cut(torch.randn(8, 1, 8, 8))
        cut(torch.randn(8, 2, 8, 8))
    assert all(value.equal(before[name]) for name, value in cut.state_dict().items())
    assert not any(m._forward_pre_hooks for m in [*net.modules(), *cut.modules()])
