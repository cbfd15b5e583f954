"""Where a layer makes its weight of parameters, the weight that runs is rated, as in the model with plain weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, weight_norm
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrizations import weight_norm as parametrised_norm
from torch.nn.utils.parametrize import register_parametrization

from secateur.engine.errors import TaskError
from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.score_options import Choices, Slices
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from tests.engine.norm_nets import Standardised
from tests.engine.scoring.given_task import GivenTask

TASK = GivenTask(torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(2)), 3, batch=4)
RATING = ["l1", "l2", "lamp", "geometric-median", "taylor", "gates", "fisher", "wanda", "fluctuation"]


def _pruned(layer: nn.Module) -> nn.Module:
    return prune.random_unstructured(layer, "weight", 0.4)


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


MAKERS: dict[str, Callable[[int, int], nn.Module]] = {
    "weight norm": lambda i, o: parametrised_norm(_conv(i, o)),
    "old weight norm": lambda i, o: weight_norm(_conv(i, o)),
    "spectral norm": lambda i, o: spectral_norm(_conv(i, o)),
    "pruned": lambda i, o: _pruned(_conv(i, o)),
    "standardised": lambda i, o: Standardised(i, o, 3),
    "transposed": lambda i, o: parametrised_norm(nn.ConvTranspose2d(i, o, 3, padding=1)),
}


def _net(layer: Callable[[int, int], nn.Module]) -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer(3, 6), nn.ReLU(), layer(6, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


def _plain(net: Any) -> Any:
    """The same function of plain layers, by their response to impulses: [C, 3, 3] images with a single one."""
    plain = _net(_conv)
    plain[6].load_state_dict(net[6].state_dict())
    for place in (0, 2):
        layer, other = net[place], plain[place]
        with torch.no_grad():
            bias = layer(torch.zeros(1, other.in_channels, 3, 3))[:, :, 1:2, 1:2]
            impulses = torch.eye(other.in_channels * 9).view(-1, other.in_channels, 3, 3)
            middle = (layer(impulses) - bias)[:, :, 1, 1]  # [in 3 3, out]
            other.weight.copy_(middle.T.view(other.weight.shape))
            other.bias.copy_(bias.flatten())
    assert torch.allclose(net(TASK.given[0][0]), plain(TASK.given[0][0]), atol=1e-5)
    return plain


def _filters(net: nn.Module, criterion: str, slices: Slices | None = None) -> list[Any]:
    """Scores of the filters of both layers; the set of a layer is told by its bias."""
    analysis = analyse(net, TASK.example_inputs())
    scores = finish(score(net, analysis, analysis.empty(), criterion, TASK, choices=Choices(slices=slices)))
    names = [{analysis.tensors[t].name for t, _ in one.touches} for one in analysis.sets]
    places = [next(n for n, one in enumerate(names) if bias in one) for bias in ("0.bias", "2.bias")]
    return [scores[analysis.sets[n].structures] for n in places]


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("criterion", RATING)
@pytest.mark.parametrize("maker", list(MAKERS))
def test_filters_are_rated_as_those_of_plain_layers(maker: str, criterion: str) -> None:
    net = _net(MAKERS[maker])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for found, expected in zip(_filters(net, criterion), _filters(_plain(net), criterion), strict=True):
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("maker", ["weight norm", "old weight norm"])
@pytest.mark.parametrize("slices", list(Slices))
def test_lengths_beside_directions_are_no_weights(maker: str, slices: Slices) -> None:
    net = _net(MAKERS[maker])
    for found, expected in zip(_filters(net, "l1", slices), _filters(_plain(net), "l1", slices), strict=True):
        assert np.allclose(found, expected, rtol=1e-3)


def test_what_leaves_the_output_as_it_is_leaves_scores_as_they_are() -> None:
    net = _net(MAKERS["weight norm"])
    before = {criterion: _filters(net, criterion) for criterion in RATING}
    with torch.no_grad():
        net[0].parametrizations.weight.original1[0] *= 100
    for criterion, scores in before.items():
        assert all(np.allclose(*pair, rtol=1e-3) for pair in zip(_filters(net, criterion), scores, strict=True))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("maker", list(MAKERS))
def test_a_cut_model_is_rated_by_the_weights_that_run_in_it(maker: str) -> None:
    net = _net(MAKERS[maker])
    analysis = analyse(net, TASK.example_inputs())
    first = next(one for one in analysis.sets if one.count == 6)
    removed = analysis.empty()
    removed[first.first + 1 : first.first + 3] = True
    small: Any = cut(net, analysis, removed, TASK.example_inputs()).model
    gate, squares = torch.ones(4, requires_grad=True), torch.zeros(4)
    for images, labels in TASK.given:
        loss = nn.functional.cross_entropy(small[1:](small[0](images) * gate[:, None, None]), labels)
        squares += torch.autograd.grad(loss, gate)[0].square()
    scores = finish(score(small, analysis, removed, "taylor", TASK))[first.structures]
    assert np.isnan(scores[1:3]).all()
    assert np.allclose(scores[[0, 3, 4, 5]], (squares / len(TASK.given)).sqrt(), rtol=1e-3)


def test_a_layer_that_runs_twice_counts_both_times() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Linear(5, 6), parametrised_norm(nn.Linear(6, 6))
            self.last = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(self.again(self.again(x).relu()).relu() + x)

    torch.manual_seed(0)
    net, task = Twice().eval(), GivenTask(torch.randn(8, 5), 3, batch=8)
    analysis = analyse(net, task.example_inputs())
    gate = torch.ones(6, requires_grad=True)
    x = net.first(task.given[0][0])
    y = net.again(net.again(x * gate).relu() * gate).relu() + x
    loss = nn.functional.cross_entropy(net.last(y * gate), task.given[0][1])
    expected = torch.autograd.grad(loss, gate)[0].abs()
    (width,) = analysis.sets
    scores = finish(score(net, analysis, analysis.empty(), "taylor", task))
    assert np.allclose(scores[width.structures], expected, rtol=1e-4)


def test_a_factor_that_cannot_be_followed_is_said_to_be_none() -> None:
    class Twofold(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight * 2

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 5))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight.T

    net = nn.Sequential(Own(), nn.ReLU(), nn.Linear(6, 3)).eval()
    register_parametrization(net[0], "weight", Twofold())
    task = GivenTask(torch.randn(8, 5), 3)
    analysis = analyse(net, task.example_inputs())
    assert analysis.count == 6
    with pytest.raises(TaskError, match=r"0\.weight is computed from other parameters"):
        finish(score(net, analysis, analysis.empty(), "l1", task))
    assert np.isfinite(finish(score(net, analysis, analysis.empty(), "ablation", task))).all()
