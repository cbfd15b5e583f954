"""A recovery: the teacher is tuned where that helps, layers are repaired, the cut model is fine-tuned. Loads torch.

A published model often knows other images or texts than those that it is recovered on. Its outputs on these are then
worth less than after an epoch or two of tuning. Tuning takes part of the recovery's time, and the student learns from
the better teacher. Weights between the original's and the tuned ones are often better than either (Wortsman et al.,
Robust fine-tuning of zero-shot models, 2021), so these are tried too. The best is kept only where it beats the original
on the val split by more than noise; a first epoch without any gain is the last.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..distributed import ALONE, Group, Left
from ..errors import NO_NUMBERS, Message, SecateurError
from ..inference.batch_parts import PassLimit
from ..jobs import CancelToken, Job, NeverCancelled, Progress, followed, spanning
from ..machine.devices import CPU, device_for, placed
from ..messages import Phrase
from ..storage.serialization import from_plain, to_plain
from ..structures.transition import KeptIndices
from ..surgery.cut.slice_tensors import slice_tensor
from ..tasks.evaluate import evaluate_on, sample_tokens
from ..tasks.protocol import Metric, Split, Task
from ..text.format import counted
from .budget import TimeLimit, Unit
from .checkpoint import Checkpoint, KeptTeacher
from .finetune import fine_tune, report_failures, training_work
from .flip_augmentation import Sides, gain, labels_allow_mirroring
from .protocol import TUNING_TIME, RecoverySettings, require_mixable, require_possible, require_tokens
from .results import Recovered
from .side_effects import keep_modes, make_reproducible, working_copy
from .training import half_of, has_loss

MIRRORING = 2
"""Evaluations that tell whether labels allow mirrored images."""
COEFFICIENTS = (0.5, 0.75)
"""Of the tuned weights in interpolated ones, the rest being the original's; tried in addition to 1."""
SHARED = 0.5
"""What is left of the standard error of two metrics' difference where one model was tuned from the other: for the most
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


def recover(
    student: nn.Module,
    teacher: nn.Module,
    task: Task,
    settings: RecoverySettings,
    *,
    outputs: Sequence[str] = (),
    kept: KeptIndices | None = None,
    reference: tuple[nn.Module, KeptIndices] | None = None,
    checkpoint: Checkpoint | None = None,
    device: str = CPU,
    passes: PassLimit | None = None,
    rest: Callable[[], None] | None = None,
    group: Group = ALONE,
    token: CancelToken | None = None,
) -> Job[Recovered]:
    """Recover a cut model; the same seed and threads, the same weights.

    Args:
        student: The cut model; left as it is.
        teacher: The original; left as it is. It teaches as it is, or tuned on the data first where that improves it.
        task: Batches, the metric that chooses, and the loss; without one the student learns from the teacher alone.
        settings: Budget, learning rate and the rest.
        outputs: Paths of the outputs to learn from the teacher, as the analysis was made with them.
        kept: What the student keeps of each of the teacher's tensors (`Analysis.kept_indices`).
        reference: The model that the student was cut from and what it keeps of its tensors, for a repair of layers and
            statistics; by default the teacher.
        checkpoint: Where to keep what a resumption after a kill needs, and the tuned teacher; None for nowhere.
        device: Where models are repaired, trained and evaluated. Bit for bit the same holds on the CPU.
        passes: How many samples run at a time there; fewer where memory runs out. None to find out.
        rest: Lets go of the teacher's memory; called where nothing needs it any more, since it has no part in the loss.
        group: The processes that train together: all call this within `Group.together`, see `fine_tune`.
        token: Cancels within a step, also a long one.

    Raises:
        SecateurError: The settings are impossible, the model or data failed, or the loss is NaN or infinite before any
            repair or epoch has made the model better; later the best is returned.
        Cancelled: The token was set.
    """
    require_possible(settings)
    token, checkpoint = token or NeverCancelled(), checkpoint or Checkpoint(None)
    settings = settings.distilling or settings
    device = yield from device_for(device, teacher, divided=settings.shard and not group.is_alone)
    device = group.device(group.given(device))
    passes = PassLimit() if passes is None else passes
    passes.begin(device)
    with report_failures():
        require_tokens(settings, sample_tokens(task) if settings.tokens else 0)
        require_mixable(settings, task)
    if settings.half and not half_of(device):
        template = "{device} has no mixed precision that is safe for training: training in float32"
        yield Progress(Message("recovery.no_half", template, {"device": device}))
    limit = TimeLimit(60 * settings.minutes) if settings.minutes else TimeLimit()
    tuning = tuning_work(task, settings)
    begin = tuning / (tuning + training_work(task, settings))
    with report_failures():
        tuning_limit = limit.part(TUNING_TIME)
        checkpoint = replace(checkpoint, teacher=checkpoint.first_teacher())
        job = tune_teacher(
            teacher,
            task,
            settings,
            checkpoint.teacher,
            device=device,
            passes=passes,
            limit=tuning_limit,
            group=group,
            token=token,
        )
        tuned = yield from spanning(job, 0.0, begin)
    kept, begins, teaches = kept or {}, student, teacher
    with ExitStack() as copies:
        if tuned.state_dict is not None:
            teaches = copies.enter_context(working_copy(teacher))
            teaches.load_state_dict(tuned.state_dict)
            # A teacher that cannot be copied is tuned itself: what its weights were is gone until the end.
            inherited = None if teaches is teacher else _tuned_weights(student, teacher, teaches, kept)
            if inherited is not None:
                begins = copies.enter_context(working_copy(student))
                begins.load_state_dict(inherited)
        job = fine_tune(
            begins,
            teaches,
            task,
            settings,
            mirror=_sides_to_show(settings, tuned),
            outputs=outputs,
            kept=kept,
            reference=(teaches, kept) if reference is None or reference[0] is teacher else reference,
            checkpoint=checkpoint,
            device=device,
            passes=passes,
            limit=limit,
            rest=rest if teaches is teacher else None,
            group=group,
            token=token,
        )
        done = yield from spanning(job, begin, 1.0)
    return replace(done, teacher=tuned.message, divided=passes.message)


def _sides_to_show(settings: RecoverySettings, tuned: TunedTeacher) -> Sides:
    """Which sides of images the student is shown."""
    # Who asks for mirrored images may mean that a mirrored image is another class: no means over both sides then.
    if settings.mirror is not None:
        return Sides.DRAWN if settings.mirror else Sides.GIVEN
    if not tuned.mirror:
        return Sides.GIVEN
    # A teacher that knows the data gives both sides much the same outputs; one that had to be tuned gains by both.
    return Sides.DRAWN if tuned.state_dict is None else Sides.BOTH


def _tuned_weights(
    student: nn.Module, teacher: nn.Module, tuned: nn.Module, kept: KeptIndices
) -> dict[str, Tensor] | None:
    """What the student keeps of the tuned weights; None where it is no plain cut of the original.

    A plain cut has all weights of the original at the indices that it keeps: it was neither trained nor changed since.
    """
    before, after, found = teacher.state_dict(), tuned.state_dict(), dict[str, Tensor]()
    for name, one in student.state_dict().items():
        dims = kept.get(name, ())
        if name not in before or dims is None or not torch.equal(one, slice_tensor(before[name], dims)):
            return None
        found[name] = slice_tensor(after[name], dims)
    return found


def tune_teacher(
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
        kept: Where the result is kept for other recoveries, and the checkpoint of a tuning that was broken off.
        device: Where it is tuned.
        passes: How many samples run at a time there.
        limit: How long that may take.
        group: The processes that tune it together.
        token: Cancels.
    """
    how = settings.tuning
    if (known := group.given(kept.load())) is not None:
        return _tuned_of(known)
    if how is None and (settings.mirror is not None or not settings.trains):
        return TunedTeacher()
    found, tunes = TunedTeacher(), False
    divides = settings.shard and not group.is_alone
    looking = PassLimit() if divides else passes  # on the CPU then: whole, the model may be larger than the device
    with placed(CPU if divides else device, teacher):
        begin = MIRRORING * task.batch_count(Split.VAL) / max(tuning_work(task, settings), 1)
        if group.is_writer and has_loss(teacher, task, token, looking):
            job = labels_allow_mirroring(teacher, task, token, looking)
            found, tunes = TunedTeacher((yield from spanning(job, 0.0, begin))), how is not None
        tunes, mirror = group.given((tunes, found.mirror))
        if tunes and how is not None:
            try:
                job = _tune(teacher, task, how, mirror, kept, device, passes, limit, group, token)
                found = yield from spanning(job, begin, 1.0)
            except Left:  # rank 0 may go on with the original as it is
                pass
    message = None if found.message is None else to_plain(found.message)
    known = group.given({"mirror": found.mirror, "state_dict": found.state_dict, "message": message})
    kept.save(known)
    return _tuned_of(known)


def _tuned_of(known: dict[str, Any]) -> TunedTeacher:
    """The teacher that was kept."""
    message = None if known["message"] is None else from_plain(known["message"], Message)
    return TunedTeacher(known["mirror"], known["state_dict"], message)


def tuning_work(task: Task, settings: RecoverySettings) -> float:
    """About how much it is to prepare the teacher, in the unit of `training_work`; 0 where nothing is tried."""
    tuning = settings.tuning
    if tuning is None and (settings.mirror is not None or not settings.trains):
        return 0.0
    val = task.batch_count(Split.VAL)
    return MIRRORING * val + (0.0 if tuning is None else training_work(task, tuning) + len(COEFFICIENTS) * val)


def _tune(
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
        done = yield from spanning(followed(job, _name_tuning), 0.0, trained)
    except SecateurError as error:
        if error.message.code not in NO_NUMBERS:
            raise
        template = "The original is the teacher as it is: tuning it on the data failed. {reason}"
        return TunedTeacher(mirror, None, Message("recovery.teacher_failed", template, {"reason": error.message}))
    if not group.is_writer:
        return TunedTeacher(mirror)
    assert done.given is not None
    weights, metric, part = done.state_dict, done.metric, 1.0
    if done.improved and not (settings.shard and not group.is_alone):
        job = _interpolate(teacher, done, task, settings, device, passes, limit, token)
        weights, metric, part = yield from spanning(followed(job, _name_tuning), trained, 1.0)
    if done.stopped is not None and not done.steps:
        template = "The original is the teacher as it is: no time was left to tune it."
        return TunedTeacher(mirror, None, Message("recovery.teacher_no_time", template))
    seconds = time.monotonic() - begin
    by_updates = settings.budget.unit is Unit.STEPS
    training = counted(done.steps, "update") if by_updates else counted(done.epochs, "epoch")
    fields: dict[str, Phrase] = {"training": training, "seconds": f"{seconds:.0f}"}
    fields |= {"metric": metric.name, "before": _in_words(done.given)}
    if gain(metric, done.given) > SHARED * math.hypot(metric.error, done.given.error):
        template = "Teacher tuned for {training} ({seconds} s): {metric} {before} to {after} on the val split."
        fields |= {"after": _in_words(metric)}
        message = Message("recovery.teacher_tuned", template, fields)
        if part < 1.0:
            template = (
                "Teacher tuned for {training} ({seconds} s), its weights {part} of the way from the original's to "
                "the tuned ones: {metric} {before} to {after} on the val split."
            )
            message = Message("recovery.teacher_interpolated", template, fields | {"part": f"{100 * part:.0f} %"})
        return TunedTeacher(mirror, weights, message)
    template = (
        "The original is the teacher as it is: tuning it for {training} ({seconds} s) brought {metric} from {before} "
        "to {after} on the val split, no more than noise."
    )
    fields |= {"after": _in_words(done.metric)}
    return TunedTeacher(mirror, None, Message("recovery.teacher_kept", template, fields))


def _interpolate(
    teacher: nn.Module,
    tuned: Recovered,
    task: Task,
    settings: RecoverySettings,
    device: str,
    passes: PassLimit | None,
    limit: TimeLimit,
    token: CancelToken,
) -> Job[tuple[dict[str, Tensor], Metric, float]]:
    """Give the best of the tuned weights and those between them and the original's, their metric on val, coefficient.

    No evaluation begins for which the limit leaves less time than the one before it took.
    """
    original = {name: one.to(CPU, copy=True) for name, one in teacher.state_dict().items()}
    metric, best, seconds = tuned.metric, 1.0, 0.0
    with make_reproducible(settings.seed, settings.threads), working_copy(teacher) as copy, keep_modes(copy):
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
    """So much of the way between two tensors [...]; the last one where it is of integers, flags or 8 bits."""
    if not (last.is_floating_point() or last.is_complex()) or last.dtype.itemsize == 1:
        return last
    wide = torch.promote_types(last.dtype, torch.float32)
    between = torch.lerp(first.to(wide), last.to(wide), part).to(last.dtype)
    return torch.where(first == last, last, between)  # infinite numbers have nothing between them


def _name_tuning(progress: Progress) -> Iterator[Progress]:
    """Progress of the tuning, without its losses and metrics: they are no points of the recovery's curve."""
    text = Message("progress.tuning_teacher", "Tuning the original on the data: {what}", {"what": progress.message})
    yield replace(progress, text=text, values={})


def _in_words(metric: Metric) -> str:
    return f"{100 * metric.value:.1f} %" if metric.percent else f"{metric.value:.4g}"
