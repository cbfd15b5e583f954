"""Text as sequences that a language model is judged by."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import pre_tokenizers
from tokenizers.models import WordLevel

from secateur.engine.errors import DataError, TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks import data_task
from secateur.engine.tasks.data_task import DataTask
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import NOT_ASKED, Split, Task
from secateur.engine.tasks.texts import require_known_text
from secateur.engine.tasks.tokens import Bytes

from .makers import spec
from .tables.makers import write_csv
from .test_tokens import write_tokenizer

ALPHABET = "abcdefghijklmnopqrstuvwxyz" * 40


def opened(path: Path, **options: str) -> Task:
    return open_task(spec("text", path, options=tuple(options.items())))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(ALPHABET)
    return tmp_path / "a.txt"


def next_letter(x: torch.Tensor) -> torch.Tensor:
    """Sure of the letter that follows: 10 against 0 for 255 other bytes."""
    return 10.0 * torch.nn.functional.one_hot(torch.where(x == ord("z"), ord("a"), x + 1), 256)


def test_the_next_byte_is_asked_for_at_every_position_but_the_last(text: Path) -> None:
    task = opened(text, tokenizer="bytes", length="16")
    x, y = next(task.batches(Split.TRAIN))
    assert x.shape == y.shape and x.shape[1] == 16
    assert torch.equal(x[:, 1:], y[:, :-1]) and (y[:, -1] == NOT_ASKED).all()
    assert "".join(map(chr, x[0])) in ALPHABET
    metric = finish(task.evaluate(next_letter, Split.TEST, NeverCancelled()))
    expected = (np.exp(10) + 255) / np.exp(10)  # one over the probability of the right one
    assert (metric.name, metric.value) == ("perplexity", pytest.approx(expected, rel=1e-5))
    sequences = len(ALPHABET) // 16
    assert metric.count == round(sequences / 10) * 15
    assert task.info(None).sizes["train"] == sequences - 2 * round(sequences / 10)
    assert task.loss(next_letter, (x, y)).item() == pytest.approx(np.log(expected), rel=1e-4)


def test_as_many_sequences_run_at_a_time_as_their_logits_leave_memory_for(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, ran = opened(text, tokenizer="bytes", length="16"), list[int]()

    def counting(x: torch.Tensor) -> torch.Tensor:
        ran.append(len(x))
        return next_letter(x)

    whole = finish(task.evaluate(counting, Split.TRAIN, NeverCancelled()))
    assert max(ran) > 3 and sum(ran) == task.info(None).sizes["train"]
    ran.clear()
    monkeypatch.setattr(data_task, "OUTPUTS", 3 * 16 * 256 * 4)
    parts = finish(task.evaluate(counting, Split.TRAIN, NeverCancelled()))
    assert max(ran) == 3 and sum(ran) == task.info(None).sizes["train"]
    assert parts == whole


def test_hidden_bytes_are_asked_for_and_nothing_else(text: Path) -> None:
    task = opened(text, tokenizer="bytes", length="16", purpose="masked")
    batches = [(x, y) for split in Split for x, y in task.batches(split)]
    x, y = (torch.cat(parts) for parts in zip(*batches))
    assert torch.equal(x == 0, y != NOT_ASKED)
    assert ((y != NOT_ASKED).sum(1) >= 1).all()
    assert 0.12 < (x == 0).float().mean() < 0.2
    again = torch.cat(
        [x for split in Split for x, _ in opened(text, tokenizer="bytes", length="16", purpose="masked").batches(split)]
    )
    assert torch.equal(x, again)


@pytest.mark.parametrize("purpose", ["causal", "masked"])
def test_the_tokenisers_own_tokens_stand_around_every_sequence_and_are_never_hidden(
    tmp_path: Path, purpose: str
) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "a.txt").write_text("a b c " * 100)
    (x, _), *_ = opened(tmp_path / "a.txt", length="8", purpose=purpose).batches(Split.TRAIN)
    assert (x[:, 0] == 1).all() and (x[:, -1] == 2).all()
    assert set(x[:, 1:-1].unique().tolist()) <= {0, 4, 5, 6}


def test_a_column_of_texts_serves_too_and_a_folder_gives_the_splits(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "n,text", *(f"{n},{ALPHABET[:26]}" for n in range(40)))
    options = (("tokenizer", "bytes"), ("length", "16"), ("purpose", "causal"))
    task = open_task(spec("csv", path, options=options))
    assert sum(task.info(None).sizes.values()) == 40 * 26 // 16
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.txt").write_text(ALPHABET[: 160 * (1 + len(name))])
    sizes = opened(tmp_path, tokenizer="bytes", length="16").info(None).sizes
    assert sizes == {"train": 60, "val": 40, "test": 50}


def test_text_that_cannot_be_used_is_refused(text: Path) -> None:
    with pytest.raises(TaskError, match="for causal and masked only"):
        opened(text, tokenizer="bytes", purpose="regression")
    with pytest.raises(TaskError, match="Too few"):
        opened(text, tokenizer="bytes", length="999")
    text.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(TaskError, match="not readable UTF-8 text"):
        opened(text, tokenizer="bytes")


def test_a_long_text_is_read_in_parts_and_its_tokens_lie_on_disk(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text.write_text("".join(f"line {n} of a text\n" for n in range(400)))
    expected = [x for split in Split for x, _ in opened(text, tokenizer="bytes", length="16").batches(split)]
    monkeypatch.setattr("secateur.engine.tasks.texts.CHUNK", 100)
    parts: list[str] = []
    real = Bytes.numbers
    monkeypatch.setattr(Bytes, "numbers", lambda self, part: (parts.append(part), real(self, part))[1])
    task: Any = opened(text, tokenizer="bytes", length="16")
    assert all(map(torch.equal, expected, [x for split in Split for x, _ in task.batches(split)]))
    assert len(parts) > 50 and all(part.endswith("\n") and len(part) < 200 for part in parts)
    assert isinstance(task._data._stored[Split.TRAIN]._numbers, np.memmap)


def test_a_disk_without_room_for_the_tokens_is_said_in_words(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("secateur.engine.tasks.texts.tempfile.TemporaryFile", full)
    with pytest.raises(TaskError, match="do not fit in"):
        opened(text, tokenizer="bytes", length="16")


def test_a_student_learns_at_the_tokens_that_are_asked_for(text: Path) -> None:
    for purpose in ("causal", "masked"):
        task = opened(text, tokenizer="bytes", length="16", purpose=purpose)
        batch = next(task.batches(Split.TRAIN))
        distillation_batch = task.distillation_batch(batch)
        assert torch.equal(distillation_batch.counts, batch[1] != NOT_ASKED)
        assert distillation_batch.counts.any() and not distillation_batch.counts.all()


@pytest.mark.parametrize("form", ["text", "csv"])
def test_documents_are_packed_with_the_token_that_ends_them_between(tmp_path: Path, form: str) -> None:
    """Compared with the tokens of each document, put together by hand."""
    random, words = np.random.default_rng(0), "abcdefg"
    documents = ["".join(random.choice(list(words), random.integers(1, 9))) for _ in range(60)]
    vocabulary = {one: number for number, one in enumerate([*words, "<eos>", "[UNK]"])}
    made = tokenizers.Tokenizer(WordLevel(vocabulary, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.save(str(tmp_path / "tokenizer.json"))
    for split in ("train", "val", "test"):
        if form == "csv":
            (tmp_path / f"{split}.csv").write_text("text\n" + "\n".join(documents) + "\n")
        else:
            for number, one in enumerate(documents):
                (tmp_path / f"{split}-{number:03}.txt").write_text(one)
    options = (("tokenizer", str(tmp_path)), ("length", "5"), ("purpose", "causal"))
    task = open_task(spec(form, tmp_path, options=options))
    stream = [vocabulary[letter] for one in documents for letter in [*one, "<eos>"]]
    count = len(stream) // 5
    x = torch.cat([x for x, _ in task.batches(Split.TEST)])
    assert x.tolist() == np.array(stream[: 5 * count]).reshape(count, 5).tolist()


def test_a_tokenizer_that_does_not_know_the_text_is_told(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer(WordLevel({"a": 0, "b": 1, "[UNK]": 2}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.save(str(tmp_path / "tokenizer.json"))
    options = (("tokenizer", str(tmp_path)), ("length", "5"), ("purpose", "causal"))
    (tmp_path / "text.txt").write_text("ab?" * 50)
    known = open_task(spec("text", tmp_path / "text.txt", options=options))
    assert isinstance(known, DataTask) and known.remarks == ()
    require_known_text(known)
    (tmp_path / "text.txt").write_text("a???" * 50)
    with pytest.raises(DataError, match="does not know 75% of the text"):
        require_known_text(open_task(spec("text", tmp_path / "text.txt", options=options)))
