"""The same shape from scratch: the factory's own values in another order, nothing of what was learned."""

from typing import Any

import numpy as np
import torch
from torch import nn

from secateur.engine.baselines.from_scratch import make, refresh
from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.recovery.protocol import RecoverySettings
from tests.engine.baselines.compared_state import half

NEVER = NeverCancelled()


def test_it_has_the_states_shape_and_none_of_its_weights() -> None:
    compared = half()
    made = finish(make(compared, BaselineSpec(BaselineKind.SCRATCH, epochs=0), NEVER))
    own, its = compared.model.state_dict(), made.model.state_dict()
    assert {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in its.items()}
    weights = [name for name, parameter in made.model.named_parameters() if parameter.ndim > 1]
    assert weights and not any(torch.equal(own[name], its[name]) for name in weights)
    assert (made.parameters, made.macs, made.epochs) == (compared.parameters, compared.macs, 0)


def test_a_factory_that_hands_out_trained_weights_gives_nothing_learned_away() -> None:
    trained, fresh = nn.Linear(64, 32), nn.Linear(64, 32)
    fresh.load_state_dict(trained.state_dict())
    model = nn.Linear(64, 16)
    refresh(model, fresh, seed=0)
    assert set(model.weight.flatten().tolist()) <= set(trained.weight.flatten().tolist())
    same = np.corrcoef(model.weight.detach().flatten(), trained.weight[:16].detach().flatten())[0, 1]
    assert abs(same) < 0.15


def test_a_model_whose_weights_are_all_frozen_is_trained_and_so_begins_anew() -> None:
    compared = half()
    compared.model.requires_grad_(False)
    made = finish(make(compared, BaselineSpec(BaselineKind.SCRATCH, epochs=0), NEVER))
    own = dict(compared.model.named_parameters())
    weights = [(name, one) for name, one in made.model.named_parameters() if one.ndim > 1]
    assert weights and not any(torch.equal(own[name], one) for name, one in weights)


def test_what_is_frozen_among_others_stays() -> None:
    model, fresh = (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
    model[0].requires_grad_(False)
    before = [one.weight.detach().clone() for one in model if isinstance(one, nn.Linear)]
    refresh(model, fresh, seed=0)
    after = [one.weight for one in model if isinstance(one, nn.Linear)]
    assert [torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [True, False]


def test_the_seed_draws_and_normalisation_begins_anew() -> None:
    norms: list[Any] = [nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)) for _ in range(3)]
    for one in norms:
        nn.init.normal_(one[1].weight)
        one[1].running_mean.fill_(3.0)
    refresh(norms[0], norms[2], seed=0)
    refresh(norms[1], norms[2], seed=1)
    assert not torch.equal(norms[0][0].weight, norms[1][0].weight)
    assert torch.equal(norms[0][1].weight, torch.ones(4)) and torch.equal(norms[0][1].running_mean, torch.zeros(4))


def test_the_training_is_the_states_own_recovery() -> None:
    compared = half(epochs=2)
    made = finish(make(compared, BaselineSpec(BaselineKind.SCRATCH), NEVER))
    assert made.epochs == 2 and "not counted" in str(made.notes[0])


def test_beside_a_state_that_was_only_repaired_it_is_trained_all_the_same() -> None:
    repaired = half(epochs=0)
    assert repaired.recovery(BaselineSpec(BaselineKind.SCRATCH)).epochs == RecoverySettings().epochs > 0
    assert repaired.recovery(BaselineSpec(BaselineKind.SCRATCH, epochs=0)).epochs == 0
