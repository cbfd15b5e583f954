"""What the example inputs leave out of a table of positions is kept: longer inputs read it."""

import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask


class Positions(nn.Module):
    """Adds as many rows of a table [9, 16] to a sequence [N, T, 6] as it is long, from the second on."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 9, 16))
        self.embed, self.out = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = self.positions.to(x.dtype)[:, 1:]
        return self.out(torch.tanh(self.embed(x) + table[:, : x.shape[1]]))


def offered(analysis: Analysis) -> list[tuple[str, int, int]]:
    return [(one.name, one.dim, one.count) for one in analysis.sets]


def test_positions_behind_the_end_of_the_example_are_kept() -> None:
    torch.manual_seed(0)
    model, inputs = Positions().eval(), (torch.randn(2, 3, 6),)
    analysis = finish(settle(model, inputs))
    assert offered(analysis) == [("embed.weight", 0, 16)]
    rows = [f for f in analysis.fixed if (analysis.tensors[f.tensor].name, f.dim) == ("positions", 1)]
    assert [(one.reason.code, one.count) for one in rows if one.reason.code == "fixed.unread"] == [("fixed.unread", 6)]
    mask = trial_mask(analysis)
    smaller = cut(model, analysis, mask, inputs).model
    longer, gone = torch.randn(2, 8, 6), analysis.index[mask]
    with torch.no_grad():
        model.out.weight[:, gone] = 0
        assert torch.allclose(smaller(longer), model(longer), atol=1e-6)


class Sliced(nn.Module):
    """The first 10 of 16 channels, taken of the weight or of what it gives."""

    def __init__(self, weight: bool, last: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16, bias=False), nn.Identity() if last else nn.Linear(10, 3)
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.linear(x, self.first.weight[:10]) if self.weight else self.first(x)[:, :10]
        return self.second(torch.tanh(h))


def test_channels_that_nobody_reads_can_go() -> None:
    for weight in (False, True):
        analysis = analyse(Sliced(weight, last=False), (torch.randn(2, 6),))
        assert offered(analysis) == [("first.weight", 0, 10), ("first.weight", 0, 6)]
    assert offered(analyse(Sliced(weight=False, last=True), (torch.randn(2, 6),))) == [("first.weight", 0, 6)]
