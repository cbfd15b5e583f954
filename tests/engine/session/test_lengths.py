"""Texts for a model that takes few tokens at a time: as long as its configuration allows, else a sentence says it."""

from contextlib import closing
from pathlib import Path

import pytest

from secateur.engine.errors import TaskError
from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec, option

CODE = """
from types import SimpleNamespace
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places, self.head = nn.Embedding(256, 8), nn.Embedding(16, 8), nn.Linear(8, 2)
        # CONFIG

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.head(x.mean(1))


def make():
    return Net()
"""


def write(folder: Path, config: str) -> ModelSpec:
    """A model of 16 positions and a table of texts, in bytes."""
    (folder / "net.py").write_text(CODE.replace("# CONFIG", config))
    rows = "".join(f"text {n},{('no', 'yes')[n % 2]}\n" for n in range(60))
    (folder / "texts.csv").write_text("text,sentiment\n" + rows)
    task = TaskSpec("csv", str(folder / "texts.csv"), options=(("tokenizer", "bytes"),))
    return ModelSpec(f"{folder / 'net.py'}:make", task=task)


def test_texts_are_as_long_as_the_configuration_allows(tmp_path: Path) -> None:
    spec = write(tmp_path, "self.config = SimpleNamespace(max_position_embeddings=16)")
    with closing(Session(tmp_path / "session")) as session:
        opened = finish(session.open(spec))
        assert opened.task is not None and opened.task.spec is not None
        assert option(opened.task.spec, "length") == "16" and opened.task.classes == ("no", "yes")


def test_where_nothing_tells_it_the_sentence_names_the_length(tmp_path: Path) -> None:
    with closing(Session(tmp_path / "session")) as session, pytest.raises(TaskError) as caught:
        finish(session.open(write(tmp_path, "pass")))
    assert caught.value.message.code == "task.tokens" and "samples of 128 tokens" in str(caught.value)


def test_a_tokenizer_with_more_tokens_than_the_model_knows_is_told_in_numbers(tmp_path: Path) -> None:
    spec = write(tmp_path, "self.config = SimpleNamespace(max_position_embeddings=16)")
    code = tmp_path / "net.py"
    code.write_text(code.read_text().replace("Embedding(256, 8)", "Embedding(90, 8)"))
    with closing(Session(tmp_path / "session")) as session, pytest.raises(TaskError) as caught:
        finish(session.open(spec))
    assert caught.value.message.code == "task.vocabulary"
    assert f"token {ord('x')}, but the model knows only 90 tokens" in str(caught.value)
