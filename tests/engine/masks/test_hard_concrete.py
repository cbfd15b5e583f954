"""Hard-concrete gates are open as often as they say, and in each group as many as are asked for."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit

from secateur.engine.errors import SecateurError
from secateur.engine.masks.hard_concrete import FAR, HardConcrete, MaskGroups

SIZES, KEEP = (4, 64, 300), (1, 40, 75)
TEMPERATURE = 0.5


def concrete(seed: int = 0, logits: np.ndarray | None = None) -> HardConcrete:
    """Three groups in reversed order among structures of which the first five are decided."""
    count = sum(SIZES)
    decided = np.zeros(count + 5)
    decided[:3] = 1
    groups = MaskGroups(np.arange(count)[::-1] + 5, np.repeat(np.arange(3), SIZES), np.array(KEEP, np.int64), decided)
    drawn = np.random.default_rng(1).normal(0, 3, count) if logits is None else logits
    return HardConcrete(groups, drawn, seed)


def test_gates_are_open_as_often_as_their_probability_says() -> None:
    gates = concrete(logits=np.linspace(-4, 4, sum(SIZES)))
    draws = torch.stack([gates.draw(step, TEMPERATURE) for step in range(4000)])[:, 5:].flip(1)
    often = (draws > 0).double().mean(0)
    error = 5 * (gates.open(TEMPERATURE) * (1 - gates.open(TEMPERATURE)) / 4000).sqrt() + 1e-3
    assert bool(((often - gates.open(TEMPERATURE)).abs() < error).all())
    assert 0 < float(((draws == 0) | (draws == 1)).double().mean()) < 1  # exactly 0 or 1, but not always
    middle = gates.median(TEMPERATURE)[5:].flip(0)
    assert torch.allclose(draws.median(0).values, middle.detach(), atol=0.15)


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_the_expected_number_of_open_gates_is_met_in_small_groups_and_large_ones(share: float) -> None:
    gates, before = concrete(), concrete().logits.detach().double().numpy()
    gates.project(share, TEMPERATURE)
    wanted = np.array(SIZES) - share * (np.array(SIZES) - np.array(KEEP))
    assert gates.expected(TEMPERATURE).numpy() == pytest.approx(wanted, rel=1e-5)
    shift, place = TEMPERATURE * np.log(0.1 / 1.1), 0
    for size, count in zip(SIZES, wanted, strict=True):  # found by another method, of the formula in the paper
        own = before[place : place + size]
        root = brentq(lambda by, own=own, count=count: expit(own + by - shift).sum() - count, -50, 50)
        found = gates.logits.detach().double().numpy()[place : place + size]
        assert found == pytest.approx(own + root, abs=1e-4)
        place += size


def test_the_seed_and_the_step_say_what_is_drawn() -> None:
    first = concrete(3).draw(7, TEMPERATURE)
    assert torch.equal(first, concrete(3).draw(7, TEMPERATURE))
    assert not torch.equal(first, concrete(3).draw(8, TEMPERATURE))
    assert not torch.equal(first, concrete(4).draw(7, TEMPERATURE))
    assert first[:5].tolist() == [1, 1, 1, 0, 0]


def test_logits_have_the_gradient_of_what_is_drawn() -> None:
    gates = concrete(logits=np.zeros(sum(SIZES)))
    step = 1e-2

    def total(logits: float) -> float:
        return float(concrete(logits=np.full(sum(SIZES), logits)).draw(2, TEMPERATURE).detach().sum())

    gates.draw(2, TEMPERATURE).sum().backward()
    assert gates.logits.grad is not None
    assert float(gates.logits.grad.sum()) == pytest.approx((total(step) - total(-step)) / (2 * step), rel=0.05)


def test_a_gate_that_is_always_pulled_one_way_stays_within_bounds_and_comes_back() -> None:
    gates = concrete(logits=np.zeros(sum(SIZES)))
    pull = torch.zeros(sum(SIZES))
    pull[10] = -1.0
    for _ in range(400):
        gates.logits.grad = pull.clone()
        gates.update(1.0)
        gates.project(1.0, TEMPERATURE)
    assert float(gates.logits.detach().abs().max()) <= FAR
    assert gates.expected(TEMPERATURE).numpy() == pytest.approx(KEEP, rel=1e-4)
    for _ in range(400):
        gates.logits.grad = -pull
        gates.update(1.0)
        gates.project(1.0, TEMPERATURE)
    assert float(gates.open(TEMPERATURE)[10]) < 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradients_that_are_no_numbers_are_told_and_change_nothing(value: float) -> None:
    gates = concrete()
    before = gates.logits.detach().clone()
    gates.logits.grad = torch.zeros(sum(SIZES))
    gates.logits.grad[3] = value
    with pytest.raises(SecateurError, match="Learning masks diverged"):
        gates.update(0.1)
    assert torch.equal(gates.logits.detach(), before)
