"""Checkpoints of a running recovery, from which it resumes after a kill. Loads torch.

The file holds tensors and plain numbers only, and is read as such (`weights_only`): nothing in it is run. It belongs to
one recovery (`key`) and is written every half minute, or less often where writing takes long; the steps since then are
made again with the same batches and the same random numbers, so that the result is that of a run without a break.
"""

import hashlib
import sys
import time
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SecateurError
from ..storage.atomic_files import free, staged_write
from ..tasks.protocol import Metric, Split
from .results import REASONS, FoundRate, Recovered, RepairResult
from .training import Training
from .training_curve import thin_curve

SECONDS = 30.0
"""Between two writings."""
SHARE = 20
"""The pause between two writings is at least so many times as long as a writing."""
VERSION = 1
DAYS = 14
"""After which the file of a training that was not resumed is deleted."""


@dataclass(slots=True)
class Position:
    """Where a training is in its data: in epoch `epoch`, with `done` of its batches trained on.

    Attributes:
        epoch: From 1.
        done: Batches of the epoch that are done.
        batches: Of a pass.
        random: torch's random state when the epoch began.
        evaluated: Steps that were made when it was last evaluated.
        stale: Evaluations since the best.
    """

    epoch: int
    done: int
    batches: int
    random: Tensor
    evaluated: int = 0
    stale: int = 0

    def next_epoch(self, random: Tensor) -> "Position":
        """The start of the next epoch, with torch's random state at that time."""
        return replace(self, epoch=self.epoch + 1, done=0, random=random)


@dataclass(slots=True)
class KeptTeacher:
    """The tuned original, for all recoveries of one model on one data set.

    Attributes:
        path: The file; None for memory alone.
        key: Says what was tuned, on what, how.
        training: The checkpoint of a tuning that was broken off.
        held: What was found, in memory.
    """

    path: Path | None = None
    key: str = ""
    training: "Checkpoint | None" = None
    held: dict[str, Any] | None = None

    @staticmethod
    def place(folder: Path, key: str) -> Path:
        """The file of a key in a folder."""
        return folder / f"{key} teacher.pt"

    def load(self) -> dict[str, Any] | None:
        """What was kept; None where there is nothing, or nothing that can be read."""
        if self.held is None and self.path is not None and self.path.exists():
            with suppress(Exception):  # a damaged file is no reason not to recover
                found = _read(self.path)
                if (found.get("version"), found.get("key")) == (VERSION, self.key):
                    self.path.touch()  # see `delete_checkpoints`
                    self.held = found
        return self.held

    def save(self, content: dict[str, Any]) -> None:
        """Keep it; atomic. A full disk ends no recovery."""
        self.held = {**content, "version": VERSION, "key": self.key}
        if self.path is not None:
            with suppress(SecateurError, OSError, RuntimeError), staged_write(self.path) as staged:
                torch.save(self.held, staged)
        if self.training is not None:
            self.training.forget()


@dataclass(slots=True)
class Checkpoint:
    """The file of a recovery, from which it can be resumed.

    Attributes:
        path: The file; None to keep nothing.
        key: Says which recovery it is: what it was started from, on what, with what settings.
        mendable: The same without what the files of the data hold: where these failed, they will be changed.
        written: When it was last written, in seconds of the monotonic clock.
        pause: Seconds until it may be written again.
        teacher: The tuned original, which other recoveries share; see `first_teacher`.
        points: The course so far, as `recovery.training_curve.record_curve` writes it down; thin_curve, it is kept too.
    """

    path: Path | None
    key: str = ""
    mendable: str = ""
    written: float = field(default_factory=time.monotonic)
    pause: float = field(default_factory=lambda: SECONDS)
    teacher: KeptTeacher = field(default_factory=KeptTeacher)
    points: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    def load(self) -> dict[str, Any] | None:
        """What was written by a run of the same recovery; None where there is none, or none that can be read."""
        if self.path is None or not self.path.exists():
            return None
        try:
            found = _read(self.path)
        except Exception:  # a damaged file is no reason not to recover
            place = free(
                self.path.with_name(f"{self.path.stem} damaged {time.strftime('%Y-%m-%d %H.%M.%S')}{self.path.suffix}")
            )
            with suppress(OSError):
                self.path.rename(place)
                # Standard error is the log of the window.
                sys.stderr.write(
                    f"The recovery starts again: its checkpoint could not be read and was set aside as {place}.\n"
                )
            return None
        same = found.get("key") == self.key or found.get("mendable", "") == self.mendable != ""
        return found if found.get("version") == VERSION and same else None

    def first_teacher(self) -> KeptTeacher:
        """The teacher that a resumed recovery began with, if it is still kept; else `teacher`.

        A recovery that is resumed with more epochs would tune for longer; another teacher halfway is no resumption.
        """
        # The key is from a file and becomes part of a path: letters and digits alone.
        teacher, key = self.teacher, str((self.load() or {}).get("teacher", ""))
        if not key.isalnum() or key == teacher.key:
            return teacher
        path = None if teacher.path is None else KeptTeacher.place(teacher.path.parent, key)
        first = replace(teacher, path=path, key=key, held=None)
        return teacher if first.load() is None else first

    def is_due(self) -> bool:
        """Whether it is time to write again."""
        return self.path is not None and time.monotonic() - self.written >= self.pause

    def forget(self) -> None:
        """The recovery is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@dataclass(slots=True)
class TrainingRun:
    """A training with all that a checkpoint of it holds.

    Attributes:
        training: What is trained.
        position: Where it is in its batches; every step moves it on.
        checkpoint: Where it is kept.
        best: The best so far; None where none is sought.
    """

    training: Training
    position: Position
    checkpoint: Checkpoint
    best: Recovered | None = None

    def save_when_due(self) -> None:
        """Write the checkpoint between two steps where it is time to; all processes do so at once."""
        due = self.checkpoint.is_due()
        if self.training.division is not None and self.training.sharing is not None:
            due = bool(self.training.sharing.sums(due)[0])
            if not self.training.leads and due:
                self._content(False, False)
        if due:
            self.save()

    def save(self, failed: bool = False, leaves: bool = False) -> bool:
        """Write the checkpoint; atomic. A full disk ends no training.

        Args:
            failed: The data failed: it may be mended before the training is resumed.
            leaves: The training is broken off here in this process alone.

        Returns:
            Whether it was written.
        """
        checkpoint, began, is_written = self.checkpoint, time.monotonic(), False
        if checkpoint.path is None:
            return False
        with suppress(SecateurError, OSError, RuntimeError):
            content = self._content(failed, leaves)
            with staged_write(checkpoint.path) as staged:
                torch.save(content, staged)
            is_written = True
        checkpoint.written = time.monotonic()
        # Large models on slow disks take long to write, which must not eat the training's time.
        checkpoint.pause = max(SECONDS, SHARE * (checkpoint.written - began))
        return is_written

    def _content(self, failed: bool, leaves: bool) -> dict[str, Any]:
        """What the file holds: tensors and plain values, the same however many processes train."""
        training, best, checkpoint = self.training, self.best, self.checkpoint
        student, optimizer = training.state(leaves)
        return {
            "version": VERSION,
            "key": checkpoint.key,
            "mendable": checkpoint.mendable if failed else "",
            "teacher": checkpoint.teacher.key,
            "student": student,
            "optimizer": optimizer,
            "scaler": None if training.scaler is None else training.scaler.state_dict(),
            "overflows": training.overflows,
            "step": training.step,
            "tokens": training.tokens,
            "rate": None if training.found is None else asdict(training.found),
            "temperature": training.settings.temperature,
            "random": torch.get_rng_state(),
            "position": asdict(self.position),
            "time": {
                "elapsed": training.time.limit.elapsed,
                "start": training.time.start,
                "reserve": training.time.reserve,
            },
            "course": list(thin_curve(checkpoint.points)),
            "best": None if best is None else best_as_plain(best),
            "mixture": None if training.mixture is None else training.mixture.state_dict(),
            "masks": None if training.masks is None else training.masks.state_dict(),
        }


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; raises an error where it cannot be read, or is not as it was written.

    Torch writes a checksum with every tensor and checks none: it takes a page of zeros for weights.
    """
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"{name} does not fit its checksum")
    return torch.load(path, map_location="cpu", weights_only=True)


def content_of(model: nn.Module) -> str:
    """sha256 of a model's tensors and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def delete_checkpoints(folder: Path) -> None:
    """Delete the files of recoveries that were not resumed for long."""
    for path in folder.glob("*.pt"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > DAYS * 86_400:
                path.unlink()


def points_of_checkpoint(found: dict[str, Any]) -> list[dict[str, float]]:
    """The points of the curve until the break; none where they were not kept."""
    kept = found.get("course", [])
    return [{str(name): float(value) for name, value in point.items()} for point in kept]


def best_as_plain(best: Recovered) -> dict[str, Any]:
    """The best so far as tensors and plain numbers."""
    repair = best.repair
    return {
        "state_dict": best.state_dict,
        "metric": metric_as_plain(best.metric),
        "best_epoch": best.best_epoch,
        "improved": best.improved,
        "repair": {
            "repaired": list(repair.repaired),
            "left": [(name, why.code) for name, why in repair.left],
            "used": repair.used,
            "independent": repair.independent,
        },
        "given": None if best.given is None else metric_as_plain(best.given),
    }


def metric_as_plain(one: Metric) -> dict[str, Any]:
    """A metric as plain numbers and text."""
    return {**asdict(one), "split": one.split.value}


def metric_of(plain: dict[str, Any]) -> Metric:
    """The metric that `metric_as_plain` wrote."""
    fields: dict[str, Any] = {**plain, "split": Split(plain["split"])}
    return Metric(**fields)


def restore_training(training: Training, found: dict[str, Any]) -> Position:
    """Restore weights, optimizer, masks, step and random state; gives the position.

    The mixture of domains is restored before (`domain_mixing.begin_mixing`).
    """
    training.load_state(found["student"], found["optimizer"])
    if training.scaler is not None and found.get("scaler"):
        training.scaler.load_state_dict(found["scaler"])
    training.overflows = int(found.get("overflows", 0))
    if training.masks is not None:
        training.masks.load_state_dict(found["masks"])
    training.step, training.tokens = int(found["step"]), int(found.get("tokens", 0))
    training.found = None if found.get("rate") is None else FoundRate(**found["rate"])
    spent = found.get("time", {})
    training.time.limit.go_on(float(spent.get("elapsed", 0.0)))
    training.time.start, training.time.reserve = float(spent.get("start", 0.0)), float(spent.get("reserve", 0.0))
    torch.set_rng_state(found["random"])
    return Position(**found["position"])


def best_of_checkpoint(found: dict[str, Any]) -> Recovered:
    """The best so far as it was written."""
    seen = found["best"]
    given, repair = seen.get("given"), seen.get("repair", {})
    return Recovered(
        seen["state_dict"],
        metric_of(seen["metric"]),
        0,
        int(found["step"]),
        seen["best_epoch"],
        improved=seen.get("improved", bool(seen["best_epoch"])),
        repair=RepairResult(
            tuple(repair.get("repaired", ())),
            tuple((str(name), REASONS[code]) for name, code in repair.get("left", ())),
            used=bool(repair.get("used", True)),
            independent=bool(repair.get("independent", False)),
        ),
        given=None if given is None else metric_of(given),
    )
