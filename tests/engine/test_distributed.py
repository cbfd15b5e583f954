"""Which process this is, what each reads of a batch, and what commands do that one process runs."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine import distributed
from secateur.engine.cli.main import main
from secateur.engine.distributed import ALONE, Group, Place, launched
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import NeverCancelled
from secateur.engine.recovery.batchnorm import trainable_batches
from secateur.engine.recovery.gradient_sharing import GradientSharing
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.training import Training
from secateur.engine.scoring.samples import own_batches
from secateur.engine.tasks.arrays import open_arrays
from secateur.engine.tasks.protocol import EMPTY, DistillationBatch, Portion, Split

from .builders import tiny_net
from .session.small import write_project
from .toy_task import ToyTask


def test_the_variables_of_a_launcher_say_which_process_this_is() -> None:
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "here"}
    assert launched(given) == Place(3, 4, 1, 2)
    assert launched({}) == launched({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "here"}) == Place()
    assert launched({"RANK": "0", "WORLD_SIZE": "8"}) == Place()  # of a scheduler, without a launcher


def test_one_process_alone_sends_nothing() -> None:
    assert [one.tolist() for one in ALONE.sums(2.0, np.ones(3))] == [2.0, [1, 1, 1]]
    assert ALONE.is_writer and ALONE.is_alone and ALONE.device("cpu") == "cpu"


def test_no_two_processes_of_a_machine_compute_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "available", lambda: ("cpu", "cuda:0", "cuda:1", "cuda:2"))

    def chosen(device: str) -> list[str]:
        return [Group(Place(rank, 3, rank, 3)).device(device) for rank in range(3)]

    assert chosen("cuda:0") == ["cuda:0", "cuda:1", "cuda:2"]
    assert chosen("cuda:2") == ["cuda:2", "cuda:0", "cuda:1"], "as it is where the device is chosen automatically"
    assert Group(Place(3, 6, 0, 3)).device("cuda:2") == "cuda:2", "on another machine"
    with pytest.raises(SecateurError, match="Start fewer processes"):
        Group(Place(3, 4, 3, 4)).device("cuda:2")


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("turns", [0, 7])
@pytest.mark.parametrize("least", [1, 2])
def test_each_row_of_a_batch_is_one_process_s(size: int, turns: int, least: int) -> None:
    for number, count in enumerate((8, 8, 8, 5, 2, 1)):
        rows = np.arange(count) + 100
        parts = [Portion(rank, size, turns, least).of(rows, number).tolist() for rank in range(size)]
        assert sorted(chain(*parts)) == rows.tolist()
        assert all(len(part) >= min(least, count) for part in parts if part)
        if turns:
            assert parts[0 if count < least else number % size] == rows.tolist()
        elif count == 8 and size < 5:
            assert all(parts)


class Whole(ToyTask):
    """A user's task, which gives whole batches: a tensor, and targets in a list of dicts."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        for images, labels in super().batches(split, seed):
            yield images, [{"label": int(one)} for one in labels]


def test_batches_of_any_task_are_cut_into_the_parts_of_each_process() -> None:
    for task in (Whole(count=20, batch=8), ToyTask(count=20, batch=8)):
        whole = list(own_batches(task, seed=3))
        parts = [list(own_batches(task, seed=3, portion=Portion(rank, 2))) for rank in range(2)]
        for batch, first, second in zip(whole, *parts, strict=True):
            assert torch.equal(torch.cat([first[0], second[0]]), batch[0])
            assert list(first[1]) + list(second[1]) == list(batch[1])


def test_data_of_the_program_is_read_row_by_row_of_the_part(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_project(tmp_path).task
    assert spec is not None
    task, read = open_arrays(spec), list[int]()
    known = task._data.read
    monkeypatch.setattr(task._data, "read", lambda split, rows: (read.extend(rows.tolist()), known(split, rows))[1])
    whole = list(task._rows_of_batches(Split.TRAIN, 1))
    turns = list(own_batches(task, seed=1, portion=Portion(1, 2, turns=2)))
    assert [one is EMPTY for one in turns] == [True, False, True] and read == whole[1].tolist()


def test_a_leftover_sample_is_left_out_of_all_processes_where_batchnorm_needs_two() -> None:
    model, task = torch.nn.BatchNorm2d(1), ToyTask(count=9, batch=4)
    alone = list(trainable_batches(model, task, seed=0))
    for turns in (0, 2):
        first = list(trainable_batches(model, task, seed=0, portion=Portion(0, 2, turns, least=2)))
        second = list(trainable_batches(model, task, seed=0, portion=Portion(1, 2, turns, least=2)))
        assert len(first) == len(alone) == 2
        assert len(second) == 3 and second[2] is EMPTY  # what rank 0 never asks for


@pytest.mark.parametrize("rank", [0, 1])
def test_a_command_of_one_process_is_left_by_the_others(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": 1}
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    assert main(["schema"]) == 0
    out, err = capsys.readouterr()
    assert bool(out) == (rank == 0)
    assert ("schema runs in one process: process 1 has nothing to do." in err) == (rank == 1)


class Padded(ToyTask):
    """Labels of -100 do not count."""

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        return DistillationBatch(self.inputs(batch), (batch[1] != -100)[:, None])


def test_a_part_of_a_batch_in_which_nothing_counts_changes_nothing() -> None:
    task, model = Padded(16, 16), tiny_net()
    images, labels = next(iter(task.batches(Split.TRAIN)))
    settings = RecoverySettings(epochs=1, distillation=0.0)
    optimizer = torch.optim.SGD(model.parameters())

    def trained(*batches: Any) -> tuple[float, list[torch.Tensor]]:
        training = Training(model, model, task, settings, optimizer, NeverCancelled())
        training.sharing = GradientSharing(ALONE, model, task, settings)
        model.zero_grad()
        return training.gradients(batches)[0], [one.grad for one in model.parameters() if one.grad is not None]

    empty = images, torch.full_like(labels, -100)
    value, gradients = trained((images, labels))
    again, others = trained(empty, (images, labels))
    assert again == value and all(map(torch.equal, others, gradients))
