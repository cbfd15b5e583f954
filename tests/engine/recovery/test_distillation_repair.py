"""A repair by distillation learns the original's outputs without labels, in so many steps, and can be resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.jobs import Progress, finish
from secateur.engine.recovery import protocol
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import DISTILLATION_STEPS, RecoverySettings, Repair
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.results import Recovered
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask


class Unlabelled(ToyTask):
    """A task that must not be asked for its loss."""

    def loss(self, model: Any, batch: Any) -> Any:
        raise AssertionError("a label was used")


SETTINGS = RecoverySettings(epochs=0, threads=1, repair=Repair.DISTILLATION)


@pytest.fixture(scope="module")
def models() -> tuple[nn.Module, nn.Module, Any]:
    """(original, cut, what the cut keeps): three of eight channels behind each convolution."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)
    net = nn.Sequential(*layers).eval()
    settings = RecoverySettings(epochs=6, distillation=0.0, learning_rate=0.02, threads=1)
    net.load_state_dict(finish(fine_tune(net, net, ToyTask(), settings)).state_dict)
    analysis = analyse(net, ToyTask().example_inputs())
    mask = analysis.empty()
    for one in analysis.sets:
        mask[one.first : one.first + 5] = True
    return net, cut(net, analysis, mask, ToyTask().example_inputs()).model.eval(), analysis.kept_indices(mask)


def _distance(models: tuple[nn.Module, nn.Module, Any], done: Recovered) -> float:
    net, student, _ = models
    before = {name: one.clone() for name, one in student.state_dict().items()}
    student.load_state_dict(done.state_dict)
    with torch.no_grad():
        (images, _), *_ = ToyTask(batch=256).batches(Split.TEST)
        wanted = net(images).log_softmax(1)
        found = float(nn.functional.kl_div(student(images).log_softmax(1), wanted, log_target=True, reduction="sum"))
    student.load_state_dict(before)
    return found


def test_it_comes_closer_to_the_original_than_least_squares_and_asks_for_no_label(models) -> None:
    net, student, kept = models
    told = list[Progress]()
    done = finish(recover(student, net, Unlabelled(), SETTINGS, kept=kept), told.append)
    alone = RecoverySettings(epochs=0, threads=1, repair=Repair.LEAST_SQUARES)
    plain = finish(recover(student, net, Unlabelled(), alone, kept=kept))
    assert _distance(models, done) < 0.7 * _distance(models, plain)
    assert done.steps == DISTILLATION_STEPS and plain.steps == 0
    assert done.rate is not None and done.rate.steps > 0 and plain.rate is None
    assert done.repair.repaired == plain.repair.repaired and len(done.repair.repaired) == 2
    trained = [one for one in told if one.message.code == "progress.distilling"]
    assert trained[-1].done == trained[-1].total == DISTILLATION_STEPS


@pytest.mark.parametrize("steps", [3, 20])
def test_it_ends_after_its_steps_within_a_pass_or_over_several(models, monkeypatch, tmp_path: Path, steps: int) -> None:
    net, student, kept = models
    monkeypatch.setattr(protocol, "DISTILLATION_STEPS", steps)
    whole = finish(recover(student, net, Unlabelled(), SETTINGS, kept=kept))
    assert whole.steps == steps and whole.epochs == -(-steps // 8)
    job = recover(student, net, Unlabelled(), SETTINGS, kept=kept, checkpoint=Checkpoint(tmp_path / "s1.pt", "k"))
    for progress in job:
        if "loss" in progress.values:
            job.close()
            break
    again = recover(student, net, Unlabelled(), SETTINGS, kept=kept, checkpoint=Checkpoint(tmp_path / "s1.pt", "k"))
    resumed = finish(again)
    assert all(torch.equal(one, resumed.state_dict[name]) for name, one in whole.state_dict.items())


def test_where_training_follows_it_is_least_squares() -> None:
    trained = RecoverySettings(repair=Repair.DISTILLATION)
    assert trained.distilling is None and trained.repairs is Repair.LEAST_SQUARES
    assert SETTINGS.repairs is Repair.LEAST_SQUARES and SETTINGS.distilling is not None
