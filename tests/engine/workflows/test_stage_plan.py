"""What stages of a pruning are said to take, against operators and tensors of real ones that torch itself counts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.errors import SecateurError, TaskError
from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import Choose, Goal, PlanStart
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.mask_training import learn_masks
from secateur.engine.recovery.optimizers import optimizer_of
from secateur.engine.recovery.protocol import RecoverySettings, Repair, Teacher
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from secateur.engine.structures.memory import gathered_parameters
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split, Task
from secateur.engine.workflows.prune import PruneRequest
from secateur.engine.workflows.stage_plan import StagePlanner
from secateur.engine.workflows.stages import FLOPS, Stage, StageName

from ..recovery.continued_training import BATCH, LENGTH, Llama, text_task, write_texts

TRAINING = RecoverySettings(steps=3, learning_rate=1e-3, repair=Repair.NONE, teacher=Teacher.ORIGINAL, threads=1)
SCORING = PruneRequest(Goal(()), "taylor", choices=Choices(batches=2))
FIRST = 2 * BATCH * LENGTH * 16 * (16 + 8 + 8)
"""Gradients of the embedding's outputs through queries, keys and values: nothing rates an embedding here."""
EXAMPLE = torch.zeros(2, LENGTH, dtype=torch.int64)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("texts")
    write_texts(folder)
    return text_task(folder)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(Llama(0), (EXAMPLE,))


@pytest.fixture(scope="module")
def plan(analysis: Analysis) -> Mask:
    """[S] a third of the neurons of each layer."""
    removed, numbers = analysis.empty(), analysis.set_numbers()
    for number, one in enumerate(analysis.sets):
        if one.kind is Kind.NEURON:
            removed[(numbers == number).nonzero()[0][: one.count // 3]] = True
    assert removed.any()
    return removed


def planned(analysis: Analysis, settings: PruneRequest, *plans: Mask, processes: int = 1) -> dict[str, Stage]:
    stages = StagePlanner(analysis, BATCH, LENGTH, processes).stages(plans, settings)
    return {str(one.name): one for one in stages}


def macs(run: Callable[[], Any]) -> int:
    """Of all products that run, forward and backward, as torch counts them; attention as plain products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // FLOPS


def of_steps(run: Callable[[int], Any]) -> int:
    """Of three steps, without the evaluations around them."""
    return macs(lambda: run(5)) - macs(lambda: run(2))


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_compute_of_a_recovery_is_that_of_a_real_one(analysis: Analysis, plan: Mask, task: Task, weight: float):
    student = cut(Llama(0), analysis, plan, (EXAMPLE,)).model
    settings = replace(TRAINING, distillation=weight)
    found = of_steps(lambda steps: finish(fine_tune(student, Llama(0), task, replace(settings, steps=steps))))
    by_steps = planned(analysis, replace(SCORING, recovery=settings), plan)["recovery"]
    by_tokens = replace(settings, steps=0, tokens=3 * BATCH * LENGTH)
    assert by_steps.macs == planned(analysis, replace(SCORING, recovery=by_tokens), plan)["recovery"].macs
    assert by_steps.macs == found


def test_compute_of_masks_is_that_of_real_ones(analysis: Analysis, plan: Mask, task: Task):
    settings = replace(SCORING, recovery=replace(TRAINING, accumulate=2), choose=Choose.MASKS, mask_steps=3)
    recovery = settings.mask_intent.recovery
    scores = torch.arange(analysis.count).double().numpy()
    found = of_steps(
        lambda steps: finish(
            learn_masks(Llama(0), Llama(0), task, PlanStart.of(analysis, scores), plan, recovery, steps)
        )
    )
    stages = planned(analysis, settings, plan)
    assert list(stages) == ["scores", "learned masks", "cut", "verification", "recovery"]
    assert stages["learned masks"].macs == found


@pytest.mark.parametrize(("criterion", "unneeded"), [("l1", 0), ("taylor", FIRST), ("fisher", FIRST)])
def test_compute_of_scores_is_that_of_real_ones(analysis: Analysis, task: Task, criterion: str, unneeded: int):
    model = Llama(0)
    found = macs(lambda: finish(score(model, analysis, analysis.empty(), criterion, task, choices=SCORING.choices)))
    stage = planned(analysis, replace(SCORING, criterion=criterion), analysis.empty())["scores"]
    assert stage.macs == found + unneeded


def test_memory_is_that_of_weights_gradients_and_states(analysis: Analysis, plan: Mask, task: Task):
    student, teacher = cut(Llama(0), analysis, plan, (EXAMPLE,)).model, Llama(0)
    optimizer = optimizer_of(student, TRAINING)
    loss = task.loss(student, next(iter(task.batches(Split.TRAIN))))
    assert loss is not None
    loss.backward()
    optimizer.step()
    moments = [one for state in optimizer.state.values() for one in state.values() if one.ndim]
    gradients = [one.grad for one in student.parameters() if one.grad is not None]
    trained = sum(one.nbytes for one in (*student.parameters(), *gradients, *moments))
    teaching = sum(one.nbytes for one in teacher.parameters())
    settings = replace(SCORING, recovery=TRAINING)
    assert planned(analysis, settings, plan)["recovery"].held == trained + teaching
    alone = replace(settings, recovery=replace(TRAINING, distillation=0.0))
    assert planned(analysis, alone, plan)["recovery"].held == trained
    divided = replace(settings, recovery=replace(TRAINING, shard=True))
    part = planned(analysis, divided, plan, processes=4)["recovery"].held
    assert part == -(-(trained + teaching) // 16) * 4 + 8 * gathered_parameters(analysis, plan)


def test_rounds_add_up_and_the_teacher_is_tuned_once(analysis: Analysis, plan: Mask):
    settings = replace(SCORING, recovery=replace(TRAINING, teacher=Teacher.AUTO, accumulate=2))
    half = plan & (torch.arange(len(plan)) % 2 == 0).numpy()
    whole, smaller, smallest = (costs(analysis, one).macs for one in (analysis.empty(), half, plan))
    found = planned(analysis, settings, half, plan, processes=2)
    assert found["tuning the teacher"].macs == 1 * 2 * BATCH * 3 * whole  # a third of the steps, without a teacher
    assert found["recovery"].macs == 3 * 2 * BATCH * (3 * smaller + 3 * smallest + 2 * whole)
    assert found["scores"].macs == 2 * BATCH * (3 * whole + 3 * smaller)
    assert found["recovery"].held == planned(analysis, settings, half)["recovery"].held
    assert found["scores"].processes == found["recovery"].processes == 2 and found["cut"].processes == 1


def test_time_follows_from_a_rate_alone():
    stage = Stage(StageName.RECOVERY, 1, 1, 6 * 10**12, 4)
    assert stage.seconds(0.5) == 6 and stage.seconds(0.0) is None
    assert replace(stage, macs=None).seconds(0.5) is None


def test_what_cannot_be_or_is_not_known_is_said(analysis: Analysis, plan: Mask):
    masks = replace(SCORING, recovery=replace(TRAINING, shard=True), choose=Choose.MASKS)
    with pytest.raises(SecateurError, match="whole copies"):
        planned(analysis, masks, plan, processes=2)
    assert "learned masks" in planned(analysis, masks, plan)  # one process has the whole model anyway
    by_tokens = replace(SCORING, recovery=replace(TRAINING, steps=0, tokens=100))
    with pytest.raises(TaskError, match="no tokens"):
        StagePlanner(analysis, BATCH, 0).stages([plan], by_tokens)
    by_epochs = replace(SCORING, recovery=replace(TRAINING, steps=0))
    assert planned(analysis, by_epochs, plan)["recovery"].macs is None
