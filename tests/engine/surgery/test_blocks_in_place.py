"""Code that changes tensors in place must not reach the stream through a block that is gone."""

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(2, 3, 8, 8),)


class Unit(nn.Module):
    """conv, norm, ReLU in place, conv beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.act, self.conv2 = nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.act(self.norm(self.conv1(x)))) + x


class Later(nn.Module):
    """A step whose result is changed in place while its input is used again."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.units, self.head = nn.Conv2d(3, 6, 1), nn.Sequential(Unit(), Unit()), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.units(x)
        y.mul_(-2.0)
        return self.head(torch.cat([x, y], 2).mean((2, 3)))


class Gated(nn.Module):
    """conv and an activation module that belongs to others too, beside a shortcut."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(6, 6, 3, padding=1), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.conv(x))


class Shared(nn.Module):
    """Every step uses the same activation module, and so does the stem."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.stem, self.head = nn.SiLU(), nn.Conv2d(3, 6, 1), nn.Linear(6, 4)
        self.steps = nn.Sequential(*(Gated(self.act) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.steps(self.act(self.stem(x))).mean((2, 3)))


def test_a_module_that_blocks_share_is_no_false_alarm() -> None:
    model = Shared().eval()
    analysis = analyse(model, INPUTS)
    mask = analysis.empty()
    mask[next(s.first for s in analysis.sets if s.kind is Kind.BLOCK)] = True
    made = cut(model, analysis, mask, INPUTS)
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed


def test_every_block_beside_changes_in_place_verifies_and_leaves_the_stream_alone() -> None:
    torch.manual_seed(0)
    model = Later().eval()
    analysis = analyse(model, INPUTS)
    blocks = [s for s in analysis.sets if s.kind is Kind.BLOCK]
    assert len(blocks) == 2
    smaller: nn.Module = model
    for chosen in (*([b] for b in blocks), blocks):
        mask = analysis.empty()
        mask[[b.first for b in chosen]] = True
        made = cut(model, analysis, mask, INPUTS)
        result = finish(verify(model, made.model, analysis, mask, INPUTS))
        assert result.passed, (chosen, result)
        smaller = made.model
    with torch.no_grad():  # all units gone: y is x
        x = model.stem(INPUTS[0])
        assert torch.allclose(smaller(*INPUTS), model.head(torch.cat([x, -2.0 * x], 2).mean((2, 3))), atol=1e-6)
