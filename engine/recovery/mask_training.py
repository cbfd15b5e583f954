"""Learns which structures stay, together with the weights and with the original as teacher. Loads torch.

The training step is that of a recovery (`training.py`), with a gate on every structure (`masks/learned_masks.py`).
Neither model is changed: it works on a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..distributed import ALONE, Group
from ..errors import Message
from ..inference.batch_parts import PassLimit
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check, spanning
from ..machine.devices import CPU, device_for
from ..masks.learned_masks import LearnedMasks
from ..planning.protocol import PlanStart
from ..structures.analysis import Mask
from ..structures.costs import costs
from ..tasks.protocol import Task
from .batchnorm import calibrate_batchnorm
from .budget import Budget, Unit
from .checkpoint import Checkpoint, Position, TrainingRun, points_of_checkpoint, restore_training
from .domain_mixing import advance_mixture, begin_mixing, mix_anew, next_pass
from .features import Features
from .finetune import count_batches, in_place, seek_rate, train_epoch, trainable_copy
from .optimizers import optimizer_of
from .protocol import RecoverySettings, require_mixable, require_possible, require_whole
from .training import Training


@dataclass(frozen=True, slots=True)
class MaskResult:
    """What learning masks gives.

    Attributes:
        state_dict: Weights and buffers of the whole model, gates folded into them.
        removed: [S] what goes: of each set as many as the plan removes.
    """

    state_dict: dict[str, Tensor]
    removed: Mask


def learn_masks(
    model: nn.Module,
    teacher: nn.Module,
    task: Task,
    start: PlanStart,
    plan: Mask,
    settings: RecoverySettings,
    steps: int,
    *,
    outputs: Sequence[str] = (),
    checkpoint: Checkpoint | None = None,
    device: str = CPU,
    passes: PassLimit | None = None,
    group: Group = ALONE,
    token: CancelToken | None = None,
) -> Job[MaskResult]:
    """Learn which structures stay, as many of each set as a plan keeps; the same seed and threads, the same result.

    Args:
        model: The whole model, of which nothing is cut; left as it is.
        teacher: The original; left as it is.
        task: Batches, and the loss; without one the model learns from the teacher alone.
        start: What the plan was made from: what goes and what stays in any case, and the scores, which say which gates
            are likelier to be open at first.
        plan: [S] how many structures of each set go.
        settings: Of the training; its budget and repairs are not used, its evaluations only to mix domains anew.
        steps: Updates, at least 1.
        outputs: Paths of the outputs to learn from the teacher.
        checkpoint: Where to keep what a resumption after a kill needs; None for nowhere.
        device: Where it is trained.
        passes: How many samples run at a time there; fewer where memory runs out. None to find out.
        group: The processes that train together: all call this within `Group.together`, with models of the same shapes.
            They draw the same gates, by the seed and the step. Rank 0 gives weights, and has the result.
        token: Cancels within a step, also a long one.

    Raises:
        SecateurError: The settings are impossible, the model or data failed, or the loss is NaN or infinite.
        PlanError: The choice breaks a constraint.
        Cancelled: The token was set.
    """
    require_possible(settings)
    require_mixable(settings, task)
    require_whole(settings, group.place.size)
    settings = settings.within(Budget(Unit.STEPS, steps))
    device = yield from device_for(device, model)
    device = group.device(group.given(device))
    passes = PassLimit() if passes is None else passes
    passes.begin(device)
    checkpoint, token = checkpoint or Checkpoint(None), token or NeverCancelled()
    with trainable_copy(model, teacher, settings) as copy:
        training = Training(
            copy,
            teacher,
            task,
            settings,
            optimizer_of(copy, settings),
            token,
            outputs,
            Features(copy, teacher, {}) if settings.features else None,
            steps=steps,
            device=device,
            passes=passes,
        )
        with in_place(training, teacher, group):
            masks = training.masks = LearnedMasks(copy, start, plan, settings.seed)
            left = costs(start.analysis, plan).parameters
            yield from _train(training, group.given(checkpoint.load()), checkpoint, left)
            if masks.chosen is None:  # too few steps to get there
                masks.settle()
            assert masks.chosen is not None
            if training.leads:
                with masks.applied(training.step, 1.0):
                    yield from calibrate_batchnorm(copy, task, token, passes)
        check(token)
        state = {name: one.detach().to(CPU, copy=True) for name, one in copy.state_dict().items()}
        return MaskResult(state, masks.chosen)


def _train(training: Training, found: dict[str, Any] | None, checkpoint: Checkpoint, parameters: int) -> Job[None]:
    """Make all steps, from the first or from where an earlier run stopped; `parameters` are those that masks leave."""
    yield from begin_mixing(training, found or {}, parameters)
    if found is None:
        position = Position(1, 0, (yield from count_batches(training)), torch.get_rng_state())
    else:
        position = restore_training(training, found)
        text = Message("progress.going_on", "Resuming at step {step}", {"step": training.step})
        for point in ({}, *points_of_checkpoint(found)):
            yield Progress(text, *training.shown, values=point)
    run = TrainingRun(training, position, checkpoint)
    # Trials see the gates of the first step. Their shares count nothing: the bar shows those of the steps.
    yield from spanning(seek_rate(run, training.steps), 0.0, 0.0)
    while not training.over:
        position = run.position
        passed = yield from train_epoch(run)
        if training.over:
            break
        if training.step > position.evaluated and not (passed and training.settings.evaluate_every):
            yield from mix_anew(training, position.done)
            position.evaluated = training.step
        else:
            advance_mixture(training, position.done)
        if passed:
            run.position = next_pass(training, position)
