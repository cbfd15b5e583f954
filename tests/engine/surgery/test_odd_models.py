"""Models that hold or do something unusual: buffers no file has, tied tensors, one batch size, own attention."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.runtime.load_pruned import load_pruned
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut, rebuild, shapes
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify import verify as verification
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing import recorder
from tests.engine.nets import Ghost, OneBatch, Residual, Rotary, Tied, WithOwnAttention, image, rows, tokens


@pytest.mark.parametrize(
    ("net", "inputs"), [(Rotary, rows()), (Tied, tokens()), (OneBatch, image()), (WithOwnAttention, tokens())]
)
def test_it_is_cut_verified_and_comes_back(net: type[nn.Module], inputs: tuple[torch.Tensor], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = net().eval()
    analysis = finish(settle(model, inputs, name="odd"))
    mask = trial_mask(analysis)
    assert mask.any()
    made = cut(model, analysis, mask, inputs)
    result = finish(verify(model, made.model, analysis, mask, inputs))
    assert result.passed, result
    again = rebuild(net, analysis, mask, made.edits, made.model.state_dict())
    described = {"schema": 1, "shapes": shapes(analysis, mask), "edits": asdict(made.edits)}
    (tmp_path / "shapes.json").write_text(json.dumps(described))
    tensors = {n: t.clone() for n, t in made.model.state_dict().items() if n != "out.weight"}  # tied: written once
    save_file(tensors, tmp_path / "weights.safetensors")
    loaded = load_pruned(net, str(tmp_path / "shapes.json"), str(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        expected = made.model.eval()(*inputs)
        assert torch.equal(again(*inputs), expected)
        assert torch.equal(loaded(*inputs), expected)


def test_the_width_of_tied_embeddings_goes_from_both_uses() -> None:
    analysis = finish(settle(Tied(), tokens(), name="tied"))
    assert any(s.name == "embed.weight" for s in analysis.sets)


def test_a_file_that_lacks_a_tied_tensor_under_every_name_is_refused(tmp_path: Path) -> None:
    model = Tied().eval()
    analysis = finish(settle(model, tokens(), name="tied"))
    described = {"schema": 1, "shapes": shapes(analysis, analysis.empty()), "edits": asdict(Edits())}
    (tmp_path / "shapes.json").write_text(json.dumps(described))
    lacking = {n: t.clone() for n, t in model.state_dict().items() if n not in ("out.weight", "embed.weight")}
    save_file(lacking, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"missing.*embed"):
        load_pruned(Tied, str(tmp_path / "shapes.json"), str(tmp_path / "weights.safetensors"))


def test_a_counter_in_the_users_model_is_not_moved() -> None:
    model = Rotary()
    finish(settle(model, rows(), name="rotary"))
    assert float(model.calls) == 0.0


def test_a_subclass_of_attention_keeps_its_own_forward_and_its_heads() -> None:
    analysis = finish(settle(WithOwnAttention().eval(), tokens(), name="own"))
    assert not any(s.kind in (Kind.HEAD, Kind.HEAD_DIM) for s in analysis.sets)


def test_a_large_model_is_verified_in_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SMALL", 0)
    model = Residual().eval()
    analysis = finish(settle(model, image(), name="large"))
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, image())
    result = finish(verify(model, made.model, analysis, mask, image()))
    assert result.passed
    assert {c.dtype for c in result.checks} == {"float32", "exact"}


def test_a_depth_wise_layer_over_channels_that_go_in_pairs_has_a_group_for_each() -> None:
    model, inputs = Ghost().eval(), image()
    analysis = finish(settle(model, inputs, name="ghost"))
    assert {s.name: s.count for s in analysis.sets} == {"primary.weight": 8}
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, inputs)
    assert vars(made.model.get_submodule("depthwise"))["groups"] == 8
    assert finish(verify(model, made.model, analysis, mask, inputs)).passed


class Remembering(nn.Module):
    """Attention with a bias made of a table once and kept (as in LeViT), so that only the first forward makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.kept = 4, dict[str, torch.Tensor]()
        self.qkv, self.out = nn.Linear(9, 3 * 4 * 6), nn.Linear(4 * 6, 3)
        self.table = nn.Parameter(torch.randn(4, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if "bias" not in self.kept:
            places = torch.arange(x.shape[1])
            self.kept["bias"] = self.table[:, (places - places[:, None]).abs()]
        q, k, v = self.qkv(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2).chunk(3, -1)
        mixed = (q @ k.mT + self.kept["bias"]).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("size", [0, 10**9])
def test_what_one_forward_keeps_for_the_next_is_no_difference(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SMALL", size)  # recorded without weights, and with them
    torch.manual_seed(0)
    model, inputs = Remembering().eval(), (torch.randn(2, 5, 9),)
    analysis = finish(settle(model, inputs, name="remembering"))
    assert analysis.weightless == (size == 0) and not model.kept
    assert {str(one.kind) for one in analysis.sets} >= {str(Kind.HEAD)}
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, inputs)
    assert ("", "heads", 2) in made.edits.attributes and not made.model.get_submodule("").kept
    assert finish(verify(model, made.model, analysis, mask, inputs)).passed
