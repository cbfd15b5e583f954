"""Traps of Python: names, literals, state, control flow and results of every form."""

from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .toy import Ended, conv, image, rows, toy


class Plain(nn.Module):
    """Two linear layers and one at the end; the toy says what happens to the hidden rows."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.second, self.end = nn.Linear(9, width), nn.Linear(width, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(F.relu(self.second(self.between(F.relu(self.first(x))))))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


@toy(rows())
class Ramp(Plain):
    """Multiplies by 0, 1, 2 ... made from the width."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.arange(x.shape[1], dtype=x.dtype)


@toy(rows())
class DividedByWidth(Plain):
    """Divides by the whole number of its channels, a value that no shape shows."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * 4 / x.shape[1]


@toy(rows())
class PlusWidth(Plain):
    """Adds the number of its channels."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.shape[1] / 8


@toy(rows())
class PoweredByWidth(Plain):
    """Takes a power that depends on the number of its channels."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1) ** (x.shape[1] / 8)


@toy(rows())
class ClampedByWidth(Plain):
    """Clips at a value that depends on the number of its channels."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(max=x.shape[1] / 64)


@toy(rows())
class WidthAsTensor(Plain):
    """Wraps the number of its channels into a tensor before it divides by it."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * 4 / torch.tensor(float(x.shape[1])).sqrt()


@toy(rows())
class FilledWithWidth(Plain):
    """Fills a tensor of one element with a value made from the number of its channels."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.full((1,), x.shape[1] / 8, dtype=x.dtype)


@toy(rows())
class SlopeOfWidth(Plain):
    """The slope of a leaky ReLU depends on the number of its channels."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(x - 0.5, 1 / x.shape[1])


@toy(rows())
class BranchOnWidth(Plain):
    """Takes another path for wide layers than for narrow ones."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x.tanh() if x.shape[1] > 10 else x.sigmoid()


@toy(rows())
class LoopOverWidth(Plain):
    """Applies a function once for every eight channels."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(x.shape[1] // 8):
            x = torch.tanh(x * 1.5)
        return x


@toy(rows())
class Picked(Plain):
    """Picks channels by a list of numbers in the code."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x + x[:, [0] * 8 + [3] * 8]


@toy(rows())
class TiedTwice(nn.Module):
    """One linear layer is called twice, before and behind another."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.shared, self.other = nn.Linear(9, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.end = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.shared(self.into(x)))
        return self.end(F.relu(self.shared(F.relu(self.other(x)))))


@toy(image())
class TiedConvolutions(nn.Module):
    """A decoder reads the encoder's own kernel the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.kernel, self.out = conv(3, 6), nn.Parameter(torch.randn(10, 6, 3, 3) / 7), conv(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.conv2d(self.into(x), self.kernel, padding=1))
        return self.out(F.conv_transpose2d(x, self.kernel, padding=1))


@toy(rows())
class TwoNames(nn.Module):
    """One parameter is registered under two names and one module under two paths."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.end = nn.Linear(9, 12), nn.Linear(12, 12), nn.Linear(12, 5)
        self.again = self.middle
        self.offset = self.first.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.middle(F.relu(self.first(x))))
        return self.end(F.relu(self.again(x)) + self.offset)


@toy(rows())
class BareParameters(nn.Module):
    """No layer at all: products with parameters, in a list and in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ParameterList(torch.randn(s) / 3 for s in ((9, 12), (12, 16)))
        self.named = nn.ParameterDict({"bias": torch.randn(16), "out": torch.randn(16, 5)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = torch.relu(x @ step)
        return (x + self.named["bias"]).matmul(self.named["out"])


@toy(rows())
class DeadBranch(Plain):
    """Computes what nobody reads, in a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = nn.Linear(16, 20)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        self.dead(x).softmax(1)
        return x


@toy(rows())
class DeadGate(Plain):
    """Multiplies by a gate that two layers compute, and forgets the product."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(16, 4), nn.Linear(4, 16)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        _ = x * self.up(self.down(x))[:, :, None].sigmoid().transpose(1, 2)[:, 0]
        _ = x[:, :, None] * self.up(self.down(x))[:, :, None].sigmoid()
        return x


@toy(rows())
class DeadShape(Plain):
    """Slices a channel only to read how many rows there are."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x[:, 0].shape[0], -1)


@toy(rows())
class InPlace(Plain):
    """Changes a view of a result in place, and reads the whole afterwards."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        view = x.view(-1, 2, 8)
        view.mul_(2.0)
        x[:, :4] += 1
        return x


@toy(rows())
class Assigned(Plain):
    """Writes two halves into an empty tensor whose size is in the code."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        whole = torch.empty(x.shape[0], 16, dtype=x.dtype)
        whole[:, 8:] = x[:, :8]
        whole[:, :8] = x[:, 8:].tanh()
        return whole


@toy(rows())
class Cached(Plain):
    """Keeps a constant of its width from the first forward on."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: torch.Tensor | None = None

    def between(self, x: torch.Tensor) -> torch.Tensor:
        if self.cache is None:
            self.cache = torch.ones(x.shape[1], dtype=x.dtype) * 2
        return x * self.cache.to(x.dtype)


@toy(rows())
class CachedInBuffer(Plain):
    """Moves a running mean of its activations at every forward and subtracts what it was."""

    running: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(16))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        before = self.running.clone()
        self.running.mul_(0.9).add_(x.mean(0) * 0.1)
        return x - before


@toy(rows())
class OwnForward(Plain):
    """The forward is replaced on the instance."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = MethodType(OwnForward.replaced, self)

    def replaced(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(F.silu(self.first(x)).view(-1, 16))))


@toy(rows())
class OldForward(Plain):
    """The forward is replaced by a function that keeps hold of the original model, wherever a copy is made."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = lambda x: self.end(F.relu(self.second(F.silu(self.first(x)))))


@dataclass
class Answer:
    """A result of a class of its own."""

    logits: torch.Tensor
    hidden_states: list[dict[str, torch.Tensor]]


@toy(rows())
class Structured(Plain):
    """Returns a dataclass with a ragged list of dicts in it, hidden rows among them."""

    def forward(self, x: torch.Tensor) -> Answer:
        first = F.relu(self.first(x))
        second = F.relu(self.second(first))
        return Answer(self.end(second), [{"first": first}, {"first": first, "second": second}])


@toy(rows())
class Auxiliary(Plain):
    """Returns a second answer in a list, from a layer on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> list[Any]:
        first = F.relu(self.first(x))
        return [self.end(F.relu(self.second(first))), [self.extra(first), None, "text"]]


@toy(rows())
class Conditional(Plain):
    """Looks at the numbers to choose a path."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.mean() > 1e6 else x.tanh()


@toy(rows())
class Recursive(nn.Module):
    """Calls itself three times, each call with a weight less."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.end = nn.Linear(9, 12), nn.Linear(12, 5)
        self.steps = nn.ModuleList(nn.Linear(12, 12) for _ in range(3))

    def forward(self, x: torch.Tensor, depth: int = 0) -> torch.Tensor:
        if depth == 0:
            x = self.into(x)
        if depth == len(self.steps):
            return self.end(x)
        return self(x + F.relu(self.steps[depth](x)), depth + 1)


@toy(rows())
class Nested(nn.Module):
    """Lists of lists of layers, each result added to a running sum that is scaled by the number of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.end = nn.Linear(9, 12), nn.Linear(12, 5)
        self.grid = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12)) for _ in range(2))
            for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        total = x
        for row in self.grid:
            for step in row.children():
                total = total + step(x) / len(self.grid)
            x = total
        return self.end(x)


@toy(rows())
class Checkpointed(Plain):
    """Runs its layers inside activation checkpointing."""

    def forward(self, x: torch.Tensor) -> Any:
        hidden = checkpoint(lambda y: F.relu(self.second(F.relu(self.first(y)))), x, use_reentrant=False)
        return self.end(hidden)


class _Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x) / 2

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * x.sigmoid() / 2


@toy(rows())
class OwnGradient(Plain):
    """An autograd function of its own."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return _Halved.apply(x)


@torch.library.custom_op("secateur_toys::reversed", mutates_args=())
def _reversed(x: torch.Tensor) -> torch.Tensor:
    return x.flip(1)


@toy(rows())
class OwnOperator(Plain):
    """An operator that torch was never told of turns the channels round and has no fake kernel."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x + _reversed(x)


@toy(image())
class SeveralNormed(nn.Module):
    """LayerNorm over channels and space, with a weight for each element."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = conv(3, 8), nn.LayerNorm([8, 16, 16])
        self.second, self.end = conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(self.norm(self.first(x)))))


@toy(image(8))
class Rearranged(nn.Module):
    """Patches become tokens and channels become patches again, by reshapes and permutes of six axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mix, self.last = conv(3, 6), nn.Linear(24, 24), conv(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(n, h * w // 4, 4 * c)
        x = F.relu(self.mix(x)).reshape(n, h // 2, w // 2, 2, 2, -1).permute(0, 5, 1, 3, 2, 4).reshape(n, -1, h, w)
        return self.last(x)


@toy(rows())
class TiedInLoop(nn.Module):
    """One width runs through a loop of layers whose results are all added."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.end = nn.Linear(9, 12), nn.Linear(12, 5)
        self.steps = nn.ModuleList(nn.Linear(12, 12) for _ in range(3))
        self.scales = nn.ParameterList(torch.ones(12) * s for s in (0.5, 0.25, 0.125))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        for step, scale in zip(self.steps, self.scales, strict=True):
            x = x + torch.tanh(step(x)) * scale
        return self.end(x)


@toy(rows())
class BorrowedWeight(nn.Module):
    """A step of a list computes with the weight of another step."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.end = nn.Linear(9, 12), nn.Linear(12, 5)
        self.steps = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.Tanh()) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        for step in self.steps:
            x = x + step(x)
        return self.end(F.linear(x, self.get_parameter("steps.0.0.weight")))


class RectifiesItsInput(nn.Module):
    """A block that changes what it was given before it uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.step(x.relu_()) + x


@toy(rows())
class RectifiedShortcut(nn.Module):
    """Blocks rectify their input in place, so that the shortcut reads something else than they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.end = nn.Linear(9, 12), nn.Linear(12, 5)
        self.blocks = nn.Sequential(*(RectifiesItsInput() for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.blocks(self.into(x)))


@toy(rows())
class CatchesItsChild(Plain):
    """A child raises at every forward and the parent goes on without it."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(4, 4)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        try:
            x = self.child(x)
        except RuntimeError:
            x = x.view(-1, 16) * 2.0
        return x
