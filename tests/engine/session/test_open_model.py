"""The first look at data: how long a sample takes, which direction a metric has, which class has which number."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import DataError
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.session.open_model import first_look, opened_task
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import Split, TaskInfo, TaskSpec, option
from tests.engine.tasks.makers import Brightest, write_halves
from tests.engine.tasks.tables.makers import write_csv, write_parquet

WORDS = ("low", "medium", "high")


class Reader(nn.Module):
    """Answers with as many numbers a token as there are bytes; takes half a second a sequence by the clock."""

    def __init__(self, take: Callable[[float], None]) -> None:
        """Take time by `take`: a clock of its own would be put back with the rest of the model's state."""
        super().__init__()
        self.tokens, self.take = nn.Embedding(256, 256), take

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map [N, T] to [N, T, 256]."""
        self.take(0.5 * len(tokens))
        return self.tokens(tokens)


def looked_at(spec: TaskSpec, model: nn.Module) -> TaskInfo:
    return finish(first_look(opened_task(spec, model, FULL_CONSENT), model, NeverCancelled()))[1]


def test_a_language_model_takes_its_time_by_the_sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("a b c " * 300)
    clock = [100.0]

    def take(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr("secateur.engine.session.open_model.time.monotonic", lambda: clock[0])
    spec = TaskSpec("text", str(tmp_path / "a.txt"), options=(("tokenizer", "bytes"), ("length", "8")))
    assert looked_at(spec, Reader(take)).seconds == pytest.approx(0.5)


def test_the_direction_that_a_metric_is_taken_to_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("def evaluate(model, split):\n    return {'nll': 0.5}\n")
    (note,) = looked_at(TaskSpec("file", str(tmp_path / "task.py")), nn.Identity()).notes
    assert str(note).startswith("A lower nll counts as better")


class Graded(nn.Module):
    """Three classes, of the class that the first feature says; a configuration may number them."""

    def __init__(self, **config: object) -> None:
        """Hold what a Hugging Face model's configuration would."""
        super().__init__()
        self.config = SimpleNamespace(**config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, 1] to [N, 3]."""
        return nn.functional.one_hot(x[:, 0].long(), 3).float()


@pytest.fixture
def grades(tmp_path: Path) -> TaskSpec:
    lines = (f"{n % 3},{WORDS[n % 3]}" for n in range(60))
    return TaskSpec("csv", write_csv(tmp_path / "a.csv", "width,label", *lines))


@pytest.mark.parametrize("stale", [False, True])
def test_classes_in_words_have_the_numbers_that_the_model_gives_them(grades: TaskSpec, stale: bool) -> None:
    model = Graded(label2id={"medium": 1, "high": 2, "low": 0})
    first = Graded(label2id={"high": 0, "medium": 1, "low": 2})
    spec = opened_task(grades, first, FULL_CONSENT).spec if stale else grades
    task = opened_task(spec, model, FULL_CONSENT)
    (metric,), info = finish(first_look(task, model, NeverCancelled()))
    assert (metric.value, info.classes, info.notes) == (1.0, WORDS, ())
    assert option(task.spec, "classes") == '["low", "medium", "high"]'


@pytest.mark.parametrize(
    ("words", "order"), [(WORDS, ("high", "low", "medium", "other")), (("low", "high"), ("high", "low"))]
)
def test_numbers_of_another_model_do_not_outlive_it(
    tmp_path: Path, words: tuple[str, ...], order: tuple[str, ...]
) -> None:
    lines = (f"{n},{words[n % len(words)]}" for n in range(60))
    task = TaskSpec("csv", write_csv(tmp_path / "a.csv", "width,label", *lines))
    recipe = replace(task, options=(("classes", '["low", "medium", "high", "none"]'),))
    model = Graded(label2id={name: number for number, name in enumerate(order)})
    found, fresh = (opened_task(one, model, FULL_CONSENT) for one in (recipe, task))
    assert found.spec == fresh.spec and found.info(None).classes == order


@pytest.mark.parametrize("config", [{}, {"label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}}])
def test_numbers_that_the_model_does_not_give_are_told(grades: TaskSpec, config: dict[str, object]) -> None:
    info = looked_at(grades, Graded(**config))
    assert info.classes == ("high", "low", "medium") and info.spec == grades
    assert "Class numbers: high 0, low 1, medium 2." in str(info.notes[0])


@pytest.mark.parametrize(
    ("label2id", "right", "classes"),
    [
        ({"top": 0, "bottom": 1}, 1.0, ("top", "bottom")),
        ({"TOP": 0, "BOTTOM": 1}, 0.0, ("bottom", "top")),  # names of its own: by the alphabet, as torchvision
        ({"top": 0, "left": 1, "bottom": 2, "right": 3}, 1.0, ("top", "left", "bottom", "right")),
    ],
)
def test_folders_have_the_numbers_that_the_model_gives_their_names(
    tmp_path: Path, label2id: dict[str, int], right: float, classes: tuple[str, ...]
) -> None:
    write_halves(tmp_path)
    model: Any = Brightest(len(label2id), channels=3)
    model.config = SimpleNamespace(label2id=label2id)
    task = opened_task(TaskSpec("folder", str(tmp_path)), model, FULL_CONSENT)
    metric = finish(task.evaluate(model, Split.TEST, NeverCancelled()))
    assert (metric.value, task.info(None).classes) == (right, classes)


def test_numbers_that_a_column_holds_with_names_are_told_as_such(tmp_path: Path) -> None:
    noted = {"info": {"features": {"label": {"names": [*WORDS], "_type": "ClassLabel"}}}}
    columns = {"width": [float(n % 3) for n in range(60)], "label": [n % 3 for n in range(60)]}
    file = write_parquet(tmp_path / "a.parquet", columns, huggingface=json.dumps(noted))
    (note,) = looked_at(TaskSpec("parquet", file), Graded()).notes
    assert "Class numbers: low 0, medium 1, high 2. " in str(note) and str(note).endswith(
        "holds the model's output numbers."
    )


def test_data_that_cannot_be_any_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    code = tmp_path / "model.py"
    code.write_text("def make():\n    raise AssertionError('the model was built')\n")
    (tmp_path / "wrong" / "notes").mkdir(parents=True)
    with closing(Session(tmp_path / "session")) as session:
        for task, words in (
            (TaskSpec("", str(tmp_path / "wrong")), "no images"),
            (TaskSpec("csv", "gone.csv"), "exist"),
        ):
            with pytest.raises(DataError, match=words):
                finish(session.open(ModelSpec(f"{code}:make", task=task)))
