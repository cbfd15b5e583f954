"""Traps of recurrence, mixtures and products: state, routing, networks that make weights, spectra."""

import torch
from torch import nn
from torch.nn import functional as F

from .toy import rows, sequence, toy


@toy(sequence())
class GatedRecurrence(nn.Module):
    """Three gates stand in one weight and the state goes in circles."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.cell, self.end = nn.Linear(9, 10), nn.GRU(10, 12, 2, batch_first=True), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.cell(F.relu(self.into(x)))[0][:, -1])


@toy(sequence())
class TwoDirections(nn.Module):
    """Four gates, and the states of both directions are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(9, 8, batch_first=True, bidirectional=True)
        self.hidden, self.end = nn.Linear(16, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.hidden(self.cell(x)[0].mean(1))))


@toy(sequence())
class CellInLoop(nn.Module):
    """A cell is called once a step, from a state of zeros whose width is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.cell, self.hidden, self.end = 12, nn.GRUCell(9, 12), nn.Linear(12, 10), nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(x.shape[0], self.width)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.end(F.relu(self.hidden(state)))


@toy(sequence())
class StateSpace(nn.Module):
    """A selective scan: state a channel, made from bare parameters, written into a list step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.steps, self.reads = nn.Linear(9, 24), nn.Linear(12, 12), nn.Linear(12, 8)
        self.decay, self.skip = nn.Parameter(torch.rand(12, 4)), nn.Parameter(torch.ones(12))
        self.end = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, gate = self.into(x).chunk(2, -1)
        step = F.softplus(self.steps(x))
        b, c = self.reads(x).split(4, -1)
        state, seen = torch.zeros(x.shape[0], x.shape[2], 4, dtype=x.dtype), []
        for t in range(x.shape[1]):
            state = state * torch.exp(-step[:, t, :, None] * self.decay) + (step * x)[:, t, :, None] * b[:, t, None]
            seen.append((state * c[:, t, None]).sum(-1))
        y = torch.stack(seen, 1) + x * self.skip
        return self.end((y * F.silu(gate)).mean(1))


@toy(sequence(8))
class Spectrum(nn.Module):
    """Multiplies by learned complex numbers between a Fourier transform and its inverse."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.filter, self.end = nn.Linear(9, 12), nn.Parameter(torch.randn(5, 12, 2)), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.into(x))
        y = torch.fft.rfft(x, dim=1) * torch.view_as_complex(self.filter)
        return self.end((torch.fft.irfft(y, n=x.shape[1], dim=1) + x).mean(1))


@toy(sequence(8))
class SpectrumOfChannels(nn.Module):
    """Takes the Fourier transform over channels too, so that each depends on all."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.hidden, self.end = nn.Linear(9, 12), nn.Linear(12, 10), nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.hidden(torch.fft.fft2(F.relu(self.into(x))).real)).mean(1))


@toy(rows(), by_value=True)
class Routed(nn.Module):
    """A router picks two of four experts a row, whose results are added by index."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.router, self.end = nn.Linear(9, 12), nn.Linear(12, 4), nn.Linear(12, 5)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12)) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        weight, chosen = self.router(x).softmax(-1).topk(2)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            row, place = torch.where(chosen == number)
            y.index_add_(0, row, expert(x[row]) * weight[row, place, None])
        return self.end(x + y)


@toy(rows())
class DenseExperts(nn.Module):
    """All experts stand in one parameter and are weighed by a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.router, self.end = nn.Linear(9, 12), nn.Linear(12, 4), nn.Linear(12, 5)
        self.up, self.down = nn.Parameter(torch.randn(4, 12, 16) / 4), nn.Parameter(torch.randn(4, 16, 12) / 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        y = F.relu(x[None].expand(4, -1, -1) @ self.up) @ self.down
        return self.end(torch.einsum("enc,ne->nc", y, self.router(x).softmax(-1)))


@toy(rows())
class Hypernetwork(nn.Module):
    """A layer's weight is another layer's output, in another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.code = nn.Linear(9, 8), nn.Parameter(torch.randn(6))
        self.make, self.end = nn.Linear(6, 8 * 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.make(self.code).view(12, 8)
        return self.end(F.relu(F.linear(F.relu(self.into(x)), weight)))


@toy(rows())
class BilinearForm(nn.Module):
    """One weight contracts with two inputs at once."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.both = nn.Linear(9, 8), nn.Linear(9, 6), nn.Bilinear(8, 6, 12)
        self.end = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.both(F.relu(self.left(x)), F.relu(self.right(x)))))


@toy(rows())
class LowRank(nn.Module):
    """A frozen weight with two thin ones beside it, as adapters do it before they are merged."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.down, self.up = nn.Linear(9, 16), nn.Linear(9, 4, bias=False), nn.Linear(4, 16, bias=False)
        self.base.requires_grad_(False)
        self.end = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.base(x) + self.up(self.down(x)) * (8 / 4)))


@toy(rows())
class OuterProduct(nn.Module):
    """Each of one vector times each of another, flattened: an index goes with either."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.end = nn.Linear(9, 4), nn.Linear(9, 6), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end((self.left(x)[:, :, None] * self.right(x)[:, None]).relu().flatten(1))


@toy(rows())
class TwoFoldings(nn.Module):
    """One axis is seen as 4 x 6 and as 6 x 4, which do not fit together."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.four, self.six, self.end = nn.Linear(9, 24), nn.Linear(6, 3), nn.Linear(4, 2), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.into(x))
        a, b = self.four(x.view(-1, 4, 6)), self.six(x.view(-1, 6, 4))
        return self.end(torch.cat([a.flatten(1), b.flatten(1)], 1))


@toy(rows(), rows(7))
class TwoInputs(nn.Module):
    """Two inputs of different width meet in a sum and in a product."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.gate = nn.Linear(9, 12), nn.Linear(7, 12), nn.Linear(7, 12)
        self.end = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.left(x) + self.right(y)) * self.gate(y).sigmoid())
