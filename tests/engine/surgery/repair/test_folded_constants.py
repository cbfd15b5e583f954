"""Tensors that are neither parameters nor buffers: cut where forwards combine them with what shrinks."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.runtime.load_pruned import apply_edits, resize
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut, rebuild
from secateur.engine.surgery.cut.repair_report import explain
from secateur.engine.surgery.cut.trial_cuts import settle
from secateur.engine.surgery.verify.verify import verify
from tests.engine.structures.rules.proof import half, prove

INPUTS = (torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0)),)
POINTS = (torch.randn(4, 3, 20, generator=torch.Generator().manual_seed(0)),)
TABLE = torch.randn(6, 16, generator=torch.Generator().manual_seed(1)) / 2


def sinusoid(length: int, width: int) -> torch.Tensor:
    """Positions [length, width] as SimpleViT makes them, with the width in two places."""
    rate = 100.0 ** -(torch.arange(width // 2) / (width // 2 - 1))
    turned = torch.arange(length)[:, None] * rate
    return torch.cat((turned.sin(), turned.cos()), 1)


class Sequence(nn.Module):
    """Rows of a sequence, to which something is added."""

    def __init__(self, added: Callable[["Sequence", torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(9, 16), nn.LayerNorm(16), nn.Linear(16, 12)
        self.head, self.added, self.width, self.table = nn.Linear(12, 5), added, 16, sinusoid(6, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.second(self.norm(self.added(self, self.first(x))))).mean(1))


def in_place(model: Sequence, x: torch.Tensor) -> torch.Tensor:
    x += model.table.to(x.device, dtype=x.dtype)
    return x


def enclosed() -> Callable[[Sequence, torch.Tensor], torch.Tensor]:
    scale = torch.linspace(0.5, 2, 16)
    return lambda _, x: x * scale.to(x)


def learnt_slopes(_: Sequence, x: torch.Tensor) -> torch.Tensor:
    heads = x.unflatten(-1, (4, 4)).transpose(1, 2)
    slopes = 2.0 ** -torch.arange(1, 5).to(x)[:, None, None]
    scores = heads @ heads.mT - slopes * torch.arange(6).to(x)
    return (scores.softmax(-1) @ heads).transpose(1, 2).flatten(2)


ADDED: dict[str, Callable[[Sequence, torch.Tensor], torch.Tensor]] = {
    "attribute": lambda model, x: x + model.table.to(x),
    "attribute in place": in_place,
    "global": lambda _, x: torch.add(x, TABLE.to(x), alpha=2),
    "closure": enclosed(),
    "made by the width that it meets": lambda _, x: x + sinusoid(x.shape[1], x.shape[2]).to(x),
    "made by an attribute": lambda model, x: x + sinusoid(x.shape[1], model.width).to(x),
    "ramp": lambda _, x: x * torch.arange(x.shape[2], dtype=x.dtype) / 8,
    "two at once": lambda model, x: torch.addcmul(x, TABLE.to(x), model.table.to(x)),
    "slopes of heads": learnt_slopes,
}


@pytest.mark.parametrize("name", ADDED)
def test_a_constant_is_cut_where_it_is_used(name: str) -> None:
    torch.manual_seed(0)
    analysis = prove(Sequence(ADDED[name]), INPUTS, "first.weight", "second.weight", "second.weight:1")
    assert analysis.constants


class Transformed(nn.Module):
    """PointNet's transform: a matrix a sample, made as the identity and something learnt."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width, self.first = width, nn.Conv1d(3, width, 1)
        self.looks, self.matrix = nn.Conv1d(width, 12, 1), nn.Linear(12, width * width)
        self.last, self.head = nn.Conv1d(width, 10, 1), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        made = self.matrix(torch.relu(self.looks(x)).amax(2)) / 8
        made = made + torch.eye(self.width).flatten().view(1, self.width**2).repeat(len(x), 1).to(x)
        x = torch.bmm(x.mT, made.view(-1, self.width, self.width)).mT
        return self.head(torch.tanh(self.last(x)).amax(2))


def test_rows_and_columns_of_an_identity_go_with_the_matrix_that_it_is_added_to() -> None:
    torch.manual_seed(0)
    prove(Transformed(), POINTS, "first.weight", "looks.weight", "matrix.weight", "last.weight:1")


def test_a_constant_that_is_read_in_another_way_is_called_one() -> None:
    analysis = analyse(Sequence(lambda _, x: x @ torch.eye(16).to(x)), INPUTS)
    why = {f.reason.code for f in analysis.fixed if analysis.tensors[f.tensor].name == "first.weight" and f.dim == 0}
    assert why == {"fixed.constant"}


def test_a_model_with_cut_constants_is_cut_further_pickled_and_made_anew() -> None:
    torch.manual_seed(0)
    model = Sequence(ADDED["attribute"]).eval()
    model.added = copy.copy(in_place)
    analysis = finish(settle(model, INPUTS, name="model"))
    numbers = [n for n, one in enumerate(analysis.sets) if one.name == "first.weight"]
    first = half(analysis, *numbers)
    made = cut(model, analysis, first, INPUTS)
    more = first.copy()
    more[analysis.sets[numbers[0]].first + 1] = more[analysis.sets[numbers[0]].first] = True
    again = cut(made.model, analysis, more, INPUTS, before=first, edits=made.edits)
    result = finish(verify(made.model, again.model, analysis, more, INPUTS, before=first))
    assert result.passed, result
    expected = again.model(*INPUTS)
    assert torch.equal(pickle.loads(pickle.dumps(again.model))(*INPUTS), expected)
    assert torch.equal(copy.deepcopy(again.model)(*INPUTS), expected)

    def fresh() -> nn.Module:
        other = Sequence(ADDED["attribute"]).eval()
        other.added = in_place
        return other

    anew = rebuild(fresh, analysis, more, again.edits, again.model.state_dict())
    assert torch.equal(anew(*INPUTS), expected)
    stored = fresh()
    apply_edits(stored, json.loads(json.dumps(asdict(again.edits))))
    resize(stored, {name: list(t.shape) for name, t in again.model.state_dict().items()})
    stored.load_state_dict(again.model.state_dict())
    assert torch.equal(stored(*INPUTS), expected)
    assert any(one.code == "repair.constants" for one in explain(again.edits, model))


def test_other_numbers_than_those_of_the_cut_are_refused_by_the_constant() -> None:
    torch.manual_seed(0)
    model = Sequence(ADDED["attribute"]).eval()
    analysis = analyse(model, INPUTS)
    numbers = [n for n, one in enumerate(analysis.sets) if one.name == "first.weight"]
    smaller = cut(model, analysis, half(analysis, *numbers), INPUTS).model
    smaller.table = sinusoid(6, 8)
    with pytest.raises(RuntimeError, match="a constant of the code has 8 in place of 16"):
        smaller(*INPUTS)
