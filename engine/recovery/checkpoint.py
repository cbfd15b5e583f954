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
from .training_curve import thinned

SECONDS = 30.0
"""Between two writings."""
SHARE = 20
"""Writing takes at most one part in so many of the time."""
VERSION = 1
DAYS = 14
"""After which a training that nobody went on with is let go."""


@dataclass(slots=True)
class Position:
    """Where a recovery stands: in epoch `epoch`, `done` batches of it trained on.

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

    def following(self, random: Tensor) -> "Position":
        """The begin of the next pass, with torch's random state of then."""
        return replace(self, epoch=self.epoch + 1, done=0, random=random)


@dataclass(slots=True)
class KeptTeacher:
    """The tuned original, for all recoveries of one model on one data set.

    Attributes:
        path: The file; None for memory alone.
        key: Says what was tuned, on what, how.
        training: Where a tuning that was broken off is gone on with.
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

    def other(self, key: str) -> "KeptTeacher":
        """What is kept beside it under another key."""
        return replace(self, path=None if self.path is None else self.place(self.path.parent, key), key=key, held=None)

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
        """Keep it; atomic. A disk that is full ends no recovery."""
        self.held = {**content, "version": VERSION, "key": self.key}
        if self.path is not None:
            with suppress(SecateurError, OSError, RuntimeError), staged_write(self.path) as staged:
                torch.save(self.held, staged)
        if self.training is not None:
            self.training.forget()


@dataclass(slots=True)
class Checkpoint:
    """The file of a recovery that can be gone on with.

    Attributes:
        path: The file; None for a recovery that nobody resumes.
        key: Says which recovery it is: what it was started from, on what, with what settings.
        mendable: The same without what the files of the data hold: where these failed, they will be changed.
        written: When it was last written, in seconds of the monotonic clock.
        pause: Seconds until it may be written again.
        teacher: The tuned original, which other recoveries share; `first_teacher` for one that is gone on with.
        points: The course so far, as `recovery.training_curve.recorded_curve` writes it down; thinned, it is kept too.
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
            self._set_aside(self.path)
            return None
        same = found.get("key") == self.key or found.get("mendable", "") == self.mendable != ""
        return found if found.get("version") == VERSION and same else None

    def first_teacher(self) -> KeptTeacher:
        """The teacher that the recovery began with, whatever its epochs or minutes were then, where that is still kept.

        Else `teacher`, as for one that is not gone on with.
        """
        key = str((self.load() or {}).get("teacher", ""))
        first = self.teacher.other(key) if key.isalnum() and key != self.teacher.key else self.teacher
        return self.teacher if first.load() is None else first

    @staticmethod
    def _set_aside(path: Path) -> None:
        """Keep a file that cannot be read under another name, and say so: standard error is the window's log."""
        place = free(path.with_name(f"{path.stem} damaged {time.strftime('%Y-%m-%d %H.%M.%S')}{path.suffix}"))
        with suppress(OSError):
            path.rename(place)
            words = f"The recovery begins anew: what was kept of it could not be read, and was set aside as {place}.\n"
            sys.stderr.write(words)

    def is_due(self) -> bool:
        """Whether it is time to write again."""
        return self.path is not None and time.monotonic() - self.written >= self.pause

    def save(self, training: Training, position: Position, best: Recovered | None, failed: bool = False) -> bool:
        """Write where the training stands; atomic. A disk that is full ends no training.

        Args:
            training: What is to be gone on with.
            position: Where it stands.
            best: The best so far; None where none is sought.
            failed: The data failed: it may be mended before this is gone on with.

        Returns:
            Whether it was written.
        """
        if self.path is None:
            return False
        begin, kept = time.monotonic(), False
        with suppress(SecateurError, OSError, RuntimeError):
            content = self._content(training, position, best, failed)
            with staged_write(self.path) as staged:
                torch.save(content, staged)
            kept = True
        self.written = time.monotonic()
        self.pause = max(SECONDS, SHARE * (self.written - begin))
        return kept

    def _content(self, training: Training, position: Position, best: Recovered | None, failed: bool) -> dict[str, Any]:
        """What the file holds, however many processes train."""
        student, optimizer = training.state()
        return {
            "version": VERSION,
            "key": self.key,
            "mendable": self.mendable if failed else "",
            "teacher": self.teacher.key,
            "student": student,
            "optimizer": optimizer,
            "scaler": None if training.scaler is None else training.scaler.state_dict(),
            "overflows": training.overflows,
            "step": training.step,
            "tokens": training.tokens,
            "rate": None if training.found is None else asdict(training.found),
            "temperature": training.settings.temperature,
            "random": torch.get_rng_state(),
            "position": asdict(position),
            "time": {
                "elapsed": training.time.limit.elapsed,
                "start": training.time.start,
                "reserve": training.time.reserve,
            },
            "course": list(thinned(self.points)),
            "best": None if best is None else _best_as_plain(best),
            "mixture": None if training.mixture is None else training.mixture.state_dict(),
            "masks": None if training.masks is None else training.masks.state_dict(),
        }

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

    def save(self, failed: bool = False) -> bool:
        """Write the checkpoint, see `Checkpoint.save`."""
        return self.checkpoint.save(self.training, self.position, self.best, failed)


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; raises an error where it cannot be read, or is not as it was written.

    Torch writes a checksum with every tensor and looks at none: it takes a page of zeros for weights.
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
    """Remove the files of recoveries that were not gone on with for long."""
    for path in folder.glob("*.pt"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > DAYS * 86_400:
                path.unlink()


def points_of_checkpoint(found: dict[str, Any]) -> list[dict[str, float]]:
    """The points of the course until a break; none where they were not kept."""
    kept = found.get("course", [])
    return [{str(name): float(value) for name, value in point.items()} for point in kept]


def _best_as_plain(best: Recovered) -> dict[str, Any]:
    """The best so far, as the file holds it."""
    return {
        "state_dict": best.state_dict,
        "metric": _metric_as_plain(best.metric),
        "best_epoch": best.best_epoch,
        "improved": best.improved,
        "repair": _repair_as_plain(best.repair),
        "given": None if best.given is None else _metric_as_plain(best.given),
    }


def _repair_as_plain(one: RepairResult) -> dict[str, Any]:
    """What a repair did, as the file holds it."""
    left = [(name, why.code) for name, why in one.left]
    return {"repaired": list(one.repaired), "left": left, "used": one.used, "independent": one.independent}


def _repair_of(plain: dict[str, Any]) -> RepairResult:
    """The same, read again."""
    left = tuple((str(name), REASONS[code]) for name, code in plain.get("left", ()))
    used, independent = bool(plain.get("used", True)), bool(plain.get("independent", False))
    return RepairResult(tuple(plain.get("repaired", ())), left, used, independent)


def _metric_as_plain(one: Metric) -> dict[str, Any]:
    """A metric, as the file holds it."""
    return {**asdict(one), "split": one.split.value}


def _metric_of(plain: dict[str, Any]) -> Metric:
    """The same, read again."""
    fields: dict[str, Any] = {**plain, "split": Split(plain["split"])}
    return Metric(**fields)


def put_back(training: Training, found: dict[str, Any]) -> Position:
    """Weights, optimizer, masks, step and random state as they were written; where it goes on.

    The mixture of domains is put back before (`domain_mixing.begin_mixing`).
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
    given = seen.get("given")
    return Recovered(
        seen["state_dict"],
        _metric_of(seen["metric"]),
        0,
        int(found["step"]),
        seen["best_epoch"],
        improved=seen.get("improved", bool(seen["best_epoch"])),
        repair=_repair_of(seen.get("repair", {})),
        given=None if given is None else _metric_of(given),
    )
