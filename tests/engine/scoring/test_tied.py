"""A model with tied embeddings is rated as the same function is with two tensors."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.score_options import Choices, Slices
from secateur.engine.scoring.weight_slices import slices_of
from secateur.engine.scoring.weights import further_uses, parameters_of
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from tests.engine.scoring.given_task import GivenTask

TASK = GivenTask(torch.arange(48).reshape(8, 6) * 7 % 20, 4, batch=4)


class _WordEmbedding(nn.Embedding):
    """As libraries derive theirs."""


class _Language(nn.Module):
    """Tokens, a residual layer and a head, which may have the embedding's weight; either may be defined first."""

    def __init__(self, kind: type[nn.Embedding], head_first: bool) -> None:
        super().__init__()
        if head_first:
            self.head = nn.Linear(16, 20, bias=False)
        self.embedding = kind(20, 16)
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)
        if not head_first:
            self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.embedding(tokens)
        h = h + self.down(self.up(h).relu())
        return self.head(h).mean(1)


def _pair(kind: type[nn.Embedding] = nn.Embedding, head_first: bool = False) -> tuple[Any, Any]:
    """(tied, the same function with two tensors)."""
    torch.manual_seed(0)
    tied, other = _Language(kind, head_first).eval(), _Language(nn.Embedding, head_first).eval()
    other.load_state_dict(tied.state_dict())
    other.head.weight = nn.Parameter(tied.head.weight.detach().clone())
    assert torch.equal(tied(TASK.given[0][0]), other(TASK.given[0][0]))
    return tied, other


def _of_width(net: nn.Module, criterion: str, slices: Slices | None = None) -> Any:
    analysis = analyse(net, TASK.example_inputs())
    width = next(one for one in analysis.sets if one.kind is Kind.WIDTH)
    scores = finish(score(net, analysis, analysis.empty(), criterion, TASK, choices=Choices(slices=slices)))
    return scores[width.structures]


@pytest.mark.parametrize("kind", [nn.Embedding, _WordEmbedding])
@pytest.mark.parametrize("head_first", [False, True])
@pytest.mark.parametrize("criterion", ["taylor", "gates", "fisher", "wanda", "fluctuation", "l1", "l2", "lamp"])
def test_width_is_rated_as_with_a_head_of_its_own(kind: type[nn.Embedding], head_first: bool, criterion: str) -> None:
    tied, other = _pair(kind, head_first)
    assert np.allclose(_of_width(tied, criterion), _of_width(other, criterion), rtol=1e-5)
    assert tied.head.weight is tied.embedding.weight


@pytest.mark.parametrize("slices", list(Slices))
def test_each_use_of_a_tied_tensor_counts_where_it_computes_or_reads(slices: Slices) -> None:
    tied, other = _pair()
    for criterion in ("l1", "taylor", "geometric-median"):
        assert np.allclose(_of_width(tied, criterion, slices), _of_width(other, criterion, slices), rtol=1e-5)


def test_taylor_of_a_width_is_the_gradient_of_a_gate_on_all_that_reads_it() -> None:
    tied, _ = _pair()
    squares = torch.zeros(16)
    for tokens, labels in TASK.given:
        gate = torch.ones(16, requires_grad=True)
        h = tied.embedding(tokens)
        h = h + tied.down(tied.up(h * gate).relu())
        loss = nn.functional.cross_entropy((h * gate @ tied.head.weight.T).mean(1), labels)
        squares += torch.autograd.grad(loss, gate)[0].square()
    assert np.allclose(_of_width(tied, "taylor"), (squares / len(TASK.given)).sqrt(), rtol=1e-4)


def test_weights_that_are_only_read_are_not_copied() -> None:
    tied, _ = _pair()
    analysis = analyse(tied, (torch.zeros(2, 6, dtype=torch.int64),))
    kept = analysis.kept_indices(analysis.empty())
    parameters, places = parameters_of(tied, analysis, kept), slices_of(analysis, kept, Slices.ALL)
    read, measured = (further_uses(parameters, places, one) for one in (False, True))
    assert [one is tied.embedding.weight for one in (*read.values(), *measured.values())] == [True, False]
