"""Unstructured magnitude pruning: the smallest weights of the whole model are zero, and stay it through training."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.baselines.magnitude import bake, make, set_zeros
from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.structures.costs import costs
from tests.engine.baselines.standing import half

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
    standing = half(epochs=1)
    at_once = deepcopy(standing.original)
    whole = sum(p.numel() for p in at_once.parameters())
    set_zeros(at_once, whole - standing.parameters)
    bake(at_once)
    made = finish(make(standing, BaselineSpec(BaselineKind.MAGNITUDE), NEVER))
    trained = 0
    for name, weight in at_once.named_parameters():
        its = made.model.get_parameter(name)
        trained += not torch.equal(weight, its)
        assert not its[(weight == 0) & (weight.ndim >= 2)].any(), name
    assert trained
    assert made.parameters == pytest.approx(standing.parameters, abs=8)  # a bias may be zero by itself
    assert made.macs == costs(standing.analysis).macs  # none is saved


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
