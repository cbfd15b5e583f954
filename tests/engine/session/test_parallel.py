"""Two processes that compute together give what one gives: scores, plans, weights, masks; one of them decides."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.free_port import free_port
from tests.waiting import COURSE
from tests.warm_start import python

from .parallel_work import RECOVERIES, work, write_files

pytestmark = pytest.mark.end_to_end
HERE = Path(__file__).parents[3]
Found = tuple[dict[str, Any], dict[str, Any]]


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What `torchrun` sets for a process."""
    place = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": port}
    return os.environ | {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """By one process, and by two."""
    folder = tmp_path_factory.mktemp("parallel")
    write_files(folder)
    command = python("-m", "tests.engine.session.parallel_work", str(folder))
    with free_port() as port:
        both = [subprocess.Popen(command, cwd=HERE, env=environment(rank, 2, port)) for rank in range(2)]
        alone = work(folder)
        assert [one.wait(COURSE) for one in both] == [0, 0]
    return alone, torch.load(folder / "found.pt", weights_only=True)


def test_the_scores_and_the_plan_are_the_same(found: Found) -> None:
    alone, both = found
    for criterion in ("taylor", "fisher", "gates", "wanda"):
        assert torch.allclose(both[criterion], alone[criterion], rtol=1e-9, atol=0, equal_nan=True)
    assert torch.equal(both["plan"], alone["plan"]) and both["plan"].any()


@pytest.mark.parametrize("name", [*RECOVERIES, "masks"])
def test_the_weights_are_the_same_within_rounding(found: Found, name: str) -> None:
    alone, both = found
    for tensor, value in alone[name].items():  # Adam makes much of gradients that are nearly 0: single ones may differ
        assert float((both[name][tensor] - value).norm() / value.norm().clamp_min(1e-9)) < 1e-3, tensor


def test_they_are_evaluated_at_the_same_steps_and_the_same_structures_are_chosen(found: Found) -> None:
    alone, both = found
    for name in RECOVERIES:
        assert torch.equal(both[f"{name} steps"], alone[f"{name} steps"])
        assert torch.allclose(both[f"{name} metric"], alone[f"{name} metric"], rtol=1e-5)
    assert both["chosen"] == alone["chosen"]


def test_the_trainings_changed_the_weights(found: Found) -> None:
    alone, _ = found
    for name in RECOVERIES:
        assert any(not torch.allclose(one, alone["cut"][tensor], atol=1e-3) for tensor, one in alone[name].items())


def test_orders_that_all_have_read_leave_the_store(found: Found) -> None:
    assert not found[1]["waiting"]


def test_a_training_that_diverges_ends_as_it_does_alone_and_the_next_one_follows(found: Found) -> None:
    alone, both = found
    assert both["error"] == alone["error"] == "recovery.diverged"
