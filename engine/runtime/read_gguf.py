"""Reads a GGUF file of the family `deci`, or `llama`, as a model whose layers have sizes of their own.

It needs the packages gguf and transformers, and `modeling_decilm.py` in the same folder:

    model = read_gguf("model.gguf")
"""

import importlib
from typing import Any

FAMILY = "deci"
SIZED = ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj")
"""Modules whose rows say how many query heads, key/value heads and neurons a layer has."""
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Name in a GGUF file -> name in transformers."""


def read_gguf(path: str, dtype: str = "float32") -> Any:
    """The model of a file.

    Args:
        path: The file.
        dtype: Type of the weights.
    """
    gguf, torch = importlib.import_module("gguf"), importlib.import_module("torch")
    modeling = importlib.import_module(f"{__package__}.modeling_decilm" if __package__ else "modeling_decilm")
    reader: Any = gguf.GGUFReader(path)
    family = reader.get_field("general.architecture").contents()

    def field(name: str) -> Any:
        return reader.get_field(f"{family}.{name}").contents()

    layers, head_dim = field("block_count"), field("attention.key_length")
    names = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
    sizes = [field(name) for name in names]  # a number, or one for each layer
    heads, groups, neurons = ([one] * layers if isinstance(one, int) else list(one) for one in sizes)
    weights = {
        str(one.name): torch.from_numpy(gguf.quants.dequantize(one.data, one.tensor_type).copy())
        .float()
        .reshape([int(n) for n in reversed(one.shape)])
        for one in reader.tensors
    }
    blocks = [
        {
            "attention": {"no_op": not q, "n_heads_in_group": q // k if k else None, "num_attention_heads": q},
            "ffn": {"no_op": not n, "intermediate_size": n},
        }
        for q, k, n in zip(heads, groups, neurons, strict=True)
    ]
    config = modeling.DeciLMConfig(
        blocks,
        num_hidden_layers=layers,
        hidden_size=field("embedding_length"),
        head_dim=head_dim,
        vocab_size=len(weights["token_embd.weight"]),
        num_attention_heads=max(heads),
        num_key_value_heads=max(groups),
        intermediate_size=max(neurons),
        max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_theta=field("rope.freq_base"),
        tie_word_embeddings="output.weight" not in weights,
        attention_bias=any(name.endswith("attn_q.bias") for name in weights),
        mlp_bias=any(name.endswith("ffn_up.bias") for name in weights),
    )
    model = modeling.DeciLMForCausalLM(config).to(getattr(torch, dtype))
    state: dict[str, Any] = {}
    for name, stored in weights.items():
        *block, part, kind = name.split(".")
        value = stored
        if part in ("attn_q", "attn_k"):  # each head's rows are in pairs of the rotary embedding
            value = stored.reshape(-1, head_dim // 2, 2, *stored.shape[1:]).transpose(1, 2).reshape(stored.shape)
        place = f"model.layers.{block[1]}." if block else ""
        state[f"{place}{NAMES[part]}.{kind}"] = value
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model
