"""Fine-tunes a cut model with the original as its teacher, and returns the best weights. Loads torch.

Neither model is changed: training works on a copy. The input itself is a candidate for the best, by the metric on the
val split, so a recovery never returns something worse than it was given.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from traceback import format_exc, format_exception
from typing import Any

import torch
from torch import nn

from ..batch_parts import PassLimit
from ..devices import CPU, placed
from ..distributed import ALONE, Group
from ..errors import NO_NUMBERS, Message, OutOfMemory, SecateurError, TaskError
from ..jobs import Cancelled, CancelToken, Job, NeverCancelled, Progress, check, followed, spanning
from ..out_of_memory import runs_out_of_memory
from ..structures.transition import KeptIndices
from ..tasks.evaluate_on import evaluate_on
from ..tasks.protocol import Metric, Split, Task
from ..tasks.sample_tokens import sample_tokens
from ..tracing.isolated_forward import seed_others, seeded
from .batchnorm import adjust_batchnorm, calibrate_batchnorm, norms_of, trainable_batches
from .budget import Budget, TimeLimit, TrainingTime, Unit
from .checkpoint import Checkpoint, Position, best_of_checkpoint, points_of_checkpoint, put_back
from .domain_mixing import begin_mixing, mixed_anew, mixed_on, next_pass, stream_at
from .features import Features
from .flip_augmentation import Sides
from .gradient_sharing import GradientSharing, MasksOrder, TrainingOrder
from .least_squares import reconstruct
from .mixed_precision import in_single
from .optimizers import optimizer_of
from .protocol import RecoverySettings, Repair
from .results import Recovered, RepairResult
from .side_effects import modes_kept, pinned, working_copy
from .training import Training, has_loss
from .training_trials import (
    RATE_TRIALS,
    MemoryLayout,
    find_temperature,
    layout_of,
    rate_trials,
    tolerance,
    trial_steps,
    usual_trial_steps,
)

SPOKEN = 5
"""Steps between two points of the loss curve; fewer when steps are slow."""

SILENCE = 0.3
"""Seconds after which a point is given anyway."""
FINE_TUNING = ("progress.fine_tuning", "Fine-tuning, epoch {epoch} of {epochs}")
TIMED = ("progress.fine_tuning_timed", "Fine-tuning, {done} of {minutes} minutes, epoch {epoch}")
STEPPED = ("progress.fine_tuning_steps", "Fine-tuning, epoch {epoch}")
DISTILLING = ("progress.distilling", "Learning the original's outputs, without labels")
MASKS = ("progress.masks", "Learning masks, at most {undecided} of the gates undecided")
COUNTED = (FINE_TUNING[0], TIMED[0], STEPPED[0], DISTILLING[0], MASKS[0])
"""Codes of the progress that counts steps, tokens or seconds of training."""
EVALUATING = "progress.evaluating"
"""The code of an evaluation's progress."""
STEP, FIRST_PASSES = 4, 100
"""Passes of a batch through a model in a step of training, and before the first one in a repair."""
NO_TRAINING = Budget(Unit.EPOCHS, 0)
ROUNDED = 1e-9
"""Of an epoch, what rounding may add to it."""

STEPS = 1_000_003
"""More than an epoch has, so that each has a seed of its own."""


DATA = Message("recovery.the_data", "data")
LOSS = Message("recovery.the_loss", "loss or the model")
EITHER = Message("recovery.the_data_or_loss", "data, the loss or the model")
METRIC = Message("recovery.the_metric", "metric")
"""What of the user's may fail while a model is trained."""
TOLD = (
    *NO_NUMBERS, "recovery.no_gradient", "recovery.no_tokens", "distributed.lost", "distributed.broken",
    "division.impossible", "division.outside",
)  # fmt: skip
"""Codes of what a step itself says of its loss and its batches: in these nothing of the user's has failed."""


def fine_tune(
    student: nn.Module,
    teacher: nn.Module,
    task: Task,
    settings: RecoverySettings,
    *,
    mirror: Sides = Sides.GIVEN,
    outputs: Sequence[str] = (),
    kept: KeptIndices | None = None,
    reference: tuple[nn.Module, KeptIndices] | None = None,
    checkpoint: Checkpoint | None = None,
    device: str = CPU,
    passes: PassLimit | None = None,
    limit: TimeLimit | None = None,
    rest: Callable[[], None] | None = None,
    group: Group = ALONE,
    token: CancelToken | None = None,
) -> Job[Recovered]:
    """Repair layers and BatchNorm's statistics, then fine-tune; the same seed and threads, the same weights.

    Args:
        student: The cut model; left as it is.
        teacher: The original, or what was tuned of it; left as it is.
        task: Batches, the metric that chooses, and the loss; without one the student learns from the teacher alone.
        settings: Budget, learning rate and the rest.
        mirror: Which sides of images to show, whatever the settings say.
        outputs: Paths of the outputs to learn from the teacher, as the analysis was made with them.
        kept: What the student keeps of each of the teacher's tensors (`Analysis.kept_indices`).
        reference: The model that the student was cut from and what it keeps of its tensors, for a repair of layers and
            statistics; by default the teacher.
        checkpoint: Where to keep what it takes to go on after a kill; what lies there already is gone on with. None
            for nowhere.
        device: Where models are repaired, trained and evaluated. Bit for bit the same holds on the CPU.
        passes: How many samples run at a time there; fewer where memory runs out. None to find out.
        limit: How long it may take; None for any time. What the schedule of the learning rate makes of it depends on
            the machine, and so do the weights.
        rest: Called where the teacher has no part in the loss, once nothing needs it any more: it may let go of its
            memory. The teacher then goes to no device either.
        group: The processes that train together; the others follow `GradientWorker`, with the same student and teacher.
        token: Cancels within a step, also a long one.

    Raises:
        SecateurError: The settings cannot be, the model or data failed, or the loss is no number before any repair or
            epoch has made the model better; later the best is given back.
        Cancelled: The token was set.
    """
    with (
        explained(),
        pinned(settings.seed, settings.threads),
        modes_kept(teacher),
        working_copy(student) as copy,
    ):
        training = Training(
            copy,
            teacher,
            task,
            settings,
            optimizer_of(copy, settings),
            token or NeverCancelled(),
            outputs,
            Features(copy, teacher, kept or {}) if settings.features else None,
            mirror,
            TrainingTime(limit or TimeLimit()),
            device=device,
            passes=passes or PassLimit(device=device),
            divides=settings.shard and settings.trains and not group.is_alone,
        )
        reference, checkpoint = reference or (teacher, kept or {}), checkpoint or Checkpoint(None)
        job = _run(training, reference, checkpoint, rest, group, student is teacher)
        return (yield from spanning(job, 0.0, 1.0))  # what tells no share of its own stays where the work is


@contextmanager
def explained() -> Generator[None]:
    """What fails inside, in the user's model or data, is told as that."""
    try:
        yield
    except (SecateurError, GeneratorExit):
        raise
    except Exception as error:
        raise TaskError(
            "recovery.failed",
            "Fine-tuning stopped because the model or the data failed: {error}",
            details=format_exc(),
            error=f"{type(error).__name__}: {error}",
        ) from error


def _run(
    training: Training,
    reference: tuple[nn.Module, KeptIndices],
    checkpoint: Checkpoint,
    rest: Callable[[], None] | None,
    group: Group,
    tuning: bool,
) -> Job[Recovered]:
    found, task, settings = checkpoint.load(), training.task, training.settings
    begin = training_work(task, settings.within(NO_TRAINING)) / training_work(task, settings)
    best = (yield from spanning(_first(training, *reference, group, tuning), 0.0, begin)) if found is None else None
    parameters = sum(one.numel() for one in training.student.parameters())
    teacher = training.teacher if _learns_from_teacher(training) else None
    temperature = 0.0
    if found is not None:
        temperature = float(found.get("temperature", 0.0))
    elif teacher is not None:
        temperature = yield from find_temperature(training, _expected_steps(task, settings))
    training.settings = replace(settings, temperature=settings.temperature or temperature)
    with in_place(training, teacher, group, tuning):
        yield from begin_mixing(training, found or {}, parameters)
        if teacher is None and rest is not None:
            rest()
        job = _trained(training, best, found or {}, checkpoint, teacher)
        done = yield from spanning(_counted(job, training), begin, 1.0)
        return replace(done, rate=training.found, temperature=0.0 if settings.temperature else temperature)


@contextmanager
def in_place(training: Training, teacher: nn.Module | None, group: Group, of_original: bool) -> Generator[None]:
    """The student where it is trained, in single precision, and the teacher if it has a part in the loss.

    That is whole on the training's device, or divided among the processes. They train together inside.

    Args:
        training: Of the student.
        teacher: None where it has no part in the loss.
        group: All processes.
        of_original: The student has the original's shape.
    """
    models = [training.student] if teacher is None else [training.student, teacher]
    with (
        placed(training.device, *(() if training.divides else models)),
        in_single(training.student) as training.own_types,
    ):
        if training.settings.trains and not group.is_alone:
            share_gradients(training, group, models, of_original)
        if not training.divides:
            yield
            return
        from .division import Division  # takes a second or two

        division = Division(group, training.device, training.student, teacher, training.settings)
        with training.divided(division):
            yield


def share_gradients(
    training: Training, group: Group, models: Sequence[nn.Module], of_original: bool, masks: MasksOrder | None = None
) -> None:
    """Begin to train with other processes: they get the student and, where it is among the models, the teacher.

    Args:
        training: Has its models on their device.
        group: All processes.
        models: The student, and the teacher if it teaches.
        of_original: The student has the original's shape.
        masks: What the others make the gates of, None where there are none.
    """
    order = TrainingOrder(
        of_original,
        training.settings,
        len(models) > 1,
        training.mirror,
        tuple(training.chosen),
        training.steps,
        training.device,
        masks,
    )
    group.order(order)
    for model in models:
        group.share(model.state_dict().values())
    training.sharing = GradientSharing(group, training.student, training.task, training.settings, training.masks)


def _learns_from_teacher(training: Training) -> bool:
    """Whether the teacher has a part in the loss: by its weight, or since the task has no loss of its own."""
    if training.settings.teaches or not training.settings.trains:
        return True
    try:
        with seeded():
            return not has_loss(training.student, training.task, training.token, training.passes)
    except Cancelled:
        raise
    except Exception:  # told where it is done in earnest
        return False


def _first_evaluations(settings: RecoverySettings) -> int:
    """On the val split before any training, as a rule: as given, and of each repair; see `_first`."""
    return 3 if settings.repairs is Repair.LEAST_SQUARES else 2


def training_work(task: Task, settings: RecoverySettings) -> float:
    """About how much a fine-tuning is, with what comes before its steps; in batches that go through a model once.

    A step is a forward pass of the teacher, one of the student, and a backward pass, which takes as long as two.
    Minutes count as the epochs that the settings have.
    """
    train, val, steps = task.batch_count(Split.TRAIN) or 1, task.batch_count(Split.VAL), _expected_steps(task, settings)
    batches = settings.accumulate * (steps + usual_trial_steps(settings, steps))
    evaluations = _first_evaluations(settings) + _evaluations(settings, steps, train)
    return evaluations * val + FIRST_PASSES + STEP * batches


def _expected_steps(task: Task, settings: RecoverySettings) -> float:
    """About how many updates the budget comes to; minutes count as the epochs that the settings have."""
    each = task.batch_count(Split.TRAIN) or 1
    known = settings.updates(each)
    if known is not None:
        return known
    batches = float(settings.epochs * each)
    if settings.budget.unit is Unit.TOKENS:
        batches = settings.tokens / max(sample_tokens(task) * task.spec.batch, 1)
    return batches / settings.accumulate


def _counted(job: Job[Recovered], training: Training) -> Job[Recovered]:
    """A training whose work is counted by its steps and evaluations, whatever else tells of its progress."""
    task, settings = training.task, training.settings
    train, val = task.batch_count(Split.TRAIN) or 1, task.batch_count(Split.VAL)
    trained = last = 0.0
    tried = 0

    def told(progress: Progress) -> Iterator[Progress]:
        """The progress, with the share of the whole work that is done."""
        nonlocal trained, last, tried
        code, done = progress.message.code, progress.done / progress.total if progress.total else 0.0
        if code == TIMED[0]:
            yield replace(progress, share=done)
            return
        share = 0.0  # counts as what was done before
        if code in COUNTED and done:
            steps = training.step / done
            evaluations = _evaluations(settings, steps, train)
            whole = STEP * settings.accumulate * (tried + steps) + evaluations * val
            evaluated = max(math.ceil(evaluations * done - ROUNDED) - 1, 0)
            share = trained = (STEP * settings.accumulate * (tried + training.step) + evaluated * val) / whole
            last = val / whole
        elif code == EVALUATING and trained:
            share = trained + last * done
        elif code == RATE_TRIALS[0]:
            usual = usual_trial_steps(settings, training.steps or _expected_steps(task, settings))
            tried = 0 if settings.minutes else usual
            whole = training_work(task, settings) - training_work(task, settings.within(NO_TRAINING))
            share = STEP * settings.accumulate * min(progress.done, tried) / whole
        yield replace(progress, share=share)

    return (yield from followed(job, told))


def _evaluations(settings: RecoverySettings, steps: float, batches: int) -> float:
    """How many evaluations so many steps have between and behind them; `batches` are those of a pass."""
    if not settings.evaluate_every and settings.passes is not None:
        return settings.passes
    return max(steps / (settings.evaluate_every or -(-batches // settings.accumulate)), 1.0 if steps else 0.0)


def _trained(
    training: Training,
    best: Recovered | None,
    found: dict[str, Any],
    checkpoint: Checkpoint,
    teacher: nn.Module | None,
) -> Job[Recovered]:
    """All of it, from the beginning or from where an earlier run stopped; `teacher` is None where it has no part."""
    settings, clock = training.settings, training.time
    if best is not None:
        position = Position(1, 0, (yield from count_batches(training)), torch.get_rng_state())
    else:
        best, position = best_of_checkpoint(found), put_back(training, found)
        position.batches = position.batches or (yield from count_batches(training))
    per_pass = -(-position.batches // settings.accumulate)
    training.steps = settings.steps if settings.budget.unit is Unit.STEPS else per_pass * (settings.passes or 0)
    if found:
        text = Message("progress.going_on", "Resuming at step {step}", {"step": training.step})
        yield Progress(text, training.shown[0])
        for point in points_of_checkpoint(found):  # the curve is that of the whole training
            yield Progress(text, training.shown[0], values=point)
    layout = MemoryLayout(())
    if settings.trains and training.division is None:
        models = [training.student] if teacher is None else [training.student, teacher]
        layout = layout_of(models, partial(_attempt, training))
    with layout.channels_last():
        steps = training.steps or _expected_steps(training.task, settings)
        yield from seek_rate(training, position, best, checkpoint, steps)
    clock.start = clock.start or clock.limit.elapsed
    while not _ended(training, position, best):
        try:
            with layout.channels_last():
                passed = yield from train_epoch(training, position, best, checkpoint)
            if training.over and training.step == position.evaluated:  # the time went by while a batch was loaded
                break
            best = yield from _after_steps(training, position, best, checkpoint, passed)
        except SecateurError as error:
            if error.message.code not in NO_NUMBERS or not best.improved:
                raise
            why = _stopped(error, position, best)
            return replace(best, epochs=position.epoch, steps=training.step, overflow=training.overflow, stopped=why)
        if passed:
            position = next_pass(training, position)
        if checkpoint.due():
            checkpoint.save(training, position, best)
    if settings.trains and clock.limited and not training.step:
        best = replace(best, stopped=_no_time(clock))
    begun = position.epoch if position.done else position.epoch - 1
    return replace(best, epochs=begun, steps=training.step, overflow=training.overflow)


def seek_rate(
    training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint, steps: float
) -> Job[None]:
    """Find the learning rate where none is said; where that is broken off, what was done before it is kept.

    Args:
        training: Gets it.
        position: Where it stands.
        best: The best so far, for the checkpoint; None where none is sought.
        checkpoint: Where it is kept.
        steps: Updates of the training, about.
    """
    if training.found is not None or training.step or not training.settings.seeks_rate:
        return
    training.whole = True
    with _keeping(training, position, best, checkpoint, EITHER, torch.get_rng_state()):
        settings = training.settings
        training.found = yield from rate_trials(training, trial_steps(settings, steps), tolerance(settings, steps))
    if training.found is not None:
        yield Progress(training.found.message)


def _after_steps(
    training: Training, position: Position, best: Recovered, checkpoint: Checkpoint, passed: bool
) -> Job[Recovered]:
    """The better one of the best so far and the student, where it is to be evaluated; domains are mixed anew."""
    last = training.over or position.epoch == training.settings.passes
    if training.step > position.evaluated and (last or not passed or not training.settings.evaluate_every):
        with _keeping(training, position, best, checkpoint, METRIC, torch.get_rng_state()):
            found = yield from _evaluated(best, training, position.epoch)
            yield from mixed_anew(training, position.done)
        position.evaluated = training.step
        position.stale = 0 if found.metric.value != best.metric.value else position.stale + 1
        return found
    if passed:
        mixed_on(training, position.done)
    return best


def _evaluated(best: Recovered | None, training: Training, epoch: int) -> Job[Recovered]:
    """The better one of the best so far and the student as it stands; how long that takes is kept for the last time."""
    begun = training.time.limit.elapsed
    found = yield from better_weights(best, training, epoch)
    training.time.reserve = training.time.limit.elapsed - begun
    return found


def better_weights(best: Recovered | None, training: Training, epoch: int) -> Job[Recovered]:
    """The better one of the best so far and the student as it stands; of equal ones the student's weights."""
    copy, step = training.student, training.step
    device = training.whole_device if training.division is None else training.device
    with modes_kept(copy), placed(device, copy), training.given_back():
        copy.eval()
        job = evaluate_on(training.task, copy, Split.VAL, training.token, device=device, limit=training.passes)
        metric = (yield from job).measured_now()
        shown = Message("progress.measured", "Measured {metric}", {"metric": metric.name})
        yield Progress(shown, step, 0, {"step": float(step), "metric": metric.value})
        if best is not None and not _as_good(metric, best.metric):
            return best
        state = training.weights()
    same = best is not None and metric.value == best.metric.value
    since = best.best_epoch if best is not None and same else epoch
    improved = best is not None and (best.improved or not same)
    repair = RepairResult() if best is None else best.repair
    given = metric if best is None else best.given
    return Recovered(state, metric, epoch, step, since, improved=improved, repair=repair, given=given)


def _as_good(metric: Metric, other: Metric) -> bool:
    if math.isnan(metric.value) or math.isnan(other.value):
        return math.isnan(other.value)
    return metric.value >= other.value if metric.higher_is_better else metric.value <= other.value


def _ended(training: Training, position: Position, best: Recovered) -> bool:
    """Whether it is over: the budget is used up, or the metric has not become better for long.

    One that was broken off when time, steps or tokens were up has not been evaluated yet: it is gone on with for that.
    """
    passes, patience = training.settings.passes, training.settings.patience
    done = passes is not None and position.epoch > passes
    used_up = training.over and training.step == position.evaluated
    return done or used_up or 0 < patience <= position.stale


def _no_time(clock: TrainingTime) -> Message:
    template = (
        "No time was left to train: evaluating, repairing, tuning the teacher and loading data take {seconds} s. Allow "
        "more minutes."
    )
    return Message("recovery.no_time", template, {"seconds": f"{clock.limit.elapsed + clock.reserve:.0f}"})


def _attempt(training: Training) -> None:
    """A step on a batch of which nothing stays, not even what it draws."""
    with seeded():
        batch = next(trainable_batches(training.student, training.task, seed=training.settings.seed), None)
        if batch is not None:
            training.attempt(batch)


def _stopped(error: SecateurError, position: Position, best: Recovered) -> Message:
    fields = {"reason": error.message, "epoch": position.epoch}
    if not best.best_epoch:
        template = (
            "{reason} Training ended in epoch {epoch}. The repaired model from before training was best and is kept."
        )
        return Message("recovery.stopped_untrained", template, fields)
    template = "{reason} Training ended in epoch {epoch}. The best weights, from epoch {best}, are kept."
    return Message("recovery.stopped", template, {**fields, "best": best.best_epoch})


def _first(
    training: Training, reference: nn.Module, kept: KeptIndices, group: Group, of_original: bool
) -> Job[Recovered]:
    """The best of what is there before any training: as given, or with layers repaired in either way.

    BatchNorm's statistics are then adjusted to the cut or measured again, whichever is better.
    """
    copy, task, token, device = training.student, training.task, training.token, training.whole_device

    def evaluated(best: Recovered | None) -> Job[Recovered]:
        """The better one of the best so far and the student as it stands."""
        with in_place(training, None, group, of_original) if training.divides else nullcontext():
            return (yield from _evaluated(best, training, 0))

    val = task.batch_count(Split.VAL)
    evaluating = val / (_first_evaluations(training.settings) * val + FIRST_PASSES)
    given = yield from spanning(evaluated(None), 0.0, evaluating)
    how, passes = training.settings.repairs, training.passes
    job = reconstruct(copy, reference, kept, task, how, token, device=device, limit=passes)
    repairs = yield from spanning(job, evaluating, 0.5)
    independent = repairs.independent if training.time.limit.left > training.time.limit.elapsed else None
    ways: list[tuple[RepairResult, Mapping[str, torch.Tensor]]] = [(repairs.sequential, {})]
    if independent is not None:
        sequential = {name: copy.get_parameter(name).detach().clone() for name in independent.weights}
        ways = [(replace(independent.result, independent=True), independent.weights), (repairs.sequential, sequential)]
    adjusts = bool(kept) and how is not Repair.NONE and bool(norms_of(copy))
    best, used, adjusting_wins = given, None, adjusts
    number, trials = 0, len(ways) + adjusts
    for repair, weights in ways:
        with torch.no_grad():
            for name, value in weights.items():
                copy.get_parameter(name).copy_(value)
        # Which statistics are better is a matter of the data, so it is found out on the first repair.
        for adjusting in (False, True) if adjusts and not number else (adjusting_wins,):
            start, middle, end = (0.5 + 0.5 * (number + more) / trials for more in (0.0, 0.5, 1.0))
            number += 1
            with placed(device, copy, *([reference] if adjusting else [])):
                if adjusting:
                    job = adjust_batchnorm(copy, reference, kept, task, token, passes)
                else:
                    job = calibrate_batchnorm(copy, task, token, passes)
                changed = yield from spanning(job, start, middle)
            if adjusting and not changed:
                adjusting_wins = False
            elif repair.repaired or changed:
                better = yield from spanning(evaluated(best), middle, end)
                if better is not best:
                    best, used, adjusting_wins = better, repair, adjusting
    repaired = any(one.repaired for one, _ in ways)
    if training.settings.repair not in (Repair.AUTO, Repair.NONE) and not repaired:
        yield Progress("No layer could be repaired: none lost inputs, or all were trained since the cut")
    if repaired or adjusts:  # what made it worse is no place to start from
        copy.load_state_dict(best.state_dict)
    return replace(best, repair=replace(used or repairs.sequential, used=not repaired or used is not None))


def train_epoch(training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint) -> Job[bool]:
    """One pass over the train split, in an order that the seed and the epoch give; from where it stopped.

    Args:
        training: What is trained.
        position: Where it stands; it is moved on.
        best: The best so far, for the checkpoint; None where none is sought.
        checkpoint: Where it is kept now and then, and where it is broken off.

    Returns:
        Whether the pass is over; else the training is, or it is to be evaluated before it goes on.
    """
    try:
        return (yield from _steps(training, position, best, checkpoint))
    except GeneratorExit:  # between two steps
        _keep(training, position, best, checkpoint, torch.get_rng_state())
        raise


def _steps(training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint) -> Job[bool]:
    losses, spoken, passed = list[float](), time.monotonic(), False
    every = 0 if best is None and training.mixture is None else training.settings.evaluate_every
    yield from seek_batches(training, position, best, checkpoint)
    while not (every and training.step % every == 0 and training.step > position.evaluated):
        drawn = torch.get_rng_state()
        batches = take_batches(training, position, best, checkpoint, drawn)
        if not batches:
            passed, training.stream = True, None
            break
        if training.over:
            break
        with _keeping(training, position, best, checkpoint, LOSS, drawn):
            losses.append(training.train_on(batches))
        yield from training.passes.news()
        position.done += len(batches)
        if len(losses) >= SPOKEN or time.monotonic() - spoken > SILENCE:
            yield _told(training, position, losses)
            losses, spoken = [], time.monotonic()
        if checkpoint.due():
            checkpoint.save(training, position, best)
    if passed and not training.step:
        raise TaskError("recovery.no_data", "The train split has no batches to train on. Add data to it.")
    if losses:
        yield _told(training, position, losses)
    return passed


def _told(training: Training, position: Position, losses: list[float]) -> Progress:
    """Where it stands, with the mean of the latest losses."""
    (done, total), point = training.shown, {"step": float(training.step), "loss": math.fsum(losses) / len(losses)}
    fields: dict[str, Any] = {"epoch": position.epoch, "epochs": training.settings.passes}
    text, gates = Message(*FINE_TUNING, fields), None
    if training.masks is not None:
        tenths = math.ceil(10 * training.masks.undecided)  # a line of the log for each tenth
        text = Message(*MASKS, {"undecided": f"{10 * tenths} %"})
        gates = training.masks.gates(training.step, training.steps, training.position)
    elif training.settings.budget.unit in (Unit.STEPS, Unit.TOKENS):
        text = Message(*DISTILLING) if training.settings.distillation == 1 else Message(*STEPPED, fields)
    elif training.settings.passes is None:
        fields = {"epoch": position.epoch, "done": f"{done / 60:.1f}", "minutes": f"{total / 60:.1f}"}
        text = Message(*TIMED, fields)
    return Progress(text, done, total, point, so_far=gates)


@contextmanager
def _keeping(
    training: Training,
    position: Position,
    best: Recovered | None,
    checkpoint: Checkpoint,
    what: Message,
    random: torch.Tensor,
) -> Generator[None]:
    """Where what the user gave fails in this, or it is cancelled, what was trained until then is kept first.

    `random` is the random state that training goes on with.
    """
    try:
        yield
    except (Cancelled, GeneratorExit):
        _keep(training, position, best, checkpoint, random)
        raise
    except Exception as error:
        if isinstance(error, SecateurError) and error.message.code in TOLD:
            raise
        torch.set_rng_state(random)  # without what was drawn for what failed
        if isinstance(error, OutOfMemory) or runs_out_of_memory(error):  # the user's code is not to blame
            checkpoint.save(training, position, best)
            raise
        raise _failed(what, error, position, checkpoint.save(training, position, best, failed=True)) from error


def _keep(
    training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint, random: torch.Tensor
) -> None:
    """Keep a training that is cancelled, unless that happens within a step: then the last checkpoint stays."""
    if training.whole:
        torch.set_rng_state(random)
        checkpoint.save(training, position, best)


def seek_batches(training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint) -> Job[None]:
    """Let the training take its batches from where it stands.

    Data that can only be gone through in order is, for what it draws at random; what fails there changes nothing.
    """
    stream = training.stream
    if stream is None or (stream.epoch, stream.done) != (position.epoch, position.done):
        stream = training.stream = stream_at(training, position)
    training.whole = stream.done == position.done
    if training.whole:
        return
    random, spoken = torch.get_rng_state(), time.monotonic()
    torch.set_rng_state(position.random)
    while stream.done < position.done and _next(training, position, best, checkpoint, random) is not None:
        check(training.token)
        if time.monotonic() - spoken > SILENCE:
            yield Progress("Skipping batches that were trained on before", stream.done, position.done)
            spoken = time.monotonic()
    torch.set_rng_state(random)
    training.whole = True


def take_batches(
    training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint, random: torch.Tensor
) -> list[Any]:
    """The batches of the next step; fewer at the end of a pass, none behind it.

    `random` is the random state that training goes on with, should they fail.
    """
    batches = list[Any]()
    while len(batches) < training.settings.accumulate:
        batch = _next(training, position, best, checkpoint, random)
        if batch is None:
            break
        batches.append(batch)
    return batches


def _next(
    training: Training, position: Position, best: Recovered | None, checkpoint: Checkpoint, random: torch.Tensor
) -> Any | None:
    """The next batch; where the data fails, what was trained until then is kept before that is said."""
    stream = training.stream
    assert stream is not None
    seed = training.settings.seed * 1000 + position.epoch
    seed_others(seed * STEPS + stream.done)  # by the batch: one that is gone on with draws the same
    with _keeping(training, position, best, checkpoint, DATA, random):
        batch = next(stream.batches, None)
    stream.done += batch is not None
    return batch


def _failed(what: Message, error: Exception, position: Position, kept: bool) -> TaskError:
    said = isinstance(error, SecateurError)
    reason = error.message if said else f"{type(error).__name__}: {str(error).rstrip('.')}."
    details = error.details if said else "".join(format_exception(error))
    fields: dict[str, Any] = {"what": what, "epoch": position.epoch, "done": position.done, "reason": reason}
    if not kept:
        template = (
            "The {what} failed in epoch {epoch} after {done} batches: {reason} The model is unchanged. Fix the {what} "
            "and recover again."
        )
        return TaskError("recovery.data_unkept", template, details, **fields)
    template = (
        "The {what} failed in epoch {epoch} after {done} batches: {reason} Progress is kept. Fix the {what} and "
        "recover again with the same settings to continue from there."
    )
    return TaskError("recovery.data", template, details, **fields)


def count_batches(training: Training) -> Job[int]:
    """Batches of a pass; counted once where the task does not know, because the schedule needs to."""
    settings, task = training.settings, training.task
    if settings.passes is None:
        return 0
    count = task.batch_count(Split.TRAIN) if settings.trains else 1
    if count:
        return count
    for count, _ in enumerate(trainable_batches(training.student, task, seed=settings.seed * 1000 + 1), start=1):
        check(training.token)
        yield Progress("Counting batches", count)
    return count
