"""Every single-field edit of honest files: the reader takes it, or refuses it in one short sentence, never otherwise.

A sample runs with the other tests; `pytest -m hostile tests/hostile` runs all.
"""

import copy
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

from secateur.engine.errors import DataError, OpenError
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.jobs import NeverCancelled
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.session.state_history import LOG, StateHistory
from secateur.engine.sources.checkpoint import read_checkpoint
from secateur.engine.sources.hugging_face import skeleton
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.coco_files import annotation_files
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.tasks.tokens import tokens_of

from .zoo import Honest, make_honest

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**12, 10**40, -1.5, 1e308, float("nan"), "", "x", "{zz}", "a\0b", "../x", "__class__",
    [], [[]], [1, "a", None], {}, {"a": {"b": 1}},
)  # fmt: skip
"""What takes the place of a field."""
SAMPLE = 61
"""Every so many edits one is in the sample."""
LONGEST = 700
"""Characters of a sentence: three lines of a wide terminal."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return make_honest(tmp_path_factory.mktemp("honest"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each field of a document is, outer ones first; of long lists the first ones."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def edits(document: Any) -> Iterator[tuple[str, Any]]:
    """The document with each field changed to each value, or left out."""
    for place in places(document):
        for value in (*VALUES, KeyError):
            other = copy.deepcopy(document)
            owner = other
            for key in place[:-1]:
                owner = owner[key]
            if value is KeyError:
                del owner[place[-1]]
            else:
                owner[place[-1]] = value
            yield f"{'.'.join(map(str, place))} = {value!r}", other


def wrong(read: Callable[[], Any]) -> str:
    """What is wrong with how a reader ends; "" for nothing."""
    try:
        read()
    except (OpenError, DataError) as error:
        said = str(error)
        return "" if said and len(said) <= LONGEST and "Traceback" not in said else f"says {said[:200]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


Reader = Callable[[], Any]
Make = Callable[[Path, Honest], tuple[Path, list[Reader]]]


def bert(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    kind: Any = transformers.BertConfig
    config = kind(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20, num_labels=3
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "bert")
    spec = ModelSpec(str(folder / "bert"))
    return folder / "bert" / "config.json", [lambda: open_model(spec), lambda: skeleton(spec, FULL_CONSENT)]


def tokenizer(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made: Any = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "[PAD]": 3, "[CLS]": 4}, [("a", "b")], unk_token="a"))
    made.pre_tokenizer, made.normalizer = pre_tokenizers.Whitespace(), normalizers.Lowercase()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 4)])
    made.add_special_tokens(["[PAD]", "[CLS]"])
    made.enable_padding(length=4)
    made.enable_truncation(8)
    made.save(str(folder / "tokenizer.json"))
    spec = TaskSpec("text", options=(("tokenizer", str(folder / "tokenizer.json")),))
    return folder / "tokenizer.json", [lambda: tokens_of(spec).padded(["ab a", "b"], 4)]


def recipe(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    shutil.copy(honest.project / "recipe.json", file := folder / "recipe.json")
    return file, [lambda: read_recipe(file)]


def shapes(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    shutil.copytree(honest.export, folder / "export")
    spec = ModelSpec(str(folder / "export"))
    return folder / "export" / "shapes.json", [lambda: open_model(spec, NeverCancelled(), FULL_CONSENT)]


def history(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    """The log, one event a line; what it says is put into words too."""
    shutil.copy(honest.project / LOG, folder / LOG)

    def read() -> list[str]:
        found = StateHistory(folder)
        found.read()
        return [str(one) for state in found.states.values() for one in (*state.repairs, *state.repaired)]

    return folder / LOG, [read]


def annotations(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    from PIL import Image

    Image.new("L", (8, 8)).save(folder / "0.png")
    content = {
        "images": [{"id": 1, "file_name": "0.png", "width": 8, "height": 8}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    return folder / "a.json", [
        lambda: open_task(TaskSpec("coco", str(folder / "a.json"))),
        lambda: annotation_files(folder),
    ]


def header(folder: Path, honest: Honest) -> tuple[Path, list[Reader]]:
    """Of a safetensors file; `written` puts it before the tensors again."""
    save_file({"a": torch.zeros(2, 3), "b": torch.ones(2)}, folder / "w.safetensors", {"format": "pt"})
    return folder / "w.safetensors", [lambda: read_checkpoint(folder / "w.safetensors")]


def document_of(file: Path) -> Any:
    if file.suffix == ".safetensors":
        data = file.read_bytes()
        return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    return json.loads(file.read_text())


def written(document: Any, file: Path, tail: bytes) -> None:
    text = json.dumps(document).encode()
    if file.suffix == ".safetensors":
        text = struct.pack("<Q", len(text)) + text + tail
    elif file.suffix == ".jsonl":
        text = b"".join(json.dumps(one).encode() + b"\n" for one in document)
    file.write_bytes(text)


def faults(
    make: Callable[[Path, Honest], tuple[Path, list[Reader]]], folder: Path, honest: Honest, every: int
) -> list[str]:
    """What is wrong with edits of a file, a line each."""
    file, readers = make(folder, honest)
    document = document_of(file)
    tail = file.read_bytes()[8 + int.from_bytes(file.read_bytes()[:8], "little") :] if make is header else b""
    found = list[str]()
    for read in readers:
        assert wrong(read) == ""  # as it was made it is read
    for number, (name, other) in enumerate(edits(document)):
        if number % every:
            continue
        written(other, file, tail)
        found += [f"{name}: {fault}" for read in readers if (fault := wrong(read))]
    return found


MAKERS = (bert, tokenizer, recipe, shapes, history, annotations, header)


@pytest.mark.parametrize("make", MAKERS)
def test_a_sample_of_edits_is_read_or_refused_in_words(make: Any, tmp_path: Path, honest: Honest) -> None:
    assert faults(make, tmp_path, honest, SAMPLE) == []


@pytest.mark.hostile
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("make", MAKERS)
def test_every_edit_is_read_or_refused_in_words(make: Any, tmp_path: Path, honest: Honest) -> None:
    found = faults(make, tmp_path, honest, 1)
    assert not found, f"{len(found)}\n" + "\n".join(found)
