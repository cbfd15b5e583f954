"""No tensor of another device meets the model's: everything that runs a model does so on a strict stand-in.

The stand-in (`tests/accelerator.py`) raises what CUDA raises, and computes what the CPU does: results are equal.
"""

import copy
import functools
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from secateur.engine.jobs import finish
from secateur.engine.machine.devices import device_for, placed
from secateur.engine.masks.learned_masks import LearnedMasks
from secateur.engine.planning.protocol import PlanStart
from secateur.engine.recovery.mask_training import learn_masks
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.recovery.recover import recover
from secateur.engine.scoring.criteria import CRITERIA, score
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.accelerator import Keeper, MixedDevicesError, accelerator
from tests.engine.builders import tiny_net
from tests.engine.nets import Tied, Transformer, image
from tests.engine.scoring.given_task import GivenTask
from tests.engine.toy_task import ToyTask


@pytest.fixture
def strict() -> Generator[Keeper]:
    with accelerator() as keeper:
        yield keeper


class Careless(nn.Module):
    """Adds a tensor that it makes without a device."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + torch.ones(3)


def test_the_stand_in_raises_where_devices_mix_and_only_there(strict: Keeper):
    here = torch.arange(6.0).reshape(2, 3)
    there = here.to("cuda:0")
    assert (there.device.type, there.is_cpu, here.device.type) == ("cuda", False, "cpu")
    assert (there[:, 1:] * 2).sum(0).device.type == "cuda" and torch.zeros(2, device=there.device).is_cuda
    for mixed in (
        lambda: there + here,
        lambda: here @ there.T,
        lambda: there[:, [0]].index_copy_(1, torch.zeros(1, dtype=torch.int64), there[:, :1]),
        lambda: nn.functional.linear(there, torch.ones(2, 3)),
        lambda: there.index_select(0, torch.zeros(1, dtype=torch.int64)),
        lambda: here[there[:, 0] > 1],
        lambda: torch.cat([there, here]),
    ):
        with pytest.raises(MixedDevicesError):
            mixed()
    assert torch.equal((there + torch.tensor(1.0)).cpu(), here + 1)
    assert torch.equal(there[torch.tensor([1])].cpu(), here[1:])
    assert torch.equal(torch.zeros(2, 3).copy_(there), here)
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu"):
        there.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(2, device="cuda:0", generator=torch.Generator())


def test_gradients_follow_a_model_there_and_back(strict: Keeper):
    layer, given = nn.Linear(3, 2), torch.randn(4, 3, requires_grad=True)
    weight = layer.weight
    expected = torch.autograd.grad(layer(given).square().sum(), [weight, given])
    with placed("cuda:0", layer):
        assert layer.weight is weight and weight.device.type == "cuda"
        loss = layer(given).square().sum()
        assert loss.device.type == "cpu"
        found = torch.autograd.grad(loss, [weight, given])
        assert (found[0].device.type, found[1].device.type) == ("cuda", "cpu")
    assert all(torch.equal(one.cpu(), other) for one, other in zip(found, expected, strict=True))
    assert weight.device.type == "cpu"
    with pytest.raises(MixedDevicesError), placed("cuda:0", careless := Careless()):
        careless(torch.ones(3))
    assert careless.layer.weight.device.type == "cpu"


def _normed() -> nn.Module:
    net = tiny_net()
    for module in list(net.modules()):
        if isinstance(module, nn.Linear):
            weight_norm(module)
            return net
    return net


def _text() -> GivenTask:
    return GivenTask(torch.randint(0, 11, (8, 9), generator=torch.Generator().manual_seed(1)), 3)


SUBJECTS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "convolutions": (tiny_net, lambda: ToyTask(8, 4)),
    "attention": (Transformer, lambda: GivenTask(image(batch=6)[0], 6)),
    "tied": (Tied, _text),
    "weight norm": (_normed, lambda: ToyTask(8, 4)),
}


@functools.cache
def _subject(name: str) -> tuple[nn.Module, Analysis]:
    torch.manual_seed(0)
    make, task = SUBJECTS[name]
    model = make().eval()
    return model, analyse(model, task().example_inputs(), name)


@functools.cache
def _scores_on_cpu(subject: str, criterion: str) -> Any:
    return _scores(subject, criterion, "cpu")


def _scores(subject: str, criterion: str, device: str) -> Any:
    model, analysis = _subject(subject)
    task, choices = SUBJECTS[subject][1](), Choices(batches=2)
    return finish(score(model, analysis, analysis.empty(), criterion, task, choices=choices, device=device))


MEASURED = [name for name, one in CRITERIA.items() if one.needs_data]
OTHERS = {"attention": "taylor gates wanda block-influence", "tied": "taylor wanda", "weight norm": "fisher obs"}
EACH = [("convolutions", name) for name in MEASURED]
EACH += [(subject, name) for subject, names in OTHERS.items() for name in names.split()]


@pytest.mark.parametrize(("subject", "criterion"), EACH)
def test_scores_there_are_those_of_the_cpu(subject: str, criterion: str):
    here = _scores_on_cpu(subject, criterion)
    with accelerator() as keeper:
        there = _scores(subject, criterion, keeper.name)
    assert keeper.operators > 0 and there.dtype == np.float64
    np.testing.assert_array_equal(there, here)
    assert all(one.device.type == "cpu" for one in _subject(subject)[0].state_dict().values())


@pytest.mark.parametrize("criterion", MEASURED)
def test_scores_without_float64_are_those_of_the_cpu(criterion: str):
    here = _scores_on_cpu("convolutions", criterion)
    with accelerator("mps", double=False) as keeper:
        there = _scores("convolutions", criterion, keeper.name)
    assert (keeper.operators > 0) != CRITERIA[criterion].watches, "what is watched runs on the CPU"
    np.testing.assert_array_equal(there, here)


RECOVERIES: dict[str, dict[str, Any]] = {
    "least squares": {"epochs": 0, "repair": Repair.LEAST_SQUARES},
    "bias": {"epochs": 0, "repair": Repair.BIAS},
    "features": {
        "epochs": 1,
        "repair": Repair.NONE,
        "features": 0.5,
        "distillation": 1.0,
        "mirror": True,
        "accumulate": 2,
        "clip": 1.0,
    },
    "distilled": {"epochs": 1, "repair": Repair.NONE, "distillation": 0.5},
}


@functools.cache
def _cut_net() -> tuple[nn.Module, nn.Module, Any]:
    """A network, the same without the first structure of each set, and what that kept."""
    torch.manual_seed(0)
    model, given = tiny_net().eval(), ToyTask(24, 8).example_inputs()
    analysis = analyse(model, given, "net")
    plan = analysis.empty()
    for one in analysis.sets:
        if one.kind is not Kind.BLOCK:
            plan[one.first] = True
    return model, cut(model, analysis, plan, given).model, analysis.kept_indices(plan)


def _recovered(device: str, how: str) -> tuple[dict[str, np.ndarray], Any]:
    """(weights of a recovery on a device, the recovery)."""
    model, smaller, kept = _cut_net()
    torch.manual_seed(0)
    settings = RecoverySettings(threads=1, **RECOVERIES[how])
    given = copy.deepcopy(smaller), copy.deepcopy(model), ToyTask(24, 8), settings
    done = finish(recover(*given, kept=kept, device=device))
    return {name: one.numpy() for name, one in done.state_dict.items()}, done


@functools.cache
def _recovered_on_cpu(how: str) -> dict[str, np.ndarray]:
    return _recovered("cpu", how)[0]


@pytest.mark.parametrize("how", RECOVERIES)
@pytest.mark.parametrize("double", [True, False])
def test_a_recovery_there_is_that_of_the_cpu(how: str, double: bool):
    here = _recovered_on_cpu(how)
    with accelerator("cuda:0" if double else "mps", double=double) as keeper:
        there, done = _recovered(keeper.name, how)
    assert keeper.operators > 0 and done.metric.count == 24
    for name, one in here.items():
        np.testing.assert_array_equal(there[name], one, name)


def test_masks_learn_there_what_they_learn_on_the_cpu():
    def learned(device: str) -> Any:
        torch.manual_seed(0)
        model, task = tiny_net().eval(), ToyTask(32, 16)
        analysis = analyse(model, task.example_inputs(), "net")
        plan, scores = analysis.empty(), np.linspace(0, 1, analysis.count)
        for one in analysis.sets:
            if one.kind is not Kind.BLOCK:
                plan[one.first] = True
        job = learn_masks(
            model, model, task, PlanStart.of(analysis, scores), plan, RecoverySettings(threads=1), 4, device=device
        )
        return finish(job)

    here = learned("cpu")
    with accelerator() as keeper:
        there = learned(keeper.name)
    assert keeper.operators > 0
    np.testing.assert_array_equal(there.removed, here.removed)
    assert all(torch.equal(one, here.state_dict[name]) for name, one in there.state_dict.items())


def test_masks_made_before_their_model_is_lent_are_applied_there(strict: Keeper):
    model, task = tiny_net().eval(), ToyTask(8, 4)
    analysis = analyse(model, task.example_inputs(), "net")
    plan = analysis.empty()
    plan[analysis.sets[0].first] = True
    scores = np.linspace(0, 1, analysis.count)
    masks = LearnedMasks(model, PlanStart.of(analysis, scores), plan, seed=0)
    with placed(strict.name, model), masks.applied(0, 0.0):  # as in a process that follows another one
        assert model(*task.example_inputs()).isfinite().all()
    assert strict.operators > 0


@pytest.mark.usefixtures("few_images")
def test_a_whole_course_there_gives_the_model_of_the_cpu(tmp_path):
    def course(device: str) -> tuple[Any, list[str]]:
        session, said = Session(tmp_path / device.replace(":", "")), list[str]()
        session.use_device(device)

        def done(job: Any) -> Any:
            try:
                while True:
                    said.append(next(job).message.code)
            except StopIteration as stop:
                return stop.value

        done(session.open(ModelSpec("bundled:resnet")))
        scores = done(session.score("s0", "taylor", Choices(batches=2)))
        plan = session.analysis.empty()
        widest = max(session.analysis.sets, key=lambda one: one.count)
        plan[widest.first : widest.first + widest.count // 2] = True
        state = done(session.cut("s0", plan))
        settings = RecoverySettings(epochs=0, threads=1, repair=Repair.NONE)
        recovered = done(session.recover(state.id, settings))
        metric = done(session.evaluate(recovered.id, Split.TEST))
        weights = {name: one.clone() for name, one in session.model(recovered.id).state_dict().items()}
        session.close()
        return (scores, metric.value, recovered.device, weights), said

    here, _ = course("cpu")
    with accelerator() as keeper:
        there, _ = course(keeper.name)
    assert keeper.operators > 0 and (here[2], there[2]) == ("cpu", "cuda:0")
    np.testing.assert_array_equal(there[0], here[0])
    assert there[1] == here[1] and all(torch.equal(one, here[3][name]) for name, one in there[3].items())


def test_what_has_to_run_on_the_cpu_says_so():
    recurrent, double = nn.Sequential(nn.LSTM(3, 3)), nn.Linear(2, 2).double()

    def placed_at(device: str, model: Any, **how: bool) -> tuple[str, list[str]]:
        said, job = list[str](), device_for(device, model, **how)
        try:
            while True:
                said.append(next(job).message.code)
        except StopIteration as stop:
            return stop.value, said

    with accelerator():
        assert placed_at("cuda:0", double) == ("cuda:0", [])
        assert placed_at("cuda:0", recurrent) == ("cuda:0", [])
        assert placed_at("cuda:0", recurrent, scored=True) == ("cpu", ["device.recurrent"])
        huge = nn.Linear(1 << 16, 1 << 16, device="meta")  # twice the memory that the stand-in has
        assert placed_at("cuda:0", huge) == ("cpu", ["device.too_small"])
        assert placed_at("cuda:0", huge, divided=True) == ("cuda:0", [])
    with accelerator("mps", double=False):
        assert placed_at("mps", double) == ("cpu", ["device.double"])
        assert placed_at("mps", nn.Linear(2, 2), watched=True) == ("cpu", ["device.operators"])
        assert placed_at("mps", nn.Linear(2, 2), scored=True) == ("mps", [])
