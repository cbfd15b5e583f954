"""Learned masks find what is of use against the scores that they start from, and go on where they were stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.distributed import Group, Place
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish, spanning
from secateur.engine.machine.devices import CPU
from secateur.engine.masks.learned_gates import LearnedGates
from secateur.engine.planning.protocol import PlanStart
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.mask_training import MaskResult, learn_masks
from secateur.engine.recovery.protocol import Mixing, RecoverySettings
from secateur.engine.recovery.reference_losses import read_references
from secateur.engine.recovery.training_curve import domains_of
from secateur.engine.recovery.training_trials import RATE_TRIALS
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.engine.recovery.continued_training import Llama, text_task, write_texts
from tests.engine.toy_task import ToyTask

USEFUL, WIDTH, STEPS = 8, 24, 120
SETTINGS = RecoverySettings(learning_rate=1e-4, threads=1)  # slow: neurons that are not read learn to be of use


class Net(nn.Module):
    """A hidden layer of which only the first neurons are read, a BatchNorm whose statistics are trained, a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(64, WIDTH), nn.BatchNorm1d(WIDTH)
        self.drop, self.last = nn.Dropout(0.1), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.norm(self.first(x.flatten(1))).relu()))


@pytest.fixture(scope="module")
def net() -> Net:
    """Trained to tell the images of the toy task apart by its useful neurons."""
    torch.manual_seed(0)
    model, task = Net(), ToyTask()
    with torch.no_grad():
        model.last.weight[:, USEFUL:] = 0
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for epoch in range(5):
        for batch in task.batches(Split.TRAIN, epoch):
            optimizer.zero_grad()
            loss = task.loss(model, batch)
            assert loss is not None
            loss.backward()
            model.last.weight.grad[:, USEFUL:] = 0  # pyright: ignore[reportOptionalSubscript]
            optimizer.step()
    return model.eval()


def learned(net: Net, checkpoint: Checkpoint | None = None, stop_at: int = 0, task: Any = None) -> MaskResult | None:
    """Masks for 8 of 24 neurons that start from scores by which the useful ones would go; None if it was stopped."""
    task = task or ToyTask()
    analysis = analyse(net, task.example_inputs())
    scores, plan = np.arange(WIDTH, dtype=np.float64), analysis.empty()
    plan[: WIDTH - USEFUL] = True
    job = learn_masks(
        net, net, task, PlanStart.of(analysis, scores), plan, SETTINGS, STEPS, checkpoint=checkpoint, device=CPU
    )
    if not stop_at:
        return finish(job)
    for progress in job:
        if progress.values.get("step", 0) >= stop_at:
            job.close()
            break
    return None


def test_what_is_of_use_stays_though_the_scores_say_the_opposite(net: Net) -> None:
    before = {name: one.clone() for name, one in net.state_dict().items()}
    result = learned(net)
    assert result is not None
    assert int(result.removed.sum()) == WIDTH - USEFUL
    assert int(result.removed[:USEFUL].sum()) <= 1
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())  # it worked on a copy
    task, small = ToyTask(), Net()
    small.load_state_dict(result.state_dict)
    analysis = analyse(small.eval(), task.example_inputs())
    done = cut(small, analysis, result.removed, task.example_inputs()).model.eval()
    metric = finish(task.evaluate(done, Split.VAL, type("Never", (), {"is_set": lambda _: False})()))
    assert metric.value > 0.95


@pytest.mark.parametrize("stop_at", [11, 108])
@pytest.mark.usefixtures("saved_every_step")
def test_a_run_that_was_stopped_ends_bit_for_bit_as_one_that_was_not(net: Net, tmp_path: Path, stop_at: int) -> None:
    whole, file = learned(net), tmp_path / "masks.pt"
    assert learned(net, Checkpoint(file, "masks"), stop_at) is None and file.exists()
    again = ToyTask()
    resumed = learned(net, Checkpoint(file, "masks"), task=again)
    assert whole is not None and resumed is not None and (whole.removed == resumed.removed).all()
    for name, one in whole.state_dict.items():
        assert torch.equal(one, resumed.state_dict[name]), name


def test_a_few_steps_choose_too_and_settings_that_cannot_be_are_refused(net: Net) -> None:
    task = ToyTask()
    analysis = analyse(net, task.example_inputs())
    plan, scores = analysis.empty(), np.arange(WIDTH, dtype=np.float64)
    plan[:4] = True
    result = finish(learn_masks(net, net, task, PlanStart.of(analysis, scores), plan, SETTINGS, 1))
    assert int(result.removed.sum()) == 4
    with pytest.raises(SecateurError, match="Learning rate"):
        finish(
            learn_masks(net, net, task, PlanStart.of(analysis, scores), plan, RecoverySettings(learning_rate=-1.0), 1)
        )
    divided, two = replace(SETTINGS, shard=True), Group(Place(0, 2))
    with pytest.raises(SecateurError, match="whole copies"):
        finish(learn_masks(net, net, task, PlanStart.of(analysis, scores), plan, divided, 1, group=two))


@pytest.mark.usefixtures("saved_every_step")
def test_domains_are_mixed_within_a_pass_by_references_for_what_the_masks_leave(tmp_path: Path) -> None:
    write_texts(tmp_path)
    task, model = text_task(tmp_path), Llama(0)
    analysis = analyse(model, task.example_inputs())
    plan = analysis.empty()
    neurons = next(one for one in analysis.sets if one.kind is Kind.NEURON)
    plan[neurons.first : neurons.first + 8] = True
    left = costs(analysis, plan).parameters
    references = read_references(f"{left}:digits=2.5,vowels=1 {2 * left}:digits=2.4,vowels=0.9")
    settings = RecoverySettings(
        learning_rate=1e-3, threads=1, mixing=Mixing.DYNAMIC, evaluate_every=5, references=references
    )

    def learned(checkpoint: Checkpoint, stop_at: int = 0) -> tuple[MaskResult | None, list[dict[str, float]]]:
        scores, points = np.arange(analysis.count, dtype=np.float64), list[dict[str, float]]()
        job = learn_masks(
            model, Llama(1), task, PlanStart.of(analysis, scores), plan, settings, 17, checkpoint=checkpoint
        )
        while True:
            try:
                point = next(job).values
            except StopIteration as done:
                return done.value, points
            if domains_of(point):
                points.append(point)
            if stop_at and point.get("step", 0) >= stop_at and "loss" in point:
                job.close()
                return None, points

    whole, points = learned(Checkpoint(None))
    assert [point["step"] for point in points] == [0, 5, 10, 15]  # a pass has 13 batches
    assert all(point["reference/digits"] == pytest.approx(2.5) for point in points)  # at the size that is left
    file = tmp_path / "masks.pt"
    before = learned(Checkpoint(file, "masks"), 7)[1]
    resumed, after = learned(Checkpoint(file, "masks"))
    assert whole is not None and resumed is not None and before + after == points
    assert all(torch.equal(one, resumed.state_dict[name]) for name, one in whole.state_dict.items())


def test_gates_are_told_while_they_are_learned(net: Net) -> None:
    task = ToyTask()
    analysis = analyse(net, task.example_inputs())
    scores, plan = np.arange(WIDTH, dtype=np.float64), analysis.empty()
    plan[: WIDTH - USEFUL] = True
    told: list[LearnedGates] = []
    job = learn_masks(net, net, task, PlanStart.of(analysis, scores), plan, SETTINGS, 40, device=CPU)
    result = finish(job, lambda progress: told.append(progress.so_far) if progress.so_far is not None else None)
    steps = [one.step for one in told]
    assert steps == sorted(steps) and steps[-1] == told[-1].steps == 40 and len(steps) > 4
    assert [one.chosen for one in told] == [one.step > 0.8 * 39 for one in told]
    assert (told[-1].open == ~result.removed).all()
    assert told[0].counts[0].expected > told[-1].counts[0].expected == USEFUL


def test_shares_of_trials_are_none_of_the_steps_that_follow(net: Net) -> None:
    task, settings = ToyTask(), RecoverySettings(threads=1)
    analysis = analyse(net, task.example_inputs())
    scores, plan = np.arange(WIDTH, dtype=np.float64), analysis.empty()
    plan[: WIDTH - USEFUL] = True
    job = learn_masks(net, net, task, PlanStart.of(analysis, scores), plan, settings, 8, device=CPU)
    told = [(one.message.code, one.share) for one in spanning(job, 0.0, 1.0)]
    trials = [share for code, share in told if code == RATE_TRIALS[0]]
    assert trials and not any(trials) and told[-1][1] == 1.0
