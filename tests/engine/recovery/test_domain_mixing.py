"""A training draws more of the domain that lags, and one that was stopped goes on with the same mixture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import Progress, finish, spanning
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import Mixing, RecoverySettings
from secateur.engine.recovery.results import Recovered
from secateur.engine.tasks.data_task import DataTask
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, Task, TaskSpec


class Next(nn.Module):
    """Bytes [N, T] to logits of the next one, by the last one alone."""

    def __init__(self, known: str) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)
        nn.init.zeros_(self.table.weight)
        with torch.no_grad():
            for letter, following in zip(known, known[1:] + known[0], strict=True):
                self.table.weight[ord(letter), ord(following)] = 9.0

    def forward(self, tokens: Tensor) -> Tensor:
        return self.table(tokens)


LETTERS, DIGITS = "abcdefgh", "01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("domains")
    for split, times in (("train", 40), ("val", 8)):
        (made / f"{split}-letters.txt").write_text(LETTERS * times)
        (made / f"{split}-digits.txt").write_text(DIGITS * times)
    (made / "test.txt").write_text(LETTERS * 8)
    return made


def text_task(folder: Path) -> DataTask:
    options = (("tokenizer", "bytes"), ("length", "8"), ("purpose", "causal"))
    task = open_task(TaskSpec("text", str(folder), batch=8, options=options))
    assert isinstance(task, DataTask)
    return task


def trained(
    folder: Path,
    mixing: Mixing,
    checkpoint: Checkpoint | None = None,
    stop_at: int = 0,
    evaluate_every: int = 0,
    task: Task | None = None,
) -> tuple[Recovered | None, list[str]]:
    """A student that knows letters alone, with a teacher that knows both; and what was told of the mixture."""
    task = task or text_task(folder)
    settings = RecoverySettings(epochs=3, learning_rate=1e-3, threads=1, mixing=mixing, evaluate_every=evaluate_every)
    teacher = Next(LETTERS)
    with torch.no_grad():
        teacher.table.weight += Next(DIGITS).table.weight
    job, told = fine_tune(Next(LETTERS), teacher, task, settings, checkpoint=checkpoint), list[str]()
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value, told
        told += [str(progress.message)] if progress.message.code == "progress.mixing" else []
        if stop_at and progress.values.get("step", 0) >= stop_at and "loss" in progress.values:
            job.close()
            return None, told


def shares(told: str) -> list[float]:
    return [float(part.split()[1]) for part in told.partition(": ")[2].split(", ")]


def test_more_is_drawn_of_the_domain_that_lags(folder: Path) -> None:
    done, told = trained(folder, Mixing.DYNAMIC)
    assert done is not None and len(told) == 3
    digits = [shares(one)[0] for one in told]
    assert 50 < digits[0] <= digits[1] <= digits[2]
    assert trained(folder, Mixing.NATURAL)[1] == []


def test_measuring_the_domains_counts_as_no_work_of_its_own(folder: Path) -> None:
    settings = RecoverySettings(epochs=2, threads=1, mixing=Mixing.DYNAMIC, distillation=0)
    told = list[Progress]()
    finish(spanning(fine_tune(Next(LETTERS), Next(DIGITS), text_task(folder), settings), 0.0, 1.0), told.append)
    done = {one.values["step"]: one.share for one in told if "share/digits" in one.values}
    assert done[0] < 0.3 < done[10] < 0.9 < done[20]


EVERY = [0, 3, 5, 10]
"""Steps between evaluations; a pass has 10, so that some fall on its last batch."""


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("stop_at", [4, 14])
@pytest.mark.usefixtures("saved_every_step")
def test_a_training_that_was_stopped_goes_on_with_the_same_mixture(
    folder: Path, tmp_path: Path, stop_at: int, every: int
) -> None:
    whole, told = trained(folder, Mixing.DYNAMIC, evaluate_every=every)
    file = tmp_path / "one.pt"
    before = trained(folder, Mixing.DYNAMIC, Checkpoint(file, "one"), stop_at, every)[1]
    resumed, after = trained(folder, Mixing.DYNAMIC, Checkpoint(file, "one"), evaluate_every=every)
    assert whole is not None and resumed is not None and before + after == told
    assert np.array_equal(whole.state_dict["table.weight"].numpy(), resumed.state_dict["table.weight"].numpy())


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.usefixtures("saved_every_step")
def test_no_sequence_of_a_domain_is_left_out_or_drawn_twice_in_a_pass_over_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    task, drawn = text_task(folder), list[int]()
    read = task._data.read

    def noted(split: Split, rows: Any) -> Any:
        drawn.extend(rows.tolist() if split is Split.TRAIN else [])
        return read(split, rows)

    monkeypatch.setattr(task._data, "read", noted)
    trained(folder, Mixing.DYNAMIC, Checkpoint(tmp_path / "one.pt", "one"), evaluate_every=every, task=task)
    assert len(drawn) == 3 * task._data.size(Split.TRAIN)
    cursors = torch.load(tmp_path / "one.pt", weights_only=True)["mixture"]["cursors"]
    data: Any = task._data
    for rows, cursor in zip(data.domain_rows(Split.TRAIN), cursors, strict=True):
        of_domain = [row for row in drawn if row in rows]
        assert cursor == len(of_domain)
        for begin in range(0, len(of_domain), len(rows)):
            turn = of_domain[begin : begin + len(rows)]
            assert len(set(turn)) == len(turn)
