"""A Llama whose layers have sizes of their own, in the DeciLM form: `block_configs` says what each layer has.

This file lies beside the weights of an export. It needs transformers alone:

    AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)

`block_configs` is that of DeciLM (Nemotron-NAS), which other programs read too: for each layer `attention` with
`n_heads_in_group` (query heads of a key/value head) and `ffn` with `ffn_mult` (3/2 of the feed-forward width over the
hidden size), each with `no_op` where the layer has none. Exact widths stand beside them: `num_attention_heads` and
`intermediate_size`.
"""

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP

HEADS = ("num_attention_heads", "num_key_value_heads")


class Section(dict[str, Any]):
    """A part of a configuration: a dictionary whose values are attributes too, as other programs read them."""

    def __getattr__(self, name: str) -> Any:
        """The value of that name."""
        if name not in self:
            raise AttributeError(name)
        return self[name]


def _section(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return Section({name: _section(one) for name, one in cast("Mapping[str, Any]", part).items()})


class DeciLMConfig(LlamaConfig):
    """Llama's configuration with a section for each layer."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: Any = (), **kwargs: Any) -> None:
        """Take the sections of the layers; all else is Llama's."""
        heads = {name: kwargs.pop(name) for name in HEADS if kwargs.get(name)}
        super().__init__(num_attention_heads=1, num_key_value_heads=1, **kwargs)
        for name, value in heads.items():  # afterwards: Llama checks that they divide the hidden size
            setattr(self, name, value)
        self.block_configs = [_section(one) for one in block_configs]

    def validate(self) -> None:
        """Heads have a size of their own here, so the hidden size need not be a multiple of their number."""


class NoAttention(nn.Module):
    """Stands for the attention of a layer that has none."""

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        """Add nothing to the hidden states [N, T, hidden]."""
        return torch.zeros_like(hidden_states), None


class NoFeedForward(nn.Module):
    """Stands for the feed-forward part of a layer that has none."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Add nothing to the hidden states [N, T, hidden]."""
        return torch.zeros_like(hidden_states)


class DeciLMForCausalLM(LlamaForCausalLM):
    """Llama with layers of different sizes."""

    config_class = DeciLMConfig

    def __init__(self, config: DeciLMConfig) -> None:
        """Build each layer as its section says."""
        super().__init__(config)
        cached = 0  # layers without attention have no place in the cache, whose length is that of its first
        for layer, block in zip(self.model.layers, config.block_configs, strict=True):
            own = copy.copy(config)
            if block["attention"]["no_op"]:
                layer.self_attn, layer.input_layernorm = NoAttention(), nn.Identity()
            else:
                heads = block["attention"].get("num_attention_heads") or config.num_attention_heads
                own.num_attention_heads = heads
                own.num_key_value_heads = heads // block["attention"]["n_heads_in_group"]
                layer.self_attn = LlamaAttention(own, cached)
                layer.self_attn.config = config  # which says how attention is computed, also when that changes
                cached += 1
            if block["ffn"]["no_op"]:
                layer.mlp, layer.post_attention_layernorm = NoFeedForward(), nn.Identity()
            else:
                own.intermediate_size = block["ffn"]["intermediate_size"]
                layer.mlp = LlamaMLP(own)
        self.post_init()
