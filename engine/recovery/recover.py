"""A recovery: the teacher is tuned where that helps, layers are repaired, the cut model is fine-tuned. Loads torch."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from ..batch_parts import PassLimit
from ..devices import CPU, device_for
from ..distributed import ALONE, Group
from ..errors import Message
from ..jobs import CancelToken, Job, NeverCancelled, Progress, spanning
from ..structures.transition import KeptIndices
from ..surgery.cut.slice_tensors import slice_tensor
from ..tasks.protocol import Task
from ..tasks.sample_tokens import sample_tokens
from .best_weights import Recovered
from .checkpoint import Checkpoint
from .finetune import explained, fine_tune, training_work
from .flip_augmentation import Sides
from .protocol import TUNING_TIME, RecoverySettings, require_mixable, require_possible, require_tokens
from .side_effects import working_copy
from .teacher_tuning import TunedTeacher, tuned_teacher, tuning_work
from .time_limit import TimeLimit
from .training import half_of


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
        checkpoint: Where to keep what it takes to go on after a kill, and the tuned teacher; None for nowhere.
        device: Where models are repaired, trained and evaluated. Bit for bit the same holds on the CPU.
        passes: How many samples run at a time there; fewer where memory runs out. None to find out.
        rest: Lets go of the teacher's memory; called where nothing needs it any more, since it has no part in the loss.
        group: The processes that train together.
        token: Cancels within a step, also a long one.

    Raises:
        SecateurError: The settings cannot be, the model or data failed, or the loss is no number before any repair or
            epoch has made the model better; later the best is given back.
        Cancelled: The token was set.
    """
    require_possible(settings)
    token, checkpoint = token or NeverCancelled(), checkpoint or Checkpoint(None)
    settings = settings.distilling or settings
    device = yield from device_for(device, teacher, divided=settings.shard and not group.is_alone)
    passes = PassLimit() if passes is None else passes
    passes.begin(device)
    with explained():
        require_tokens(settings, sample_tokens(task) if settings.tokens else 0)
        require_mixable(settings, task)
    if settings.half and not half_of(device):
        template = "{device} has no mixed precision that is safe for training: training in float32"
        yield Progress(Message("recovery.no_half", template, {"device": device}))
    limit = TimeLimit(60 * settings.minutes) if settings.minutes else TimeLimit()
    tuning = tuning_work(task, settings)
    begin = tuning / (tuning + training_work(task, settings))
    with explained():
        time = limit.part(TUNING_TIME)
        checkpoint = replace(checkpoint, teacher=checkpoint.first_teacher())
        job = tuned_teacher(
            teacher,
            task,
            settings,
            checkpoint.teacher,
            device=device,
            passes=passes,
            limit=time,
            group=group,
            token=token,
        )
        tuned = yield from spanning(job, 0.0, begin)
    kept = kept or {}
    with _taught_by(teacher, tuned) as teaches, _inheriting(student, teacher, teaches, kept) as begins:
        job = fine_tune(
            begins,
            teaches,
            task,
            settings,
            mirror=_sides(settings, tuned),
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


def _sides(settings: RecoverySettings, tuned: TunedTeacher) -> Sides:
    """Which sides of images to show.

    A teacher that knows the data as it is says much the same of both sides; one that had to be tuned gains by both. Who
    asks for mirrored images may mean that a mirrored image is another class.
    """
    if settings.mirror is not None:
        return Sides.DRAWN if settings.mirror else Sides.GIVEN
    if not tuned.mirror:
        return Sides.GIVEN
    return Sides.DRAWN if tuned.state_dict is None else Sides.BOTH


@contextmanager
def _taught_by(teacher: nn.Module, tuned: TunedTeacher) -> Generator[nn.Module]:
    """The original with its tuned weights, in a copy; itself where nothing was tuned."""
    if tuned.state_dict is None:
        yield teacher
        return
    with working_copy(teacher) as copy:
        copy.load_state_dict(tuned.state_dict)
        yield copy


@contextmanager
def _inheriting(student: nn.Module, teacher: nn.Module, tuned: nn.Module, kept: KeptIndices) -> Generator[nn.Module]:
    """The student with what it keeps of the tuned weights, in a copy; itself where it is no plain cut of the original.

    A plain cut has all weights of the original at the indices that it keeps: it was neither trained nor changed since.
    """
    parts = {name: kept.get(name, ()) for name in student.state_dict()}
    before, after = teacher.state_dict(), tuned.state_dict()
    plain = tuned is not teacher and all(
        name in before and dims is not None and torch.equal(one, slice_tensor(before[name], dims))
        for (name, one), dims in zip(student.state_dict().items(), parts.values(), strict=True)
    )
    if not plain:
        yield student
        return
    with working_copy(student) as copy:
        copy.load_state_dict({name: slice_tensor(after[name], dims or ()) for name, dims in parts.items()})
        yield copy
