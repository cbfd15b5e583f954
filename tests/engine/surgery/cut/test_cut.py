"""A cut makes a new live model: repaired, trainable, composed in original coordinates; what cannot be is refused."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from secateur.engine.errors import PlanError, VerificationError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.runtime.load_pruned import PrunedAttention, apply_edits, load_pruned
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.transition import Transition
from secateur.engine.surgery.cut.cut import cut, rebuild, shapes
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.tensor_slices import compare_tensors
from secateur.engine.surgery.verify.verify import verify
from tests.engine.nets import Residual, Stubborn, TorchAttention, Transformer, image, tokens


def test_the_original_is_not_touched() -> None:
    model = Transformer().eval()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    names = {id(p) for p in model.parameters()}
    analysis = analyse(model, image())
    smaller = cut(model, analysis, trial_mask(analysis), image()).model
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert not names & {id(p) for p in smaller.parameters()}
    assert type(smaller) is type(model)


def test_modules_remember_their_new_sizes() -> None:
    model = Residual().eval()
    analysis = analyse(model, image())
    mask = trial_mask(analysis)
    mask[[s.first for s in analysis.sets if s.kind is Kind.BLOCK]] = False
    smaller = cut(model, analysis, mask, image()).model
    modules: dict[str, Any] = dict(smaller.named_modules())
    assert (modules["stem.0"].out_channels, modules["stem.1"].num_features) == (6, 6)
    assert (modules["hidden"].in_features, modules["hidden"].out_features, modules["head"].in_features) == (40, 12, 12)
    assert modules["blocks.1.shortcut"].in_channels == 6


def test_a_cut_model_trains() -> None:
    model = Transformer().eval()
    analysis = analyse(model, image())
    smaller = cut(model, analysis, trial_mask(analysis), image()).model.train()
    smaller(*image()).square().mean().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in smaller.parameters())


def test_cuts_compose_in_original_coordinates() -> None:
    model, inputs = Residual().eval(), image()
    analysis = analyse(model, inputs)
    both, first = trial_mask(analysis), analysis.empty()
    first[np.flatnonzero(both)[::2]] = True
    once = cut(model, analysis, both, inputs)
    step = cut(model, analysis, first, inputs)
    twice = cut(step.model, analysis, both, inputs, before=first, edits=step.edits)
    direct, stepped = once.model.state_dict(), twice.model.state_dict()
    assert direct.keys() == stepped.keys()
    assert all(torch.equal(direct[n], stepped[n]) for n in direct)
    result = finish(verify(step.model, twice.model, analysis, both, inputs, before=first))
    assert result.passed


@pytest.mark.parametrize(("net", "inputs"), [(Residual, image()), (Transformer, image()), (TorchAttention, tokens())])
def test_a_state_comes_back_from_a_fresh_model_and_from_the_exported_files(
    net: type, inputs: tuple[torch.Tensor], tmp_path: Path
) -> None:
    model = net().eval()
    analysis = analyse(model, inputs)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, inputs)
    again = rebuild(net, analysis, mask, made.edits, made.model.state_dict())
    described = {"schema": 1, "shapes": shapes(analysis, mask), "edits": asdict(made.edits)}
    (tmp_path / "shapes.json").write_text(json.dumps(described))
    save_file(made.model.state_dict(), tmp_path / "weights.safetensors")
    named = load_pruned(net, str(tmp_path / "shapes.json"), str(tmp_path / "weights.safetensors"))
    by_folder = load_pruned(net, str(tmp_path))
    with torch.no_grad():
        expected = made.model.eval()(*inputs)
        for one in (again, named, by_folder):
            assert torch.equal(one(*inputs), expected)
            step = Transition(analysis, analysis.empty(), mask)
            found = compare_tensors(model, one, step, made.factors, made.edits, NeverCancelled())
            assert found.passed, found.detail
    lacking = dict(made.model.state_dict())
    lost = lacking.popitem()[0]
    with pytest.raises(VerificationError, match=f"lack {lost}"):
        rebuild(net, analysis, mask, made.edits, lacking)


@pytest.mark.parametrize("need_weights", [True, False])
def test_pruned_attention_equals_torchs_own_when_nothing_is_missing(need_weights: bool) -> None:
    every: list[dict[str, Any]] = [
        {"bias": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True},
        {"kdim": 10, "vdim": 14},
    ]
    for options in every:
        attention = torch.nn.MultiheadAttention(24, 4, batch_first=True, **options).eval()
        holder = torch.nn.ModuleDict({"a": attention})
        query = torch.randn(2, 5, 24)
        key = torch.randn(2, 7, options.get("kdim", 24))
        value = torch.randn(2, 7, options.get("vdim", 24))
        mask, padding = torch.zeros(5, 7, dtype=torch.bool), torch.zeros(2, 7, dtype=torch.bool)
        mask[:, 3], padding[1, 5] = True, True
        with torch.no_grad():
            expected = attention(query, key, value, padding, need_weights, mask)
            apply_edits(holder, {"attention": [["a", 4, 6]]})
            result = holder["a"](query, key, value, padding, need_weights, mask)
        assert isinstance(holder["a"], PrunedAttention)
        torch.testing.assert_close(result[0], expected[0])
        if need_weights:
            torch.testing.assert_close(result[1], expected[1])


def test_a_plan_that_empties_a_layer_is_refused() -> None:
    model = Residual().eval()
    analysis = analyse(model, image())
    mask = analysis.empty()
    one = next(s for s in analysis.sets if s.kind is Kind.FILTER)
    mask[one.structures] = True
    with pytest.raises(PlanError, match=r"removes all 12 indices of blocks\.0\.conv1\.weight.*Keep at least one"):
        cut(model, analysis, mask, image())


def test_an_empty_plan_and_one_that_restores_are_refused() -> None:
    model = Residual().eval()
    analysis = analyse(model, image())
    with pytest.raises(PlanError, match="Nothing is marked"):
        cut(model, analysis, analysis.empty(), image())
    with pytest.raises(PlanError, match="earlier state"):
        cut(model, analysis, analysis.empty(), image(), before=trial_mask(analysis))


def test_what_no_repair_reaches_is_fixed_with_the_models_own_words() -> None:
    analysis = finish(settle(Stubborn().eval(), image(), name="stubborn"))
    assert [s.name for s in analysis.sets] == ["second.weight"]
    reason = next(f.reason for f in analysis.fixed if f.reason.code == "fixed.unrepaired")
    assert "sixteen channels, please" in str(reason)


def test_every_spelling_of_attention_is_repaired() -> None:
    analysis = finish(settle(Transformer().eval(), image(), name="transformer"))
    assert {s.kind for s in analysis.sets} == {Kind.HEAD, Kind.HEAD_DIM, Kind.NEURON, Kind.WIDTH, Kind.BLOCK}
