"""Quantisation-aware training: scales and zero points of a channel go with it, running extremes too."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.ao import quantization

from .between import Images, pictures
from .proof import prove

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*reduce_range will be deprecated:UserWarning"),
]


class ByChannel(nn.Module):
    """A scale and a zero point for each of eight channels, as buffers of whole numbers or as parameters."""

    def __init__(self, learnt: bool) -> None:
        super().__init__()
        scale, zero_point = torch.rand(8) * 0.05 + 0.02, torch.arange(8)
        self.scale = nn.Parameter(scale) if learnt else nn.Buffer(scale)
        self.zero_point = nn.Parameter(zero_point.float()) if learnt else nn.Buffer(zero_point.int())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = (x, self.scale, self.zero_point, 1, -128, 127)
        if isinstance(self.scale, nn.Parameter):
            return torch.ops.aten._fake_quantize_learnable_per_channel_affine(*given, 1.0)
        return torch.fake_quantize_per_channel_affine(*given)


class Quantised(nn.Module):
    """A convolution, rounded values, and a convolution that reads them."""

    def __init__(self, rounded: nn.Module) -> None:
        super().__init__()
        self.first, self.rounded = nn.Conv2d(3, 8, 3), rounded
        self.second, self.head = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.second(self.rounded(torch.tanh(self.first(x)))).mean((2, 3))))


@pytest.mark.parametrize("learnt", [False, True])
def test_scale_and_zero_point_of_a_channel_go_with_it(learnt: bool) -> None:
    torch.manual_seed(0)
    prove(Quantised(ByChannel(learnt)), pictures(), "first.weight", "rounded.scale", "rounded.zero_point")


@pytest.mark.parametrize(
    "rounded",
    [
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127),
        lambda x: torch.fake_quantize_per_tensor_affine(x, torch.tensor(0.05), torch.tensor(3).int(), -128, 127),
        lambda x: torch.ops.aten._fake_quantize_learnable_per_tensor_affine(
            x, torch.tensor([0.05]), torch.tensor([0.0]), -128, 127, 1.0
        ),
    ],
)
def test_one_scale_for_all_leaves_every_channel_free(rounded: nn.Module) -> None:
    torch.manual_seed(0)
    prove(Images(rounded, 8, 8), pictures(), "first.weight", "second.weight:1")


class Prepared(nn.Module):
    """As torch's own tools take it: stubs around a convolution with a norm, and one without."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = quantization.QuantStub(), quantization.DeQuantStub()
        self.first, self.norm, self.relu = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        self.second, self.head = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.first(self.quant(x))))
        return self.dequant(self.head(self.second(x).mean((2, 3))))


@pytest.mark.parametrize("observing", [True, False])
@pytest.mark.parametrize(
    "config", [quantization.get_default_qat_qconfig("x86"), quantization.get_default_qat_qconfig("fbgemm", version=0)]
)
def test_a_model_in_quantisation_aware_training_is_free(config: quantization.QConfig, observing: bool) -> None:
    torch.manual_seed(0)
    model = Prepared().train()
    setattr(model, "qconfig", config)  # noqa: B010 - where torch's tools look for it
    tools: Any = quantization
    model = tools.prepare_qat(tools.fuse_modules_qat(model, [["first", "norm", "relu"]]))
    model(*pictures())
    if not observing:
        model.apply(quantization.disable_observer)
    scale = "first.weight_fake_quant.scale"
    prove(model, pictures(), "first.weight", "second.weight", scale, scale.replace("scale", "zero_point"))
