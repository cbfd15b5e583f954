"""A factor that follows a smaller size is taken up by weights before it, and only where nothing else feels it."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from secateur.engine.jobs import finish
from secateur.engine.runtime.load_pruned import load_pruned
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.surgery.cut.cut import CutModel, cut, rebuild, shapes
from secateur.engine.surgery.cut.repair_report import explain
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0)),)
HEADS = 3
ROOT_HALF = 0.5**0.5


class Divides(nn.Module):
    """Attention in a common spelling: scores are divided by the root of the head dimension that is there."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(12, 12) for _ in range(4))
        self.shared = shared

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if self.shared:
            scores = scores + (q.relu() * k.relu()).sum(-1, keepdim=True)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Fused(nn.Module):
    """Queries, keys and values of one layer, turned by their place, the scale left to torch."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 36, bias=False), nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        turn = torch.arange(x.shape[1]).cos()[:, None]
        return self.out(F.scaled_dot_product_attention(q * turn, k * turn, v).transpose(1, 2).flatten(2))


class Normalised(nn.Module):
    """Queries have a norm with a weight of its own; the root is a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.norm = nn.Linear(12, 8), nn.Linear(12, 8), nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k = self.norm(self.query(x)), self.key(x)
        return (q @ k.mT / torch.sqrt(torch.tensor(q.shape[-1]) * 3)).softmax(-1) @ x


def halved(model: nn.Module, kind: Kind | None = Kind.HEAD_DIM) -> tuple[Analysis, Mask, CutModel]:
    torch.manual_seed(0)
    analysis = analyse(model.eval(), INPUTS)
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if kind in (s.kind, None)))
    assert mask.any()
    return analysis, mask, cut(model, analysis, mask, INPUTS)


def passes(model: nn.Module, analysis: Analysis, mask: Mask, made: CutModel) -> bool:
    return finish(verify(model, made.model, analysis, mask, INPUTS, factors=made.factors)).passed


@pytest.mark.parametrize(
    ("net", "kind", "names", "rows"),
    [
        (Divides, Kind.HEAD_DIM, ["query.weight", "query.bias"], None),
        (Fused, Kind.HEAD_DIM, ["qkv.weight"], tuple(range(12))),
        (Normalised, None, ["norm.weight", "norm.bias"], None),
    ],
)
def test_a_smaller_head_dimension_is_made_good_by_weights_and_the_code_stays(
    net: type[nn.Module], kind: Kind | None, names: list[str], rows: tuple[int, ...] | None
) -> None:
    model = net()
    analysis, mask, made = halved(model, kind)
    assert not made.edits.literals and type(made.model) is net
    assert [(name, at) for name, _, at, _, _ in made.edits.weights] == [(name, rows) for name in names]
    assert [factor for *_, factor, _ in made.edits.weights] == pytest.approx([ROOT_HALF] * len(names))
    assert passes(model, analysis, mask, made)


def test_the_cut_weights_hold_the_factor_and_the_original_does_not() -> None:
    model = Divides()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    analysis, mask, made = halved(model)
    kept = analysis.kept_indices(mask)["query.weight"]
    assert kept is not None and kept[0] is not None
    expected = before["query.weight"][kept[0]].double() * ROOT_HALF
    torch.testing.assert_close(made.model.state_dict()["query.weight"], expected.float(), rtol=0, atol=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("times", [1 / ROOT_HALF, 1.0001])
def test_a_weight_with_another_factor_fails_its_verification(times: float) -> None:
    model = Divides()
    analysis, mask, made = halved(model)
    with torch.no_grad():
        made.model.get_parameter("query.bias").mul_(times)
    assert not passes(model, analysis, mask, made)


def test_where_something_else_reads_the_queries_the_number_is_replaced() -> None:
    model = Divides(shared=True)
    analysis, mask, made = halved(model)
    assert not made.edits.weights and [one[-1] for one in made.edits.literals] == [2.0]
    assert passes(model, analysis, mask, made)


def test_factors_of_two_cuts_are_those_of_one() -> None:
    model = Divides()
    analysis, both, once = halved(model)
    places = np.flatnonzero(both).reshape(-1, 2)
    first = analysis.empty()
    first[places[:, 0]] = True
    one = cut(model, analysis, first, INPUTS)
    two = cut(one.model, analysis, both, INPUTS, before=first, edits=one.edits)
    assert two.edits.weights == once.edits.weights
    for name, tensor in once.model.state_dict().items():
        torch.testing.assert_close(two.model.state_dict()[name], tensor)
    assert finish(verify(one.model, two.model, analysis, both, INPUTS, before=first, factors=two.factors)).passed


def test_a_state_comes_back_with_its_weights_as_they_are(tmp_path: Path) -> None:
    analysis, mask, made = halved(Divides())
    again = rebuild(Divides, analysis, mask, made.edits, made.model.state_dict())
    described = {"schema": 1, "shapes": shapes(analysis, mask), "edits": asdict(made.edits)}
    (tmp_path / "shapes.json").write_text(json.dumps(described))
    save_file(made.model.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_pruned(Divides, str(tmp_path / "shapes.json"), str(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        expected = made.model(*INPUTS)
        assert torch.equal(again(*INPUTS), expected) and torch.equal(loaded(*INPUTS), expected)


def test_a_layer_is_named_once_with_its_factor() -> None:
    _, _, made = halved(Divides())
    lines = [str(one) for one in explain(made.edits, Divides()) if one.code == "repair.weights"]
    assert len(lines) == 1 and lines[0].startswith("Linear: the weights of query are multiplied by 0.7071, because ")


class Transposed(nn.Module):
    """A width divides what a transposed convolution makes, of more or fewer channels than it reads."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.given = nn.Conv1d(5, reads, 1)
        self.up, self.out = nn.ConvTranspose1d(reads, 8, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(torch.tanh(self.given(x)))
        return self.out((y * 8 / y.shape[1]).mean(2))


@pytest.mark.parametrize("reads", [3, 8])
def test_channels_that_a_transposed_convolution_makes_take_up_a_factor(reads: int) -> None:
    model = Transposed(reads)
    analysis, mask, made = halved(model, None)
    factors = {name: (dim, rows) for name, dim, rows, _, _ in made.edits.weights}
    assert factors == {"up.weight": (1, None), "up.bias": (0, None)}
    assert passes(model, analysis, mask, made)
