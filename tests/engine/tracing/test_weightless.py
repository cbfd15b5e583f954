"""Runs for shapes only write down what runs for real do, and touch nothing."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torchvision
import transformers
from torch import nn

from secateur.engine.tracing import recorder
from secateur.engine.tracing.shadow_model import isolated_copy, weightless_copy
from secateur.engine.tracing.tree import Inputs
from tests.engine.nets import Concat, Residual, Rotary, Tied, TorchAttention, Transformer, image, tokens


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=40
    )
    return transformers.LlamaForCausalLM(config)


def padded() -> Inputs:
    """Tokens with a mask, which transformers' mask code asks for its values."""
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, :3] = 0
    return {"input_ids": tokens()[0], "attention_mask": mask, "use_cache": False}


ASSIGNMENT = ("aten.copy_", "aten.fill_", "aten.lift_fresh", "aten.scalar_tensor")
NETS: list[tuple[Callable[[], nn.Module], Inputs]] = [
    (Residual, image()),
    (Concat, image()),
    (Transformer, image()),
    (TorchAttention, tokens()),
    (Tied, tokens()),
    (Rotary, (torch.randn(2, 9),)),
    (llama, padded()),
    (torchvision.models.mobilenet_v3_small, image(64)),
    (torchvision.models.swin_t, image(64)),
]


@pytest.mark.parametrize(("make", "inputs"), NETS)
def test_a_run_for_shapes_records_what_a_real_one_does(
    make: Callable[[], nn.Module], inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make().eval()
    monkeypatch.setattr(recorder, "SMALL", 10**12)
    real = recorder.record(model, inputs)
    monkeypatch.setattr(recorder, "SMALL", 0)
    blank = recorder.record(model, inputs)
    assert blank.weightless and not real.weightless

    def plain(seen: recorder.Record) -> list[object]:
        # What `x[i] = 1` is made of depends on the device.
        shape = seen.shapes
        return [
            (c.op, c.module, [shape[v] for v in c.refs()], shape[c.outputs[0]], c.flops, c.pointwise)
            for c in seen.calls
            if c.outputs and c.op not in ASSIGNMENT and () not in (shape[v] for v in c.refs())
        ]

    assert plain(blank) == plain(real)
    assert [replace(f, input=0, outputs=()) for f in blank.functions] == [
        replace(f, input=0, outputs=()) for f in real.functions
    ]
    assert [blank.shapes[v] for v in blank.outputs] == [real.shapes[v] for v in real.outputs]


class Choosy(nn.Module):
    """Its flow depends on what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(9, 16), nn.Linear(16, 16)
        self.cache: dict[str, torch.Tensor] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        self.cache["x"] = x
        return self.second(x) if x.abs().sum() > 0 else x


def test_flow_that_depends_on_values_is_run_for_real_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SMALL", 0)
    model = Choosy()
    seen = recorder.record(model, (torch.randn(2, 9),))
    assert not seen.weightless
    assert sum(c.op == "aten.addmm" for c in seen.calls) == 2
    assert model.cache == {}


def test_a_model_without_weights_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        blank = llama()
    seen = recorder.record(blank, padded())
    assert seen.weightless
    assert [c.op for c in seen.calls] == [c.op for c in recorder.record(llama(), padded()).calls]


@pytest.mark.parametrize("make", [isolated_copy, weightless_copy])
def test_a_twin_is_a_deep_copy_but_for_its_tensors(make: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.ModuleDict(
        {"tied": Tied(), "lstm": nn.LSTM(3, 4), "norm": nn.BatchNorm1d(3).eval(), "residual": Residual()}
    )
    shared: dict[str, int] = {}
    for part in model.values():
        part.__dict__["seen"] = shared
    model["tied"].__dict__["neighbour"] = model["norm"]
    other = make(model)
    assert isinstance(other, nn.ModuleDict)
    tied, norm = other["tied"], other["norm"]
    assert isinstance(tied, Tied)
    assert repr(other) == repr(copy.deepcopy(model))
    assert not {id(m) for m in model.modules()} & {id(m) for m in other.modules()}
    assert tied.out.weight is tied.embed.weight
    assert vars(tied)["seen"] is vars(norm)["seen"] is not shared
    assert vars(tied)["neighbour"] is norm
    assert [m.training for m in other.modules()] == [m.training for m in model.modules()]
    assert list(other.state_dict()) == list(model.state_dict())
    assert norm.running_mean is not model["norm"].running_mean
