"""Hugging Face folders out: cut with uniform layers, loaded by the stock library in a fresh process, difference 0.0."""

import json
import shutil
import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import ModelCard

from secateur.engine.cli.main import main
from secateur.engine.errors import ExportError, Message, OpenError
from secateur.engine.export.protocol import ExportRequest
from secateur.engine.export.table import exporter_named
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit, PlanStart
from secateur.engine.pruning import prune
from secateur.engine.scoring.criteria import score
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import StateHistory
from secateur.engine.sources.hugging_face import example_inputs
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.repair.config_fields import ConfigFields
from secateur.engine.surgery.repair.config_fit import FittedModel, fit_config
from secateur.engine.surgery.repair.keep_uniform import fitting_plan, keep_uniform, nearest_uniform
from tests.warm_start import python

from .nets import WHISPER

pytestmark = pytest.mark.end_to_end

STOCK = """
import json, sys, torch, transformers
assert "secateur" not in sys.modules
folder, out = sys.argv[1:]
model = getattr(transformers, "AutoModelForCausalLM").from_pretrained(folder).eval()
ids = torch.arange(24).reshape(2, 12) + 3
with torch.no_grad():
    logits = model(ids).logits
how = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
made = [model.generate(ids, use_cache=cache, **how) for cache in (True, False)]
torch.save({"logits": logits, "cached": made[0], "uncached": made[1]}, out)
"""
CARD = """---
license: other
license_name: "Community: 1.0"
language: [en, de]
library_name: something
---
# Tiny
"""
SIZES: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 6,
    "num_key_value_heads": 3, "tie_word_embeddings": True, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "llama"
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 77}')
    (folder / "README.md").write_text(CARD)
    return folder


def small(kind: Any, config: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    return kind(config).eval(), example_inputs(kind, config)


def uniform_cut(kind: Any, config: Any, keep: float = 0.6) -> tuple[Any, Any]:
    model, inputs = small(kind, config)
    analysis = keep_uniform(model, analyse(model, inputs))
    scores = finish(score(model, analysis, analysis.empty(), "l1"))
    plan = solve(analysis, scores, Goal((Limit(Cost.PARAMETERS, keep),))).removed
    return cut(model, analysis, plan, inputs).model, inputs


def test_a_uniform_plan_leaves_as_a_folder_that_the_stock_library_loads(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, project = tmp_path / "small", tmp_path / "project"
    command = ["prune", str(llama), "--uniform", "--multiple", "1", "--keep-params", "60%", "--json"]
    assert main([*command, "--export", str(out), "--save", str(project)]) == 0, capsys.readouterr().err
    done = json.loads(capsys.readouterr().out)
    assert done["export"]["format"] == "hugging-face" and done["export"]["difference"] == 0.0
    assert json.loads((out / "tokenizer_config.json").read_text()) == {"model_max_length": 77}
    made = torch.load(_stock(out, tmp_path), weights_only=True)
    with closing(Session()) as session:
        finish(session.open(ModelSpec(str(project)), evaluate=False))
        live = session.model(session.present.id)
        ids = torch.arange(24).reshape(2, 12) + 3
        with torch.no_grad():
            assert torch.equal(live(ids).logits, made["logits"])
    assert torch.equal(made["cached"], made["uncached"])
    config = json.loads((out / "config.json").read_text())
    sizes = {name: config[name] for name in SIZES}
    assert sizes != SIZES and sum(p.numel() for p in live.parameters()) == done["after"]["parameters"]
    again = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert again.lm_head.weight is again.model.embed_tokens.weight


def _stock(folder: Path, place: Path) -> Path:
    out = place / "stock.pt"
    command = python("-P", "-c", STOCK, str(folder), str(out))
    subprocess.run(command, check=True, cwd=place, capture_output=True, timeout=120)
    return out


def test_heads_that_no_size_shows_are_found_in_two_places_at_once() -> None:
    config = transformers.WhisperConfig(**WHISPER)
    pruned, inputs = uniform_cut(transformers.WhisperForConditionalGeneration, config, keep=0.7)
    found = fit_config(pruned, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0
    heads = found.model.config.encoder_attention_heads, found.model.config.decoder_attention_heads
    assert heads == tuple(part.layers[0].self_attn.num_heads for part in (pruned.model.encoder, pruned.model.decoder))
    assert max(heads) < 4


def split_attention(model: Any, parts: dict[str, int]) -> None:
    """Give the attention modules below paths other numbers of heads, as a cut does; no size shows them."""
    for path, heads in parts.items():
        for name, one in model.get_submodule(path).named_modules():
            if name.endswith(("self_attn", "encoder_attn")):
                one.num_heads, one.head_dim = heads, one.embed_dim // heads
                one.scaling = one.head_dim**-0.5


def test_counts_that_nothing_shows_are_found_one_after_another() -> None:
    config = transformers.WhisperConfig(**WHISPER)
    model, inputs = small(transformers.WhisperForConditionalGeneration, config)
    split_attention(model, {"model.encoder": 8, "model.decoder": 2})
    model.config.encoder_attention_heads = 16
    found = fit_config(model, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0
    assert (found.model.config.encoder_attention_heads, found.model.config.decoder_attention_heads) == (8, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_configuration_that_only_nearly_gives_the_outputs_is_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    sizes: dict[str, Any] = WHISPER | {"encoder_layers": 2}
    config = transformers.WhisperConfig(**sizes)
    model, inputs = small(transformers.WhisperForConditionalGeneration, config)
    split_attention(model, {"model.encoder.layers.1": 2})  # a configuration has one number for both layers
    model.to(dtype)
    inputs["input_features"] = inputs["input_features"].to(dtype)
    why = fit_config(model, inputs)
    assert isinstance(why, Message) and why.code == "config.near" and 1e-6 < float(why.arguments["difference"]) < 1e-1
    assert "They begin to differ in model.encoder.layers.1.self_attn.out_proj" in str(why)
    with pytest.raises(ExportError, match="outputs differ by"):
        finish(
            exporter_named("hugging-face").export(ExportRequest(model, inputs, str(tmp_path / "out")), NeverCancelled())
        )
    assert not list(tmp_path.iterdir())


def test_whole_layers_and_everything_else_at_once(llama: Path) -> None:
    model = transformers.LlamaForCausalLM.from_pretrained(llama).eval()
    inputs = example_inputs(type(model), model.config)
    analysis = keep_uniform(model, analyse(model, inputs))
    plan = analysis.empty()
    for one in analysis.sets:
        path = one.module.split(".")
        gone = {Kind.NEURON: 24, Kind.KV_GROUP: 1, Kind.WIDTH: 8}.get(one.kind, 0)
        if one.kind is Kind.BLOCK:
            gone = int(path[-1] == "1" and path[-2] == "layers")
        plan[one.first : one.first + gone] = True
    found = fit_config(cut(model, analysis, plan, inputs).model, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0
    config = found.model.config
    sizes = (config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.intermediate_size)
    assert (*sizes, config.num_hidden_layers, config.head_dim) == (40, 4, 2, 40, 3, 8)


@pytest.mark.parametrize(
    "config",
    [
        transformers.GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4, n_positions=20),
        transformers.BertConfig(
            vocab_size=90, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=20,
        ),
    ],
    ids=["GPT-2", "BERT"],
)  # fmt: skip
def test_classes_without_a_head_dimension_lose_heads_with_the_width(config: Any) -> None:
    kind = transformers.GPT2LMHeadModel if config.model_type == "gpt2" else transformers.BertForMaskedLM
    model, inputs = uniform_cut(kind, config)
    found = fit_config(model, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0
    assert found.model.config.hidden_size // found.model.config.num_attention_heads == 8
    assert found.model.config.hidden_size < 32


def test_layers_that_differ_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    model, inputs = small(transformers.LlamaForCausalLM, transformers.LlamaConfig(**SIZES))
    analysis = analyse(model, inputs)
    plan = analysis.empty()
    one = next(one for one in analysis.sets if one.kind is Kind.NEURON)
    plan[one.first : one.first + 10] = True
    value = next(one for one in analysis.sets if one.kind is Kind.HEAD_DIM and one.module.endswith("v_proj"))
    plan[value.first] = True  # which the DeciLM form has no field for
    uneven = cut(model, analysis, plan, inputs)
    why = fit_config(uneven.model, inputs)
    assert isinstance(why, Message) and why.code == "config.uneven"
    assert "model.layers.*.mlp.gate_proj.weight is 54x48 in 0; 64x48 in 1, 2, 3" in str(why)
    request = ExportRequest(uneven.model, inputs, str(tmp_path / "out"), edits=uneven.edits)
    with pytest.raises(ExportError, match="cannot be written as a Hugging Face folder") as error:
        finish(exporter_named("hugging-face").export(request, NeverCancelled()))
    assert error.value.message.code == "export.hf_config" and not list(tmp_path.iterdir())


def test_heads_are_not_taken_for_a_narrower_head_dimension() -> None:
    """Six heads of 8 have the shapes of eight heads of 6, which the class builds where six do not divide the width."""
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4}
    sizes: Any = {"num_hidden_layers": 1, "intermediate_size": 32, **heads}
    model, inputs = small(
        transformers.LlamaForCausalLM, transformers.LlamaConfig(vocab_size=64, hidden_size=64, **sizes)
    )
    analysis = analyse(model, inputs)
    plan = analysis.empty()
    for one in analysis.sets:
        gone = {Kind.KV_GROUP: 1, Kind.WIDTH: 8}.get(one.kind, 0)
        plan[one.first : one.first + gone] = True
    assert isinstance(fit_config(cut(model, analysis, plan, inputs).model, inputs), Message)
    smaller = fitting_plan(model, PlanStart.of(analysis, np.ones(analysis.count)), plan)
    found = fit_config(cut(model, analysis, smaller, inputs).model, inputs)
    assert isinstance(found, FittedModel) and found.difference < 1e-6
    config = found.model.config
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (6, 3, 8)
    assert config.hidden_size == 54


def test_a_llama_with_uneven_layers_says_what_the_nearest_uniform_plan_costs(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prune", str(llama), "--multiple", "1", "--keep-params", "70%", "--json"]
    assert main([*command, "--export", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    export = json.loads(capsys.readouterr().out)["export"]
    assert export["format"] == "hugging-face" and export["difference"] == 0.0
    form, near = export["notes"]
    assert form["code"] == "export.deci_sizes"
    assert near["code"] == "uniform.nearest" and near["arguments"]["macs"] > 0


def test_a_folder_with_uneven_layers_is_one_for_pytorch_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=60, **sizes)).save_pretrained(tmp_path / "bert")
    command = ["prune", str(tmp_path / "bert"), "--multiple", "1", "--keep-macs", "80%", "--json"]
    assert main([*command, "--export", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    export = json.loads(capsys.readouterr().out)["export"]
    assert export["format"] == "pytorch" and export["difference"] == 0.0
    (note,) = [note for note in export["notes"] if note["code"] == "export.hf_instead"]
    assert note["arguments"]["reason"]["code"] in ("export.hf_nearest", "export.hf_config")


def test_a_folder_that_runs_with_one_kind_of_attention_alone_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 4, "num_hidden_layers": 1}
    sizes |= {"q_lora_rank": 8, "kv_lora_rank": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4}
    config = transformers.DeepseekV3Config(vocab_size=60, hidden_size=16, intermediate_size=24, **sizes)
    model, inputs = small(transformers.DeepseekV3ForCausalLM, config)  # sdpa runs
    monkeypatch.setattr("secateur.engine.export.hugging_face.fitted_or_decilm", lambda *_: FittedModel(model, 0.0))
    request = ExportRequest(model, inputs, str(tmp_path / "out"))
    with pytest.raises(ExportError) as error:
        finish(exporter_named("hugging-face").export(request, NeverCancelled()))
    assert "RuntimeError" in error.value.details + str(error.value) and not list(tmp_path.iterdir())


def test_another_folder_than_uniform_layers_promise_has_a_name_of_its_own_and_is_not_accepted(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Message("config.none", "No values of the configuration build these sizes.")
    monkeypatch.setattr("secateur.engine.export.hugging_face.fitted_or_decilm", lambda *_: refused)
    out, command = tmp_path / "out", ["prune", str(llama), "--uniform", "--keep-params", "70%", "--json"]
    for name in ("out-pytorch", "out-pytorch-2"):  # the second time nothing is replaced
        assert main([*command, "--export", str(out)]) == 1
        done = json.loads(capsys.readouterr().out)
        assert done["verdict"] == "goal-missed" and not out.exists()
        assert done["export"]["format"] == "pytorch" and {Path(one).parent for one in done["files"]} == {
            tmp_path / name
        }
        (note,) = [note for note in done["export"]["notes"] if note["code"] == "export.hf_promised"]
        assert note["arguments"]["path"] == str(tmp_path / name)


def test_the_nearest_uniform_plan_is_the_mean_of_the_layers_and_says_what_it_costs() -> None:
    sizes: dict[str, Any] = SIZES | {"vocab_size": 96, "num_hidden_layers": 3}
    config = transformers.LlamaConfig(**sizes)
    model, inputs = small(transformers.LlamaForCausalLM, config)
    analysis = analyse(model, inputs)
    neurons = [one for one in analysis.sets if one.kind is Kind.NEURON]
    plan = analysis.empty()
    for one, count in zip(neurons, (2, 6, 7), strict=True):
        plan[one.first + 3 : one.first + 3 + count] = True
    near = nearest_uniform(model, analysis, plan)
    assert near is not None
    assert [int(near.removed[one.structures].sum()) for one in neurons] == [5, 5, 5]
    assert (near.removed & plan).sum() == 2 + 5 + 5 and near.removed.sum() == 15  # what the plan removes goes first
    kept = [one.count - lost for one, lost in zip(neurons, (2, 6, 7), strict=True)]
    assert f"neurons {kept[0]} in 0, {kept[1]} in 1, {kept[2]} in 2" in str(near.message)
    done = cut(model, analysis, near.removed, inputs).model
    assert near.uniform.parameters == sum(p.numel() for p in done.parameters())
    found = fit_config(done, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0
    assert nearest_uniform(model, analysis, near.removed) is None


def test_a_branch_that_is_gone_is_named_and_comes_back_in_the_nearest_uniform_plan() -> None:
    sizes: dict[str, Any] = SIZES | {"vocab_size": 96, "num_hidden_layers": 3}
    config = transformers.LlamaConfig(**sizes)
    model, inputs = small(transformers.LlamaForCausalLM, config)
    analysis = analyse(model, inputs)
    branch = next(one for one in analysis.sets if one.kind is Kind.BLOCK and one.module.endswith("1.mlp"))
    plan = analysis.empty()
    plan[branch.first] = True
    near = nearest_uniform(model, analysis, plan)
    assert near is not None and not near.removed.any()
    assert "blocks 0 in 1" in str(near.message)


def test_heads_stay_where_the_width_that_they_go_with_is_an_output() -> None:
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    model, inputs = small(transformers.BertModel, transformers.BertConfig(vocab_size=60, **sizes))
    analysis = keep_uniform(model, analyse(model, inputs))
    rated = np.random.default_rng(0).random(analysis.count)
    goal = Goal((Limit(Cost.MACS, 0.75),))
    plan = fitting_plan(model, PlanStart.of(analysis, rated), solve(analysis, rated, goal).removed)
    assert {one.kind for one in analysis.sets if plan[one.structures].any()} == {Kind.NEURON}
    found = fit_config(cut(model, analysis, plan, inputs).model, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0


def test_uniform_layers_need_a_model_of_the_library() -> None:
    with pytest.raises(OpenError, match="Uniform layers need a model of the Transformers library"):
        keep_uniform(torch.nn.Linear(3, 3), analyse(torch.nn.Linear(3, 3), (torch.zeros(2, 3),)))


def test_fields_that_follow_from_others_are_written_out() -> None:
    model, _ = small(transformers.GPT2LMHeadModel, transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4))
    fields = ConfigFields(model)
    assert fields.document["n_inner"] == 128
    effects = {one.path[0]: one for one in fields.effects}
    assert effects["n_layer"].layers == ("transformer.h",) and not effects["n_layer"].changed
    assert ("transformer.h.0.mlp.c_fc.weight", 1) in effects["n_inner"].changed
    assert ("transformer.h.0.mlp.c_fc.weight", 1) not in effects["n_embd"].changed


def test_any_state_is_exported_in_several_formats(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    command = ["prune", str(llama), "--uniform", "--keep-params", "70%", "--save", str(project)]
    assert main(command) == 0, capsys.readouterr().err
    capsys.readouterr()
    to = ["export", str(project), "--to", "hugging-face", "pytorch", "model-card", "--out", str(tmp_path)]
    assert main([*to, "--json"]) == 0, capsys.readouterr().err
    done = json.loads(capsys.readouterr().out)
    formats = ["hugging-face", "pytorch", "model-card"]
    assert [one["format"] for one in done["exports"]] == formats and done["state"] == "s1"
    card = ModelCard.load(tmp_path / "project-s1-hugging-face" / "README.md")
    told = card.data.to_dict()
    assert told["license_name"] == "Community: 1.0" and told["language"] == ["en", "de"]
    assert told["library_name"] == "transformers" and told["tags"] == ["secateur", "pruning"]
    history = StateHistory(project)
    history.read()
    verified = history.state("s1").verification
    assert verified is not None and f"largest difference {verified.difference:.0e}" in card.text
    assert f"{history.state('s1').parameters:,} parameters" in card.text and str(tmp_path) not in card.text
    readme = (tmp_path / "project-s1-hugging-face" / "README.md").read_text()
    assert (tmp_path / "project-s1.md").read_text() == readme
    assert done["exports"][2]["difference"] is None
    assert (tmp_path / "project-s1-hugging-face" / "config.json").is_file()
    assert main(to) == 1 and "already exists" in capsys.readouterr().err
    card_only = ["export", str(project), "--to", "model-card", "--out", str(tmp_path), "--overwrite"]
    assert main(card_only) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["export", str(project), "--json"]) == 0, capsys.readouterr().err
    listed = json.loads(capsys.readouterr().out)
    missing = {"executorch"} if find_spec("executorch") is None else set[str]()
    assert (
        set(listed["refused"]) == {"onnx-int8", "ultralytics", *missing}
        and "Attach data" in listed["refused"]["onnx-int8"]
    )
    to = ["export", str(project), "--to", "hugging-face", "--out", str(tmp_path)]
    assert main([*to, "--state", "s0", "--json"]) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "project-s0-hugging-face" / "config.json").read_text())["hidden_size"] == 48


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_scale_that_the_class_computes_from_its_width_goes_into_the_weights(dtype: torch.dtype) -> None:
    config = transformers.T5Config(vocab_size=90, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=2)
    model, inputs = small(transformers.T5ForConditionalGeneration, config)
    analysis = keep_uniform(model, analyse(model, inputs))
    plan = analysis.empty()
    width = next(one for one in analysis.sets if one.kind is Kind.WIDTH)
    plan[width.first : width.first + 8] = True
    found = fit_config(cut(model, analysis, plan, inputs).model.to(dtype), inputs)
    assert isinstance(found, FittedModel) and found.difference < 1e-6 and found.model.config.d_model == 24
    assert {one.dtype for one in found.model.parameters()} == {dtype}


def test_a_scale_goes_into_a_norm_where_embedding_and_head_share_their_weight() -> None:
    sizes: dict[str, Any] = {"head_dim": 8, "query_pre_attn_scalar": 8}
    model, inputs = small(transformers.Gemma2ForCausalLM, transformers.Gemma2Config(**SIZES, **sizes))
    analysis = keep_uniform(model, analyse(model, inputs))
    plan = analysis.empty()
    width = next(one for one in analysis.sets if one.kind is Kind.WIDTH)
    plan[width.first : width.first + 12] = True
    found = fit_config(cut(model, analysis, plan, inputs).model, inputs)
    assert isinstance(found, FittedModel) and found.difference < 1e-6 and found.model.config.hidden_size == 36
    assert found.scaled == ("model.embed_tokens", "model.norm")
    assert found.model.lm_head.weight is found.model.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            transformers.OPTForCausalLM,  # the embedding's width has a field of its own
            transformers.OPTConfig(
                vocab_size=90, hidden_size=32, word_embed_proj_dim=32, ffn_dim=48, num_hidden_layers=2,
                num_attention_heads=4, max_position_embeddings=20,
            ),
        ),
        (
            transformers.Phi3ForCausalLM,  # three fields decide one size, by products
            transformers.Phi3Config(
                vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, max_position_embeddings=20, pad_token_id=0,
            ),
        ),
        (
            transformers.Dinov2ForImageClassification,  # neurons are a whole multiple of a width that stays
            transformers.Dinov2Config(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
            ),
        ),
    ],
    ids=["OPT", "Phi-3", "DINOv2"],
)  # fmt: skip
def test_sizes_that_several_fields_decide_together(kind: Any, config: Any) -> None:
    model, inputs = small(kind, config)
    analysis = keep_uniform(model, analyse(model, inputs))
    rated = np.random.default_rng(0).random(analysis.count)
    plan = solve(analysis, rated, Goal((Limit(Cost.PARAMETERS, 0.6),))).removed
    plan = fitting_plan(model, PlanStart.of(analysis, rated), plan)
    assert Kind.NEURON in {one.kind for one in analysis.sets if plan[one.structures].any()}
    found = fit_config(cut(model, analysis, plan, inputs).model, inputs)
    assert isinstance(found, FittedModel) and found.difference == 0.0


def test_a_folder_that_is_not_an_export_is_never_replaced(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(llama, tmp_path / "mine")
    command = ["prune", str(tmp_path / "mine"), "--uniform", "--keep-params", "70%", "--export", str(tmp_path / "mine")]
    assert main([*command, "--overwrite"]) == 1 and "already holds other files" in capsys.readouterr().err
    assert (tmp_path / "mine" / "config.json").read_bytes() == (llama / "config.json").read_bytes()


def test_pruning_in_one_call_leaves_a_configuration_of_the_new_sizes(tmp_path: Path) -> None:
    model, inputs = small(transformers.LlamaForCausalLM, transformers.LlamaConfig(**SIZES))
    smaller: Any = prune(model, inputs, keep_parameters=0.6, uniform=True, multiple=1)
    assert smaller.model.config.intermediate_size == smaller.model.model.layers[0].mlp.gate_proj.out_features < 64
    assert model.config.intermediate_size == 64
    smaller.model.save_pretrained(tmp_path / "saved")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, smaller.model(**inputs).logits)
    assert smaller.export_hugging_face(tmp_path / "out").difference == 0.0
