"""A Llama with layers of different sizes leaves in the DeciLM form: transformers loads it by the code beside it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from secateur.engine.export.protocol import ExportRequest
from secateur.engine.export.table import exporter_named
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.sources.hugging_face import example_inputs
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind
from secateur.engine.surgery.cut.cut import CutModel, cut
from secateur.engine.surgery.repair.decilm_form import in_decilm_form, read_elsewhere, written_as
from tests.warm_start import python

STOCK = """
import os, sys, torch
folder, copies, out = sys.argv[1:]
os.environ["HF_MODULES_CACHE"] = copies
import transformers
assert "secateur" not in sys.modules
model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
ids = torch.arange(24).reshape(2, 12) + 3
how = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
with torch.no_grad():
    made = [model.generate(ids, use_cache=cache, **how) for cache in (True, False)]
    torch.save({"logits": model(ids).logits, "cached": made[0], "uncached": made[1]}, out)
"""


def named(analysis: Analysis, kind: Kind, end: str) -> CoupledSet:
    return next(one for one in analysis.sets if one.kind is kind and one.module.endswith(end))


@pytest.fixture(scope="module")
def uneven() -> tuple[CutModel, Any]:
    """Attention of one layer gone, the feed-forward part of another, a third layer whole, one group, some neurons."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 64}
    sizes |= {"num_attention_heads": 6, "num_key_value_heads": 3}
    config = transformers.LlamaConfig(vocab_size=90, num_hidden_layers=4, tie_word_embeddings=True, **sizes)
    model = transformers.LlamaForCausalLM(config).eval()
    inputs = example_inputs(type(model), model.config)
    analysis = analyse(model, inputs)
    plan = analysis.empty()
    for kind, end, count in (
        (Kind.BLOCK, "layers.0.self_attn", 1),
        (Kind.BLOCK, "layers.1.mlp", 1),
        (Kind.BLOCK, "layers.2", 1),
        (Kind.KV_GROUP, "layers.3.self_attn.q_proj", 1),
        (Kind.NEURON, "layers.0.mlp.gate_proj", 9),
        (Kind.WIDTH, "embed_tokens", 2),
    ):
        one = named(analysis, kind, end)
        plan[one.first : one.first + count] = True
    return cut(model, analysis, plan, inputs), inputs


def test_each_layer_has_a_section_and_the_outputs_are_equal(uneven: tuple[CutModel, Any]) -> None:
    done, inputs = uneven
    found = in_decilm_form(done.model, inputs)
    assert found is not None and found.difference == 0.0
    config = found.model.config
    assert (config.hidden_size, config.num_hidden_layers, config.head_dim) == (46, 3, 8)
    attention = [(one.attention.no_op, one.attention.n_heads_in_group) for one in config.block_configs]
    assert attention == [(True, None), (False, 2), (False, 2)]
    assert [one.attention.get("num_attention_heads") for one in config.block_configs] == [None, 6, 4]
    assert [one.ffn.get("intermediate_size") for one in config.block_configs] == [55, None, 64]
    assert config.block_configs[0].ffn.ffn_mult == pytest.approx(1.5 * 55 / 46)


@pytest.mark.end_to_end
def test_the_folder_loads_in_a_fresh_process_and_generates_with_its_cache(
    uneven: tuple[CutModel, Any], tmp_path: Path
) -> None:
    done, inputs = uneven
    request = ExportRequest(done.model, inputs, str(tmp_path / "out"), None, done.edits, "llama", 1)
    exported = finish(exporter_named("hugging-face").export(request, NeverCancelled()))
    assert exported.difference == 0.0
    assert [note.code for note in exported.notes if not isinstance(note, str)] == ["export.deci_sizes"]
    command = python("-P", "-c", STOCK, str(tmp_path / "out"), str(tmp_path / "copies"))
    subprocess.run([*command, str(tmp_path / "stock.pt")], check=True, cwd=tmp_path, capture_output=True, timeout=120)
    made = torch.load(tmp_path / "stock.pt", weights_only=True)
    with torch.no_grad():
        assert torch.equal(done.model(torch.arange(24).reshape(2, 12) + 3).logits, made["logits"])
        again = exporter_named("hugging-face").predictor(str(tmp_path / "out"))
        assert again is not None
        assert torch.equal(again(torch.arange(24).reshape(2, 12) + 3).logits, made["logits"])
    assert torch.equal(made["cached"], made["uncached"])
    document = json.loads((tmp_path / "out" / "config.json").read_text())
    assert document["auto_map"]["AutoModelForCausalLM"] == "modeling_decilm.DeciLMForCausalLM"
    assert (document["model_type"], document["architectures"]) == ("nemotron-nas", ["DeciLMForCausalLM"])


def test_other_programs_read_it_where_their_fields_say_all() -> None:
    from secateur.engine.runtime.modeling_decilm import DeciLMConfig

    def of(heads: tuple[int, ...], widths: tuple[int, ...]) -> Any:
        blocks = [
            {
                "attention": {"no_op": False, "n_heads_in_group": 2, "num_attention_heads": number},
                "ffn": {"no_op": False, "intermediate_size": width},
            }
            for number, width in zip(heads, widths, strict=True)
        ]
        return DeciLMConfig(block_configs=blocks, num_attention_heads=8, head_dim=4, hidden_size=30)

    assert read_elsewhere(of((8, 8), (256, 512))) and written_as(of((8, 8), (256, 512))).code == "export.deci"
    assert not read_elsewhere(of((8, 6), (256, 512))) and not read_elsewhere(of((8, 8), (256, 500)))


def test_heads_that_lost_dimensions_have_no_section() -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 16}
    sizes |= {"num_attention_heads": 4, "num_hidden_layers": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=50, **sizes)).eval()
    inputs = example_inputs(type(model), model.config)
    analysis = analyse(model, inputs)
    plan = analysis.empty()
    plan[named(analysis, Kind.HEAD_DIM, "layers.0.self_attn.v_proj").first] = True
    assert in_decilm_form(cut(model, analysis, plan, inputs).model, inputs) is None
