"""One axis seen in several ways: views share the factors that both have; what does not fit disturbs no others."""

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.structures.solver.shape_factors import refine, segments
from secateur.engine.surgery.cut.trial_cuts import settle
from tests.engine.structures.rules.between import Rows, features
from tests.engine.structures.rules.proof import prove


class Nested(nn.Module):
    """Twelve features are scaled by quarters, then by halves."""

    def __init__(self) -> None:
        super().__init__()
        self.quarters, self.halves = nn.Parameter(torch.randn(4, 1)), nn.Parameter(torch.randn(2, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x.view(len(x), len(self.quarters), -1) * self.quarters).flatten(1)
        return (x.view(len(x), len(self.halves), -1) * self.halves).flatten(1)


def test_two_views_of_one_axis_share_their_factors() -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(Nested(), 12, 12), features(), "first.weight", "between.quarters", "between.halves")
    assert sorted(s.count for s in analysis.sets) == [2, 2, 3]
    halves = next(s for s in analysis.sets if ("between.halves", 0) in _touched(analysis, s.touches))
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(halves.first + 1)}
    assert found["first.weight", 0] == list(range(6, 12)) and found["between.quarters", 0] == [2, 3]


class Joined(nn.Module):
    """The half of an axis was scaled by sixths before; the whole is scaled by quarters."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(12, 12)
        self.sixths, self.quarters = nn.Parameter(torch.randn(6, 1)), nn.Parameter(torch.randn(4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = (x.view(len(x), len(self.sixths), -1) * self.sixths).flatten(1)
        x = torch.cat([scaled, self.other(x)], 1)
        return (x.view(len(x), len(self.quarters), -1) * self.quarters).flatten(1)


def test_a_view_of_joined_axes_shares_the_factors_of_each() -> None:
    torch.manual_seed(0)
    prove(Rows(Joined(), 12, 24), features(), "first.weight", "between.sixths", "between.quarters")


class Scales(nn.Module):
    """Linear attention over heads of two scales; the second's queries, keys and values are mixed within each."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.qkv = 4, nn.Conv1d(8, 24, 1)
        self.mix, self.out = nn.Conv1d(24, 24, 1, groups=6), nn.Conv1d(16, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, :, None] * torch.ones(5)
        parts = self.qkv(x)
        parts = torch.cat([parts, self.mix(parts)], 1).reshape(len(x), -1, 3 * self.dim, 5).mT
        q, k, v = parts.chunk(3, -1)
        y = torch.relu(q) @ (torch.relu(k).mT @ v)
        return self.out(y.mT.reshape(len(x), -1, 5)).mean(2)


def test_factors_that_were_shared_once_are_shared_whenever_it_is_solved_again() -> None:
    torch.manual_seed(0)
    model, inputs = Rows(Scales(), 8, 8).eval(), features()
    analysis = prove(model, inputs, "between.qkv.weight", "between.out.weight:1")
    head = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(head.first)}
    assert found["between.qkv.weight", 0] == found["between.mix.weight", 0] == list(range(12))
    assert found["between.out.weight", 1] == [0, 1, 2, 3, 8, 9, 10, 11]
    assert "fixed.unrepaired" not in {f.reason.code for f in finish(settle(model, inputs, name="")).fixed}


class Shuffles(nn.Module):
    """Six features in pairs of three are shuffled, joined with what they were, and shuffled again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, _shuffled(x)], 1)
        return _shuffled(x)


def _shuffled(x: torch.Tensor) -> torch.Tensor:
    return x.view(len(x), 2, -1).transpose(1, 2).flatten(1)


def test_views_that_do_not_fit_together_are_a_conflict_and_no_error() -> None:
    analysis = analyse(Rows(Shuffles(), 6, 12), features())
    assert not analysis.sets
    assert "fixed.conflict" in {f.reason.code for f in analysis.fixed}


def _touched(analysis: Analysis, touches: tuple[tuple[int, int], ...]) -> set[tuple[str, int]]:
    return {(analysis.tensors[t].name, d) for t, d in touches}


@pytest.mark.parametrize(("before", "after", "cuts"), [
    ((2, 3, 8), (3, 2, 8), [((2, 3), (3, 2)), ((8,), (8,))]),
    ((6, 4), (2, 3, 4), [((6,), (2, 3)), ((4,), (4,))]),
    ((1, 5), (5,), [((1, 5), (5,))]),
    ((4,), (2, 2, 1), [((4,), (2, 2, 1))]),
    ((), (1, 1), [((), (1, 1))]),
    ((0, 3), (3, 0), [((0, 3), (3, 0))]),
])  # fmt: skip
def test_shapes_are_cut_where_both_have_a_boundary(
    before: tuple[int, ...], after: tuple[int, ...], cuts: list[tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    found = [(before[a], after[b]) for a, b in segments(before, after)]
    # Sizes of one may stand in either neighbour: what matters is that each pair has equally many numbers.
    assert found == cuts


def test_the_finest_common_factors() -> None:
    assert refine((4, 16), (2, 32)) == ([(2, 2), (16,)], [(2,), (2, 16)])
    assert refine((2, 3), (3, 2)) is None
