"""Unstructured magnitude pruning: the smallest weights of the whole model are zero, and stay it through training."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.weight_norm import weight_norm as old_weight_norm

from secateur.engine.baselines.magnitude import bake, make, set_zeros
from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import rebuild
from tests.engine.baselines.compared_state import half

NEVER = NeverCancelled()


def test_the_smallest_weights_of_the_whole_model_go() -> None:
    model: Any = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    with torch.no_grad():
        model[2].weight.mul_(10)  # a share of each layer would spare the first
    before = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()]).detach()
    set_zeros(model, 40)
    bake(model)
    after = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()]).detach()
    threshold = before.abs().sort().values[39]
    assert torch.equal(after, torch.where(before.abs() > threshold, before, 0))
    assert type(model[0]) is nn.Linear and set(model.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_zeros_stay_zeros_through_the_recovery_and_count_as_many_as_the_state_has_less() -> None:
    compared = half(epochs=1)
    at_once = deepcopy(compared.original)
    whole = sum(p.numel() for p in at_once.parameters())
    set_zeros(at_once, whole - compared.parameters)
    bake(at_once)
    made = finish(make(compared, BaselineSpec(BaselineKind.MAGNITUDE), NEVER))
    trained = 0
    for name, weight in at_once.named_parameters():
        its = made.model.get_parameter(name)
        trained += not torch.equal(weight, its)
        assert not its[(weight == 0) & (weight.ndim >= 2)].any(), name
    assert trained
    assert made.parameters == pytest.approx(compared.parameters, abs=8)  # a bias may be zero by itself
    assert made.macs == costs(compared.analysis).macs  # none is saved


def test_beside_a_state_that_was_only_repaired_it_is_only_repaired() -> None:
    made = finish(make(half(epochs=0), BaselineSpec(BaselineKind.MAGNITUDE), NEVER))
    assert made.epochs == 0


def test_tied_weights_stay_tied_and_count_once() -> None:
    model: Any = nn.ModuleDict({"embed": nn.Embedding(20, 8), "out": nn.Linear(8, 20, bias=False)})
    model["out"].weight = model["embed"].weight
    set_zeros(model, 100)
    bake(model)
    assert model["out"].weight is model["embed"].weight
    assert int((model["embed"].weight == 0).sum()) == 100


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, old_weight_norm])
def test_a_weight_norm_of_the_users_own_stays_and_its_norms_are_no_places_of_zeros(norm: Any) -> None:
    model: Any = nn.Sequential(norm(nn.Conv2d(1, 8, 3)), nn.Flatten(), nn.Linear(8, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    norms = [name for name in before if name.endswith(("original0", "weight_g"))]
    with torch.no_grad():
        model.get_parameter(norms[0]).mul_(1e-6)  # smaller than any weight
    set_zeros(model, 72)
    bake(model)
    after = model.state_dict()
    assert set(after) == set(before)
    zeros = {name: int((one == 0).sum()) for name, one in after.items()}
    assert sum(zeros.values()) == 72
    assert zeros[norms[0]] == 0
    weight = model(torch.randn(2, 1, 3, 3)).shape, model[0].weight
    assert weight[0] == (2, 3) and int((weight[1] == 0).sum()) == 72 - zeros["2.weight"] > 0


def test_a_model_with_a_weight_norm_is_built_again_from_what_is_kept() -> None:
    def make_normed() -> Any:
        return nn.Sequential(
            parametrizations.weight_norm(nn.Conv2d(1, 12, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(432, 3)
        )

    compared = half(epochs=1)
    net, analysis = make_normed(), analyse(make_normed(), compared.inputs)
    costing = {"parameters": costs(analysis).parameters - 600, "rounds": ()}
    given = replace(compared, original=net, analysis=analysis, factory=make_normed, **costing)
    made = finish(make(given, BaselineSpec(BaselineKind.MAGNITUDE, epochs=1), NEVER))
    assert made.parameters == pytest.approx(given.parameters, abs=8)
    again = rebuild(make_normed, analysis, analysis.empty(), made.edits, made.model.state_dict())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(again.eval()(x), made.model.eval()(x))


def test_more_zeros_than_weights_are_refused() -> None:
    with pytest.raises(SecateurError) as refused:
        set_zeros(nn.Linear(3, 2), 7)
    assert refused.value.message.code == "baselines.too_few_weights"


def test_recurrent_layers_stay_whole_because_no_zero_would_hold() -> None:
    model: Any = nn.ModuleDict({"lstm": nn.LSTM(4, 4), "out": nn.Linear(4, 8)})
    with torch.no_grad():
        model["out"].weight.add_(10.0)  # the smallest weights are the others
    set_zeros(model, 20)
    bake(model)
    assert int((model["out"].weight == 0).sum()) == 20
    assert all(bool((one != 0).all()) for one in model["lstm"].parameters())
