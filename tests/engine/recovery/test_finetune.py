"""A recovery learns, chooses by the metric, repeats itself, and leaves the models and the process as they were."""

import copy
import math
import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import SecateurError, TaskError
from secateur.engine.jobs import Cancelled, Job, Progress, finish
from secateur.engine.recovery import finetune
from secateur.engine.recovery.batchnorm import adjust_batchnorm, calibrate_batchnorm
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.least_squares import IndependentRepair, Repairs
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings, Repair
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.results import Recovered, RepairResult
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.model_outputs import run_model
from secateur.engine.tasks.protocol import Metric, Split
from tests.engine.tiny_net import TinyNet
from tests.engine.toy_task import ToyTask


def _teacher() -> TinyNet:
    """A small network that has learnt the toy task."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = TinyNet(width=12, hidden=(8, 8), heads=2)
        optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
        for batch in [*ToyTask().batches(Split.TRAIN)] * 8:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(batch[0]), batch[1]).backward()
            optimizer.step()
    for parameter in net.parameters():
        parameter.grad = None
    return net.eval()


TEACHER = _teacher()


def _student() -> TinyNet:
    """The teacher with half of a layer's filters damaged."""
    net = TinyNet(width=12, hidden=(8, 8), heads=2)
    net.load_state_dict(TEACHER.state_dict())
    with torch.no_grad():
        net.layer1[1].conv2.weight[:, ::2] *= -3.0
        net.fc.weight[:, ::2] *= -1.0
    return net.eval()


def _traces(model: nn.Module) -> list[Any]:
    hooks = [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks, *m._backward_hooks)]
    tensors = [v.numpy().tobytes() for v in model.state_dict().values()]
    parameters = [(p.requires_grad, p.grad is None, bool(p._backward_hooks)) for p in model.parameters()]
    return [hooks, [m.training for m in model.modules()], tensors, parameters]


def _process() -> list[Any]:
    hooks = nn.modules.module
    return [
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        list(hooks._global_forward_pre_hooks),
    ]


def _settings(**changes: Any) -> RecoverySettings:
    given: dict[str, Any] = {"epochs": 2, "learning_rate": 5e-3, "threads": 1, **changes}
    return RecoverySettings(**given)


def _choose(net: nn.Module, state: dict[str, Tensor]) -> float:
    net.load_state_dict(state)
    return _value(net)


def _value(net: nn.Module) -> float:
    return finish(ToyTask().evaluate(net.eval(), Split.VAL, threading.Event())).value


def test_recovery_brings_back_what_the_cut_cost() -> None:
    before = _choose(_student(), _student().state_dict())
    result = finish(fine_tune(_student(), TEACHER, ToyTask(), _settings(epochs=4)))
    assert before < 0.6 < 0.85 < result.metric.value
    assert result.metric.split is Split.VAL and result.steps == 4 * 8


def test_the_metric_is_that_of_the_weights_given_back() -> None:
    result = finish(fine_tune(_student(), TEACHER, ToyTask(), _settings()))
    assert _choose(_student(), result.state_dict) == result.metric.value


def test_the_same_seed_and_threads_give_the_same_weights() -> None:
    def weights(seed: int) -> list[bytes]:
        state = finish(fine_tune(_student(), TEACHER, ToyTask(), _settings(seed=seed))).state_dict
        return [v.numpy().tobytes() for v in state.values()]

    torch.rand(7)  # whatever came before does not matter
    assert weights(3) == weights(3) != weights(4)


def test_nothing_worse_than_the_input_is_given_back() -> None:
    result = finish(
        fine_tune(TEACHER, TEACHER, ToyTask(loss_of=lambda x, _: -x.sum() * 9), _settings(distillation=0.0))
    )
    before = _choose(_student(), TEACHER.state_dict())
    assert result.metric.value >= before > 0.9 and result.best_epoch == 0


@pytest.mark.parametrize("same", [False, True])
def test_models_and_process_are_left_as_found(same: bool) -> None:
    teacher = _student().train()
    student = teacher if same else _student()
    student.layer1.train()
    teacher.fc.weight.requires_grad_(False)
    before = [_traces(student), _traces(teacher), _process()]
    finish(fine_tune(student, teacher, ToyTask(), _settings()))
    assert [_traces(student), _traces(teacher), _process()] == before


def test_what_the_user_froze_is_not_trained() -> None:
    student = _student()
    student.conv1.weight.requires_grad_(False)
    result = finish(fine_tune(student, TEACHER, ToyTask(), _settings(epochs=1)))
    assert torch.equal(result.state_dict["conv1.weight"], student.conv1.weight)
    assert not torch.equal(result.state_dict["fc.weight"], student.fc.weight)


def test_a_cancel_stops_before_the_next_batch_and_leaves_nothing() -> None:
    student, teacher, task, token = _student(), _student(), ToyTask(), threading.Event()
    before = [_traces(student), _traces(teacher), _process()]
    job = fine_tune(student, teacher, task, _settings(epochs=50), token=token)
    _until_training(job)
    served = task.served
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    assert task.served <= served + 1
    assert [_traces(student), _traces(teacher), _process()] == before


def test_a_cancel_stops_inside_a_batch() -> None:
    token = threading.Event()

    class Slow(nn.Module):
        passed = 0

        def forward(self, x: Tensor) -> Tensor:
            Slow.passed += 1
            if torch.is_grad_enabled() and len(x) > 2:  # no trial of the layout
                token.set()  # as a person would, in the middle of a long forward
            return x

    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), Slow(), Slow(), Slow())
    job = fine_tune(student, TEACHER, ToyTask(), _settings(), token=token)
    with pytest.raises(Cancelled):
        finish(job)
    assert Slow.passed % 3 == 1


def test_an_abandoned_recovery_leaves_nothing() -> None:
    student, teacher = _student(), _student().train()
    before = [_traces(student), _traces(teacher), _process()]
    job = fine_tune(student, teacher, ToyTask(), _settings())
    _until_training(job)
    job.close()
    assert [_traces(student), _traces(teacher), _process()] == before


def test_curves_show_losses_and_the_metric_after_each_epoch() -> None:
    seen: list[Progress] = []
    finish(fine_tune(_student(), TEACHER, ToyTask(), _settings(epochs=3)), seen.append)
    losses = [p.values for p in seen if "loss" in p.values]
    metrics = [p.values["step"] for p in seen if "metric" in p.values]
    assert metrics == [0, 0, 8, 16, 24]  # as given, with new statistics, then each epoch
    assert losses[-1]["loss"] < losses[0]["loss"] and losses[-1]["step"] <= 24


def test_without_a_loss_the_teacher_alone_teaches() -> None:
    result = finish(fine_tune(_student(), TEACHER, ToyTask(loss_of=None), _settings(epochs=4)))
    assert result.metric.value > 0.85


def test_without_a_teacher_weight_the_task_alone_teaches() -> None:
    deaf = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))  # another number of classes: it cannot be compared with
    result = finish(fine_tune(_student(), deaf, ToyTask(), _settings(epochs=4, distillation=0.0)))
    assert result.metric.value > 0.85


def test_a_loss_that_is_no_number_is_told_with_what_to_do() -> None:
    student, before = _student(), _process()
    nan = ToyTask(loss_of=lambda x, _: x.sum() * float("nan"))
    with pytest.raises(SecateurError, match=r"the loss is nan at step 0\. Try a learning rate below"):
        finish(fine_tune(student, TEACHER, nan, _settings()))
    assert _process() == before


def test_the_best_until_a_loss_became_no_number_is_kept() -> None:
    seen: list[int] = []  # the first two are a trial of the layout

    def lost_late(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(len(seen))
        return nn.functional.cross_entropy(outputs, targets) * (float("nan") if len(seen) > 22 else 1.0)

    student, before = _student(), _process()
    result = finish(fine_tune(student, TEACHER, ToyTask(loss_of=lost_late), _settings(epochs=4)))
    assert _process() == before
    assert result.stopped is not None and "loss is nan at step 20. Try a learning rate" in str(result.stopped)
    assert f"ended in epoch 3. The best weights, from epoch {result.best_epoch}, are kept" in str(result.stopped)
    assert result.best_epoch in (1, 2) and result.steps == 20
    assert _choose(_student(), result.state_dict) == result.metric.value > 0.8
    assert all(bool(value.isfinite().all()) for value in result.state_dict.values())


def test_the_best_until_the_answers_became_no_numbers_is_kept() -> None:
    class Lost(ToyTask):
        looks = 0

        def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
            self.looks += 1
            if self.looks == 4:  # as given, with new statistics, after epoch 1, after epoch 2
                raise TaskError("task.not_finite", "The model's outputs contain NaN or infinity.")
            return (yield from super().evaluate(predict, split, token))

    result = finish(fine_tune(_student(), TEACHER, Lost(), _settings(epochs=4)))
    assert result.best_epoch == 1 and "NaN or infinity. Training ended in epoch 2" in str(result.stopped)


def test_what_a_repair_gained_is_kept_where_no_epoch_was_better() -> None:
    class Told(ToyTask):
        values = iter((0.3, 0.8, 0.7))  # as given, with new statistics, after epoch 1

        def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
            metric = yield from super().evaluate(predict, split, token)
            value = next(self.values, None)
            if value is None:
                raise TaskError("task.not_finite", "The model's outputs contain NaN or infinity.")
            return replace(metric, value=value)

    result = finish(fine_tune(_student(), TEACHER, Told(), _settings(epochs=4)))
    assert result.best_epoch == 0 and result.metric.value == 0.8
    assert "ended in epoch 2. The repaired model from before training was best and is kept" in str(result.stopped)


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("better", ["independent", "sequential", "neither"])
def test_of_two_repairs_the_better_is_kept_and_trained(
    better: str, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = {name: one for name, one in TEACHER.named_parameters() if name in ("layer1.1.conv2.weight", "fc.weight")}
    worse = {name: -one for name, one in mended.items()}

    def reconstruct(student: nn.Module, *_args: Any, **_options: Any) -> Job[Repairs]:
        """A sequential repair in place, an independent one beside it."""
        yield Progress("Repairing")
        with torch.no_grad():
            for name, one in (mended if better == "sequential" else worse).items():
                student.get_parameter(name).copy_(one)
        independent = IndependentRepair(RepairResult((*mended, "more")), mended if better == "independent" else worse)
        return Repairs(RepairResult(tuple(mended)), independent)

    monkeypatch.setattr("secateur.engine.recovery.finetune.reconstruct", reconstruct)
    student, told = _student(), list[Progress]()
    if better == "neither":
        student.load_state_dict(TEACHER.state_dict())
    settings = _settings(epochs=epochs, learning_rate=1e-9, repair=Repair.LEAST_SQUARES)
    done = finish(fine_tune(student, TEACHER, ToyTask(), settings), told.append)
    assert all(torch.allclose(done.state_dict[name], one, atol=1e-5) for name, one in mended.items())
    assert (done.repair.independent, done.repair.used) == (better == "independent", better != "neither")
    assert len(done.repair.repaired) == (3 if better == "independent" else 2)
    codes = [one.code for one in done.messages]
    more = {"independent": ["repair.independent"], "neither": ["repair.unused"]}
    assert codes == ["repair.done", *more.get(better, [])]
    shares = [one.share for one in told if math.isfinite(one.share)]
    assert shares == sorted(shares) and shares[-1] <= 1


@pytest.mark.parametrize("unlike", [False, True])
def test_statistics_are_adjusted_or_measured_again_whichever_is_better(unlike: bool) -> None:
    task, teacher = ToyTask(), TEACHER
    if unlike:  # samples of one class: what is measured on them spoils the model
        images, labels = task._splits[Split.TRAIN]
        task._splits[Split.TRAIN] = images[labels == 0] * 2, labels[labels == 0]
    else:  # an original whose statistics are of other data
        teacher = copy.deepcopy(TEACHER)
        teacher.layer1[1].bn1.running_mean.add_(3.0)
    analysis = analyse(teacher, task.example_inputs())
    removed = analysis.empty()
    for one in analysis.sets:
        if one.kind is Kind.FILTER:
            removed[one.first] = True
    student, kept = cut(teacher, analysis, removed, task.example_inputs()).model.eval(), analysis.kept_indices(removed)
    settings = _settings(epochs=0, repair=Repair.BIAS)
    done = finish(fine_tune(student, teacher, task, settings, reference=(teacher, kept)))
    values = list[float]()
    for job in (adjust_batchnorm(student, teacher, kept, task), calibrate_batchnorm(student, task)):
        finish(job)
        values.append(_value(student))
    assert (values[0] > values[1] + 0.2) == unlike, values
    assert (values[1] > values[0] + 0.2) != unlike, values
    name = "layer1.1.bn1.running_mean"
    assert done.state_dict[name].equal(student.get_buffer(name)) != unlike
    assert done.metric.value >= max(values) - 0.05


def test_a_model_or_loss_that_raises_is_told_in_a_sentence() -> None:
    def raises(outputs: Tensor, targets: Tensor) -> Tensor:
        raise IndexError("Target 7 is out of bounds.")

    with pytest.raises(TaskError, match="Target 7 is out of bounds") as caught:
        finish(fine_tune(_student(), TEACHER, ToyTask(loss_of=raises), _settings()))
    assert "Traceback" in caught.value.details


@pytest.mark.parametrize(
    "wrong", [{"epochs": -1}, {"learning_rate": -0.001}, {"temperature": -1.0}, {"distillation": 1.5}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SecateurError, match="must be"):
        finish(recover(_student(), TEACHER, ToyTask(), _settings(**wrong)))


def test_no_epochs_only_measure_the_statistics_again() -> None:
    student = _student()
    result = finish(fine_tune(student, TEACHER, ToyTask(), _settings(epochs=0)))
    assert result.steps == 0 and torch.equal(result.state_dict["fc.weight"], student.fc.weight)


def test_a_model_that_cannot_be_copied_gets_its_weights_back() -> None:
    class Uncopied(TinyNet):
        def __deepcopy__(self, memo: dict[int, Any]) -> "Uncopied":
            raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")

    student = Uncopied(width=12, hidden=(8, 8), heads=2)
    student.load_state_dict(_student().state_dict())
    before = _traces(student)
    result = finish(fine_tune(student, TEACHER, ToyTask(), _settings(epochs=1)))
    assert _traces(student) == before
    assert not torch.equal(result.state_dict["fc.weight"], student.fc.weight)


def test_a_task_that_does_not_know_its_length_is_counted() -> None:
    class Unknown(ToyTask):
        def batch_count(self, split: Split) -> int:
            return 0

    seen: list[Progress] = []
    result = finish(fine_tune(_student(), TEACHER, Unknown(), _settings()), seen.append)
    assert result.steps == 16 and max(p.total for p in seen) == 16


def test_a_metric_for_which_lower_is_better_chooses_the_lowest() -> None:
    class Error(ToyTask):
        def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
            right = yield from super().evaluate(predict, split, token)
            return Metric("error", 1 - right.value, right.count, 0.0, split, higher_is_better=False)

    result: Recovered = finish(fine_tune(_student(), TEACHER, Error(), _settings(epochs=4)))
    assert result.metric.value < 0.15


def _until_training(job: Any) -> None:
    while "loss" not in next(job).values:
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": Optimizer.SGD, "learning_rate": 5e-2},
        {"optimizer": Optimizer.ADAM},
        {"half": True},
        {"features": 0.5},
        {"warm_up": 0.0},
        {"warm_up": 1.0},
    ],
)
def test_every_way_of_training_learns(changes: dict[str, Any]) -> None:
    result = finish(fine_tune(_student(), TEACHER, ToyTask(), _settings(epochs=4, **changes)))
    assert result.metric.value > 0.8
    assert all(v.dtype == TEACHER.state_dict()[name].dtype for name, v in result.state_dict.items())


class _Table(nn.Module):
    """A network that makes a table in its first forward, as caches of positions do, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.scale: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = torch.linspace(0.5, 1.5, 3)
        return self.linear(x.flatten(1)) * self.scale


def test_a_table_that_was_made_while_judging_can_be_trained_with() -> None:
    model = _Table().eval()
    run_model(model, ToyTask().example_inputs())
    model(*ToyTask().example_inputs()).sum().backward()
    assert model.linear.weight.grad is not None


def test_outputs_of_inputs_that_the_loss_has_changed_are_not_held_against_the_teachers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Flipping(ToyTask):
        def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
            return 0.0 * nn.functional.cross_entropy(model(batch[0].flip(-1)), batch[1])

    class Still(ToyTask):
        def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
            return 0.0 * nn.functional.cross_entropy(model(batch[0]), batch[1])

    monkeypatch.setattr(finetune, "SPOKEN", 1)  # the loss of each step, and no mean of several
    settings, losses = RecoverySettings(epochs=1, threads=1, distillation=0.5, learning_rate=1e-9), []
    for task in (Still(64), Flipping(64)):
        given = fine_tune(_student(), TEACHER, task, settings)
        losses.append([progress.values["loss"] for progress in given if "loss" in progress.values])
    assert len(losses[0]) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_gpu_without_memory_is_not_the_fault_of_the_users_loss() -> None:
    class Full(ToyTask):
        def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(SecateurError, match="not enough memory for a single sample"):
        finish(fine_tune(TEACHER, TEACHER, Full(64), RecoverySettings(epochs=1, threads=1)))


@pytest.mark.parametrize("momentum", [0.0, None, 0.1])
def test_statistics_that_training_does_not_keep_are_measured_after_it(momentum: float | None) -> None:
    """With a momentum of 0 the statistics stay those of before, and the trained weights do not fit them."""
    student = _student()
    for norm in (one for one in student.modules() if isinstance(one, nn.BatchNorm2d)):
        norm.momentum = momentum
        norm.running_mean.add_(1.0)
    settings = _settings(epochs=4, repair=Repair.NONE)
    result = finish(fine_tune(student, TEACHER, ToyTask(), settings))
    said = [one.code for one in result.messages if one.code.startswith("recovery.norms")]
    if momentum == 0.1:
        assert said == []
        return
    assert len(said) == 1
    assert all(one.momentum == momentum for one in student.modules() if isinstance(one, nn.BatchNorm2d))
    if said == ["recovery.norms_measured"]:
        before = student.state_dict()
        changed = [
            name for name in before if "running_mean" in name and not torch.equal(before[name], result.state_dict[name])
        ]
        assert len(changed) == 5
    assert (said == ["recovery.norms_measured"]) or momentum is None
