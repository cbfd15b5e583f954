"""Random networks: a list of steps over a growing pool of results, and a module that runs it.

Every result of an image network is [n, width, 8, 8]; each step reads one or two of the pool and adds one. What nobody
reads goes into the sum or the join at the end, or stays dead.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

SIDE = 6


@dataclass(frozen=True)
class Step:
    """One step: what it does, the results that it reads, and a width or another number."""

    op: str
    reads: tuple[int, ...]
    number: int = 0


@dataclass(frozen=True)
class Plan:
    """A network.

    Attributes:
        widths: Width of each result, the input's first.
        steps: One a result after the input.
        end: Whether the last results are averaged over space, flattened or joined.
        seed: Of the weights.
    """

    widths: tuple[int, ...]
    steps: tuple[Step, ...]
    end: str
    seed: int


class Conv(nn.Module):
    """Convolutions: plain, in groups, one a channel, transposed."""

    def __init__(self, step: Step, into: int, out: int) -> None:
        super().__init__()
        kinds: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv2d(into, out, 3, padding=1),
            "point": lambda: nn.Conv2d(into, out, 1, bias=False),
            "grouped": lambda: nn.Conv2d(into, out, 3, padding=1, groups=2),
            "depthwise": lambda: nn.Conv2d(into, out, 3, padding=1, groups=into),
            "transposed": lambda: nn.ConvTranspose2d(into, out, 3, padding=1),
        }
        self.inner = kinds[step.op]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Norm(nn.Module):
    """Normalisations over batch, groups, channels and space."""

    def __init__(self, step: Step, width: int) -> None:
        super().__init__()
        self.op = step.op
        self.inner = {
            "batch norm": lambda: nn.BatchNorm2d(width),
            "group norm": lambda: nn.GroupNorm(2, width),
            "layer norm": lambda: nn.LayerNorm(width),
            "instance norm": lambda: nn.InstanceNorm2d(width, affine=True),
        }[step.op]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if self.op == "layer norm" else self.inner(x)


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, 4), nn.Linear(4, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.up(F.gelu(self.down(x.mean((2, 3))))).sigmoid()[:, :, None, None]


class CrossStage(nn.Module):
    """One half of the channels passes by, the other one is convolved."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width // 2, width // 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, 1)
        return torch.cat([left, F.leaky_relu(self.inner(right), 0.1)], 1)


class Attend(nn.Module):
    """Attention of two heads over all positions, with fused projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.back = 2, nn.Linear(width, 24), nn.Linear(8, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(n, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, scale=0.5).transpose(1, 2).flatten(2)
        return self.back(y).transpose(1, 2).unflatten(2, (h, w))


def shuffled(x: torch.Tensor, _: int) -> torch.Tensor:
    """Channels in two groups, interleaved."""
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def ramp(x: torch.Tensor, _: int) -> torch.Tensor:
    """Scaled by the number of each channel."""
    return x * torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None, None] / 4


FUNCTIONS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "relu": lambda x, _: F.leaky_relu(x, 0.1),
    "gelu": lambda x, _: F.gelu(x),
    "silu in place": lambda x, _: F.silu(x.clone(), inplace=True),
    "pool": lambda x, _: F.avg_pool2d(x, 3, 1, 1),
    "shuffle": shuffled,
    "flip": lambda x, _: x.flip(1),
    "roll": lambda x, _: x.roll(1, 1),
    "softmax": lambda x, _: x.softmax(1) * 4,
    "ramp": ramp,
    "over width": lambda x, _: x * 8 / x.shape[1],
    "first half": lambda x, _: x.chunk(2, 1)[0],
    "other half": lambda x, _: x.split(x.shape[1] // 2, 1)[1],
    "first few": lambda x, k: x[:, :k],
    "even": lambda x, _: x[:, ::2],
    "mean": lambda x, _: x - x.mean(1, keepdim=True),
    "largest": lambda x, _: x.amax(1, keepdim=True) + x,
    "folded": lambda x, _: x.unflatten(1, (2, -1)).sum(1),
    "transposed space": lambda x, _: x.transpose(2, 3),
}
HALVES = ("first half", "other half", "even", "folded")
EVEN = (*HALVES, "cross stage", "shuffle", "grouped", "group norm")
LAYERS = ("conv", "point", "grouped", "depthwise", "transposed")
NORMS = ("batch norm", "group norm", "layer norm", "instance norm")
PAIRS = ("add", "multiply", "join", "interleave")


class RandomNet(nn.Module):
    """Runs a plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.layers = nn.ModuleDict()
        for number, step in enumerate(plan.steps):
            layer = self._layer(step, plan.widths[step.reads[0]], plan.widths[number + 1])
            if layer is not None:
                self.layers[str(number)] = layer
        ends = plan.widths[-2:] if plan.end == "join" else plan.widths[-1:]
        self.head = nn.Linear(sum(ends) * (SIDE * SIDE if plan.end == "flatten" else 1), 3)

    @staticmethod
    def _layer(step: Step, into: int, out: int) -> nn.Module | None:
        if step.op in LAYERS:
            return Conv(step, into, out)
        if step.op in NORMS:
            return Norm(step, into)
        kinds: dict[str, Callable[[int], nn.Module]] = {"gate": Gate, "attention": Attend, "cross stage": CrossStage}
        return kinds[step.op](into) if step.op in kinds else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = [x]
        for number, step in enumerate(self.plan.steps):
            taken = [pool[r] for r in step.reads]
            if step.op == "again":  # the layer of an earlier step once more
                pool.append(self.layers[str(step.number)](taken[0]))
            elif str(number) in self.layers:
                pool.append(self.layers[str(number)](taken[0]))
            elif step.op in PAIRS:
                pool.append(paired(step.op, *taken))
            else:
                pool.append(FUNCTIONS[step.op](taken[0], step.number))
        last = torch.cat(pool[-2:], 1) if self.plan.end == "join" else pool[-1]
        return self.head(last.flatten(1) if self.plan.end == "flatten" else last.mean((2, 3)))


def paired(op: str, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Two results become one."""
    if op == "join":
        return torch.cat([first, second], 1)
    if op == "interleave":
        return torch.stack([first, second], 2).flatten(1, 2)
    return first + second if op == "add" else first * second.sigmoid()


@st.composite
def plans(draw: st.DrawFn, most: int = 9) -> Plan:
    """Plans of up to `most` steps whose widths fit."""
    widths, steps = [3], [Step("conv", (0,))]
    widths.append(draw(st.sampled_from((4, 6, 8))))
    for _ in range(draw(st.integers(1, most))):
        step, width = draw(_steps(tuple(widths), tuple(steps)))
        steps.append(step)
        widths.append(width)
    end = draw(st.sampled_from(("mean", "flatten", "join")))
    return Plan(tuple(widths), tuple(steps), end, draw(st.integers(0, 3)))


@st.composite
def _steps(draw: st.DrawFn, widths: tuple[int, ...], steps: tuple[Step, ...]) -> tuple[Step, int]:
    # The newest result is read most, so that networks are deep.
    read = draw(st.sampled_from((len(widths) - 1, len(widths) - 1, *range(1, len(widths)))))
    width = widths[read]
    ops = ["conv", "point", "transposed", "depthwise", "gate", "attention", "join", "cross stage"]
    ops += [*NORMS, *FUNCTIONS, *LAYERS]
    ops = [op for op in ops if op not in EVEN or (width % 2 == 0 and width > 2)]
    partners = [n for n in range(1, len(widths)) if widths[n] == width and n != read]
    ops += [op for op in ("add", "add", "multiply", "interleave") if partners]
    earlier = [n for n, s in enumerate(steps) if s.op in LAYERS and widths[s.reads[0]] == width]
    ops += ["again"] if earlier else []
    op = draw(st.sampled_from(ops))
    if op == "again":
        number = draw(st.sampled_from(earlier))
        return Step(op, (read,), number), widths[number + 1]
    if op in PAIRS:
        other = draw(st.sampled_from(partners if op != "join" else range(1, len(widths))))
        return Step(op, (read, other)), width + widths[other] if op in ("join", "interleave") else width
    if op in ("conv", "point", "transposed", "grouped"):
        return Step(op, (read,)), draw(st.sampled_from((4, 6, 8)))
    if op == "depthwise":
        return Step(op, (read,)), width * draw(st.sampled_from((1, 1, 2)))
    if op == "first few":
        number = draw(st.integers(1, width))
        return Step(op, (read,), number), number
    return Step(op, (read,)), width // 2 if op in HALVES else width
