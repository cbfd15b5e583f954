"""Recomputed BatchNorm statistics are the averages over batches by their samples, and nothing else changes."""

import threading

import pytest
import torch
from torch import nn

from secateur.engine.jobs import Cancelled, finish
from secateur.engine.recovery.batchnorm import calibrate_batchnorm
from secateur.engine.tasks.protocol import Split
from tests.engine.builders import tiny_net
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

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, 1, 8, 8] to [N, 64]."""
        return self.norm(x.flatten(1)) + self.norm(x.flatten(1) + 10)


def test_a_norm_that_runs_twice_has_the_average_of_both() -> None:
    net, task = Twice(), ToyTask(34, 32)
    finish(calibrate_batchnorm(net, task))
    flow = torch.cat([images.flatten(1) for images, _ in task.batches(Split.TRAIN, seed=0)])
    assert net.norm.running_mean is not None
    assert torch.allclose(net.norm.running_mean, flow.mean(0) + 5, atol=1e-5)
    assert not net.norm._forward_pre_hooks
