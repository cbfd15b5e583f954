"""Configurations that build a cut model of transformers: counts of heads, groups and experts, eager and sdpa."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from secateur.engine.errors import Message
from secateur.engine.planning.protocol import Goal, PlanStart, kind_limit_of
from secateur.engine.planning.target_shape import plan_shape
from secateur.engine.sources.hugging_face import example_inputs
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.repair.config_fit import FittedModel, fit_config
from secateur.engine.surgery.repair.keep_uniform import fitting_plan, keep_uniform

DEEPSEEK: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 8, "n_routed_experts": 8, "n_shared_experts": 1, "n_group": 2,
    "topk_group": 1, "num_experts_per_tok": 2, "q_lora_rank": 8, "kv_lora_rank": 4, "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4, "v_head_dim": 6, "first_k_dense_replace": 1, "max_position_embeddings": 64,
}  # fmt: skip
MODERN_BERT: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "local_attention": 8, "layer_types": ["full_attention", "sliding_attention"],
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
}  # fmt: skip
MAMBA2: dict[str, Any] = {
    "num_heads": 16, "head_dim": 4, "hidden_size": 32, "state_size": 8, "n_groups": 2, "num_hidden_layers": 2,
    "chunk_size": 8, "vocab_size": 90,
}  # fmt: skip
GEMMA3: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "query_pre_attn_scalar": 16, "max_position_embeddings": 64,
}  # fmt: skip
ELECTRA: dict[str, Any] = {
    "vocab_size": 90, "embedding_size": 16, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip


def cut_uniformly(kind: Any, config: Any, shape: dict[Kind, float]) -> tuple[Any, Any]:
    """A model of a class, with attention that is not flat, cut to a shape that one configuration describes."""
    torch.manual_seed(0)
    model = kind(config).eval()
    for one in model.parameters():
        if one.dim() > 1:
            torch.nn.init.normal_(one, std=0.2)
    inputs = example_inputs(kind, config)
    analysis = keep_uniform(model, analyse(model, inputs))
    goal = Goal((), shape=tuple(map(kind_limit_of, shape.items())))
    rated = np.random.default_rng(0).random(analysis.count)
    plan = plan_shape(PlanStart(analysis, rated, analysis.empty(), analysis.empty()), goal)
    plan = fitting_plan(model, PlanStart.of(analysis, rated), plan, goal.shape)
    return cut(model, analysis, plan, inputs).model, inputs


@pytest.mark.parametrize(
    ("kind", "config", "shape", "fields"),
    [
        (
            transformers.DeepseekV3ForCausalLM,  # sdpa runs with any number of key/value heads, eager does not
            transformers.DeepseekV3Config(**DEEPSEEK),
            {Kind.HEAD: 4},
            {"num_attention_heads": 4, "num_key_value_heads": 4, "n_group": 2, "n_routed_experts": 8},
        ),
        (
            transformers.DeepseekV3ForCausalLM,
            transformers.DeepseekV3Config(**DEEPSEEK),
            {Kind.WIDTH: 24},
            {"hidden_size": 24, "num_attention_heads": 8, "num_key_value_heads": 8, "qk_head_dim": 8},
        ),
        (
            transformers.DeepseekV3ForCausalLM,  # counts by the number of neurons do not run at all
            transformers.DeepseekV3Config(**DEEPSEEK),
            {Kind.NEURON: 0.5},
            {"moe_intermediate_size": 4, "num_key_value_heads": 8, "n_group": 2, "topk_group": 1},
        ),
        (
            transformers.ModernBertForMaskedLM,  # its heads are shown by no weight, but by a buffer
            transformers.ModernBertConfig(**MODERN_BERT),
            {Kind.WIDTH: 24, Kind.NEURON: 36},
            {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 36},
        ),
        (
            transformers.Mamba2ForCausalLM,  # its class refuses fewer heads until the width grows by less, too
            transformers.Mamba2Config(**MAMBA2),
            {Kind.HEAD: 8},
            {"num_heads": 8, "expand": 1, "hidden_size": 32, "head_dim": 4},
        ),
        (
            transformers.Gemma3ForCausalLM,  # scales by its width, which six layers round to more than one does
            transformers.Gemma3TextConfig(**GEMMA3),
            {Kind.WIDTH: 72},
            {"hidden_size": 72, "num_attention_heads": 4},
        ),
        (
            transformers.ElectraForPreTraining,  # where both widths are equal a layer less is between them
            transformers.ElectraConfig(**ELECTRA),
            {Kind.WIDTH: 0.75, Kind.NEURON: 36},
            {"embedding_size": 12, "hidden_size": 24, "intermediate_size": 36},
        ),
    ],
    ids=["DeepSeek-heads", "DeepSeek-width", "DeepSeek-neurons", "ModernBERT", "Mamba2", "Gemma3", "ELECTRA"],
)
@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_the_class_gives_the_same_outputs_by_its_new_configuration_whatever_computes_attention(
    kind: Any, config: Any, shape: dict[Kind, float], fields: dict[str, int], tmp_path: Path
) -> None:
    pruned, inputs = cut_uniformly(kind, config, shape)
    found = fit_config(pruned, inputs)
    assert isinstance(found, FittedModel), found
    assert {name: getattr(found.model.config, name) for name in fields} == fields
    found.model.save_pretrained(tmp_path)
    for attention in ("eager", "sdpa") if kind._supports_sdpa else ("eager",):
        stock = kind.from_pretrained(tmp_path, attn_implementation=attention).eval()
        with torch.no_grad():
            expected, logits = pruned(**inputs).logits, stock(**inputs).logits
        assert float((expected - logits).abs().max() / expected.abs().max()) < 1e-5
        if stock.can_generate():
            how: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
            made = [stock.generate(inputs["input_ids"], use_cache=cache, **how) for cache in (True, False)]
            assert torch.equal(*made)


def test_a_class_that_does_not_run_with_the_sizes_of_a_cut_model_is_refused_with_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = transformers.ModernBertConfig(**MODERN_BERT)
    model = transformers.ModernBertForMaskedLM(config).eval()
    own: Any = model.model.layers[0].mlp
    forward = type(own).forward

    def of_the_cut_model_alone(self: Any, hidden_states: torch.Tensor) -> Any:
        if self not in (one.mlp for one in model.model.layers):
            raise RuntimeError("selected index k out of range")
        return forward(self, hidden_states)

    monkeypatch.setattr(type(own), "forward", of_the_cut_model_alone)
    why = fit_config(model, example_inputs(type(model), config))
    assert isinstance(why, Message) and why.code == "config.runs"
    assert "does not run with the nearest configuration (RuntimeError: selected index k out of range)" in str(why)
