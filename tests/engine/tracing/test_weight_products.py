"""Products with parameters are seen at their operators, taken apart into Y = X M^T that give what came out."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.tracing.weight_products import WeightProduct, WeightProducts, drawn_rows


class Stack(nn.Module):
    """Matrices with parameters, in several spellings."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Parameter(torch.randn(3, 4, 5))
        self.turned = nn.Parameter(torch.randn(7, 4))
        self.bias = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Any:
        return (
            torch.bmm(x, self.experts),
            torch.einsum("bij,kj->bik", x, self.turned),
            self.turned @ x.mT,
            torch.addmm(self.bias, x[0], self.experts[1]),
        )


CONVOLUTIONS = [
    nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2),
    nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    nn.Conv2d(4, 6, 3, padding="same", padding_mode="reflect"),
    nn.Conv3d(4, 6, 3, padding=1, groups=2, bias=False),
    nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    nn.ConvTranspose2d(4, 6, (3, 4), stride=(2, 3), padding=(1, 0), dilation=(2, 1)),
    nn.ConvTranspose2d(4, 6, 1, stride=2, padding=1),
]


def _products(model: nn.Module, *inputs: Tensor) -> list[WeightProduct]:
    found: list[WeightProduct] = []
    with torch.no_grad(), WeightProducts(dict(model.named_parameters()), found.append, model.buffers()):
        model(*inputs)
    return found


def _multiply(model: nn.Module, product: WeightProduct) -> None:
    weights = dict(model.named_parameters())
    for unit in product.units:
        rows = torch.arange(unit.rows)
        result = unit.columns(rows) @ unit.view(weights[product.name].detach()).flatten(1).T
        assert torch.allclose(result, unit.product(rows), atol=1e-4)
        if product.bias:
            result = result + unit.added(weights[product.bias].detach())
        assert torch.allclose(result, unit.outputs(product.result, rows), atol=1e-4)


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_columns_of_a_convolution_times_its_weight_are_what_it_gives(layer: Any) -> None:
    (product,) = _products(layer, torch.randn(2, 4, *[7] * (layer.weight.ndim - 2)))
    assert len(product.units) == layer.groups
    _multiply(layer, product)


def test_matrices_are_found_however_they_are_spelled() -> None:
    model = Stack()
    found = _products(model, torch.randn(3, 6, 4))
    assert [(one.name, one.call, len(one.units)) for one in found] == [
        ("experts", 0, 3), ("turned", 0, 1), ("turned", 1, 1), ("experts", 1, 1)
    ]  # fmt: skip
    assert [one.bias for one in found] == ["", "", "", "bias"]
    for product in found:
        _multiply(model, product)


def test_what_is_written_through_a_unit_is_read_by_the_operator() -> None:
    layer = nn.Conv2d(4, 6, 3, groups=2)
    other, given = nn.Conv2d(4, 6, 3, groups=2), torch.randn(2, 4, 5, 5)

    def write(product: WeightProduct) -> None:
        for unit in product.units:
            unit.view(layer.weight.detach()).copy_(unit.view(other.weight.detach()))
            unit.added(layer.bias.detach()).copy_(unit.added(other.bias.detach()))

    with torch.no_grad(), WeightProducts(dict(layer.named_parameters()), before=write):
        result = layer(given)
    assert torch.equal(result, other(given))


def test_states_of_a_recurrent_layer_are_what_its_weight_reads() -> None:
    model = nn.LSTM(4, 5, bidirectional=True)
    found = {one.name: one for one in _products(model, torch.randn(7, 2, 4))}
    assert len(found) == 4 and all(one.steps for one in found.values())
    (unit,) = found["weight_hh_l0"].units
    states = found["weight_hh_l0"].result[0]
    assert torch.equal(unit.columns(torch.arange(unit.rows))[2:], states[:-1].flatten(0, 1))


def test_a_computed_weight_is_told_as_derived_and_an_embedding_as_mixed() -> None:
    model = nn.ModuleDict({"first": nn.Embedding(5, 4), "last": nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))})
    found: list[WeightProduct] = []
    with torch.no_grad(), WeightProducts(dict(model.named_parameters()), found.append) as watch:
        model["last"](model["first"](torch.tensor([1, 2])))
    assert [one.derived for one in found] == [True] and "first.weight" in watch.mixed


def test_rows_are_drawn_among_those_that_count() -> None:
    layer, found = nn.Linear(4, 3), list[WeightProduct]()
    with torch.no_grad(), WeightProducts(dict(layer.named_parameters()), found.append) as watch:
        watch.present = torch.tensor([[True, True, False], [True, False, False]])
        layer(torch.randn(2, 3, 4))
    random = torch.Generator().manual_seed(0)
    (unit,) = found[0].units
    assert drawn_rows(unit, 100, random).tolist() == [0, 1, 3]
    assert set(drawn_rows(unit, 2, random).tolist()) < {0, 1, 3}
