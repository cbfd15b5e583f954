"""Hugging Face folders: opened by the folder alone as the library itself opens them, and refused with a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from secateur.engine.errors import OpenError
from secateur.engine.foreign_code.consent import FULL_CONSENT, NO_CONSENT
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.session.open_model import prepare, with_tokenizer
from secateur.engine.sources.hugging_face import skeleton
from secateur.engine.sources.open import factory_code, open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec, option
from secateur.engine.tasks.purposes.table import described_purpose, purpose_of_model
from tests.hostile.zoo import MARKER, Payload

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 90,
}
CODE = """
import pathlib

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

pathlib.Path(__file__).with_name("ran").touch()


class OwnConfig(PretrainedConfig):
    model_type = "own"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.layer = nn.Linear(4, 4)
        self.post_init()

    def forward(self, x):
        return self.layer(x)
"""


def bert_config(labels: int) -> Any:
    kind: Any = transformers.BertConfig
    return kind(**SIZES, num_labels=labels, max_position_embeddings=20)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = bert_config(3)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_a_folder_opens_as_the_library_opens_it(bert: Path) -> None:
    prepared = finish(prepare(ModelSpec(str(bert)), NeverCancelled(), NO_CONSENT))
    stock = transformers.AutoModelForSequenceClassification.from_pretrained(bert).eval()
    inputs: Any = prepared.inputs
    assert inputs["input_ids"].dtype is torch.int64 and inputs["input_ids"].shape == (2, 16)
    with torch.no_grad():
        assert torch.equal(prepared.opened.model(**inputs).logits, stock(**inputs).logits)
    fresh = prepared.opened.factory()
    assert {n: p.shape for n, p in fresh.state_dict().items()} == {n: p.shape for n, p in stock.state_dict().items()}
    assert any("BertForSequenceClassification: classification of texts" in str(one) for one in prepared.opened.notes)


def test_bfloat16_stays_and_the_factory_has_it_too(tmp_path: Path) -> None:
    kind: Any = transformers.LlamaConfig
    transformers.LlamaForCausalLM(kind(**SIZES, num_key_value_heads=2)).bfloat16().save_pretrained(tmp_path / "llama")
    opened = open_model(ModelSpec(str(tmp_path / "llama")))
    for model in (opened.model, opened.factory()):
        assert {one.dtype for one in model.parameters()} == {torch.bfloat16}


def test_the_readme_code_makes_the_same_model_without_the_folder(bert: Path, tmp_path: Path) -> None:
    code = factory_code(ModelSpec(str(bert), arguments={"num_labels": 5}), tmp_path)
    shutil.rmtree(bert)
    names: dict[str, Any] = {}
    exec(code.lines, names)
    assert type(made := names["make_model"]()) is transformers.BertForSequenceClassification
    assert made.classifier.weight.shape == (5, 32)


def test_a_checkpoint_with_more_classes_is_taken(bert: Path, tmp_path: Path) -> None:
    config = bert_config(7)
    trained = transformers.BertForSequenceClassification(config)
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    opened = open_model(ModelSpec(str(bert), weights=str(tmp_path / "trained.pt")))
    assert torch.equal(opened.model.state_dict()["classifier.weight"], trained.state_dict()["classifier.weight"])


def test_the_tokenizer_of_the_folder_reads_texts(bert: Path) -> None:
    (bert / "tokenizer.json").write_text("{}")
    task = with_tokenizer(TaskSpec("text", "texts.txt"), ModelSpec(str(bert)))
    assert option(task, "tokenizer") == str(bert / "tokenizer.json")


@pytest.mark.parametrize(
    ("architecture", "purpose", "words"),
    [
        ("GPT2LMHeadModel", "causal", "next token"),
        ("BertForMaskedLM", "masked", "masked tokens"),
        ("BertForTokenClassification", "", "classification of tokens"),
        ("BertForQuestionAnswering", "", "answers to questions"),
        ("ViTForImageClassification", "classification", "classification of images"),
        ("WhisperForConditionalGeneration", "", "speech to text"),
        ("Wav2Vec2ForCTC", "", "speech to text"),
    ],
)
def test_the_class_says_what_a_model_is_for(architecture: str, purpose: str, words: str) -> None:
    kind = getattr(transformers, architecture)
    assert purpose_of_model(kind.__new__(kind)) == purpose and words in str(described_purpose(architecture))


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _with_another_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")


def _with_weights_elsewhere(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "../bert/model.safetensors"}))


def _with_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _without_a_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def _with_a_shard_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../bert/model.safetensors"}}))


def _with_config(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(fields))

    return change


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_without_config, "source.hf_no_config"),
        (_without_weights, "source.hf_no_weights"),
        (_with_another_name, "source.hf_other_weights"),
        (_with_weights_elsewhere, "source.hf_shards"),
        (_with_a_pickle, "source.hf_pickle"),
        (_without_a_shard, "source.hf_shards"),
        (_with_a_shard_elsewhere, "source.hf_shards"),
        (_with_config(architectures=["NobodyKnowsThis"], model_type="nobody"), "source.hf_unknown"),
        (_with_config(architectures=["pipeline"], model_type="bert"), "source.hf_unknown"),
        (_with_config(model_type="nobody"), "source.hf_unknown"),
        (_with_config(whatever=1), "source.hf_not_transformers"),
        (lambda folder: (folder / "config.json").write_text("{"), "source.hf_config"),
    ],
)
def test_a_bad_folder_is_told_in_one_sentence_and_stays(bert: Path, damage: Any, code: str) -> None:
    damage(bert)
    before = sorted(bert.iterdir())
    with pytest.raises(OpenError) as error:
        open_model(ModelSpec(str(bert)))
    assert error.value.message.code == code and str(error.value).endswith(".")
    assert sorted(bert.iterdir()) == before


def _with_added(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | fields))

    return change


def _with_file(name: str, **fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(json.dumps(fields))

    return change


PUBLISHED = [
    ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}, "gptq, 4 bits"),
    ({"quant_method": "awq", "bits": 4, "zero_point": True, "version": "gemm"}, "awq, 4 bits"),
    ({"quant_method": "bitsandbytes", "_load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes, 4 bits"),
    ({"load_in_8bit": True, "llm_int8_threshold": 6.0}, "bitsandbytes, 8 bits"),
    ({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}, "fp8"),
    ({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}, "mxfp4"),
    ({"quant_method": "compressed-tensors", "config_groups": {}, "format": "pack-quantized"}, "compressed-tensors"),
]
"""What published folders have as quantization_config, and how it is told."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *((_with_added(quantization_config=told), words) for told, words in PUBLISHED),
        (_with_added(text_config={"quantization_config": PUBLISHED[0][0]}), "gptq, 4 bits"),
        (_with_file("quantize_config.json", bits=3, group_size=128), "gptq, 3 bits"),
        (_with_file("quant_config.json", w_bit=4, q_group_size=128), "awq, 4 bits"),
    ],
)
def test_a_quantised_folder_is_refused_by_its_method(bert: Path, change: Any, words: str) -> None:
    change(bert)
    with pytest.raises(OpenError) as error:
        open_model(ModelSpec(str(bert)))
    assert error.value.message.code == "source.hf_quantised"
    assert str(error.value).startswith(f"bert is quantised ({words}): ") and "quantise the result" in str(error.value)


def test_code_in_a_folder_runs_with_consent_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(CODE)
    named = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    config = {"model_type": "own", "architectures": ["OwnModel"], "auto_map": named}
    (folder / "config.json").write_text(json.dumps(config))
    from safetensors.torch import save_file

    save_file(
        {"layer.weight": torch.ones(4, 4), "layer.bias": torch.zeros(4)}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(OpenError, match=r"own\.py") as error:
        open_model(ModelSpec(str(folder)))
    assert error.value.message.code == "source.code" and not list(tmp_path.rglob("ran"))
    opened = open_model(ModelSpec(str(folder)), consent=FULL_CONSENT)
    assert type(opened.model).__name__ == "OwnModel" and list(tmp_path.rglob("ran"))
    assert float(opened.model.state_dict()["layer.weight"].min()) == 1


@pytest.mark.parametrize("beside", [True, False])
def test_code_of_another_repository_is_named_in_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    monkeypatch.setattr(pytest.importorskip("huggingface_hub").constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot = tmp_path / "cache" / "models--someone--here"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs" / "main").write_text("abc")
    (snapshot / "snapshots" / "abc").mkdir(parents=True)
    folder, elsewhere = tmp_path / "own", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
    for file in (elsewhere / "a.py", snapshot / "snapshots" / "abc" / "b.py", *([folder / "own.py"] if beside else [])):
        file.write_text(CODE)
    named = {"AutoConfig": "someone/here--b.OwnConfig", "AutoModel": "someone/there--c.OwnModel"}
    named["AutoModelForCausalLM"] = f"{elsewhere}--a.OwnModel"
    config = {"model_type": "own", "architectures": ["OwnModel"], "auto_map": named}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(OpenError) as error:
        open_model(ModelSpec(str(folder)))
    assert error.value.message.code == "source.code" and not list(tmp_path.rglob("ran"))
    for file in ("someone/there/c.py", str(elsewhere / "a.py"), str(snapshot / "snapshots" / "abc" / "b.py")):
        assert file in str(error.value)
    assert ("own.py" in str(error.value)) == beside


def test_a_repository_is_taken_from_the_cache_and_else_asked_for(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "models--someone--bert"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(bert, place / "snapshots" / ("0" * 40))
    assert open_model(ModelSpec("hf:someone/bert")).name == "someone/bert"

    class Told:
        siblings = (
            type("File", (), {"rfilename": "model.safetensors", "size": 90_000_000}),
            type("File", (), {"rfilename": "config.json", "size": 7_000}),
        )
        card_data = type("Card", (), {"license": "apache-2.0"})

    asked: list[str] = []
    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, name, **more: asked.append(name) or Told)
    with pytest.raises(OpenError, match=r"someone/other .*90.* MB, licence: apache-2\.0"):
        open_model(ModelSpec("hf:someone/other"))
    with pytest.raises(OpenError, match=r"size unknown, licence: unknown"):
        open_model(ModelSpec("hf:someone/other"), consent=NO_CONSENT)  # as a file names it: nobody is asked
    assert asked == ["someone/other"]
    with pytest.raises(OpenError, match=r"someone/other .*\(7.* kB, licence: apache-2\.0"):
        skeleton(ModelSpec("hf:someone/other"), FULL_CONSENT)  # without its weights
    (place / "snapshots" / ("0" * 40) / "model.safetensors").unlink()
    assert skeleton(ModelSpec("hf:someone/bert"), FULL_CONSENT).name == "someone/bert"
    with pytest.raises(OpenError, match=r"someone/bert is not in the local cache .*90.* MB"):
        open_model(ModelSpec("hf:someone/bert"))
    fetched: list[str] = []

    def fetch(name: str, allow_patterns: tuple[str, ...] = (), local_files_only: bool = False) -> str:
        if local_files_only:
            raise hub.errors.LocalEntryNotFoundError(name)
        fetched.extend(allow_patterns)
        return str(bert)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    skeleton(ModelSpec("hf:someone/other", download=True), FULL_CONSENT)
    assert fetched == ["*.json", "*.py"]
    fetched.clear()
    _with_added(quantization_config=PUBLISHED[0][0])(bert)
    with pytest.raises(OpenError, match="gptq"):
        open_model(ModelSpec("hf:someone/other", download=True), consent=FULL_CONSENT)
    assert fetched == ["*.json", "*.py"]  # the weights are not fetched for that
    with pytest.raises(OpenError, match="not the name of a repository"):
        open_model(ModelSpec("hf:../../etc/passwd"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"attn_implementation": "evil/kernel"}, "source.hf_kernels"),
        ({"_attn_implementation": "evil/kernel@main:forward"}, "source.hf_kernels"),
        ({"attn_implementation": {"": "sdpa", "text_config": "evil/kernel"}}, "source.hf_kernels"),
        ({"attn_implementation": "flash_attention_2"}, "source.hf_kernels"),  # the library fetches a kernel for it
        ({"experts_implementation": "evil/kernel"}, "source.hf_kernels"),
        ({"text_config": {"attn_implementation": "evil/kernel"}}, "source.hf_kernels"),
        ({"parts": [{"attn_implementation": "evil/kernel"}]}, "source.hf_kernels"),
        ({"backbone_config": {"backbone": "local-dir:/tmp/evil"}}, "source.hf_kernels"),
        ({"architecture": "hf-hub:evil/model"}, "source.hf_kernels"),
        ({"model_args": {"checkpoint_path": "w.pt"}}, "source.argument_names"),
        ({"backbone_kwargs": {"pretrained_cfg": {"file": "w.pt"}}}, "source.argument_names"),
    ],
)
def test_a_configuration_names_no_code_of_others(bert: Path, change: dict[str, Any], code: str) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(str(bert)))
    assert caught.value.message.code == code


@pytest.mark.parametrize(
    "arguments",
    [
        {"attn_implementation": "eager"},
        {"gguf_file": "x.gguf"},
        {"trust_remote_code": True},
        {"revision": "main"},
        {"return_unused_kwargs": True},
        {"auto_map": {}},
        {"hidden_size": {"a": 1}},
    ],
)
def test_a_file_sets_only_fields_of_the_architecture(bert: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(OpenError, match="only sizes, rates and switches can"):
        open_model(ModelSpec(str(bert), arguments=arguments))


def test_what_transformers_builds_with_timm_gets_sizes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of timm's models: a size in it is taken, a checkpoint that would be unpickled is not."""
    kind: Any = transformers.TimmWrapperConfig
    config = kind(architecture="test_vit", model_args={"depth": 2}, num_labels=3)
    transformers.TimmWrapperForImageClassification(config).save_pretrained(tmp_path / "folder")
    opened = open_model(ModelSpec(str(tmp_path / "folder")))
    assert len(opened.model.timm_model.blocks) == 2
    torch.save({"a": Payload()}, tmp_path / "w.pt")
    content = json.loads((tmp_path / "folder" / "config.json").read_text())
    content["model_args"] = {"checkpoint_path": str(tmp_path / "w.pt")}
    (tmp_path / "folder" / "config.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OpenError, match="checkpoint_path"):
        open_model(ModelSpec(str(tmp_path / "folder")))
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"num_hidden_layers": 10_000_000}, "source.hf_count"),
        ({"num_hidden_layers": 1000}, "file.described"),
        ({"hidden_size": 1 << 20}, "file.described"),
        ({"vocab_size": 1 << 30}, "file.described"),
        ({"max_position_embeddings": 1 << 40}, "file.described"),
        ({"intermediate_size": 1 << 40}, "file.described"),
        ({"num_labels": 10**9}, "source.hf_count"),
    ],
)
def test_a_configuration_describes_no_more_than_the_weights_hold(bert: Path, change: dict[str, Any], code: str) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(str(bert)))
    assert caught.value.message.code == code


def test_example_images_are_no_larger_than_a_file_may_unpack_to(tmp_path: Path) -> None:
    kind: Any = transformers.ViTConfig
    sizes = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    transformers.ViTModel(kind(**sizes, image_size=32, patch_size=16)).save_pretrained(tmp_path / "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    (tmp_path / "vit" / "config.json").write_text(json.dumps(config | {"image_size": 1 << 20, "patch_size": 1 << 19}))
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(str(tmp_path / "vit")))
    assert caught.value.message.code == "file.described"
