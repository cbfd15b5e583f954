"""Models that hand their own functions to torch, or hold what was computed: cut, verified, a wrong index fails."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.utils.weight_norm import weight_norm

from secateur.engine import prune
from secateur.engine.errors import PlanError
from tests.engine.structures.rules.proof import prove

X = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
Middle = Callable[["Net", torch.Tensor], torch.Tensor]


class Net(nn.Module):
    """Two layers with a function between them, which gives [N, 16] for [N, 24], or computes all by itself."""

    def __init__(self, middle: Middle) -> None:
        super().__init__()
        self.inner, self.outer, self.head = nn.Linear(8, 24), nn.Linear(24, 16), nn.Linear(16, 3)
        self.middle = middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.middle(self, torch.sigmoid(self.inner(x)))))

    def energy(self, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.outer(h)).square().sum()


def choose(net: Net, h: torch.Tensor) -> torch.Tensor:
    return torch.cond(h.sum() > 0, lambda one: net.outer(one).tanh(), lambda one: net.outer(one).sin(), (h,))


def repeat(net: Net, h: torch.Tensor) -> torch.Tensor:
    start = (torch.tensor(0), h)
    return net.outer(while_loop(lambda n, _: n < 3, lambda n, one: (n + 1, (one * 0.9).tanh()), start)[1])


def carry(net: Net, h: torch.Tensor) -> torch.Tensor:
    rows = torch.stack([h, h.sin(), h.cos()], 1)  # [N, 3, 24]
    last, each = scan(lambda so_far, one: ((so_far + one).tanh(), so_far * one), torch.zeros_like(h), rows, dim=1)
    return net.outer(last) + net.outer(each[:, -1])


def combine(net: Net, h: torch.Tensor) -> torch.Tensor:
    rows = torch.stack([h, h.sin(), h.cos()], 1)
    return net.outer(associative_scan(lambda a, b: a * b + a, rows, dim=1, combine_mode="generic")[:, -1])


def differentiate(net: Net, h: torch.Tensor) -> torch.Tensor:
    return net.outer(torch.func.vmap(torch.func.grad(net.energy))(h))


def push_forward(net: Net, h: torch.Tensor) -> torch.Tensor:
    return torch.add(*torch.func.jvp(net.outer, (h,), (h.cos(),)))


def compare(net: Net, h: torch.Tensor) -> torch.Tensor:
    other = h.sin()
    return net.outer(h * other if torch.ops.aten.is_same_size(h, other) else h)


@pytest.mark.parametrize("middle", [choose, repeat, carry, combine, differentiate, push_forward, compare])
def test_functions_that_torch_calls_are_seen_through(middle: Middle) -> None:
    torch.manual_seed(0)
    prove(Net(middle), (X,), "inner.weight", "outer.weight")


class Flexible(nn.Module):
    """Attention by `flex_attention`, with a function of its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.query, self.key, self.value = nn.Linear(8, 16), *(nn.Linear(16, 16) for _ in range(3))
        self.out, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inner(x)
        q, k, v = (one(x).view(*x.shape[:2], 4, 4).transpose(1, 2) for one in (self.query, self.key, self.value))
        mixed = flex_attention(q, k, v, score_mod=lambda score, _n, _h, to, by: score - (to - by).abs())
        assert isinstance(mixed, torch.Tensor)
        return self.head(x + self.out(mixed.transpose(1, 2).flatten(2)))


def test_heads_of_flexible_attention_go() -> None:
    torch.manual_seed(0)
    found = prune(Flexible(), torch.randn(2, 5, 8), keep_macs=0.5, multiple=1).report
    assert found.verification.passed and any(key.startswith("head") for key in found.removed), found.removed


class Holding(nn.Module):
    """It keeps what it has computed, with the computation behind it, as the older weight norm does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = weight_norm(nn.Linear(8, 24)), nn.Linear(24, 3)
        self.cache: dict[str, list[torch.Tensor]] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.inner(x))
        self.cache = {"last": [h]}
        return self.head(h)


def test_a_live_model_that_holds_what_it_computed_is_cut_and_left_alone() -> None:
    torch.manual_seed(0)
    model = Holding()
    before = model(X)
    pruned = prune(model, X, keep_macs=0.5, multiple=1)
    assert any("inner" in key for key in pruned.report.removed) and pruned.report.verification.passed
    assert model.cache["last"][0].grad_fn is not None and torch.equal(model(X), before)
    pruned.model(X).sum().backward()


class Summed(nn.Module):
    """An einsum over the features [N, H], which torch computes without a product where H is one."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(8, features), nn.Linear(24, 3)
        self.mixed = nn.Parameter(torch.randn(features, 24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.einsum("nh,hg->ng", torch.tanh(self.inner(x)), self.mixed))


def test_an_einsum_keeps_two_terms_and_all_else_goes() -> None:
    torch.manual_seed(0)
    found = prune(Summed(6), X, keep_macs=0.1, multiple=1).report
    assert found.verification.passed and len(found.removed["neuron|inner.weight|0"]) == 4
    with pytest.raises(PlanError, match="Nearest possible: 2"):
        prune(Summed(6), X, shape={"neurons": 1})
    found = prune(Summed(2), X, keep_macs=0.5, multiple=1).report
    assert list(found.removed) == ["channel|mixed|1"] and found.verification.passed


class Jagged(nn.Module):
    """Rows of other lengths in the middle, which a library makes tables for when it first sees any."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 16)), nn.Linear(16, 16)
        self.head = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [one[: 1 + number % 3] for number, one in enumerate(self.inner(x))]
        jagged = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
        return self.head(torch.relu(self.outer(jagged)).to_padded_tensor(0.0).mean(1))


def test_around_jagged_tensors_all_is_cut_and_what_computes_with_them_stays() -> None:
    torch.manual_seed(0)
    found = prune(Jagged(), torch.randn(2, 5, 8), keep_macs=0.6, multiple=1).report
    assert {key.split("|")[1] for key in found.removed} == {"inner.0.weight", "head.0.weight"}
    assert found.verification.passed and any("aten::linear in outer" in str(note) for note in found.notes)


TABLES: list[torch.Tensor] = []


class Late(nn.Module):
    """The first forward of a process makes a table that all others find."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(8, 24), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not TABLES:
            TABLES.append(torch.linspace(0.5, 1.5, 3).square())
        return self.head(torch.relu(self.inner(x))) * TABLES[0]


def test_what_only_the_first_run_does_fixes_nothing() -> None:
    torch.manual_seed(0)
    TABLES.clear()
    assert prune(Late(), X, keep_macs=0.5, multiple=1).report.verification.passed
