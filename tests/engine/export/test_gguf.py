"""GGUF files out: read by the package gguf alone, and compared with the model row by row and by its outputs."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.errors import ExportError
from secateur.engine.export.gguf_file import add_tokenizer
from secateur.engine.export.protocol import Exported, ExportRequest
from secateur.engine.export.table import exporter_named, format_of
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.sources.hugging_face import example_inputs
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut

from ..sources.test_gguf_file import llama, written

gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")


def pruned(gone: dict[Kind, tuple[int, ...]], model: Any) -> tuple[Any, Any]:
    """A model without so many structures of each kind, by layer."""
    inputs = example_inputs(type(model), model.config)
    analysis = analyse(model, inputs)
    plan = analysis.empty()
    for kind, counts in gone.items():
        for one, count in zip((one for one in analysis.sets if one.kind is kind), counts, strict=False):
            plan[one.first : one.first + count] = True
    return cut(model, analysis, plan, inputs).model, inputs


def export(model: Any, inputs: Any, path: Path, **options: Any) -> Exported:
    return finish(exporter_named("gguf").export(ExportRequest(model, inputs, str(path), **options), NeverCancelled()))


def fields(path: Path) -> dict[str, Any]:
    return {name: one.contents() for name, one in gguf.GGUFReader(path).fields.items()}


def test_a_uniform_llama_is_one_for_llama_cpp(tmp_path: Path) -> None:
    model, inputs = pruned({Kind.NEURON: (16, 16), Kind.KV_GROUP: (1, 1), Kind.WIDTH: (8,)}, llama(tied=True))
    path = tmp_path / "small.gguf"
    assert format_of(str(path)) == "gguf" and export(model, inputs, path).difference == 0.0
    told = fields(path)
    assert told["general.architecture"] == "llama"
    heads = (told["llama.attention.head_count"], told["llama.attention.head_count_kv"])
    assert (*heads, told["llama.feed_forward_length"], told["llama.embedding_length"]) == (2, 1, 48, 24)
    stored = {one.name: np.array(one.data) for one in gguf.GGUFReader(path).tensors}
    assert "output.weight" not in stored
    query = model.model.layers[1].self_attn.q_proj.weight.detach().numpy()  # two heads of eight: 0 4 1 5 2 6 3 7
    order = [head * 8 + half * 4 + n for head in range(2) for n in range(4) for half in range(2)]
    assert np.array_equal(stored["blk.1.attn_q.weight"], query[order])
    again = open_model(ModelSpec(str(path))).model
    with torch.no_grad():
        assert torch.equal(again(inputs["input_ids"]).logits, model(inputs["input_ids"]).logits)


def test_layers_that_differ_are_the_family_deci(tmp_path: Path) -> None:
    model, inputs = pruned({Kind.NEURON: (16, 7), Kind.KV_GROUP: (0, 1)}, llama(tied=False))
    path = tmp_path / "small.gguf"
    assert export(model, inputs, path).difference == 0.0
    told = fields(path)
    assert told["general.architecture"] == "deci"
    assert told["deci.attention.head_count"] == [4, 2] and told["deci.attention.head_count_kv"] == [2, 1]
    assert told["deci.feed_forward_length"] == [48, 57]
    predictor = exporter_named("gguf").predictor(str(path))
    assert predictor is not None
    with torch.no_grad():
        assert torch.equal(predictor(inputs["input_ids"]).logits, model(inputs["input_ids"]).logits)


def test_the_tokenizer_of_a_gguf_file_is_carried_over(tmp_path: Path) -> None:
    source = written(llama(), tmp_path / "plain.gguf")
    writer = gguf.GGUFWriter(str(tmp_path / "tokens.gguf"), "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{n}" for n in range(64)])
    writer.add_token_types([1] * 64)
    writer.add_bos_token_id(3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    model = llama()
    inputs = example_inputs(type(model), model.config)
    plain = export(model, inputs, tmp_path / "a.gguf", spec=ModelSpec(str(source)))
    assert [note.code for note in plain.notes if not isinstance(note, str)] == ["export.gguf_tokenizer"]
    assert not export(model, inputs, tmp_path / "b.gguf", spec=ModelSpec(str(tmp_path / "tokens.gguf"))).notes
    given, told = fields(tmp_path / "tokens.gguf"), fields(tmp_path / "b.gguf")
    assert {n: one for n, one in told.items() if n.startswith("tokenizer.")} == {
        n: one for n, one in given.items() if n.startswith("tokenizer.")
    }


TEXTS = ("the quick brown fox jumps over a lazy dog", "many  rivers <mark> run\n", "naïve café, 3.14 of 你好</s>")


@pytest.fixture(scope="module")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with the tokenizer that SentencePiece has learned from a few words, its last rows without a token."""
    library, folder = pytest.importorskip("sentencepiece"), tmp_path_factory.mktemp("pieces")
    (folder / "words.txt").write_text("\n".join([*TEXTS, "the dogs and foxes jumped lazily over brown rivers"] * 40))
    library.SentencePieceTrainer.train(
        input=str(folder / "words.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=350, model_type="bpe",
        byte_fallback=True, character_coverage=0.99, minloglevel=2,
    )  # fmt: skip
    model = llama()
    model.resize_token_embeddings(360)  # type: ignore[operator]
    model.config.update({"bos_token_id": 1, "eos_token_id": 2})  # type: ignore[union-attr]
    model.save_pretrained(folder)  # type: ignore[operator]
    (folder / "added_tokens.json").write_text('{"<mark>": 350}')
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    added = {str(n): {"content": text, "special": n < 3} for n, text in ((1, "<s>"), (2, "</s>"), (350, "<mark>"))}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"added_tokens_decoder": added}))
    return folder


def joined(text: str, told: dict[str, Any]) -> list[int]:
    """The tokens of plain text as llama.cpp finds them: neighbours whose union has the highest score become one."""
    tokens, scores = told["tokenizer.ggml.tokens"], told["tokenizer.ggml.scores"]
    numbers = {token: number for number, token in enumerate(tokens)}
    parts = list("\u2581" + text.replace(" ", "\u2581"))
    while True:
        unions = [numbers.get(a + b) for a, b in pairwise(parts)]
        known = [(-scores[one], place) for place, one in enumerate(unions) if one is not None]
        if not known:
            break
        place = min(known)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    found: list[int] = []
    for part in parts:
        found += [numbers[part]] if part in numbers else [numbers[f"<0x{byte:02X}>"] for byte in part.encode()]
    return found


def test_a_sentencepiece_tokenizer_is_written_with_its_scores(sentencepiece_folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    model = transformers.LlamaForCausalLM.from_pretrained(sentencepiece_folder)
    inputs = example_inputs(type(model), model.config)
    assert not export(model, inputs, tmp_path / "a.gguf", spec=ModelSpec(str(sentencepiece_folder))).notes
    told, pieces = (
        fields(tmp_path / "a.gguf"),
        library.SentencePieceProcessor(str(sentencepiece_folder / "tokenizer.model")),
    )
    assert (told["tokenizer.ggml.model"], told["tokenizer.ggml.pre"]) == ("llama", "default")
    assert told["tokenizer.ggml.tokens"][:350] == [pieces.id_to_piece(n) for n in range(350)]
    assert told["tokenizer.ggml.tokens"][350:353] == ["<mark>", "[PAD351]", "[PAD352]"]
    assert told["tokenizer.ggml.scores"][3:350] == pytest.approx([pieces.get_score(n) for n in range(3, 350)])
    kinds = gguf.TokenType
    few = [told["tokenizer.ggml.token_type"][n] for n in (0, 1, 2, 3, 300, 350, 351)]
    assert few == [
        kinds.UNKNOWN,
        kinds.CONTROL,
        kinds.CONTROL,
        kinds.BYTE,
        kinds.NORMAL,
        kinds.USER_DEFINED,
        kinds.UNUSED,
    ]
    assert (told["tokenizer.ggml.bos_token_id"], told["tokenizer.ggml.eos_token_id"]) == (1, 2)
    assert told["tokenizer.ggml.add_bos_token"] is True
    assert joined(TEXTS[0], told) == pieces.encode(TEXTS[0])


def test_merges_of_a_tokenizer_json_become_scores(sentencepiece_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fast"
    shutil.copytree(sentencepiece_folder, folder)
    stock = transformers.LlamaTokenizer.from_pretrained(folder)
    for name in ("tokenizer.model", "added_tokens.json", "tokenizer_config.json"):
        (folder / name).unlink()
    stock.save_pretrained(folder)
    model = transformers.LlamaForCausalLM.from_pretrained(folder)
    inputs = example_inputs(type(model), model.config)
    assert not export(model, inputs, tmp_path / "a.gguf", spec=ModelSpec(str(folder))).notes
    told = fields(tmp_path / "a.gguf")
    for text in (TEXTS[0], "the café over 3 dogs 你"):
        assert joined(text, told) == stock.encode(text, add_special_tokens=False)
    kinds = gguf.TokenType
    assert [told["tokenizer.ggml.token_type"][n] for n in (2, 3, 300)] == [kinds.CONTROL, kinds.BYTE, kinds.NORMAL]
    assert told["tokenizer.ggml.bos_token_id"] == 1


UNREAD = "export.gguf_tokenizer_unread"
WHOLE = {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"a": 0}, "merges": []}}
"""A tokenizer of one token."""


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "export.gguf_byte_level"),
        (
            {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"a": 64}, "merges": []}},
            UNREAD,
        ),
        ({"model": {"type": "BPE", "byte_fallback": True, "vocab": {"a": "b"}}}, UNREAD),
        ([], UNREAD),
        (WHOLE | {"post_processor": 3}, UNREAD),
        (WHOLE | {"post_processor": {"processors": [{"type": "TemplateProcessing", "single": [1, 2]}]}}, UNREAD),
    ],
)
def test_a_tokenizer_that_cannot_be_written_is_told_with_the_reason(tmp_path: Path, content: Any, code: str) -> None:
    model = llama()
    model.save_pretrained(tmp_path / "m")  # type: ignore[operator]
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(content))
    inputs = example_inputs(type(model), model.config)
    exported = export(model, inputs, tmp_path / "a.gguf", spec=ModelSpec(str(tmp_path / "m")))
    assert [note.code for note in exported.notes if not isinstance(note, str)] == [code]
    assert not any(name.startswith("tokenizer.") for name in fields(tmp_path / "a.gguf"))


def test_an_odd_chat_template_is_told_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(WHOLE))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": [3]}))
    writer = gguf.GGUFWriter(None, "llama")
    lacking = add_tokenizer(writer, ModelSpec(str(tmp_path)), 64)
    assert lacking is not None and lacking.code == UNREAD
    assert not any(name.startswith("tokenizer.") for name in writer.kv_data[0])


def test_a_model_in_bfloat16_keeps_its_type(tmp_path: Path) -> None:
    model = llama().to(torch.bfloat16)
    export(model, example_inputs(type(model), model.config), tmp_path / "a.gguf")
    kinds = {one.name: one.tensor_type.name for one in gguf.GGUFReader(tmp_path / "a.gguf").tensors}
    assert kinds["blk.0.ffn_up.weight"] == "BF16" and kinds["output_norm.weight"] == "F32"


def test_other_families_and_scaled_positions_are_refused(tmp_path: Path) -> None:
    exporter = exporter_named("gguf")
    other = exporter.refusal(ExportRequest(torch.nn.Linear(3, 3), (torch.zeros(2, 3),), "x.gguf", name="a net"))
    assert isinstance(other, ExportError) and other.message.code == "export.gguf_class"
    model: Any = llama()
    model.config.rope_parameters = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    with pytest.raises(ExportError, match="rotary embeddings of type linear"):
        export(model, example_inputs(type(model), model.config), tmp_path / "a.gguf")
    assert not list(tmp_path.iterdir())
