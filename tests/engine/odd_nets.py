"""Models that do what no model should, or that stand where nobody expected one; each a behaviour of bad input."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize


class Base(nn.Module):
    """Linear, ReLU, linear, ReLU, linear on rows of nine."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 16), nn.Linear(16, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


class Raises(Base):
    """Raises in the second layer's input."""

    def forward(self, x: torch.Tensor) -> Any:
        x = self.first(x)
        return self.second(x[:, :7])  # the wrong width


class ChangesItsInput(Base):
    """Scales its input in place."""

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x.mul_(2.0))


class ChangesItself(Base):
    """Moves a buffer, appends to a list, keeps a cache, sets an attribute and draws random numbers."""

    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.seen: list[int] = []
        self.cache: dict[str, torch.Tensor] = {}
        self.calls = 0

    def forward(self, x: torch.Tensor) -> Any:
        self.count += 1
        self.seen.append(len(x))
        self.cache.setdefault("ones", torch.ones(16, dtype=x.dtype))
        self.calls += 1
        self.last = x
        self.first.eval()
        return super().forward(x + torch.rand(x.shape[0], 1, dtype=x.dtype) * 1e-3)


class HoldsNothing(Base):
    """One of its parameters has no entries."""

    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.empty(0, 16))

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.cat([self.first(x), self.none])
        return self.head(torch.relu(self.second(torch.relu(x))))


class Draws(Base):
    """Adds noise that is as wide as its features, and drops some."""

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.relu(self.first(x))
        x = nn.functional.dropout(x + torch.randn_like(x) * torch.rand(1), 0.3)
        return self.head(torch.bernoulli(torch.sigmoid(self.second(x))) + self.second(x))


class GivesNothing(Base):
    """Returns None."""

    def forward(self, x: torch.Tensor) -> Any:
        super().forward(x)


class GivesNumbers(Base):
    """Returns a Python number."""

    def forward(self, x: torch.Tensor) -> Any:
        return float(super().forward(x).sum())


@dataclass
class Parts:
    """A result of its own class."""

    logits: torch.Tensor
    ragged: list[Any]


class GivesParts(Base):
    """Returns a dict with a dataclass, a ragged list and no tensor at all in places."""

    def forward(self, x: torch.Tensor) -> Any:
        logits = super().forward(x)
        return {"parts": Parts(logits, [logits[:, :2], [], [None, "text", logits[:1]]]), "count": 3}


class NeedsMask(Base):
    """Needs a second input."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor, *, scale: float = 1.0) -> Any:
        return super().forward(x * mask * scale)


class NeedsName(Base):
    """Needs an input by name."""

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor) -> Any:
        return super().forward(x * mask)


@torch.library.custom_op("secateur_tests::turned", mutates_args=())
def turned(x: torch.Tensor) -> torch.Tensor:
    """An operator without a fake kernel: channels in opposite order."""
    return x.flip(1)


class OwnOperator(Base):
    """Turns its channels round by an operator that nobody knows."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(torch.relu(self.second(turned(torch.relu(self.first(x))))))


class LowRank(nn.Module):
    """Adds a product of two thin matrices to a weight, as an adapter that is not merged yet."""

    def __init__(self, out: int, into: int) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(4, into)), nn.Parameter(torch.randn(out, 4))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.up @ self.down * 0.1


class Adapter(nn.Module):
    """A layer wrapped with an adapter beside it, the layer itself frozen."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, 4, bias=False)
        self.lora_B = nn.Linear(4, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.lora_B(self.lora_A(x)) * 2.0


def parametrised() -> nn.Module:
    """A parametrised weight in the middle."""
    model = Base()
    parametrize.register_parametrization(model.second, "weight", LowRank(12, 16))
    return model


def adapted() -> nn.Module:
    """Every layer but the last in an adapter."""
    model = Base()
    model.first, model.second = Adapter(model.first), Adapter(model.second)  # type: ignore[assignment]
    return model


def hooked() -> nn.Module:
    """A forward hook, a pre-hook, a backward hook and a hook on a parameter."""
    model = Base()
    model.first.register_forward_hook(_doubled)
    model.second.register_forward_pre_hook(_same)
    model.head.register_full_backward_hook(_nothing)
    model.head.weight.register_hook(_halved)
    return model


def _doubled(_module: nn.Module, _args: Any, result: torch.Tensor) -> torch.Tensor:
    return result * 2


def _same(_module: nn.Module, args: Any) -> Any:
    return args


def _nothing(_module: nn.Module, _into: Any, _out: Any) -> None:
    return None


def _halved(gradient: torch.Tensor) -> torch.Tensor:
    return gradient / 2


class CatchesItsChild(Base):
    """A child raises in the middle of its forward, and the parent goes on without it."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Sequential(nn.Linear(16, 16), nn.Linear(4, 4))

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.relu(self.first(x))
        try:
            x = self.child(x)
        except RuntimeError:
            x = x * 2.0
        return self.head(torch.relu(self.second(x)))


def with_gradients() -> nn.Module:
    """Gradients of a step that is under way, one layer frozen, mixed modes."""
    model = Base().train()
    model(torch.randn(2, 9)).sum().backward()
    model.first.requires_grad_(False)
    model.second.eval()
    return model
