"""Whatever a forward does to the model that it belongs to is put back, in the same objects."""

import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.tasks.model_outputs import evaluating
from secateur.engine.tracing.model_state import model_state_restored
from tests.engine.test_bad_input import differences, state


class Tracker:
    """An object of the model's own code."""

    def __init__(self) -> None:
        self.calls, self.seen = 0, [1]


class Changed(nn.Module):
    """Runs something on itself in its forward."""

    mean: torch.Tensor

    def __init__(self, change: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("missing", None)
        self.calls, self.history, self.table, self.members = 0, list[Any](), {"a": [0]}, {1}
        self.latest, self.counts, self.groups = deque([1], maxlen=4), Counter("ab"), defaultdict(list[int])
        self.named = OrderedDict(a=1, b=2)
        self.plain, self.array = torch.zeros(3), np.zeros(3)
        self.tracker = Tracker()
        self.nested = ({"deep": [torch.zeros(2)]},)
        self.hidden = [nn.BatchNorm1d(4)]  # no part of the module tree
        self.own_draws = (torch.Generator().manual_seed(1), random.Random(1), np.random.default_rng(1))
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.change(self, x)
        return self.layer(x)


def count(m: Any, x: torch.Tensor) -> None:
    m.calls += 1
    m.tracker.calls += 1
    m.tracker.seen.append(2)


def average(m: Any, x: torch.Tensor) -> None:
    m.mean.mul_(0.9).add_(x.mean(0))
    m.mean.data.add_(float("nan"))


def remember(m: Any, x: torch.Tensor) -> None:
    m.history.append(x)
    m.latest.extend([2, 3, 4, 5])
    m.table["a"].append(1)
    m.table["b"] = 2
    m.members.add(3)
    m.counts["c"] += 1
    m.groups["new"].append(1)
    m.named.move_to_end("a")


def rebind(m: Any, x: torch.Tensor) -> None:
    m.mean = m.mean + 1
    m.missing = x.clone()
    m.plain, m.new = x, x
    m.array = None


def write(m: Any, x: torch.Tensor) -> None:
    m.plain.add_(1)
    m.array += 1
    m.nested[0]["deep"][0].add_(1)
    m.hidden[0].train()(x)


def clamp(m: Any, x: torch.Tensor) -> None:
    m.layer.weight.data.clamp_(-0.01, 0.01)
    m.layer.bias.data = torch.ones(4)


def draw(m: Any, x: torch.Tensor) -> None:
    torch.rand(2, generator=m.own_draws[0])
    m.own_draws[1].random()
    m.own_draws[2].random()


def flags(m: Any, x: torch.Tensor) -> None:
    m.layer.weight.requires_grad_(False)
    m.layer.train()
    m.layer.bias.grad = torch.ones(4)
    m.layer = nn.Linear(4, 4)


def hook(m: Any, x: torch.Tensor) -> None:
    m.layer.register_forward_hook(lambda *_: None)
    m.hooked = True


CHANGES = [hook, count, average, remember, rebind, write, clamp, draw, flags]


def content(model: Any) -> list[Any]:
    """What `state` does not look into."""
    own = model.own_draws
    draws = [own[0].get_state().tolist(), own[1].getstate(), own[2].bit_generator.state]
    lists = [list(model.history), list(model.latest), str(model.table), sorted(model.members), list(model.named)]
    inside = [vars(model.tracker).copy(), str(model.tracker.seen), str(model.nested), str(model.hidden[0].state_dict())]
    return [*draws, *lists, *inside, dict(model.counts), dict(model.groups), str(model.array), list(vars(model))]


@pytest.mark.parametrize("change", CHANGES, ids=[one.__name__ for one in CHANGES])
def test_what_a_forward_changes_is_put_back(change: Callable[[Any, torch.Tensor], Any]) -> None:
    model = Changed(change).eval()
    before, inside = state(model), content(model)
    held = vars(model).copy()
    with model_state_restored(model):
        for _ in range(3):
            model(torch.randn(2, 4))
        assert differences(before, state(model)) or inside != content(model)
    own = {k: v for k, v in differences(before, state(model)).items() if "|" in k}
    assert own == {} and content(model) == inside
    assert all(vars(model)[name] is value for name, value in held.items())


def test_it_is_put_back_where_the_forward_raises() -> None:
    model = Changed(count)
    with pytest.raises(RuntimeError), model_state_restored(model):
        model(torch.randn(2, 5))
    assert model.calls == model.tracker.calls == 0


def test_a_gradient_can_be_taken_across() -> None:
    model = Changed(average)
    with model_state_restored(model):
        found = model(torch.randn(2, 4)).sum()
        (gradient,) = torch.autograd.grad(found, [model.layer.weight])
    assert gradient.shape == (4, 4) and model.mean.eq(0).all()


def test_evaluation_puts_back_what_was_drawn_too() -> None:
    model = Changed(lambda m, x: (torch.rand(3), random.random(), np.random.rand())).train()
    before = state(model)
    with evaluating(model):
        assert not model.layer.training
        model(torch.randn(2, 4))
    assert differences(before, state(model)) == {}
