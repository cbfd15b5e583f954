"""Fine-tunes a cut model with the original as its teacher, and returns the best weights. Loads torch.

Neither model is changed: training works on a copy. The input itself is a candidate for the best, by the metric on the
val split, so a recovery never returns something worse than it was given.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from traceback import format_exc, format_exception
from typing import Any

import torch
from torch import nn

from ..distributed import ALONE, Group
from ..errors import NO_NUMBERS, Message, OutOfMemory, SecateurError, TaskError
from ..inference.batch_parts import PassLimit
from ..jobs import Cancelled, CancelToken, Job, NeverCancelled, Progress, check, followed, spanning
from ..machine.devices import CPU, placed
from ..machine.out_of_memory import runs_out_of_memory
from ..structures.transition import KeptIndices
from ..tasks.evaluate import evaluate_on, sample_tokens
from ..tasks.protocol import Metric, Split, Task, metric_value
from ..tracing.isolated_forward import seed_others, seeded
from .batchnorm import adjust_batchnorm, calibrate_batchnorm, norms_of, trainable_batches, untracked_norms
from .budget import Budget, TimeLimit, TrainingTime, Unit
from .checkpoint import (
    Checkpoint,
    Position,
    TrainingRun,
    best_as_plain,
    best_of_checkpoint,
    metric_as_plain,
    metric_of,
    points_of_checkpoint,
    restore_training,
)
from .domain_mixing import advance_mixture, begin_mixing, mix_anew, next_pass, stream_at
from .features import Features
from .flip_augmentation import Sides
from .gradient_sharing import STEPS, GradientSharing
from .least_squares import reconstruct
from .mixed_precision import in_single
from .optimizers import optimizer_of
from .protocol import RecoverySettings, Repair
from .results import FoundRate, Recovered, RepairResult
from .side_effects import keep_modes, make_reproducible, working_copy
from .training import Training, has_loss
from .training_trials import (
    RATE_TRIALS,
    channels_last,
    channels_last_weights,
    find_temperature,
    rate_trials,
    tolerance,
    trial_steps,
    usual_trial_steps,
)

SPOKEN, SILENCE = 5, 0.3
"""Steps, and seconds where steps are slow, between two points of the loss curve."""
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
ROUNDING = 1e-9
"""Of an epoch, what rounding may add to it."""

DATA = Message("recovery.the_data", "data")
LOSS = Message("recovery.the_loss", "loss or the model")
EITHER = Message("recovery.the_data_or_loss", "data, the loss or the model")
METRIC = Message("recovery.the_metric", "metric")
"""What of the user's may fail while a model is trained."""
OWN_CODES = (
    *NO_NUMBERS, "recovery.no_gradient", "recovery.no_tokens", "distributed.lost", "distributed.failed",
    "distributed.broken", "division.impossible", "division.outside",
)  # fmt: skip
"""Codes of errors that a step itself raises: in these nothing of the user's has failed."""


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
        checkpoint: Where to keep what a resumption after a kill needs; one found there is resumed. None for nowhere.
        device: Where models are repaired, trained and evaluated. Bit for bit the same holds on the CPU.
        passes: How many samples run at a time there; fewer where memory runs out. None to find out.
        limit: How long it may take; None for any time. What the schedule of the learning rate makes of it depends on
            the machine, and so do the weights.
        rest: Called where the teacher has no part in the loss, once nothing needs it any more: it may let go of its
            memory. The teacher is moved to no device then either.
        group: The processes that train together: all call this, with models of the same shapes; rank 0 gives weights,
            repairs, evaluates, and has the result.
        token: Cancels within a step, also a long one.

    Raises:
        SecateurError: The settings are impossible, the model or data failed, or the loss is NaN or infinite before any
            repair or epoch has made the model better; later the best is returned.
        Cancelled: The token was set.
    """
    with group.together(), trainable_copy(student, teacher, settings) as copy:
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
        job = _run(training, reference, checkpoint, rest, group)
        return (yield from spanning(job, 0.0, 1.0))  # progress without a share of its own must not move the bar


@contextmanager
def trainable_copy(model: nn.Module, teacher: nn.Module, settings: RecoverySettings) -> Generator[nn.Module]:
    """A copy of a model to train, reproducibly; model and teacher are as they were afterwards."""
    with (
        report_failures(),
        make_reproducible(settings.seed, settings.threads),
        keep_modes(teacher),
        working_copy(model) as copy,
    ):
        yield copy


@contextmanager
def report_failures() -> Generator[None]:
    """Report any other error inside as one of the user's model or data."""
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
) -> Job[Recovered]:
    """Repair and train, or resume from the checkpoint."""
    found, task, settings = group.given(checkpoint.load()), training.task, training.settings
    begin = training_work(task, settings.within(NO_TRAINING)) / training_work(task, settings)
    best, teaches, temperature = None, False, 0.0
    if group.is_writer:
        best, teaches, temperature = yield from _prepare(training, reference, found, begin, group)
    else:
        while training.divides and group.given(None):
            with in_place(training, None, group):
                best = yield from _evaluate(training, best, 0)
    start = None if best is None else best_as_plain(replace(best, state_dict={}))
    teaches, temperature, start = group.given((teaches, temperature, start))
    if not group.is_writer:
        best = None if start is None else best_of_checkpoint({"best": start, "step": 0})
    teacher = training.teacher if teaches else None
    parameters = sum(one.numel() for one in training.student.parameters())
    training.settings = replace(settings, temperature=settings.temperature or temperature)
    with in_place(training, teacher, group):
        yield from begin_mixing(training, found or {}, parameters)
        if teacher is None and rest is not None:
            rest()
        job = _train(training, best, found or {}, checkpoint, teacher)
        done = yield from spanning(_with_shares(job, training), begin, 1.0)
        if done.best_epoch and training.division is None and training.leads:
            with training.alone():
                done = yield from _measure_untracked_norms(training, done)
        return replace(done, rate=training.found, temperature=0.0 if settings.temperature else temperature)


def _prepare(
    training: Training,
    reference: tuple[nn.Module, KeptIndices],
    found: dict[str, Any] | None,
    repaired: float,
    group: Group,
) -> Job[tuple[Recovered | None, bool, float]]:
    """What one process does before all train: (repaired student, whether the teacher has a part, temperature).

    `found` is the checkpoint's, and `repaired` the share of the whole work that is done after the repair.
    """
    best, task, settings = None, training.task, training.settings
    if found is None:
        best = yield from spanning(_repair_student(training, *reference, group), 0.0, repaired)
    if training.divides:
        group.given(False)  # no more evaluations
    # Also a teacher without weight is the only one to learn from where the task has no loss of its own.
    teaches = settings.teaches or not settings.trains
    if not teaches:
        try:
            with seeded():
                teaches = not has_loss(training.student, task, training.token, training.passes)
        except Cancelled:
            raise
        except Exception:  # the first step fails in the same way, and says what failed
            teaches = False
    temperature = 0.0
    if found is not None:
        temperature = float(found.get("temperature", 0.0))
    elif teaches:
        temperature = yield from find_temperature(training, _expected_steps(task, settings))
    return best, teaches, temperature


@contextmanager
def in_place(training: Training, teacher: nn.Module | None, group: Group) -> Generator[None]:
    """The student where it is trained, in single precision, and the teacher if it has a part in the loss.

    That is whole on the training's device, or divided among the processes. These train together inside, with the
    weights that rank 0 has, and by its clock.

    Args:
        training: Of the student.
        teacher: None where it has no part in the loss.
        group: All processes.
    """
    models, limit = [training.student] if teacher is None else [training.student, teacher], training.time.limit
    with (
        placed(training.device, *(() if training.divides else models)),
        in_single(training.student) as training.own_types,
    ):
        if training.settings.trains and not group.is_alone:
            limit.begun, limit.spent = group.given((limit.begun, limit.spent))
            for model in models:
                group.share(model.state_dict().values())
            training.sharing = GradientSharing(group, training.student, training.task, training.settings)
            limit.clock = group.clock
        try:
            if not training.divides:
                yield
                return
            from .division import Division  # takes a second or two

            division = Division(group, training.device, training.student, teacher, training.settings)
            with training.divided(division):
                yield
        finally:
            training.sharing = limit.clock = None


def _first_evaluations(settings: RecoverySettings) -> int:
    """Evaluations before any training, as a rule: as given, and of each repair; see `_repair_student`."""
    return 3 if settings.repairs is Repair.LEAST_SQUARES else 2


def _evaluations(settings: RecoverySettings, steps: float, batches: int) -> float:
    """How many evaluations there are between and after the steps; `batches` are those of an epoch."""
    if not settings.evaluate_every and settings.passes is not None:
        return settings.passes
    return max(steps / (settings.evaluate_every or -(-batches // settings.accumulate)), 1.0 if steps else 0.0)


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


def training_work(task: Task, settings: RecoverySettings) -> float:
    """About how much work a fine-tuning is, with all before its steps; in batches that go through a model once.

    A step is a forward pass of the teacher, one of the student, and a backward pass, which takes as long as two.
    Minutes count as the epochs that the settings have.
    """
    train, val, steps = task.batch_count(Split.TRAIN) or 1, task.batch_count(Split.VAL), _expected_steps(task, settings)
    batches = settings.accumulate * (steps + usual_trial_steps(settings, steps))
    evaluations = _first_evaluations(settings) + _evaluations(settings, steps, train)
    return evaluations * val + FIRST_PASSES + STEP * batches


def _with_shares(job: Job[Recovered], training: Training) -> Job[Recovered]:
    """Give each progress of a training its share of the work, counted by steps and evaluations alone."""
    task, settings = training.task, training.settings
    train, val = task.batch_count(Split.TRAIN) or 1, task.batch_count(Split.VAL)
    trained = last = 0.0
    tried = 0

    def add_share(progress: Progress) -> Iterator[Progress]:
        """The progress with the share of the whole work that is done."""
        nonlocal trained, last, tried
        code, done = progress.message.code, progress.done / progress.total if progress.total else 0.0
        if code == TIMED[0]:
            yield replace(progress, share=done)
            return
        share = 0.0  # `spanning` keeps what was reached before
        if code in COUNTED and done:
            steps = training.step / done
            evaluations = _evaluations(settings, steps, train)
            whole = STEP * settings.accumulate * (tried + steps) + evaluations * val
            evaluated = max(math.ceil(evaluations * done - ROUNDING) - 1, 0)
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

    return (yield from followed(job, add_share))


def _repair_student(training: Training, reference: nn.Module, kept: KeptIndices, group: Group) -> Job[Recovered]:
    """Put the best start into the student: as given, or with layers repaired in either way.

    BatchNorm's statistics are then adjusted to the cut or measured again, whichever is better. This process does so
    alone, but for evaluations of a model that is divided.
    """
    copy, task, token, device = training.student, training.task, training.token, training.whole_device

    def evaluate(best: Recovered | None) -> Job[Recovered]:
        if training.divides:
            group.given(True)
        with in_place(training, None, group) if training.divides else nullcontext():
            return (yield from _evaluate(training, best, 0))

    val = task.batch_count(Split.VAL)
    evaluating = val / (_first_evaluations(training.settings) * val + FIRST_PASSES)
    given = yield from spanning(evaluate(None), 0.0, evaluating)
    how, passes = training.settings.repairs, training.passes
    job = reconstruct(copy, reference, kept, task, how, token, device=device, limit=passes)
    repairs = yield from spanning(job, evaluating, 0.5)
    # Trying the second repair costs another evaluation or two: only where less than half of the time has gone.
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
        # Which statistics are better depends on the data alone, so the first repair decides it for both.
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
                better = yield from spanning(evaluate(best), middle, end)
                if better is not best:
                    best, used, adjusting_wins = better, repair, adjusting
    repaired = any(one.repaired for one, _ in ways)
    if training.settings.repair not in (Repair.AUTO, Repair.NONE) and not repaired:
        yield Progress("No layer could be repaired: none lost inputs, or all were trained since the cut")
    if repaired or adjusts:  # the last trial is in the student, which may be a worse one
        copy.load_state_dict(best.state_dict)
    return replace(best, repair=replace(used or repairs.sequential, used=not repaired or used is not None))


def _evaluate(training: Training, best: Recovered | None, epoch: int) -> Job[Recovered]:
    """The better one of the best so far and the student as it is now; of equal ones the student's weights.

    Of processes that train together rank 0 evaluates, or all a model that is divided; its metric counts in all.
    """
    copy, step, began = training.student, training.step, training.time.limit.elapsed
    device = training.whole_device if training.division is None else training.device
    found = best
    with keep_modes(copy), placed(device, copy), training.given_back():
        copy.eval()
        metric = None
        if training.leads or training.division is not None:
            job = evaluate_on(training.task, copy, Split.VAL, training.token, device=device, limit=training.passes)
            metric = (yield from job).measured_now()
        if training.sharing is not None:
            metric = metric_of(training.agreed(None if metric is None else metric_as_plain(metric)))
        assert metric is not None
        shown = Message("progress.measured", "Measured {metric}", {"metric": metric.name})
        yield Progress(shown, step, 0, {"step": float(step), "metric": metric.value})
        if best is None:
            found = Recovered(training.weights(), metric, epoch, step, epoch, given=metric)
        elif _is_as_good(metric, best.metric):
            same = metric.value == best.metric.value
            found = Recovered(
                training.weights(),
                metric,
                epoch,
                step,
                best.best_epoch if same else epoch,
                improved=best.improved or not same,
                repair=best.repair,
                given=best.given,
            )
    assert found is not None
    training.time.reserve = training.time.limit.elapsed - began  # the last evaluation will take as long
    return found


def _measure_untracked_norms(training: Training, best: Recovered) -> Job[Recovered]:
    """Measure BatchNorm's statistics again where training did not keep them; kept if better on the val split."""
    copy = training.student
    count = untracked_norms(copy)
    if not count:
        return best
    copy.load_state_dict(best.state_dict)
    with keep_modes(copy), training.given_back():
        yield from calibrate_batchnorm(copy, training.task, training.token, training.passes)
    found = yield from _evaluate(training, best, best.best_epoch)
    kept = found is not best
    fields = {"count": count, "before": metric_value(best.metric), "now": metric_value(found.metric)}
    template = (
        "Training does not keep the statistics of {count} BatchNorm layers (momentum 0 or none, or frozen). They were "
        "measured again: {before} before, {now} now on the val split."
        if kept
        else "Training does not keep the statistics of {count} BatchNorm layers (momentum 0 or none, or frozen). "
        "Measured again they were worse on the val split, so they stay."
    )
    code = "recovery.norms_measured" if kept else "recovery.norms_stay"
    return replace(found, epochs=best.epochs, remeasured=Message(code, template, fields))


def _is_as_good(metric: Metric, other: Metric) -> bool:
    """Whether a metric is as good as another one; any is as good as NaN."""
    if math.isnan(metric.value) or math.isnan(other.value):
        return math.isnan(other.value)
    return metric.value >= other.value if metric.higher_is_better else metric.value <= other.value


def _start_run(
    training: Training, best: Recovered | None, found: dict[str, Any], checkpoint: Checkpoint
) -> Job[TrainingRun]:
    """Begin at the first batch, or where an earlier run stopped; says how many steps there will be."""
    settings = training.settings
    if best is not None:
        position = Position(1, 0, 0, torch.get_rng_state())
    else:
        best, position = best_of_checkpoint(found), restore_training(training, found)
    position.batches = position.batches or (yield from count_batches(training))
    run = TrainingRun(training, position, checkpoint, best)
    per_pass = -(-position.batches // settings.accumulate)
    training.steps = settings.steps if settings.budget.unit is Unit.STEPS else per_pass * (settings.passes or 0)
    if found:
        text = Message("progress.going_on", "Resuming at step {step}", {"step": training.step})
        yield Progress(text, training.shown[0])
        for point in points_of_checkpoint(found):  # the curve is that of the whole training
            yield Progress(text, training.shown[0], values=point)
    return run


def _train(
    training: Training,
    best: Recovered | None,
    found: dict[str, Any],
    checkpoint: Checkpoint,
    teacher: nn.Module | None,
) -> Job[Recovered]:
    """Make all steps, from the first or from where an earlier run stopped; `teacher` is None where it has no part."""
    run = yield from _start_run(training, best, found, checkpoint)
    settings, clock = training.settings, training.time

    def attempt_step() -> None:
        """Compute a step of which nothing stays, not even the random numbers that it draws."""
        with seeded():
            batch = next(trainable_batches(training.student, training.task, seed=settings.seed), None)
            if batch is not None:
                training.attempt(batch)

    laid_out: list[nn.Parameter] = []
    if settings.trains and training.division is None:
        models = [training.student] if teacher is None else [training.student, teacher]
        laid_out = channels_last_weights(models, attempt_step)
    with channels_last(laid_out):
        yield from seek_rate(run, training.steps or _expected_steps(training.task, settings))
    clock.start = clock.start or clock.limit.elapsed
    while True:
        position = run.position
        # A run that was broken off as its budget ended is resumed for its last evaluation alone.
        used_up = training.over and training.step == position.evaluated
        done = settings.passes is not None and position.epoch > settings.passes
        if done or used_up or 0 < settings.patience <= position.stale:
            break
        try:
            with channels_last(laid_out):
                passed = yield from train_epoch(run)
            if training.over and training.step == position.evaluated:  # the time went by while a batch was loaded
                break
            yield from _evaluate_when_due(run, passed)
        except SecateurError as error:
            best = run.best
            if error.message.code not in NO_NUMBERS or best is None or not best.improved:
                raise
            fields = {"reason": error.message, "epoch": position.epoch}
            template = (
                "{reason} Training ended in epoch {epoch}. The repaired model from before training was best and is "
                "kept."
            )
            why = Message("recovery.stopped_untrained", template, fields)
            if best.best_epoch:
                template = "{reason} Training ended in epoch {epoch}. The best weights, from epoch {best}, are kept."
                why = Message("recovery.stopped", template, {**fields, "best": best.best_epoch})
            return replace(best, epochs=position.epoch, steps=training.step, overflow=training.overflow, stopped=why)
        if passed:
            run.position = next_pass(training, position)
        run.save_when_due()
    position, best = run.position, run.best
    assert best is not None
    if settings.trains and clock.limited and not training.step:
        template = (
            "No time was left to train: evaluating, repairing, tuning the teacher and loading data take {seconds} s. "
            "Allow more minutes."
        )
        seconds = {"seconds": f"{clock.limit.elapsed + clock.reserve:.0f}"}
        best = replace(best, stopped=Message("recovery.no_time", template, seconds))
    begun = position.epoch if position.done else position.epoch - 1
    return replace(best, epochs=begun, steps=training.step, overflow=training.overflow)


def seek_rate(run: TrainingRun, steps: float) -> Job[None]:
    """Find the learning rate where none is given, for a training of about `steps`; what is broken off is kept."""
    training, settings = run.training, run.training.settings
    if training.found is not None or training.step or not settings.seeks_rate:
        return
    training.whole = True
    with _keep_on_failure(run, EITHER, torch.get_rng_state()):
        found = None
        if training.leads:
            with training.alone():
                found = yield from rate_trials(training, trial_steps(settings, steps), tolerance(settings, steps))
        plain = training.agreed(None if found is None else asdict(found))
        training.found = None if plain is None else FoundRate(**plain)
    if training.found is not None:
        yield Progress(training.found.message)


def _evaluate_when_due(run: TrainingRun, passed: bool) -> Job[None]:
    """Evaluate the student where it is due, keep the better one of it and the best so far, and mix domains anew."""
    training, position, best = run.training, run.position, run.best
    assert best is not None
    last = training.over or position.epoch == training.settings.passes
    if training.step > position.evaluated and (last or not passed or not training.settings.evaluate_every):
        with _keep_on_failure(run, METRIC, torch.get_rng_state()):
            found = yield from _evaluate(training, best, position.epoch)
            yield from mix_anew(training, position.done)
        position.evaluated = training.step
        position.stale = 0 if found.metric.value != best.metric.value else position.stale + 1
        run.best = found  # last: a mixing that is broken off is done again, with its evaluation
    elif passed:
        advance_mixture(training, position.done)


def train_epoch(run: TrainingRun) -> Job[bool]:
    """One pass over the train split, in an order that the seed and the epoch give; from where it stopped.

    Args:
        run: Its position is moved on; its checkpoint is written now and then, and where the pass is broken off.

    Returns:
        Whether the epoch is over; else the training is, or an evaluation is due.
    """
    training, position = run.training, run.position
    losses, spoken, passed = list[float](), time.monotonic(), False
    every = 0 if run.best is None and training.mixture is None else training.settings.evaluate_every
    try:
        yield from seek_batches(run)
        while not (every and training.step % every == 0 and training.step > position.evaluated):
            if training.sharing is not None:
                training.sharing.seed(training.step)
            drawn = torch.get_rng_state()
            batches = take_batches(run, drawn)
            if not batches:
                passed, training.stream = True, None
                break
            if training.over:
                break
            with _keep_on_failure(run, LOSS, drawn):
                losses.append(training.train_on(batches))
            yield from training.passes.news()
            position.done += len(batches)
            if len(losses) >= SPOKEN or time.monotonic() - spoken > SILENCE:
                yield _progress_of(training, position, losses)
                losses, spoken = [], time.monotonic()
            run.save_when_due()
        if passed and not training.step:
            raise TaskError("recovery.no_data", "The train split has no batches to train on. Add data to it.")
        if losses:
            yield _progress_of(training, position, losses)
        return passed
    except GeneratorExit:  # closed at one of the yields above, which are all between two steps
        _keep_between_steps(run, torch.get_rng_state())
        raise


def _progress_of(training: Training, position: Position, losses: list[float]) -> Progress:
    """The progress after a step, with the mean of the latest losses as a point of the curve."""
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
def _keep_on_failure(run: TrainingRun, what: Message, random: torch.Tensor) -> Generator[None]:
    """Write the checkpoint where what the user gave fails inside, or where it is cancelled.

    Args:
        run: What is kept.
        what: Of the user's is run inside.
        random: The random state to resume with.
    """
    try:
        yield
    except (Cancelled, GeneratorExit):
        _keep_between_steps(run, random)
        raise
    except Exception as error:
        if isinstance(error, SecateurError) and error.message.code in OWN_CODES:
            raise
        torch.set_rng_state(random)  # without what was drawn for what failed
        if isinstance(error, OutOfMemory) or runs_out_of_memory(error):  # the user's code is not to blame
            run.save(leaves=True)
            raise
        kept = run.save(failed=True, leaves=True)
        reason, details = f"{type(error).__name__}: {str(error).rstrip('.')}.", "".join(format_exception(error))
        if isinstance(error, SecateurError):
            reason, details = error.message, error.details
        position = run.position
        fields: dict[str, Any] = {"what": what, "epoch": position.epoch, "done": position.done, "reason": reason}
        if kept:
            template = (
                "The {what} failed in epoch {epoch} after {done} batches: {reason} Progress is kept. Fix the {what} "
                "and recover again with the same settings to continue from there."
            )
            raise TaskError("recovery.data", template, details, **fields) from error
        template = (
            "The {what} failed in epoch {epoch} after {done} batches: {reason} The model is unchanged. Fix the {what} "
            "and recover again."
        )
        raise TaskError("recovery.data_unkept", template, details, **fields) from error


def _keep_between_steps(run: TrainingRun, random: torch.Tensor) -> None:
    """Write the checkpoint of a cancelled training; within a step its weights are half changed: the last one stays."""
    if run.training.whole:
        torch.set_rng_state(random)
        run.save(leaves=True)


def seek_batches(run: TrainingRun) -> Job[None]:
    """Let the training take its batches from its position on.

    Data that can only be read in order is read up to there again, because of what it draws at random; a failure there
    changes nothing.
    """
    training, position, stream = run.training, run.position, run.training.stream
    if stream is None or (stream.epoch, stream.done) != (position.epoch, position.done):
        stream = training.stream = stream_at(training, position)
    training.whole = stream.done == position.done
    if training.whole:
        return
    random, spoken = torch.get_rng_state(), time.monotonic()
    torch.set_rng_state(position.random)
    while stream.done < position.done and _next_batch(run, random) is not None:
        check(training.token)
        if time.monotonic() - spoken > SILENCE:
            yield Progress("Skipping batches that were trained on before", stream.done, position.done)
            spoken = time.monotonic()
    torch.set_rng_state(random)
    training.whole = True


def take_batches(run: TrainingRun, random: torch.Tensor) -> list[Any]:
    """The batches of the next step; fewer at the end of a pass, none behind it.

    `random` is the random state to resume with where they fail.
    """
    batches = list[Any]()
    while len(batches) < run.training.settings.accumulate:
        batch = _next_batch(run, random)
        if batch is None:
            break
        batches.append(batch)
    return batches


def _next_batch(run: TrainingRun, random: torch.Tensor) -> Any | None:
    """The next batch of the stream; where the data fails, the training until then is kept."""
    stream = run.training.stream
    assert stream is not None
    # Seeded by the batch, so that a resumed training draws the same for it.
    seed = run.training.settings.seed * 1000 + run.position.epoch
    seed_others(seed * STEPS + stream.done)
    with _keep_on_failure(run, DATA, random):
        batch = next(stream.batches, None)
    stream.done += batch is not None
    return batch


def count_batches(training: Training) -> Job[int]:
    """Batches of a pass; read once where the task does not know, because the schedule needs their number."""
    settings, task = training.settings, training.task
    if settings.passes is None:
        return 0
    count = task.batch_count(Split.TRAIN) if settings.trains else 1
    if not count and training.leads:
        for count, _ in enumerate(trainable_batches(training.student, task, seed=settings.seed * 1000 + 1), start=1):
            check(training.token)
            yield Progress("Counting batches", count)
    return training.agreed(count)
