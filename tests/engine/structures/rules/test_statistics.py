"""Norms, distances, counts and losses run over channels, and are those of whatever remains."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind

from .between import Between, Rows, features, pictures
from .proof import prove

ADJACENT = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 1.0]])


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function: Between) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def norm(order: float | None) -> Between:
    return lambda x: x / torch.ops.aten.norm(x + 2, order, [1], True)


def distance(p: float = 2.0, mode: str = "donot_use_mm_for_euclid_dist") -> Between:
    return lambda x: x * torch.cdist(x, x.flip(0) * 2, p, mode).mean(1, keepdim=True) / 9


def lost(name: str, **given: str) -> Between:
    return lambda x: x * getattr(F, name)(x.sigmoid(), x.flip(0).sigmoid(), **given)


CASES: dict[str, Between] = {
    **{f"norm {order}": norm(order) for order in (None, 1.0, 3.0, -1.0)},
    "norm of all": lambda x: x / torch.ops.aten.norm(x),
    **{f"distance {p}": distance(p) for p in (1.0, 2.0, float("inf"))},
    "euclidean distance": distance(mode="use_mm_for_euclid_dist"),
    "distance of pairs": lambda x: x * F.pdist(x).mean(),
    "distance of tensors": lambda x: x * torch.dist(x, x.flip(0)),
    "distance of rows": lambda x: x * F.pairwise_distance(x, x.flip(0))[:, None],
    "count": lambda x: x * torch.count_nonzero(x.relu(), 1)[:, None] / 8,
    "count of all": lambda x: x * torch.count_nonzero(x.relu()) / 8,
    "extremes": lambda x: x / x.aminmax(dim=1, keepdim=True).max + x.aminmax().min,
    "log of a sum": lambda x: x * x.logsumexp(1, keepdim=True),
    "length of rows": lambda x: torch.renorm(x, 2, 0, 0.5),
    "length of columns": lambda x: torch.renorm(x, 2, 1, 0.5),
    **{
        f"{name} {how}": lost(name, reduction=how)
        for name in ("mse_loss", "huber_loss", "binary_cross_entropy")
        for how in ("none", "mean", "sum")
    },
    **{
        name: lost(name)
        for name in ("smooth_l1_loss", "soft_margin_loss", "binary_cross_entropy_with_logits")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_statistic_over_channels_is_one_over_those_that_remain(name: str) -> None:
    torch.manual_seed(0)
    prove(Rows(Applied(CASES[name]), 9, 9), features(), "first.weight")


class Prototypes(nn.Module):
    """Distances of a feature at each place to prototypes, which are as wide; each prototype goes by itself too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 12, 3), nn.Linear(10, 4)
        self.prototypes = nn.Parameter(torch.randn(10, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near = torch.exp(-torch.cdist(torch.tanh(self.first(x)).flatten(2).mT, self.prototypes) / 4)
        return self.head(near.mean(1))


def test_prototypes_lose_coordinates_with_the_features_and_go_one_by_one() -> None:
    torch.manual_seed(0)
    analysis = prove(Prototypes(), pictures(), "first.weight", "prototypes:0", "prototypes:1")
    assert sorted(s.count for s in analysis.sets) == [10, 12]


@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_weights_normed_over_any_axis_are_free_in_both(axis: int) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3)
    for layer in (first, second):
        nn.utils.weight_norm(layer, dim=axis)
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    model = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), *pooled)
    analysis = prove(model, pictures(), "0.weight_v", "2.weight_v")
    assert {s.kind for s in analysis.sets} == {Kind.FILTER}


class Nearby(nn.Module):
    """Each of many points attends to those near it, and so to itself at no distance."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(3, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = torch.tanh(self.first(x))
        return self.head(torch.softmax(-torch.cdist(features, features), -1) @ features).mean(1)


def test_a_distance_of_nothing_differs_by_nothing() -> None:
    torch.manual_seed(0)
    prove(Nearby(), (torch.randn(2, 40, 3),), "first.weight")


class Graph(nn.Module):
    """Rows are mixed by a sparse matrix: made in the forward, or a buffer."""

    def __init__(self, kept: bool, added: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.head, self.added = nn.Linear(9, 12), nn.Linear(12, 8), nn.Linear(8, 4), added
        self.adjacent = nn.Buffer(ADJACENT.to_sparse()) if kept else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        adjacent = ADJACENT.to_sparse() if self.adjacent is None else self.adjacent
        x = torch.tanh(torch.sparse.mm(adjacent, self.first(x)))
        x = self.second(x)
        return self.head(torch.tanh(torch.sparse.addmm(x, adjacent, x) if self.added else torch.mm(adjacent, x)))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("added", [True, False])
def test_features_on_a_graph_are_free(kept: bool, added: bool) -> None:
    torch.manual_seed(0)
    prove(Graph(kept, added), features(), "first.weight", "second.weight")


class Renormed(nn.Module):
    """An embedding whose rows have at most a length."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden, self.head = nn.Embedding(11, 12, max_norm=1.0), nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.hidden(self.table(tokens))))


def test_rows_of_an_embedding_are_renormed_over_the_columns_that_remain() -> None:
    torch.manual_seed(0)
    prove(Renormed(), (torch.arange(20).reshape(4, 5) % 11,), "table.weight:1")


def test_an_analysis_leaves_an_embedding_that_renorms_itself_as_it_was() -> None:
    torch.manual_seed(0)
    model = Renormed().eval()
    before = model.table.weight.detach().clone()
    analyse(model, (torch.arange(20).reshape(4, 5) % 11,))
    assert torch.equal(model.table.weight, before)
