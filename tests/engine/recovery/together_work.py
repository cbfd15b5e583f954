"""What `test_together` does in several processes: trains as one does, and is stopped, fails or is killed.

`python -m tests.engine.recovery.together_work CASE FOLDER`, with the variables that `torchrun` sets, is one of them.
"""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from secateur.engine.distributed import Group, Left, joined
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import PlanStart
from secateur.engine.recovery import checkpoint as checkpoints
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.mask_training import learn_masks
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.training import Training
from secateur.engine.structures.analyse import analyse
from secateur.engine.tasks.protocol import EMPTY, Split
from secateur.resources.models import resnet
from tests.engine.toy_task import ToyTask

from .division_work import PLAIN, Tied

STEPS, STOP = 50, 5
SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


class Doubles(ToyTask):
    """In double precision, so that what rounding does to a training in 50 updates is far below what a fault does."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        for images, labels in super().batches(split, seed):
            yield images.double(), labels


class Llama(nn.Module):
    """A Llama that classifies images as texts of their brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))

    def forward(self, images: Tensor) -> Tensor:
        tokens = ((images.flatten(1)[:, ::4].clamp(-2, 1.99) + 2) * 16).long()
        return self.llama(tokens, use_cache=False).logits[:, -1, :3]


SETTINGS = replace(PLAIN, epochs=0, steps=STEPS, learning_rate=1e-3, clip=1.0, evaluate_every=20)
TRAININGS: dict[str, tuple[type[nn.Module] | Any, RecoverySettings]] = {
    "llama": (Llama, SETTINGS),
    "llama sums": (Llama, replace(SETTINGS, accumulate=4)),
    "llama divided": (Llama, replace(SETTINGS, accumulate=2, shard=True)),
    "resnet": (resnet, replace(SETTINGS, accumulate=2)),
    "resnet sgd": (resnet, replace(SETTINGS, accumulate=4, optimizer=Optimizer.SGD, learning_rate=1e-2)),
    "resnet divided": (resnet, replace(SETTINGS, accumulate=2, shard=True)),
    "masks": (Llama, replace(SETTINGS, accumulate=2)),
}


def models_of(name: str) -> tuple[nn.Module, nn.Module]:
    """(student, teacher) of a training."""
    torch.manual_seed(0)
    make, _ = TRAININGS[name]
    return make().double().eval(), make().double().eval()


def train(name: str, group: Group) -> dict[str, Any]:
    """The loss of each update and the weights after the last one."""
    student, teacher = models_of(name)
    _, settings = TRAININGS[name]
    found: dict[str, Any] = {"losses": list[float]()}
    step = Training.train_on

    def noted(self: Training, batches: Any) -> float:
        before = {key: one.clone() for key, one in self.student.state_dict().items()}
        found["losses"].append(step(self, batches))
        if self.step == 1 and name == "resnet":
            after = {key: one.clone() for key, one in self.student.named_buffers() if one.ndim}
            own = next(one for one in batches if one is not EMPTY)
            found["first"] = {"batch": own[0], "before": before, "statistics": after}
        if self.step == STEPS:
            weights = self.student.state_dict() if self.division is None else self.division.checkpoint()[0]
            found["weights"] = {key: one.clone() for key, one in weights.items()}
        return found["losses"][-1]

    Training.train_on = noted
    try:
        if name == "masks":
            task = Doubles(64, 8)
            analysis = analyse(student, task.example_inputs())
            plan = analysis.empty()
            for one in analysis.sets:
                plan[one.first : one.first + one.count // 4] = one.kind.value == "neuron"
            scores = np.linspace(0.0, 1.0, analysis.count)
            with group.together():
                job = learn_masks(
                    student, teacher, task, PlanStart.of(analysis, scores), plan, settings, STEPS, group=group
                )
                found["removed"] = torch.from_numpy(finish(job).removed)
        else:
            with group.together():
                finish(recover(student, teacher, Doubles(64, 8), settings, group=group))
    finally:
        Training.train_on = step
    return found


class Stopping:
    """A token that is set at an update."""

    def __init__(self, step: int) -> None:
        self.left = step

    def is_set(self) -> bool:
        return self.left <= 0


def stop(group: Group, folder: Path, shard: bool, how: str) -> dict[str, Any]:
    """Recover, with a process that is stopped, fails or is killed at an update."""
    torch.manual_seed(0)
    student, teacher, token, step = Tied(), Tied(), Stopping(STOP), Training.train_on
    rank = int(how[-1]) if how[-1:].isdigit() else 0
    kept = Checkpoint(folder / "kept.pt" if group.is_writer else None, "one", pause=0.0)

    def stopping(self: Training, batches: Any) -> float:
        if self.step == STOP and group.place.rank == rank and how.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.step == STOP and group.place.rank == rank and how.startswith("fails"):
            raise ValueError("a broken image")
        loss = step(self, batches)
        token.left -= how == "cancelled"
        return loss

    found: dict[str, Any] = {"end": ""}
    Training.train_on = stopping
    settings = replace(PLAIN, shard=shard, evaluate_every=STOP)
    try:
        with group.together():
            own: Any = token if group.is_writer else None
            job = recover(student, teacher, ToyTask(96, 16), settings, checkpoint=kept, group=group, token=own)
            found["weights"] = finish(job).state_dict
    except SecateurError as error:
        found["end"] = "left" if isinstance(error, Left) else error.message.code
        found["words"] = str(error)
    finally:
        Training.train_on = step
    return found


def main(case: str, folder: str) -> None:
    """All trainings, or one that ends early, and is gone on with where nothing was lost."""
    checkpoints.SECONDS, checkpoints.SHARE = 0.0, 0
    notes: dict[str, Any] = {}
    with joined() as group:
        if case == "trains":
            notes = {name: train(name, group) for name in TRAININGS}
        else:
            how, shard = case.split(",")[0], case.endswith(",shard")
            notes["first"] = stop(group, Path(folder), shard, how)
            if how == "cancelled":
                notes["again"] = stop(group, Path(folder), shard, "")
                (Path(folder) / "kept.pt").unlink(missing_ok=True)
                notes["whole"] = stop(group, Path(folder), shard, "")
        torch.save(notes, Path(folder) / f"{group.place.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
