"""Layers that lost inputs are repaired to what least squares on the original's inputs give, by closed formulas."""

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from secateur.engine.recovery.consumer_layers import columns_of, consumer_layers, drawn_columns
from secateur.engine.recovery.least_squares import RIDGE, reconstruct
from secateur.engine.recovery.protocol import Repair
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask


def _mlp(bias: bool = True) -> Any:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 3, bias=bias)).eval()


def _conv() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, 2, 1, dilation=2), nn.Flatten(), nn.LazyLinear(3)
    ).eval()


def _half(model: nn.Module) -> tuple[Any, Any]:
    """The model with the second half of every set cut, and what it keeps."""
    inputs = ToyTask().example_inputs()
    with torch.no_grad():
        model(*inputs)
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    for one in analysis.sets:
        mask[one.first + one.count // 2 : one.first + one.count] = True
    return cut(model, analysis, mask, inputs).model, analysis.kept_indices(mask)


def _inputs_of(model: Any, place: int) -> Tensor:
    with torch.no_grad():
        return torch.cat([model[:place](images) for images, _ in ToyTask().batches(Split.TRAIN)])


def test_the_bias_takes_the_mean_of_what_is_gone() -> None:
    model = _mlp()
    student, kept = _half(model)
    assert finish(reconstruct(student, model, kept, ToyTask(), Repair.BIAS)) == 1
    mean = _inputs_of(model, 3).mean(0)
    assert torch.allclose(student[3].bias, model[3].bias + model[3].weight[:, 6:] @ mean[6:], atol=1e-5)
    assert torch.equal(student[3].weight, model[3].weight[:, :6])


@pytest.mark.parametrize("bias", [True, False])
def test_least_squares_are_those_of_a_regression_on_the_inputs(bias: bool) -> None:
    model = _mlp(bias)
    student, kept = _half(model)
    assert finish(reconstruct(student, model, kept, ToyTask(), Repair.LEAST_SQUARES)) == 1
    given = _inputs_of(model, 3).double()
    mean = given.mean(0) if bias else torch.zeros(12, dtype=torch.float64)
    centred = given - mean
    size = RIDGE * float(centred[:, :6].square().mean()) * len(given)
    rows = torch.cat([centred[:, :6], size**0.5 * torch.eye(6, dtype=torch.float64)])  # the ridge as further samples
    answers = torch.cat([centred[:, 6:], torch.zeros(6, 6, dtype=torch.float64)])
    foretold = torch.linalg.lstsq(rows, answers).solution.T
    full = model[3].weight.double()
    assert torch.allclose(student[3].weight.double(), full[:, :6] + full[:, 6:] @ foretold, atol=1e-5)


def test_the_answers_come_nearer_to_the_original() -> None:
    model: Any = _conv()
    plain, kept = _half(model)
    student, _ = _half(model)
    assert finish(reconstruct(student, model, kept, ToyTask(), Repair.LEAST_SQUARES)) == 2

    def error(other: nn.Module) -> float:
        return sum(float((model(x) - other(x)).square().sum()) for x, _ in ToyTask().batches(Split.TEST))

    with torch.no_grad():
        assert error(student) < 0.5 * error(plain)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        nn.Conv2d(3, 5, 3, padding="same", padding_mode="reflect"),
        nn.Conv1d(3, 5, 4, stride=2, padding=1),
        nn.Linear(3, 5),
    ],
)
def test_columns_times_weight_is_what_the_layer_gives(layer: Any) -> None:
    given = (
        torch.randn(2, 4, 3) if isinstance(layer, nn.Linear) else torch.randn(2, 3, *([7] * (layer.weight.ndim - 2)))
    )
    found = columns_of(layer, given) @ layer.weight.flatten(1).T + layer.bias
    expected = layer(given)
    expected = expected if isinstance(layer, nn.Linear) else expected.movedim(1, -1)
    assert torch.allclose(found, expected.reshape(-1, 5), atol=1e-5)


def test_a_layer_that_was_trained_since_the_cut_is_left_alone() -> None:
    model = _mlp()
    student, kept = _half(model)
    with torch.no_grad():
        student[3].weight += 0.1 * torch.randn_like(student[3].weight)
    assert [*consumer_layers(student, model, kept)] == []


def test_a_bias_is_repaired_once() -> None:
    model = _mlp()
    student, kept = _half(model)
    for _ in range(2):
        finish(reconstruct(student, model, kept, ToyTask(), Repair.BIAS))
    once, _ = _half(model)
    finish(reconstruct(once, model, kept, ToyTask(), Repair.BIAS))
    assert torch.equal(student[3].bias, once[3].bias)


def test_places_of_pictures_are_drawn_from_everywhere() -> None:
    layer, random = nn.Conv2d(1, 1, 1), torch.Generator().manual_seed(0)
    across = torch.arange(32.0).expand(64, 1, 32, 32)
    found = drawn_columns(layer, across, 2048, random)
    assert len(found) == 2048 and len(found.unique()) == 32
    assert len(drawn_columns(layer, across[:2], 10**6, random)) == 2 * 32 * 32


def test_rows_that_were_multiplied_stay_so() -> None:
    model = _mlp()
    once, kept = _half(model)
    twice, _ = _half(model)
    with torch.no_grad():
        twice[3].weight[1] *= 2
        twice[3].bias[1] *= 2
    for one in (once, twice):
        finish(reconstruct(one, model, kept, ToyTask(), Repair.LEAST_SQUARES))
    assert torch.allclose(twice[3].weight[1], 2 * once[3].weight[1], atol=1e-5)
    assert torch.allclose(twice[3].bias[1], 2 * once[3].bias[1], atol=1e-5)


def test_a_cancel_leaves_both_models_as_they_were() -> None:
    model, token = _mlp().train(), threading.Event()
    student, kept = _half(model)
    before = [value.clone() for value in (*student.state_dict().values(), *model.state_dict().values())]
    job = reconstruct(student, model, kept, ToyTask(), Repair.LEAST_SQUARES, token)
    next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    after = [*student.state_dict().values(), *model.state_dict().values()]
    assert all(map(torch.equal, before, after)) and model.training
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_without_data_nothing_is_repaired() -> None:
    model = _mlp()
    student, kept = _half(model)
    assert finish(reconstruct(student, model, kept, ToyTask(0), Repair.BIAS, NeverCancelled())) == 0
