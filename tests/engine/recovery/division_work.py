"""What `test_division` trains: alone, by two processes with whole copies, and divided among the two.

`python -m tests.engine.recovery.division_work FOLDER`, with the variables that `torchrun` sets, is one of them.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secateur.engine.distributed import ALONE, Group, Left, joined
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings, Repair, Teacher
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.training import Training
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask

STOP = 4
"""Steps after which a training is broken off."""


class Residual(nn.Module):
    """A block that is gathered by itself, with a size that two processes cannot halve."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(64), nn.Linear(64, 33), nn.Linear(33, 64)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(self.norm(x)).relu())


class Tied(nn.Module):
    """The first and the last layer have one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 3)
        self.blocks = nn.ModuleList([Residual(), Residual()])
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x).relu())


class Reaching(Tied):
    """Reads a weight of a block without calling the block."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        block: Any = self.blocks[0]
        return x + (x.new_ones(64) @ block.down.weight).sum()


class Routed(Tied):
    """Blocks of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Experts(), Experts()])


class Experts(nn.Module):
    """A block that gives a batch to the expert that its first sample chooses; one is never chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([Residual() for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        return self.experts[int(x[0, 0] > 0)](x)


def normed() -> nn.Module:
    """With BatchNorm; a bias before it would get gradients that are rounding alone, of which Adam makes steps."""
    blocks = [nn.Sequential(nn.Conv2d(5, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU()) for _ in range(2)]
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.Sequential(*blocks), nn.Flatten(), nn.Linear(180, 3))


class Halves(ToyTask):
    """Images in half precision."""

    def batches(self, split: Split, seed: int | None = None) -> Any:
        for images, labels in super().batches(split, seed):
            yield images.bfloat16(), labels


@dataclass(frozen=True)
class Case:
    """What is trained, on what, how."""

    settings: RecoverySettings
    model: Callable[[], nn.Module] = Tied
    task: Callable[[], ToyTask] = lambda: ToyTask(42, 16)


PLAIN = RecoverySettings(
    epochs=2, learning_rate=1e-2, threads=1, repair=Repair.NONE, teacher=Teacher.ORIGINAL, clip=0.05, mirror=False
)
CASES = {
    "tied": Case(PLAIN),
    "turns": Case(replace(PLAIN, accumulate=2, epochs=4)),
    "single samples": Case(replace(PLAIN, distillation=0.0), task=lambda: ToyTask(3, 1)),
    "sgd": Case(replace(PLAIN, optimizer=Optimizer.SGD, clip=0.0)),
    "features": Case(replace(PLAIN, features=1.0)),
    "half": Case(replace(PLAIN, learning_rate=1e-3), lambda: Tied().bfloat16(), lambda: Halves(42, 16)),
    "norm": Case(replace(PLAIN, learning_rate=1e-3, epochs=3), lambda: normed().bfloat16(), lambda: Halves(42, 16)),
    "experts": Case(PLAIN, Routed, lambda: ToyTask(42, 16)),
}
REACHING = Case(PLAIN, Reaching)
NAMES = (*CASES, "reaching")


def settings_of(name: str, *, shard: bool) -> RecoverySettings:
    """Those of a case, which its seed tells."""
    return replace(case_of(name).settings, seed=NAMES.index(name), shard=shard)


def case_of(name: str) -> Case:
    return CASES.get(name, REACHING)


def models_of(name: str) -> tuple[nn.Module, nn.Module]:
    """(student, teacher), the same in all processes."""
    torch.manual_seed(0)
    return case_of(name).model(), case_of(name).model()


def trained(
    name: str, group: Group, *, shard: bool, checkpoint: Path | None = None, stop: int = 0
) -> dict[str, Tensor]:
    """The weights of a case; {} where it is broken off after some steps, and goes on from its checkpoint later.

    Of several processes rank 0 gives the weights, has the checkpoint and breaks off.
    """
    student, teacher = models_of(name)
    if not group.is_writer:
        checkpoint, stop = None, 0
        for one in chain(student.parameters(), teacher.parameters()):
            one.data.zero_()
    kept = Checkpoint(checkpoint, "one")
    job = recover(student, teacher, case_of(name).task(), settings_of(name, shard=shard), checkpoint=kept, group=group)
    with suppress(Left), group.together():
        if not stop:
            return finish(job).state_dict
        for progress in job:
            if progress.values.get("step", 0) >= stop and "loss" in progress.values:
                job.close()
                return {}
        raise AssertionError("the training was over before")
    return {}


def train_all(group: Group, folder: Path) -> dict[str, Any]:
    """All cases with whole copies and divided, and one that is broken off."""
    found = dict[str, Any]()
    for name in CASES:
        found[f"{name} whole"] = trained(name, group, shard=False)
        found[f"{name} divided"] = trained(name, group, shard=True)
    trained("tied", group, shard=True, checkpoint=folder / "divided.pt", stop=STOP)
    if group.is_writer:
        (folder / "again.pt").write_bytes((folder / "divided.pt").read_bytes())
    found["resumed"] = trained("tied", group, shard=True, checkpoint=folder / "again.pt")
    if group.is_writer:
        trained("tied", ALONE, shard=True, checkpoint=folder / "alone.pt", stop=STOP)
    found["resumed from one process"] = trained("tied", group, shard=True, checkpoint=folder / "alone.pt")
    return found


def held_bytes(training: Training) -> int:
    """Bytes of this process's weights, gradients and optimiser states, as they lie in memory; tied ones once."""
    parameters = list(training.student.parameters())
    states = [one for some in training.optimizer.state.values() for one in some.values() if one.ndim]
    held: list[Any] = [*parameters, *[one.grad for one in parameters if one.grad is not None], *states]
    parts = [one.to_local() if hasattr(one, "to_local") else one for one in held]
    return sum(one.numel() * one.element_size() for one in parts)


def main(folder: str) -> None:
    """Train; both note what they hold, and how it ends."""
    notes: dict[str, Any] = {"bytes": {}, "error": ""}
    update = Training.update

    def noted(self: Training, rate: float) -> None:
        update(self, rate)
        notes["bytes"].setdefault((NAMES[self.settings.seed], self.division is not None), held_bytes(self))
        if self.division is not None and isinstance(self.student, Tied):
            notes["tied"] = self.student.first.weight is self.student.last.weight

    Training.update = noted
    with joined() as group:
        try:
            notes["found"] = train_all(group, Path(folder))
            trained("reaching", group, shard=True)
        except SecateurError as error:
            notes["error"] = error.message.code
        torch.save(notes, Path(folder) / f"{group.place.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
