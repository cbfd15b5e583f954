"""Processes that train together make the updates of one; where one of them ends, so do the others, and say which."""

import signal
import subprocess
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
import torch

from secateur.engine.distributed import ALONE
from tests.engine.session.test_parallel import HERE, environment
from tests.free_port import free_port
from tests.waiting import COURSE
from tests.warm_start import python

from .together_work import STEPS, TRAININGS, models_of, train

pytestmark = pytest.mark.end_to_end


def run(case: str, folder: Path, size: int = 2, killed: int | None = None) -> dict[int, dict[str, Any]]:
    """What each process has noted that was not killed."""
    command = python("-m", "tests.engine.recovery.together_work", case, str(folder))
    with free_port() as port:
        started = [subprocess.Popen(command, cwd=HERE, env=environment(rank, size, port)) for rank in range(size)]
        ends = [one.wait(COURSE) for one in started]
    assert ends == [-signal.SIGKILL if rank == killed else 0 for rank in range(size)]
    return {rank: torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size) if rank != killed}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    return run("trains", tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize("name", TRAININGS)
def test_fifty_updates_are_those_of_one_process(trained: dict[int, dict[str, Any]], name: str):
    alone, both, start = train(name, ALONE), trained[0][name], models_of(name)[0].state_dict()
    assert len(both["losses"]) == STEPS and both["losses"] == pytest.approx(alone["losses"], rel=1e-6)
    for key, value in alone["weights"].items():
        own, norm = both["weights"][key], value.double().norm().clamp_min(1e-9)
        if "running" in key:  # see below; one process counts batch after batch
            assert float((own - value).norm() / norm) < 0.1
        elif "num_batches" not in key:
            assert float((own - value).norm() / norm) < 1e-6
            assert not torch.allclose(start[key], own, rtol=1e-4), "it learned"
    if name == "masks":
        assert torch.equal(both["removed"], alone["removed"]) and both["removed"].any()


def test_statistics_of_batchnorm_are_the_mean_of_those_of_each_process(trained: dict[int, dict[str, Any]]):
    counted = list[dict[str, Any]]()
    for rank in range(2):
        first, (model, _) = trained[rank]["resnet"]["first"], models_of("resnet")
        model.load_state_dict(first["before"])
        model.train()(first["batch"])
        counted.append(dict(model.named_buffers()))
    for name, found in trained[0]["resnet"]["first"]["statistics"].items():
        assert torch.allclose(found, (counted[0][name] + counted[1][name]) / 2, rtol=1e-9)
        assert not torch.allclose(counted[0][name], counted[1][name], rtol=1e-3)


def test_every_process_has_the_same_weights_bit_for_bit(trained: dict[int, dict[str, Any]]):
    for name in TRAININGS:
        if "divided" not in name:
            pairs = zip(trained[0][name]["weights"].items(), trained[1][name]["weights"].values(), strict=True)
            assert all(torch.equal(one, other) for (key, one), other in pairs if "num_batches" not in key)
        assert trained[0][name]["losses"] == trained[1][name]["losses"]


@pytest.mark.parametrize("divided", ["", ",shard"])
def test_a_training_that_is_cancelled_goes_on_to_the_same_weights(tmp_path: Path, divided: str):
    found = run(f"cancelled{divided}", tmp_path)
    assert [one["first"]["end"] for one in found.values()] == ["job.cancelled", "left"]
    again, whole = found[0]["again"]["weights"], found[0]["whole"]["weights"]
    assert all(torch.equal(again[name], value) for name, value in whole.items())


@pytest.mark.parametrize("divided", ["", ",shard"])
def test_a_process_that_fails_ends_the_others_with_its_reason(tmp_path: Path, divided: str):
    found = run(f"fails1{divided}", tmp_path)
    assert "ValueError: a broken image" in found[1]["first"]["words"]
    assert found[0]["first"]["words"].startswith(f"Process 1 on {gethostname()} failed: The loss or the model failed")


@pytest.mark.parametrize("case", ["killed1", "killed1,shard", "killed0"])
def test_a_process_that_is_killed_ends_the_others_which_name_it(tmp_path: Path, case: str):
    killed = int(case[6])
    found = run(case, tmp_path, 3, killed)
    assert len(found) == 2
    for one in found.values():
        assert one["first"]["end"] == "distributed.lost"
        assert f"Lost: process {killed} on {gethostname()}." in one["first"]["words"]
