"""Products in every spelling, look-ups, and weights that are computed from others."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .between import Rows, features, sequences
from .proof import prove


class Holder(nn.Module):
    """A module with the given parameters."""

    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor

    def __init__(self, **parameters: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in parameters.items():
            setattr(self, name, nn.Parameter(torch.randn(shape)))


class Vectors(Holder):
    """Row by row: matrix by vector, twice, and a scalar product."""

    def forward(self, x: Any) -> Any:
        return torch.stack([torch.mv(self.b, torch.addmv(self.c, self.a, r).tanh()) for r in x])


class Outer(Holder):
    """A matrix made of two vectors."""

    def forward(self, x: Any) -> Any:
        return x @ torch.outer(self.a, self.b) + x @ torch.addr(self.c, self.a, self.b)


class Batched(Holder):
    """A product of batches with an added bias."""

    def forward(self, x: Any) -> Any:
        return torch.baddbmm(self.c, x, self.a)


class Twice(nn.Module):
    """A bilinear layer of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.product = nn.Linear(6, 7), nn.Linear(6, 8), nn.Bilinear(7, 8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.product(torch.tanh(self.a(x)), torch.tanh(self.b(x)))


class Complex(Holder):
    """Pairs of features as complex numbers, as rotary embeddings take them."""

    def forward(self, x: Any) -> Any:
        return torch.view_as_real(torch.view_as_complex(x.view(len(x), -1, 2)) * torch.exp(1j * self.a)).flatten(1)


@pytest.mark.parametrize(("between", "reads", "expected"), [
    (Vectors(a=(7, 6), b=(8, 7), c=(7,)), 8, ("between.a", "between.b", "between.c")),
    (Outer(a=(6,), b=(8,), c=(6, 8)), 8, ("between.a", "between.b", "between.c", "between.c:1")),
    (Twice(), 5, ("between.a.weight", "between.b.weight", "between.product.weight")),
    (Complex(a=(3,)), 6, ("first.weight", "between.a")),
], ids=lambda v: type(v).__name__)  # fmt: skip
def test_what_a_product_contracts_is_free_on_both_sides(
    between: nn.Module, reads: int, expected: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    prove(Rows(between, 6, reads), features(), "first.weight", *expected)


def test_a_product_of_batches_with_a_bias() -> None:
    torch.manual_seed(0)
    prove(Rows(Batched(a=(2, 6, 7), c=(1, 1, 7)), 6, 7), sequences(), "between.a:1", "between.a:2", "between.c:2")


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_normalised_weight_is_cut_where_it_is_kept(wrap: Any) -> None:
    torch.manual_seed(0)
    analysis = prove(Rows(wrap(nn.Linear(6, 8)), 6, 8), features(), "first.weight")
    assert [s.count for s in analysis.sets] == [6, 8]


class Words(nn.Module):
    """A bag of words beside the first word as one of eleven flags."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.flags, self.head = nn.EmbeddingBag(11, 6), nn.Parameter(torch.randn(11, 6)), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.bag(x) + F.one_hot(x[:, 0], 11).to(self.flags) @ self.flags))


def test_the_columns_of_a_bag_are_free_and_its_rows_belong_to_words() -> None:
    torch.manual_seed(0)
    analysis = prove(Words(), (torch.randint(0, 11, (3, 5)),), "bag.weight:1", "head.weight:1")
    reasons = {(analysis.tensors[f.tensor].name, f.dim): f.reason.code for f in analysis.fixed}
    assert reasons["bag.weight", 0] == "fixed.vocabulary"
