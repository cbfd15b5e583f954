"""The recorder sees every operator, and leaves the model as it found it."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.errors import AnalysisError
from secateur.engine.tracing.recorder import record
from tests.engine.nets import Residual, Transformer, image


@pytest.mark.parametrize("net", [Residual, Transformer])
def test_the_record_counts_the_flops_that_torch_counts(net: type[nn.Module]) -> None:
    model = net().eval()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*image())
    assert sum(call.flops for call in record(model, image()).calls) == counter.get_total_flops() > 0


def test_a_model_in_train_mode_is_left_in_train_mode_without_hooks_or_new_statistics() -> None:
    model = Residual().train()
    model.blocks.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    record(model, image())
    assert model.training and model.stem.training and not model.blocks.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_forward_that_raises_is_a_sentence_and_leaves_no_hook() -> None:
    model = Residual()
    with pytest.raises(AnalysisError, match=r"forward raised RuntimeError.*2x4x32x32"):
        record(model, (torch.randn(2, 4, 32, 32),))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_that_returns_no_tensor_is_refused() -> None:
    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> str:
            return str(x.shape)

    with pytest.raises(AnalysisError, match="no tensor"):
        record(Silent(), image())
