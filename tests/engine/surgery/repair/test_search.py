"""Repairs that are hard to find: numbers that are wrong together as if they were right, and those inside."""

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.repair.audit import Auditor
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)),)


class Sampling(nn.Module):
    """As many heads as points: half the heads with all points look like all heads with half the points."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.points, self.width = 4, 4, 24
        self.value, self.offsets, self.out = nn.Linear(9, 24), nn.Linear(9, 16), nn.Linear(24, 3)
        self.beside = nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = self.value(x).view(*x.shape[:2], self.heads, self.width // self.heads)
        points = self.offsets(x).view(*x.shape[:2], self.heads, self.points)
        beside = self.beside(x)
        return self.out((values * points.softmax(-1).amax(-1, keepdim=True)).flatten(2)) + beside


class Predictor(nn.Module):
    """Knows a number of heads, and no tensor of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.score = 4, nn.Linear(9, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.score(x).mT.unsqueeze(1).repeat(1, self.heads, x.shape[1], 1).flatten(0, 1)


class Predicting(nn.Module):
    """A module inside makes the mask of every head."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor, self.qkv, self.out = Predictor(), nn.Linear(9, 3 * 4 * 6), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = self.predictor(x)
        q, k, v = (one.flatten(0, 1) for one in self.qkv(x).unflatten(-1, (-1, 18)).transpose(1, 2).chunk(3, -1))
        mixed = (q @ k.mT + mask).softmax(-1) @ v
        return self.out(mixed.unflatten(0, (x.shape[0], -1)).transpose(1, 2).flatten(2))


class Windowed(nn.Module):
    """The head dimension follows from the width, and long inputs take a mask that short ones never see."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.embed = 4, nn.Linear(9, 24)
        self.qkv, self.out, self.head = nn.Linear(24, 72), nn.Linear(24, 24), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT
        if length > 8:
            hidden = torch.ones(length, length, dtype=torch.bool).triu(4)
            scores = scores.reshape(batch, 1, self.heads, length, length).masked_fill(hidden, -9.0).flatten(0, 1)
        mixed = scores.softmax(-1) @ v
        return self.head(x + self.out(mixed.transpose(1, 2).reshape(batch, length, -1)))


def heads_halved(analysis: Analysis) -> Mask:
    mask = analysis.empty()
    for one in analysis.sets:
        if one.count == 4 and one.name in ("value.weight", "qkv.weight"):
            mask[one.first : one.first + one.count // 2] = True
    return mask


def test_code_that_no_run_has_reached_gets_the_new_number_of_heads() -> None:
    torch.manual_seed(0)
    model = Windowed().eval()
    analysis = analyse(model, INPUTS)
    mask = analysis.empty()
    for one in analysis.sets:
        mask[one.first : one.first + one.count // 2] = True
    made = cut(model, analysis, mask, INPUTS)
    assert made.edits.literals, "width and heads went apart, so what divides one by the other is replaced"
    assert ("", "heads", 2) in made.edits.attributes
    longer = torch.randn(2, 9, 9)
    assert made.model(longer).shape == model(longer).shape
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed


@pytest.mark.parametrize(("net", "name"), [(Sampling, ""), (Predicting, "predictor")])
def test_half_the_heads_go(net: type[nn.Module], name: str) -> None:
    torch.manual_seed(0)
    model = net().eval()
    analysis = analyse(model, INPUTS)
    mask = heads_halved(analysis)
    made = cut(model, analysis, mask, INPUTS)
    assert (name, "heads", 2) in made.edits.attributes and not made.edits.literals
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed


class Configured(nn.Module):
    """Its configuration holds many numbers that only its construction reads."""

    class Config:
        size7: int

        def __init__(self) -> None:
            self.heads = 4
            for number in range(30):
                setattr(self, f"size{number}", 4)

    def __init__(self) -> None:
        super().__init__()
        self.config = self.Config()
        self.qkv, self.out = nn.Linear(9, 3 * 4 * 6), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.config.size7 != 4:
            raise ValueError("no head")
        q, k, v = self.qkv(x).view(*x.shape[:2], self.config.heads, -1).transpose(1, 2).chunk(3, -1)
        return self.out(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


def test_numbers_that_nobody_reads_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    audits: list[bool] = []
    real = Auditor.__call__
    monkeypatch.setattr(Auditor, "__call__", lambda *args, **given: audits.append(True) or real(*args, **given))
    model = Configured().eval()
    analysis = analyse(model, INPUTS)
    made = cut(model, analysis, heads_halved(analysis), INPUTS)
    assert [one[:2] for one in made.edits.attributes if one[0] == ""] == [("", "config.heads")]
    assert len(audits) < 10
