"""Tokenisers of Hugging Face models, read from their file."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from secateur.engine.errors import TaskError
from secateur.engine.tasks.tokens import TEXT, in_words, tokens_of

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
    with pytest.raises(TaskError, match=r"Tokenizer .* not found.*tokenizer\.json.* or bytes"):
        tokens_of(spec("csv", tmp_path / "a.csv"))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TaskError, match=r"is not a readable tokenizer\.json"):
        tokens_of(spec("csv", tmp_path / "a.csv"))


def test_a_sample_reads_as_the_model_sees_it(tmp_path: Path) -> None:
    """With the unknown words, and without what fills up; padding in the middle stays."""
    write_tokenizer(tmp_path)
    table = spec("csv", tmp_path / "a.csv")
    assert in_words([torch.tensor([[1, 4, 7, 2, 3, 3]])], table) == ["[CLS] a [UNK] [SEP]"]
    assert in_words([torch.tensor([[1, 3, 4, 3], [1, 5, 2, 3]])], table) == ["[CLS] [PAD] a\n[CLS] b [SEP]"]
    (long,) = in_words([torch.tensor([[4] * 900])], table)
    assert len(long) <= TEXT + 1 and long.endswith("a\u2026")
    byte = spec("text", tmp_path / "a.txt", options=(("tokenizer", "bytes"),))
    assert in_words([torch.tensor([[*"né".encode(), 0, 0]])], byte) == ["né"]


def test_numbers_read_as_numbers_and_images_not_at_all(tmp_path: Path) -> None:
    table = spec("csv", tmp_path / "a.csv")  # without a tokeniser: none is looked for
    assert in_words([torch.tensor([[0.5, 12.0]])], table) == ["0.5, 12"]
    assert in_words([torch.tensor([[0.5, 12.0]], dtype=torch.bfloat16, requires_grad=True)], table) == ["0.5, 12"]
    assert in_words([torch.arange(9.0)[None]], table) == ["0, 1, 2, 3, 4, 5, 6, 7, \u2026"]
    assert in_words([torch.zeros(1, 1, 8, 8)], table) == [""]
