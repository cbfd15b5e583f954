"""A model that is divided among two processes learns what it learns whole, and each process holds half of it."""

import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
import torch
from torch import Tensor, distributed, nn

from secateur.engine.distributed import ALONE, Group, Place
from secateur.engine.errors import SecateurError
from secateur.engine.machine.device_list import CPU
from secateur.engine.recovery.division import Division, blocks_apart, divided_copy
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.training import Training
from secateur.engine.session.parallel import RecoverOrder
from tests.engine.session.test_parallel import HERE, environment
from tests.free_port import free_port
from tests.waiting import COURSE
from tests.warm_start import python

from .division_work import CASES, Residual, Routed, Tied, models_of, settings_of, trained

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("division")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """What both processes have noted."""
    command = python("-m", "tests.engine.recovery.division_work", str(folder))
    with free_port() as port:
        both = [subprocess.Popen(command, cwd=HERE, env=environment(rank, 2, port)) for rank in range(2)]
        assert [one.wait(COURSE) for one in both] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def difference(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """The largest of all tensors, of their norm."""
    assert some.keys() == others.keys()
    pairs = [(one.double(), others[name].double()) for name, one in some.items()]
    return max(float((a - b).norm() / a.norm().clamp_min(1e-9)) for a, b in pairs)


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", CASES)
def test_the_weights_are_those_of_whole_copies(found: Found, name: str):
    results, start = found[0]["found"], models_of(name)[0].state_dict()
    assert difference(results[f"{name} divided"], results[f"{name} whole"]) < (5e-3 if name == "half" else 1e-4)
    assert difference(results[f"{name} divided"], start) > 1e-3, "it learned"
    assert all(one.dtype == start[key].dtype for key, one in results[f"{name} divided"].items())


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["tied", "turns", "single samples", "sgd"])
def test_the_weights_are_those_of_one_process_with_the_whole_batch(found: Found, name: str):
    assert difference(found[0]["found"][f"{name} divided"], trained(name, ALONE, shard=True)) < 1e-4


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", [one for one in CASES if one != "experts"])  # one of these is never trained
def test_each_process_holds_half_of_weights_gradients_and_moments(found: Found, name: str):
    whole, other = (one["bytes"].get((name, False)) for one in found)
    assert other == whole, "whole copies: every process makes the updates"
    weights = [one.numel() for one in models_of(name)[0].parameters()]
    rows = [one.chunk(2) for one in models_of(name)[0].parameters()]
    halves = [sum(one[rank].numel() for one in rows) for rank in range(2)]
    assert [one["bytes"][name, True] for one in found] == [half * whole // sum(weights) for half in halves]
    assert sum(halves) == sum(weights) and whole % sum(weights) == 0
    assert name == "norm" or all(0.45 < half / sum(weights) < 0.55 for half in halves)


@pytest.mark.end_to_end
def test_tied_weights_stay_tied(found: Found):
    assert [one["tied"] for one in found] == [True, True]
    state = found[0]["found"]["tied divided"]
    assert torch.equal(state["first.weight"], state["last.weight"])


@pytest.mark.end_to_end
def test_it_resumes_bit_for_bit_and_with_another_number_of_processes(found: Found, folder: Path):
    results = found[0]["found"]
    assert difference(results["resumed"], results["tied divided"]) == 0
    assert difference(results["resumed from one process"], results["tied divided"]) < 1e-4
    assert (
        difference(trained("tied", ALONE, shard=True, checkpoint=folder / "divided.pt"), results["tied divided"]) < 1e-4
    )


@pytest.mark.end_to_end
def test_weights_that_are_read_elsewhere_are_told_in_all_processes(found: Found):
    assert [one["error"] for one in found] == ["division.outside", "division.outside"]


def test_what_fails_while_it_is_gathered_ends_the_work_of_all(monkeypatch: pytest.MonkeyPatch):
    stores: Any = distributed
    store = stores.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        group = Group(Place(0, 2), stores.PrefixStore("orders", store))
        division = Division(group, CPU, Tied(), None, settings_of("tied", shard=True))
        monkeypatch.setattr(division.student, "state_dict", Mock(side_effect=RuntimeError("out of memory")))
        with pytest.raises(RuntimeError, match="out of memory"):
            division.checkpoint()
        with pytest.raises(SecateurError, match="Process 0 failed while others computed with it"):
            group.order(RecoverOrder(RecoverySettings()))
    finally:
        distributed.destroy_process_group()


def test_an_update_that_fails_ends_the_work_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    group = MagicMock(place=Place(0, 2), is_alone=False)
    group.together().__exit__.return_value = False
    group.sums.side_effect = lambda *numbers: list(numbers)
    group.given.side_effect = lambda value: value
    group.device.side_effect = lambda device: device
    group.clock.return_value = 0.0
    monkeypatch.setattr(Training, "update", Mock(side_effect=RuntimeError("out of memory")))
    with pytest.raises(SecateurError, match="out of memory"):
        trained("tied", group, shard=False, checkpoint=tmp_path / "kept.pt")
    group.abandon.assert_called_once_with()


def test_blocks_are_gathered_alone_unless_they_share_a_weight_with_others():
    model = Tied()
    assert blocks_apart(model) == list(model.blocks)
    first: Any = model.blocks[0]
    first.down.bias = model.last.bias
    assert blocks_apart(model) == [model.blocks[1]]
    routed: Any = Routed()
    assert blocks_apart(routed) == list(routed.blocks), "an expert may not run in all processes"
    assert not blocks_apart(Residual()), "layers without a list around them are gathered together"


def test_a_parameter_without_dimensions_is_refused():
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.scale = nn.Parameter(torch.ones(()))

    with pytest.raises(SecateurError, match=r"scale is a single number.*whole copies"):
        divided_copy(Scaled(), None, trains=True)  # pyright: ignore[reportArgumentType]
