"""Tunes the original on the data before it teaches, where the data improves it. Loads torch.

A published model often knows other images or texts than those that it is to be recovered on. What it says of these is
then worth less than what it says after an epoch or two: they take a part of the time that the recovery has, and the
student learns from the better teacher. Weights between the original's and the tuned ones are often better than either
(Wortsman et al., Robust fine-tuning of zero-shot models, 2021), so these are tried too. What is best is kept only where
it is better than the original on the val split by more than noise; a first epoch without any gain is the last.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..batch_parts import PassLimit
from ..devices import CPU, placed
from ..distributed import ALONE, Group
from ..errors import NO_NUMBERS, Message, SecateurError
from ..jobs import CancelToken, Job, Progress, followed, spanning
from ..messages import Phrase
from ..storage.serialization import from_plain, to_plain
from ..tasks.evaluate_on import evaluate_on
from ..tasks.protocol import Metric, Split, Task
from ..text.format import counted
from .best_weights import Recovered
from .budget import Unit
from .checkpoint import KeptTeacher
from .finetune import fine_tune, training_work
from .flip_augmentation import Sides, gain, labels_allow_mirroring
from .protocol import RecoverySettings
from .side_effects import modes_kept, pinned, working_copy
from .time_limit import TimeLimit
from .training import has_loss

MIRRORING = 2
"""Evaluations that tell whether labels allow mirrored images."""
COEFFICIENTS = (0.5, 0.75)
"""Of the tuned weights in interpolated ones, the original's being the rest; tried beside 1."""
SHARED = 0.5
"""Of the standard error of two metrics' difference, what is left where one model was tuned from the other: for the most
part they are wrong about the same samples."""


@dataclass(frozen=True, slots=True)
class TunedTeacher:
    """What the original teaches with.

    Attributes:
        mirror: Labels stay right where images are mirrored.
        state_dict: Its tuned weights and buffers, None where it is to teach as it is.
        message: What tuning gave, for a person; None where none was tried.
    """

    mirror: bool = False
    state_dict: dict[str, Tensor] | None = None
    message: Message | None = None


def tuned_teacher(
    teacher: nn.Module,
    task: Task,
    settings: RecoverySettings,
    kept: KeptTeacher,
    *,
    device: str = CPU,
    passes: PassLimit | None = None,
    limit: TimeLimit,
    group: Group = ALONE,
    token: CancelToken,
) -> Job[TunedTeacher]:
    """See whether labels allow mirrored images, and tune the original; or take what an earlier recovery has found.

    Args:
        teacher: The original; left as it is.
        task: Data, loss and metric; without a loss nothing is tried.
        settings: Of the recovery.
        kept: Where the result is kept for other recoveries, and where a tuning that was broken off is gone on with.
        device: Where it is tuned.
        passes: How many samples run at a time there.
        limit: How long that may take.
        group: The processes that tune it together.
        token: Cancels.
    """
    how = settings.tuning
    if (known := kept.load()) is not None:
        told = known["message"]
        return TunedTeacher(known["mirror"], known["state_dict"], None if told is None else from_plain(told, Message))
    if how is None and (settings.mirror is not None or not settings.trains):
        return TunedTeacher()
    found = TunedTeacher()
    divides = settings.shard and not group.is_alone  # whole it may be larger than the device
    looking = PassLimit() if divides else passes
    with placed(CPU if divides else device, teacher):
        if has_loss(teacher, task, token, looking):
            begin = MIRRORING * task.batch_count(Split.VAL) / max(tuning_work(task, settings), 1)
            found = TunedTeacher(
                (yield from spanning(labels_allow_mirroring(teacher, task, token, looking), 0.0, begin))
            )
            if how is not None:
                job = _tuned(teacher, task, how, found.mirror, kept, device, passes, limit, group, token)
                found = yield from spanning(job, begin, 1.0)
    told = None if found.message is None else to_plain(found.message)
    kept.save({"mirror": found.mirror, "state_dict": found.state_dict, "message": told})
    return found


def tuning_work(task: Task, settings: RecoverySettings) -> float:
    """About how much it is to prepare the teacher, in the unit of `training_work`; 0 where nothing is tried."""
    tuning = settings.tuning
    if tuning is None and (settings.mirror is not None or not settings.trains):
        return 0.0
    val = task.batch_count(Split.VAL)
    return MIRRORING * val + (0.0 if tuning is None else training_work(task, tuning) + len(COEFFICIENTS) * val)


def _tuned(
    teacher: nn.Module,
    task: Task,
    settings: RecoverySettings,
    mirror: bool,
    kept: KeptTeacher,
    device: str,
    passes: PassLimit | None,
    limit: TimeLimit,
    group: Group,
    token: CancelToken,
) -> Job[TunedTeacher]:
    begin, work = time.monotonic(), training_work(task, settings)
    trained = work / max(work + len(COEFFICIENTS) * task.batch_count(Split.VAL), 1)
    job = fine_tune(
        teacher,
        teacher,
        task,
        settings,
        mirror=Sides.DRAWN if mirror else Sides.GIVEN,
        checkpoint=kept.training,
        device=device,
        passes=passes,
        limit=limit,
        group=group,
        token=token,
    )
    try:
        done = yield from spanning(followed(job, _as_tuning), 0.0, trained)
    except SecateurError as error:
        if error.message.code not in NO_NUMBERS:
            raise
        template = "The original is the teacher as it is: tuning it on the data failed. {reason}"
        return TunedTeacher(mirror, None, Message("recovery.teacher_failed", template, {"reason": error.message}))
    assert done.given is not None
    weights, metric, part = done.state_dict, done.metric, 1.0
    if done.improved and not (settings.shard and not group.is_alone):
        job = _interpolated(teacher, done, task, settings, device, passes, limit, token)
        weights, metric, part = yield from spanning(followed(job, _as_tuning), trained, 1.0)
    if done.stopped is not None and not done.steps:
        template = "The original is the teacher as it is: no time was left to tune it."
        return TunedTeacher(mirror, None, Message("recovery.teacher_no_time", template))
    seconds = time.monotonic() - begin
    by_updates = settings.budget.unit is Unit.STEPS
    training = counted(done.steps, "update") if by_updates else counted(done.epochs, "epoch")
    fields: dict[str, Phrase] = {"training": training, "seconds": f"{seconds:.0f}"}
    fields |= {"metric": metric.name, "before": _value(done.given)}
    if gain(metric, done.given) > SHARED * math.hypot(metric.error, done.given.error):
        template = "Teacher tuned for {training} ({seconds} s): {metric} {before} to {after} on the val split."
        fields |= {"after": _value(metric)}
        told = Message("recovery.teacher_tuned", template, fields)
        if part < 1.0:
            template = (
                "Teacher tuned for {training} ({seconds} s), its weights {part} of the way from the original's to "
                "the tuned ones: {metric} {before} to {after} on the val split."
            )
            told = Message("recovery.teacher_interpolated", template, fields | {"part": f"{100 * part:.0f} %"})
        return TunedTeacher(mirror, weights, told)
    template = (
        "The original is the teacher as it is: tuning it for {training} ({seconds} s) brought {metric} from {before} "
        "to {after} on the val split, no more than noise."
    )
    fields |= {"after": _value(done.metric)}
    return TunedTeacher(mirror, None, Message("recovery.teacher_kept", template, fields))


def _interpolated(
    teacher: nn.Module,
    tuned: Recovered,
    task: Task,
    settings: RecoverySettings,
    device: str,
    passes: PassLimit | None,
    limit: TimeLimit,
    token: CancelToken,
) -> Job[tuple[dict[str, Tensor], Metric, float]]:
    """(the best of the tuned weights and those interpolated with the original's, their metric on val, coefficient).

    No evaluation begins for which the limit leaves less time than the one before it took.
    """
    original = {name: one.to(CPU, copy=True) for name, one in teacher.state_dict().items()}
    metric, best, seconds = tuned.metric, 1.0, 0.0
    with pinned(settings.seed, settings.threads), working_copy(teacher) as copy, modes_kept(copy):
        copy.eval()
        for number, part in enumerate(COEFFICIENTS):
            if limit.left <= seconds:
                break
            begun = limit.elapsed
            copy.load_state_dict({n: _between(original[n], one, part) for n, one in tuned.state_dict.items()})
            job = evaluate_on(task, copy, Split.VAL, token, device=device, limit=passes)
            try:
                found = yield from spanning(job, number / len(COEFFICIENTS), (number + 1) / len(COEFFICIENTS))
            except SecateurError as error:
                if error.message.code not in NO_NUMBERS:
                    raise
                continue
            seconds = limit.elapsed - begun
            if gain(found, metric) > 0:
                metric, best = found, part
    if best == 1.0:
        return tuned.state_dict, metric, best
    return {n: _between(original[n], one, best) for n, one in tuned.state_dict.items()}, metric, best


def _between(first: Tensor, last: Tensor, part: float) -> Tensor:
    """Between two tensors [...] so much of the way; the last one where it holds no numbers of 16 bits or more."""
    if not (last.is_floating_point() or last.is_complex()) or last.dtype.itemsize == 1:
        return last
    wide = torch.promote_types(last.dtype, torch.float32)
    between = torch.lerp(first.to(wide), last.to(wide), part).to(last.dtype)
    return torch.where(first == last, last, between)  # infinite numbers have nothing between them


def _as_tuning(progress: Progress) -> Iterator[Progress]:
    """The same for the original; its losses and metrics are no points of the recovery's curve."""
    text = Message("progress.tuning_teacher", "Tuning the original on the data: {what}", {"what": progress.message})
    yield replace(progress, text=text, values={})


def _value(metric: Metric) -> str:
    return f"{100 * metric.value:.1f} %" if metric.percent else f"{metric.value:.4g}"
