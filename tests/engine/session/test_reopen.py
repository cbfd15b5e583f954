"""A project whose classes are words: what was found of its data is not asked for again, and is what states mean."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import pre_tokenizers
from tokenizers.models import WordLevel

from secateur.engine.errors import DataError
from secateur.engine.jobs import finish
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import LOG
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import InputSpec, ModelSpec
from secateur.engine.tasks import texts
from secateur.engine.tasks.protocol import Split, TaskSpec, option
from tests.engine.tasks.tables.makers import write_csv

WORDS = ("low", "medium", "high")
CODE = """
from types import SimpleNamespace
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 3))
        self.config = SimpleNamespace(label2id={"low": 0, "medium": 1, "high": 2})


def make():
    torch.manual_seed(0)
    return Net()
"""

READER = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
"""


@pytest.fixture
def task(tmp_path: Path) -> TaskSpec:
    lines = (f"{n % 3},{n * 7 % 5},{WORDS[n % 3]}" for n in range(60))
    return TaskSpec("csv", write_csv(tmp_path / "a.csv", "width,height,label", *lines))


@pytest.fixture
def saved(tmp_path: Path, task: TaskSpec) -> ModelSpec:
    """A project with a cut that was judged."""
    (tmp_path / "model.py").write_text(CODE)
    session = Session(tmp_path / "session")
    opened = finish(session.open(ModelSpec(f"{tmp_path / 'model.py'}:make", task=task)))
    marked = opened.analysis.empty()
    marked[:4] = True
    cut = finish(session.cut("s0", marked))
    finish(session.evaluate(cut.id, Split.TEST))
    finish(save_project(session, str(tmp_path / "project"), cut.id))
    session.close()
    return ModelSpec(str(tmp_path / "project"), trust_code=True)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "other session")
    yield session
    session.close()


def test_the_task_that_a_project_has_is_not_attached_again(session: Session, saved: ModelSpec, task: TaskSpec) -> None:
    done = [str(progress.text) for progress in session.open(replace(saved, task=task))]
    assert "Opening the model" in done and "Evaluating the original" not in done
    assert session.history.task is not None and option(session.history.task, "classes")
    assert session.history.state("s1").metrics and not session.history.state("s1").former


def test_another_task_is_attached_to_a_project(session: Session, saved: ModelSpec, task: TaskSpec) -> None:
    for asked in (replace(task, batch=8), replace(task, options=(("features", "width,height"),))):
        done = [str(progress.text) for progress in session.open(replace(saved, task=asked))]
        assert "Evaluating the original" in done


def test_states_that_were_judged_with_other_numbers_of_classes_are_stale(session: Session, saved: ModelSpec) -> None:
    log = Path(saved.source) / LOG
    first, *others = log.read_text().splitlines(keepends=True)
    record = json.loads(first)
    record["spec"]["task"]["options"] = []  # as versions wrote it that numbered words by the alphabet
    log.write_text("".join([json.dumps(record) + "\n", *others]))
    opened = finish(session.open(saved))
    assert [state.stale for state in session.states()] == [True, True]
    assert any("low 0, medium 1, high 2. Earlier measurements" in str(note) for note in opened.notes)
    finish(session.evaluate_once("s0", Split.TEST))
    finish(save_project(session, str(log.parent.parent / "again"), "s0"))
    again = finish(session.open(replace(saved, source=str(log.parent.parent / "again"))))
    assert [state.stale for state in session.states()] == [False, True]
    assert not any("Earlier measurements" in str(note) for note in again.notes)


def test_states_that_were_judged_on_documents_that_ran_into_each_other_are_stale(
    session: Session, tmp_path: Path
) -> None:
    made = tokenizers.Tokenizer(WordLevel({"a": 0, "b": 1, "[UNK]": 2, "<eos>": 3}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "a.txt").write_text("aab" * 60)
    (tmp_path / "model.py").write_text(READER)
    options = (("length", "5"), ("purpose", "causal"))
    task = TaskSpec("text", str(tmp_path / "a.txt"), options=options)
    first = Session(tmp_path / "session")
    finish(first.open(ModelSpec(f"{tmp_path / 'model.py'}:make", task=task)))
    assert first.history.task is not None and option(first.history.task, "packing")
    finish(save_project(first, str(tmp_path / "project"), "s0"))
    first.close()
    saved = ModelSpec(str(tmp_path / "project"), trust_code=True)
    unchanged = finish(session.open(replace(saved, task=task)))
    assert not session.history.state("s0").stale and not any(one.code == "session.repacked" for one in unchanged.notes)
    training = session.checkpoint("", RecoverySettings())
    log = tmp_path / "project" / LOG
    record, *others = log.read_text().splitlines(keepends=True)
    before = json.loads(record)
    before["spec"]["task"]["options"] = [one for one in before["spec"]["task"]["options"] if one[0] != "packing"]
    log.write_text("".join([json.dumps(before) + "\n", *others]))
    opened = finish(session.open(saved))
    assert session.history.state("s0").stale
    assert [one.code for one in opened.notes].count("session.repacked") == 1
    assert session.checkpoint("", RecoverySettings()).mendable == training.mendable
    assert session.history.task is not None
    without = tuple(one for one in session.history.task.options if one[0] != "packing")
    session.history.task = replace(session.history.task, options=without)
    other = session.checkpoint("", RecoverySettings())
    assert other.key != training.key and other.mendable != training.mendable


def test_a_project_of_before_opens_with_a_text_that_its_tokenizer_does_not_know(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tokenizers.Tokenizer(WordLevel({"a": 0, "b": 1, "[UNK]": 2, "<eos>": 3}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "a.txt").write_text("a???" * 60)
    (tmp_path / "model.py").write_text(READER)
    task = TaskSpec("text", str(tmp_path / "a.txt"), options=(("length", "5"), ("purpose", "causal")))
    model = ModelSpec(f"{tmp_path / 'model.py'}:make", task=task)
    with pytest.raises(DataError, match="does not know 75% of the text"):
        finish(session.open(model))
    finish(session.open(replace(model, task=None, inputs=(InputSpec((2, 5), dtype="int64"),))))
    with pytest.raises(DataError, match="does not know 75% of the text"):
        finish(session.attach_task(task))
    with monkeypatch.context() as patch:  # as versions did that took any tokenizer
        patch.setattr(texts, "MOST_UNKNOWN", 1.0)
        first = Session(tmp_path / "session")
        opened = finish(first.open(model))
        marked = opened.analysis.empty()
        marked[:4] = True
        cut = finish(first.cut("s0", marked))
        finish(save_project(first, str(tmp_path / "project"), cut.id))
        first.close()
    opened = finish(session.open(ModelSpec(str(tmp_path / "project"), trust_code=True)))
    assert [one.code for one in opened.notes].count("text.unknown") == 1
    assert list(session.history.states) == ["s0", "s1"]
    assert finish(session.evaluate("s1", Split.TEST)).value > 0


def test_pretrained_weights_are_the_ones_that_were_kept_whatever_the_cache_holds_by_now(tmp_path, monkeypatch):
    from torchvision import models

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / str(models.SqueezeNet1_1_Weights.DEFAULT.url).rpartition("/")[2]
    file.parent.mkdir()
    weights = models.squeezenet1_1(weights=None).state_dict()
    torch.save(weights, file)
    session = Session(tmp_path / "session")
    opened = finish(session.open(ModelSpec("torchvision:squeezenet1_1", input_shape=(1, 3, 64, 64))))
    assert opened.spec is not None and opened.spec.pretrained == "IMAGENET1K_V1" and not opened.untrained
    finish(save_project(session, str(tmp_path / "project"), "s0"))
    session.close()
    file.unlink()
    again = Session(tmp_path / "again")
    opened = finish(again.open(ModelSpec(str(tmp_path / "project"))))
    assert opened.spec is not None and opened.spec.pretrained == "IMAGENET1K_V1" and not opened.untrained
    assert again.prepared.spec.pretrained == "IMAGENET1K_V1"
    assert not any(note.code.startswith("source.") for note in opened.notes)
    kept = again.model("s0").state_dict()
    assert all(torch.equal(one, kept[name]) for name, one in weights.items())
    again.close()
