"""GGUF files: a Llama written as llama.cpp has it computes here what it computed before."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine import prune
from secateur.engine.errors import OpenError
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec

gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")
LEAVES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def llama(tied: bool = True) -> torch.nn.Module:
    """A small model with grouped queries."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=tied, rope_theta=5000.0, rms_norm_eps=1e-4,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def written(model: torch.nn.Module, path: Path, family: str = "llama", quantised: bool = False) -> Path:
    """The file that llama.cpp's converter makes: rows of queries and keys go from halves to pairs."""
    writer = gguf.GGUFWriter(str(path), family)
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(1e-4)
    for name, tensor in model.state_dict().items():
        value = tensor.numpy().astype(np.float32)
        if "q_proj" in name or "k_proj" in name:
            heads = 4 if "q_proj" in name else 2
            value = value.reshape(heads, 2, 4, 32).transpose(0, 2, 1, 3).reshape(value.shape)
        if name == "lm_head.weight" and model.config.tie_word_embeddings:  # type: ignore[union-attr]
            continue
        whole = {
            "model.embed_tokens.weight": "token_embd",
            "model.norm.weight": "output_norm",
            "lm_head.weight": "output",
        }
        if name in whole:
            target = f"{whole[name]}.weight"
        else:
            _, _, block, rest = name.split(".", 3)
            target = f"blk.{block}.{LEAVES[rest.removesuffix('.weight')]}.weight"
        kind = gguf.GGMLQuantizationType.Q8_0 if quantised and value.ndim == 2 else None
        data = value if kind is None else gguf.quants.quantize(value, kind)
        writer.add_tensor(target, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("tied", [True, False])
def test_a_file_computes_what_the_model_computed(tied: bool, tmp_path: Path) -> None:
    model = llama(tied)
    opened = open_model(ModelSpec(str(written(model, tmp_path / "model.gguf"))))
    ids = torch.randint(0, 64, (3, 9))
    with torch.no_grad():
        torch.testing.assert_close(opened.model(ids).logits, model(ids).logits)


def test_quantised_weights_are_converted_to_float32(tmp_path: Path) -> None:
    model = llama()
    opened = open_model(ModelSpec(str(written(model, tmp_path / "model.gguf", quantised=True))))
    assert {one.dtype for one in opened.model.parameters()} == {torch.float32}
    assert "Q8_0" in str(opened.notes[0])
    ids = torch.randint(0, 64, (3, 9))
    with torch.no_grad():
        torch.testing.assert_close(opened.model(ids).logits, model(ids).logits, rtol=0.05, atol=0.02)


def test_a_file_is_cut(tmp_path: Path) -> None:
    path = written(llama(), tmp_path / "model.gguf")
    pruned = prune(str(path), keep_parameters=0.7, multiple=1)
    assert pruned.report.after.parameters <= 0.7 * pruned.report.before.parameters


@pytest.mark.parametrize(
    ("family", "length", "code"),
    [("gemma", None, "gguf.family"), ("llama", 300, "gguf.damaged"), ("llama", 2, "gguf.damaged")],
)
def test_other_files_are_refused(family: str, length: int | None, code: str, tmp_path: Path) -> None:
    path = written(llama(), tmp_path / "model.gguf", family)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(str(path)))
    assert caught.value.message.code == code


def field(kind: int, value: bytes, count: int = 1, tensors: int = 0) -> bytes:
    """A file with one field, or says that it has more."""
    name = struct.pack("<Q", 1) + b"x"
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, count) + name + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    "data",
    [
        field(9, struct.pack("<IQ", 0, 1 << 60) + bytes(99)),
        field(9, struct.pack("<IQ", 0, 5_000_000) + bytes(5_000_000)),
        field(9, struct.pack("<IQ", 8, 1 << 60) + bytes(99)),
        field(9, struct.pack("<IQ", 9, 1 << 60) + bytes(99)),
        field(9, struct.pack("<IQ", 77, 1) + bytes(99)),
        field(8, struct.pack("<Q", 1 << 60)),
        field(0, b"x", count=1 << 60),
        field(0, b"x", tensors=1 << 60),
        field(0, b"x" + struct.pack("<Q", 1) + b"t" + struct.pack("<I", (1 << 32) - 1), tensors=1),
        b"GGUF" + struct.pack("<I", 99),
    ],
)
def test_a_header_that_says_more_than_the_file_holds_is_refused(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(data)
    monkeypatch.setattr("gguf.GGUFReader", None)  # the package would begin to make them
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(str(tmp_path / "model.gguf")))
    assert caught.value.message.code == "gguf.damaged" and caught.value.details != "'NoneType' object is not callable"
