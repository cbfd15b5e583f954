"""Every block of small models and of transformers is removed and verified; removing another one fails."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.jobs import finish
from secateur.engine.runtime import load_pruned
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import CutModel, cut, rebuild
from secateur.engine.surgery.cut.edits import Verification
from secateur.engine.surgery.cut.trial_cuts import settle
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing.isolated_forward import quiet_forward
from secateur.engine.tracing.tree import Inputs, call
from tests.engine.block_nets import WIDTH, Branches, Decoder, Numbered, sequence
from tests.engine.nets import Transformer, image
from tests.engine.structures.rules.proof import verify_removal

TOKENS = {"input_ids": torch.arange(14).reshape(2, 7) * 3 % 50}
BOTH = {**TOKENS, "decoder_input_ids": torch.arange(10).reshape(2, 5) * 7 % 50}
SMALL: dict[str, Any] = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)


def llama() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            **SMALL,
        )
    )  # fmt: skip


def gemma() -> Any:
    """Its layers are sliding and full in turn."""
    transformers = pytest.importorskip("transformers")
    return transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            head_dim=8, sliding_window=4, **SMALL,
        )
    )  # fmt: skip


def bert() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.BertModel(
        transformers.BertConfig(
            vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
        )
    )


def gpt2() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **SMALL))


def t5() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=3, num_heads=4,
            decoder_start_token_id=0,
        )
    )  # fmt: skip


def vit() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32,
            patch_size=8,
        )
    )  # fmt: skip


CASES: list[tuple[Callable[[], nn.Module], Inputs, int]] = [
    (Decoder, sequence(), 7), (Branches, image(8), 4), (Transformer, image(), 9),
    (encoder, (torch.randn(2, 5, 16),), 6), (llama, TOKENS, 9), (gemma, TOKENS, 12), (bert, TOKENS, 6),
    (gpt2, TOKENS, 6), (t5, BOTH, 13), (vit, image(), 6),
]  # fmt: skip


MADE: dict[Callable[[], nn.Module], tuple[nn.Module, Analysis, list[int]]] = {}
"""Cuts and verifications leave their model as it is, so that tests share one."""


def made(build: Callable[[], nn.Module], inputs: Inputs) -> tuple[nn.Module, Analysis, list[int]]:
    if build in MADE:
        return MADE[build]
    torch.manual_seed(0)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    analysis = analyse(model, inputs)
    MADE[build] = model, analysis, [s.first for s in analysis.sets if s.kind is Kind.BLOCK]
    return MADE[build]


def without(model: nn.Module, analysis: Analysis, inputs: Inputs, gone: list[int]) -> tuple[Mask, CutModel]:
    mask = analysis.empty()
    mask[gone] = True
    return mask, cut(model, analysis, mask, inputs)


def verified(model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask, inputs: Inputs) -> Verification:
    return finish(verify(model, smaller, analysis, mask, inputs))


@pytest.mark.parametrize(("build", "inputs", "count"), CASES, ids=lambda v: getattr(v, "__name__", "") or None)
def test_every_block_goes_and_costs_are_exact(build: Callable[[], nn.Module], inputs: Inputs, count: int) -> None:
    model, analysis, blocks = made(build, inputs)
    assert len(blocks) == count
    half = [blocks[n] for n in range(0, count, 2)]
    for gone in (*([b] for b in blocks), half, blocks):
        mask, done = without(model, analysis, inputs, gone)
        if gone is half or gone is blocks or gone == blocks[:1]:
            result = verified(model, done.model, analysis, mask, inputs)
            assert result.passed, (gone, result)
        kept = model.state_dict().keys() & done.model.state_dict().keys()
        assert kept == done.model.state_dict().keys()  # names stay
        one = {k: v[:1] for k, v in inputs.items()} if isinstance(inputs, dict) else tuple(v[:1] for v in inputs)
        with quiet_forward(done.model), FlopCounterMode(display=False) as counter:
            call(done.model, one)
        counted = costs(analysis, mask)
        assert counted.macs * 2 == counter.get_total_flops()
        assert counted.parameters == sum(p.numel() for p in done.model.parameters())


@pytest.mark.parametrize(("build", "inputs", "count"), CASES, ids=lambda v: getattr(v, "__name__", "") or None)
def test_another_block_fails(build: Callable[[], nn.Module], inputs: Inputs, count: int) -> None:
    model, analysis, blocks = made(build, inputs)
    right, _ = without(model, analysis, inputs, blocks[:1])
    _, wrong = without(model, analysis, inputs, blocks[-1:])
    assert not verify_removal(model, wrong.model, analysis, right, inputs).checks[0].passed


def test_an_outer_block_and_what_is_inside_it_are_cut_together_or_one_after_the_other() -> None:
    inputs = sequence()
    model, analysis, _ = made(Decoder, inputs)
    number = {s.name: s.first for s in analysis.sets if s.kind is Kind.BLOCK}
    first = analysis.empty()
    first[number["steps.1.mixer"]] = True
    one = cut(model, analysis, first, inputs)
    second = first.copy()
    second[number["steps.1"]] = True
    for one_set in analysis.sets:  # and half of everything else
        if one_set.kind is not Kind.BLOCK:
            second[one_set.first : one_set.first + one_set.count // 2] = True
    two = cut(one.model, analysis, second, inputs, before=first, edits=one.edits)
    assert finish(verify(one.model, two.model, analysis, second, inputs, before=first)).passed
    assert verified(model, two.model, analysis, second, inputs).passed
    assert costs(analysis, second).parameters == sum(p.numel() for p in two.model.parameters())
    again = rebuild(Decoder, analysis, second, two.edits, two.model.state_dict())
    assert torch.equal(again(*inputs), two.model(*inputs))


def test_a_stand_in_takes_its_argument_by_name_or_by_position() -> None:
    class Named(nn.Module):
        def forward(self, mask: Any, hidden: Any) -> Any:
            raise AssertionError

    hidden, by_place = torch.randn(2, 3), load_pruned.StandIn(Named(), {"list": [{"input": "1"}, {"zeros": "1"}]})
    for result in (by_place(None, hidden), by_place(mask=None, hidden=hidden)):
        assert result[0] is hidden and not result[1].any() and result[1].shape == hidden.shape
    by_name = load_pruned.StandIn(Named(), {"dict": {"x": {"input": "hidden"}}})
    assert by_name(None, hidden)["x"] is hidden and by_name(None, hidden=hidden)["x"] is hidden


def test_a_stand_in_loads_no_class_that_is_not_there() -> None:
    stand_in = load_pruned.StandIn(nn.Identity(), {"class": "subprocess:Popen", "fields": {}})
    with pytest.raises(ValueError, match="not a loaded dataclass"):
        stand_in(torch.zeros(1))


@pytest.mark.parametrize("computes", [False, True])
def test_layers_take_the_slots_of_those_that_are_gone_unless_they_compute_with_them(computes: bool) -> None:
    inputs = (torch.randn(4, WIDTH),)
    torch.manual_seed(0)
    layers = (Numbered(n, computes) for n in range(3))
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), *layers, nn.Linear(WIDTH, 3)).eval()
    analysis = analyse(model, inputs)
    blocks = [s.first for s in analysis.sets if s.kind is Kind.BLOCK]
    _, done = without(model, analysis, inputs, blocks[:1])
    numbers = [a for a in done.edits.attributes if a[1] == "layer_idx"]
    assert numbers == ([] if computes else [("2", "layer_idx", 0), ("3", "layer_idx", 1)])


GENERATING = [
    (llama, TOKENS, ("model.layers.0",)), (llama, TOKENS, ("model.layers.0.self_attn",)),
    (gemma, TOKENS, ("model.layers.0", "model.layers.1")), (gpt2, TOKENS, ("transformer.h.0", "transformer.h.1.mlp")),
    (t5, BOTH, ("encoder.block.1", "decoder.block.1")),
]  # fmt: skip


@pytest.mark.parametrize(("build", "inputs", "names"), GENERATING, ids=lambda v: getattr(v, "__name__", "") or None)
def test_a_cut_language_model_generates_the_same_with_a_cache(
    build: Callable[[], Any], inputs: Inputs, names: tuple[str, ...]
) -> None:
    model, analysis, _ = made(build, inputs)
    gone = [s.first for s in analysis.sets if s.name in names and s.kind is Kind.BLOCK]
    _, done = without(model, analysis, inputs, gone)
    assert len(gone) == len(names)
    # As a user loads it: the original class, the repairs from JSON, the weights.
    loaded: Any = build()
    load_pruned.apply_edits(loaded, json.loads(json.dumps(asdict(done.edits))))
    loaded.load_state_dict(done.model.state_dict())
    scores = [generated(loaded, cached) for cached in (True, False)]
    assert np.allclose(*scores, rtol=1e-4, atol=1e-4)
    if "0" in names[0]:  # the first layer's slot is empty if nobody takes it
        for path, module in loaded.named_modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = model.get_submodule(path).layer_idx
        assert not np.allclose(generated(loaded, True), scores[1], rtol=1e-2, atol=1e-2)


def generated(model: Any, cached: bool) -> Any:
    """[steps, batch, vocabulary] scores of greedy steps."""
    result = model.eval().generate(
        TOKENS["input_ids"], max_new_tokens=8, do_sample=False, use_cache=cached, output_scores=True,
        return_dict_in_generate=True, pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    return torch.stack(result.scores).numpy()


def test_settled_blocks_are_tried_apart_from_what_is_inside_them() -> None:
    class Stubborn(nn.Module):
        """Refuses another number of inner features; its block may go."""

        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.up(x)
            if y.shape[-1] != 24:
                raise ValueError("24 features, please")
            return x + self.down(torch.relu(y))

    model = nn.Sequential(nn.Linear(5, WIDTH), Stubborn(), nn.Linear(WIDTH, 3))
    analysis = finish(settle(model.eval(), (torch.randn(4, 5),), name="stubborn"))
    assert {(s.kind, s.name) for s in analysis.sets} == {(Kind.BLOCK, "1"), (Kind.WIDTH, "0.weight")}
