"""SmolLM2-135M-Instruct from its GGUF file: dequantised weights, and its tokeniser as a tokenizer.json."""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import harness, packages

ROLES = {
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


def make() -> nn.Module:
    """The language model: tokens [N, T] to logits [N, T, vocabulary]."""
    from transformers import LlamaConfig, LlamaForCausalLM

    reader = _reader()
    config = LlamaConfig(
        vocab_size=_number("llama.vocab_size"),
        hidden_size=_number("llama.embedding_length"),
        intermediate_size=_number("llama.feed_forward_length"),
        num_hidden_layers=_number("llama.block_count"),
        num_attention_heads=_number("llama.attention.head_count"),
        num_key_value_heads=_number("llama.attention.head_count_kv"),
        rms_norm_eps=_number("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": _number("llama.rope.freq_base")},
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        use_cache=False,
    )
    model: Any = LlamaForCausalLM(config)
    heads: dict[str, Any] = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    state = {name: tensor for one in reader.tensors for name, tensor in [_named(one, heads)]}
    missing = model.load_state_dict(state, strict=False)
    assert missing.missing_keys == ["lm_head.weight"] and not missing.unexpected_keys, missing
    return model.eval()


def tokenizer() -> Path:
    """The tokeniser as a file that the library `tokenizers` reads: byte-level BPE, digits apart."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    path = harness.work() / "smollm2" / "tokenizer.json"
    if not path.exists():
        words, merges = _strings("tokenizer.ggml.tokens"), _strings("tokenizer.ggml.merges")
        pairs = [(one.partition(" ")[0], one.partition(" ")[2]) for one in merges]
        made = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=pairs))
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(words[n], special=True) for n in range(3)])
        packages.written(path, made.to_str())
    return path


@cache
def _reader() -> Any:
    path = packages.fetched(packages.SMOLLM)
    sys.path.append(str(packages.fetched(packages.GGUF).parents[1]))
    reader: Any = import_module("gguf").GGUFReader
    return reader(str(path))


def _named(one: Any, heads: dict[str, int]) -> tuple[str, torch.Tensor]:
    """Name and weight as transformers have them; the converter's order of rotary rows is undone."""
    dequantize: Any = import_module("gguf.quants").dequantize
    tensor = torch.from_numpy(dequantize(one.data, one.tensor_type).copy()).float()
    if one.name in ("token_embd.weight", "output_norm.weight"):
        return {"token_embd.weight": "model.embed_tokens.weight"}.get(one.name, "model.norm.weight"), tensor
    _, layer, role, _ = one.name.split(".")
    if role in heads:
        rows = tensor.reshape(heads[role], -1, 2, tensor.shape[1])
        tensor = rows.transpose(1, 2).reshape(tensor.shape)
    return f"model.layers.{layer}.{ROLES[role]}.weight", tensor.contiguous()


def _number(key: str) -> Any:
    field = _reader().fields[key]
    return field.parts[field.data[0]][0].item()


def _strings(key: str) -> list[str]:
    field = _reader().fields[key]
    return [bytes(field.parts[n]).decode("utf-8") for n in field.data]
