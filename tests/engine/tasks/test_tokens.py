"""Tokenisers of Hugging Face models, read from their file."""

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from secateur.engine.errors import TaskError
from secateur.engine.tasks.tokens import tokens_of

from .makers import spec

WORDS = {"[PAD]": 3, "[CLS]": 1, "[SEP]": 2, "[MASK]": 0, "a": 4, "b": 5, "c": 6, "[UNK]": 7, "<hole>": 8}


def write_tokenizer(folder: Path) -> Path:
    """A tokenizer.json as a BERT has one: [CLS] text [SEP]."""
    made = tokenizers.Tokenizer(WordLevel(WORDS, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    made.enable_truncation(3)
    made.enable_padding(pad_id=3, pad_token="[PAD]", length=9)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def test_texts_are_cut_and_filled_up_to_the_length_that_is_asked_for(tmp_path: Path) -> None:
    given = tokens_of(spec("csv", tmp_path / "a.csv", options=(("tokenizer", str(write_tokenizer(tmp_path))),)))
    padded = given.padded(["a b", "a b c a b c"], 6)
    assert padded["input_ids"].tolist() == [[1, 4, 5, 2, 3, 3], [1, 4, 5, 6, 4, 2]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert given.numbers("a b c a b c a b c") == [4, 5, 6] * 3
    assert (given.before, given.after, given.mask) == ((1,), (2,), 0)


def test_the_one_beside_the_data_is_found_and_files_beside_it_say_what_hides(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    assert tokens_of(spec("csv", tmp_path / "a.csv")).mask == 0
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": {"content": "<hole>"}}))
    assert tokens_of(spec("text", tmp_path)).mask == 8


def test_what_is_no_tokeniser_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no tokeniser .*tokenizer\.json.* or bytes"):
        tokens_of(spec("csv", tmp_path / "a.csv"))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TaskError, match=r"is no tokenizer\.json that can be read"):
        tokens_of(spec("csv", tmp_path / "a.csv"))
