"""A user's operator: fixed without a rule, with its name and cost; understood with one from their own file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from secateur.engine import register_rule
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.rules import RULES

from .between import Images, pictures
from .proof import prove

FILE = '''
"""A network with an operator of its own, and what that operator means."""

import torch
from torch import nn

from secateur.engine import register_rule


@torch.library.custom_op("secateurtest::stretch", mutates_args=())
def stretch(x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    return x * factors[:, None, None]


@register_rule("secateurtest::stretch")
def rule(context):
    dims = context.of("x")
    context.labels.tie(dims[1], context.of("factors")[0])
    context.give(dims)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.factors = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3), nn.Parameter(torch.rand(8))

    def forward(self, x):
        return self.second(torch.tanh(stretch(self.first(x), self.factors))).mean((2, 3))
'''


@pytest.fixture(autouse=True)
def _rules_as_before() -> Iterator[None]:
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


def test_a_rule_beside_the_model_is_registered_when_the_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE)
    opened = open_model(ModelSpec(f"{tmp_path / 'net.py'}:Net", trust_code=True))
    analysis = prove(opened.model, pictures(), "first.weight", "factors")
    one = next(s for s in analysis.sets if s.name == "first.weight")
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(one.first + 2)}
    assert found["factors", 0] == [2] and found["second.weight", 1] == [2]
    RULES.pop("secateurtest.stretch")
    without = analyse(opened.model, pictures())
    assert not without.sets
    note = next(n for n in without.notes if n.code == "analysis.no_rule")
    # All but what no rule could free: the four biases of the last layer, as they are outputs.
    assert note.arguments["op"] == "secateurtest::stretch"
    assert note.arguments["share"] == pytest.approx(1 - 4 / (224 + 8 + 292))
    assert "in the model has no rule, so 99.2% of the parameters" in str(note)


def test_a_rule_replaces_the_one_there_is() -> None:
    @register_rule("aten::tanh")
    def fixed(context: object) -> None:
        raise AssertionError("asked")

    with pytest.raises(AssertionError, match="asked"):
        analyse(Images(torch.nn.Identity(), 8, 8), pictures())


def test_a_name_without_a_namespace_is_refused() -> None:
    with pytest.raises(ValueError, match="namespace"):
        register_rule("scale")
