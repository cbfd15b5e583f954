"""`secateur shear`: a folder of the shape that was asked for, which the stock library loads; plans without weights."""

import json
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from secateur.engine.cli.main import main
from secateur.engine.errors import PlanError, SecateurError
from secateur.engine.planning.protocol import KindLimit
from secateur.engine.pruning import prune
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.recipes.steps import Plan
from secateur.engine.session.session import Session
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.repair.keep_uniform import keep_uniform
from secateur.engine.surgery.repair.kv_cache import cached_numbers

from .output_schema import problems

SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 3, "max_position_embeddings": 64,
}  # fmt: skip
SHAPE = ["--shape", "layers=2", "width=32", "heads=4", "ffn=40"]
SHAPED = (
    KindLimit(Kind.BLOCK, count=2), KindLimit(Kind.WIDTH, count=32), KindLimit(Kind.HEAD, count=4),
    KindLimit(Kind.NEURON, count=40),
)  # fmt: skip
SHEARED: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "llama"
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    return folder


def printed(words: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert main([*words, "--json"]) == code, capsys.readouterr().err
    out = capsys.readouterr().out
    assert problems(out) == []
    return json.loads(out)


def test_a_sheared_model_is_one_of_the_stock_library_in_the_shape_that_was_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, project = tmp_path / "small", tmp_path / "project"
    done = printed(["shear", str(folder), *SHAPE, "--export", str(out), "--save", str(project)], capsys)
    assert {name: json.loads((out / "config.json").read_text())[name] for name in SHEARED} == SHEARED
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert sum(one.numel() for one in model.parameters()) == done["after"]["parameters"]
    assert model.generate(torch.ones(1, 4, dtype=torch.int64), max_new_tokens=3, min_new_tokens=3).shape == (1, 7)
    with torch.no_grad():
        cache = model(torch.ones(1, 5, dtype=torch.int64), use_cache=True).cache
    held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert done["shape"]["cached"]["after"] == held // 5
    assert {one["kind"]: one["kept"] for one in done["shape"]["sizes"]}["neuron"] == [40]

    (plan,) = (step for step in read_recipe(project / "recipe.json").steps if isinstance(step, Plan))
    assert plan.intent.asked is not None and plan.intent.asked.shape == SHAPED


def test_losses_that_were_measured_lead_how_domains_are_mixed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, count in (("train", 24), ("val", 6), ("test", 6)):
        for name, letters in (("digits", "01234567"), ("signs", "89:;<=>?")):  # a byte is a token, of 64
            (tmp_path / f"{split}-{name}.txt").write_text(letters * 2 * count)
    data = ["--task", str(tmp_path), "--tokenizer", "bytes", "--length", "16", "--batch", "4", "--purpose", "causal"]
    found = printed(["inspect", str(folder), "--losses", *data], capsys)["losses"]
    assert found["domains"] == pytest.approx({"digits": log(64), "signs": log(64)}, abs=0.2)  # it knows nothing
    size = found["parameters"]
    references = f"{found['references']} {2 * size}:digits=2,signs=1"
    mixing = ["--mix-domains", "dynamic", "--references", references, "--steps", "4", "--evaluate-every", "2"]
    done = printed(["shear", str(folder), "--shape", "ffn=40", *data, *mixing, "--teacher", "original"], capsys)
    points = done["domains"]["signs"]
    assert [one["step"] for one in points] == [0, 2, 4] and points[-1]["share"] < points[0]["share"] == 0.5
    slope = log(1 / found["domains"]["signs"]) / log(2)
    wanted = found["domains"]["signs"] * (done["after"]["parameters"] / size) ** slope
    assert points[0]["reference"] == pytest.approx(wanted, rel=1e-3)
    assert done["domains"]["digits"][0]["reference"] < wanted


def test_a_plan_needs_no_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "config.json").write_text((folder / "config.json").read_text())
    done = printed(["shear", str(alone), *SHAPE, "--plan"], capsys)
    config = transformers.LlamaConfig(**SIZES | SHEARED)
    assert done["after"]["parameters"] == sum(one.numel() for one in transformers.LlamaForCausalLM(config).parameters())
    assert done["shape"]["cached"] == {"before": 2 * 3 * 3 * 8, "after": 2 * 2 * 2 * 8}
    assert main(["shear", str(alone), *SHAPE, "--plan"]) == 0
    assert "neurons" in capsys.readouterr().out


def test_a_plan_says_what_its_stages_take(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shear", str(folder), *SHAPE, "--plan", "--batch", "6", "--input", "input_ids=2x8:int64"]
    words += ["--steps", "300", "--teacher", "original", "--device-tflops", "0.5", "--processes"]
    done = printed([*words, "2"], capsys)
    stages = {one["name"]: one for one in done["stages"]["each"]}
    before, after = done["before"], done["after"]
    assert list(stages) == ["scores", "cut", "verification", "recovery"]
    assert (done["stages"]["batch"], done["stages"]["tokens"]) == (6, 8)
    recovery = stages["recovery"]
    assert recovery["macs"] == 300 * 6 * (3 * after["macs"] + before["macs"])
    assert recovery["seconds"] == pytest.approx(recovery["macs"] * 2 / 0.5e12 / 2)
    assert recovery["weights_bytes"] == 4 * (4 * after["parameters"] + before["parameters"])
    assert recovery["memory_bytes"] == recovery["weights_bytes"] + recovery["activations_bytes"]
    assert stages["scores"]["macs"] == 32 * 6 * 3 * before["macs"]  # taylor, as with data
    assert stages["verification"]["seconds"] is None

    alone = printed([*words, "1"], capsys)["stages"]["each"][-1]
    assert alone["activations_bytes"] == 2 * recovery["activations_bytes"] and alone["macs"] == recovery["macs"]
    divided = printed([*words, "2", "--shard"], capsys)["stages"]["each"][-1]
    assert divided["activations_bytes"] == recovery["activations_bytes"]
    assert divided["weights_bytes"] != recovery["weights_bytes"]
    refused = printed([*words, "2", "--shard", "--choose", "masks"], capsys, code=1)["error"]
    assert refused["code"] == "masks.divided"
    assert main([*words, "2", "--choose", "masks"]) == 0
    assert "learned masks" in (text := capsys.readouterr().out) and "0.5 TFLOP/s" in text and "--tokens" not in text
    assert main(["shear", str(folder), *SHAPE, "--plan", "--choose", "rounds"]) == 0
    assert "--tokens" in (text := capsys.readouterr().out) and "time" not in text.splitlines()[-6]


def test_what_only_a_plan_reads_is_refused_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = printed(["shear", str(folder), *SHAPE, "--processes", "8"], capsys, code=1)["error"]
    assert refused["code"] == "cli.devices_plan" and "torchrun" in refused["message"]


def test_experts_are_planned_without_weights_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes: dict[str, Any] = {**SIZES, "hidden_size": 32, "head_dim": 8, "num_attention_heads": 4}
    sizes["num_key_value_heads"] = 2
    routed = transformers.MixtralConfig(**sizes, num_local_experts=6, architectures=["MixtralForCausalLM"])
    routed.save_pretrained(tmp_path)
    words = ["shear", str(tmp_path), "--plan", "--shape", "experts=4", "width=24", "heads=2", "ffn=40"]
    kept: dict[str, Any] = {**sizes, "num_local_experts": 4, "hidden_size": 24, "num_attention_heads": 2}
    kept |= {"num_key_value_heads": 1, "intermediate_size": 40}
    small = transformers.MixtralForCausalLM(transformers.MixtralConfig(**kept))
    assert printed(words, capsys)["after"]["parameters"] == sum(one.numel() for one in small.parameters())


def test_a_size_that_a_shape_forces_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = printed(["shear", str(folder), "--plan", "--shape", "heads=4", "kv-groups=2"], capsys)
    assert done["shape"]["notes"] == []  # 4 heads divide the width of 48
    config = json.loads((folder / "config.json").read_text()) | {"num_attention_heads": 10, "num_key_value_heads": 5}
    other = folder.parent / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config | {"hidden_size": 40, "head_dim": 4}))
    done = printed(["shear", str(other), "--plan", "--shape", "heads=6"], capsys)
    sizes = {one["kind"]: one for one in done["shape"]["sizes"]}
    assert sizes["residual width"]["kept"] == [36] and sizes["residual width"]["step"] is None
    (note,) = done["shape"]["notes"]
    assert "residual channels from 40 to 36" in note
    assert sizes["neuron"]["step"] == 1


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--shape", "width=33", "heads=4"], "uniform.width", "Nearest possible width: 32 or 36."),
        (["--plan", "--shape", "heads=5"], "plan.shape_groups", "4 or 6"),
        (["--plan", "--preset", "sheared-llama-1.3b"], "plan.shape_more", "there are 3"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_before_anything_is_scored(
    folder: Path,
    words: list[str],
    code: str,
    part: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Session, "score", lambda *_, **__: pytest.fail("scored"))
    refused = printed(["shear", str(folder), *words], capsys, code=1)
    assert refused["error"]["code"] == code and part in refused["error"]["message"]
    assert refused["verdict"] == "infeasible"


def test_what_shear_needs_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(["shear", str(folder)], capsys, code=1)["error"]["code"] == "cli.no_shape"
    assert printed(["shear", "bundled:vit", "--plan", *SHAPE], capsys, code=1)["error"]["code"] == "cli.plan_source"


def test_what_no_configuration_describes_is_told_before_anything_is_cut(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> Any:
        raise SecateurError("test.stop", "Stopped.")

    monkeypatch.setattr(Session, "cut", stop)
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.txt").write_text("01234567" * 12)
    data = ["--task", str(tmp_path), "--tokenizer", "bytes", "--length", "16", "--batch", "4", "--purpose", "causal"]
    words = ["--criterion", "l1", "--steps", "2", *data]
    assert main(["prune", str(folder), "--shape", "head-dim=4", *words]) == 1
    assert "No configuration of the model's class has fewer head dimensions" in capsys.readouterr().err
    assert main(["prune", str(folder), "--shape", "width=30", "heads=4", *words]) == 1
    assert "plan shapes that have one. (--uniform)" in capsys.readouterr().err


def test_the_name_of_a_published_shape_leads_to_its_own_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shear", "folder", "--shape", "sheared-llama-1.3b"]) == 2
    assert "names a published shape" in (told := capsys.readouterr().err) and "(--preset NAME)" in told


@pytest.mark.parametrize(
    "words", [["--export", "out"], ["--save", "project"], ["--task", "texts"], ["--own-class"]], ids=lambda one: one[0]
)
def test_a_plan_refuses_what_it_would_not_do(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = printed(["shear", str(folder), "--plan", *SHAPE, *words], capsys, code=1)["error"]
    assert refused["code"] == "cli.plan_only" and words[0] in refused["message"]


def test_a_plan_heeds_locks_and_example_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shear", str(folder), "--plan", "--shape", "ffn=40"]
    usual = printed(words, capsys)
    shorter = printed([*words, "--input", "input_ids=2x8:int64"], capsys)
    assert shorter["before"]["macs"] < usual["before"]["macs"]
    assert shorter["after"]["parameters"] == usual["after"]["parameters"]
    refused = printed([*words, "--lock", "model.layers.0.mlp"], capsys, code=1)
    assert "locked" in refused["error"]["message"]


def test_the_same_from_python_in_rounds() -> None:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()
    inputs = {"input_ids": torch.zeros(2, 8, dtype=torch.int64)}
    done = prune(model, inputs, shape={"width": 32, "heads": 4, "ffn": 40}, uniform=True, rounds=2)
    assert {name: getattr(done.model.config, name) for name in SHEARED} == SHEARED | {"num_hidden_layers": 3}
    assert [one.got for one in done.report.reached] == [32, 4, 40]
    with pytest.raises(PlanError, match="No published shape is called 'small'"):
        prune(model, inputs, shape="small")


WITHOUT_CACHE: dict[str, tuple[Any, Any]] = {
    "does not generate": (transformers.BertForMaskedLM, transformers.BertConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    )),
    "caches of encoder and decoder": (transformers.T5ForConditionalGeneration, transformers.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_decoder_layers=2, num_heads=4,
    )),
    "convolutions without a cache": (transformers.Lfm2ForCausalLM, transformers.Lfm2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, layer_types=["conv", "full_attention"],
    )),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_CACHE)
def test_no_cache_is_counted_where_one_number_does_not_say_it(name: str) -> None:
    kind, config = WITHOUT_CACHE[name]
    model, ids = kind(config).eval(), torch.zeros(2, 8, dtype=torch.int64)
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if config.is_encoder_decoder else {})
    analysis = keep_uniform(model, analyse(model, inputs))
    assert cached_numbers(model, analysis, analysis.empty()) is None
