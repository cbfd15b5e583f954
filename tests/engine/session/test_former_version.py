"""What version 0.1 wrote opens and runs: a project, its recipe, a bundle, a window's session, a `task.py`.

The files are in `tests/fixtures/0.1`; its README.md says how they were made.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.recipes.replay import run_recipe
from secateur.engine.session.bundle_file import read_bundle
from secateur.engine.session.session import Session
from secateur.engine.session.states import State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import from_identities
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, TaskSpec
from tests.conftest import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "0.1"
RESIDUAL = {"residual width|stem.weight|0": [1, 5, 6, 7]}
METRICS = {
    "s0": {Split.TEST: 16 / 48},
    "s1": {},
    "s2": {Split.VAL: 37 / 48, Split.TEST: 39 / 48},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of all files."""
    return shutil.copytree(FIXTURES, tmp_path / "former")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "session")
    yield session
    session.close()


def check_states(states: Sequence[State]) -> None:
    """All states are there, with the structures that they lack and what was measured of them."""
    assert [(state.id, state.kind) for state in states] == [
        ("s0", StateKind.ORIGINAL),
        ("s1", StateKind.CUT),
        ("s2", StateKind.RECOVERED),
    ]
    assert [state.removed for state in states] == [{}, RESIDUAL, RESIDUAL]
    assert [state.parameters for state in states] == [1875, 951, 951]
    for state in states:
        assert {one.split: one.value for one in state.metrics} == pytest.approx(METRICS[state.id])
    assert states[1].verification is not None and states[2].recovery is not None and len(states[2].curve) > 1


def test_a_project_opens_with_all_states_and_metrics(session: Session, folder: Path) -> None:
    finish(session.open(ModelSpec(str(folder / "project"), trust_code=True)))
    check_states(session.states())
    assert [len(state.timings) for state in session.states()] == [1, 0, 1]
    (baseline,) = session.baselines("s2")
    assert (baseline.metric.split, baseline.metric.value) == (Split.TEST, 43 / 48)
    assert session.present.id == "s2"
    again = finish(session.evaluate("s2", Split.TEST))
    assert again.value == pytest.approx(METRICS["s2"][Split.TEST], abs=1 / 48)


def test_a_recipe_runs(session: Session, folder: Path) -> None:
    done = finish(run_recipe(folder / "project" / "recipe.json", session, trust_code=True))
    assert done.complete and not done.missing
    assert {note.code for note in done.notes} <= {"fit.versions"}  # other versions of packages are told
    assert [state.removed for state in done.states] == [{}, RESIDUAL, RESIDUAL]
    assert {one.split for one in session.states()[2].metrics} == {Split.VAL, Split.TEST}


def test_a_bundle_opens(folder: Path) -> None:
    found = read_bundle(folder / "share.zip")
    check_states(list(found.history.states.values()))
    assert found.analysis is not None and not from_identities(found.analysis, RESIDUAL)[1]
    assert found.manifest.state == "s2" and list(found.history.baselines) == ["b0"]


def test_a_session_of_the_window_is_restored(tmp_path: Path, folder: Path) -> None:
    where = tmp_path / "former" / "data" / "secateur" / "secateur" / "sessions" / "killed"
    where.parent.mkdir(parents=True)
    (folder / "window").rename(where)
    session = Session(where)
    finish(session.restore(trust_code=True))
    assert [state.kind for state in session.states()] == [StateKind.ORIGINAL, StateKind.CUT, StateKind.RECOVERED]
    assert {one.split for state in session.states() for one in state.metrics} == {Split.VAL, Split.TEST}
    session.close()


def test_a_task_file_with_the_former_names_of_the_splits_works(folder: Path) -> None:
    task = open_task(TaskSpec("file", str(folder / "task.py")), FULL_CONSENT)
    counts = {split: sum(len(labels) for _, labels in task.batches(split)) for split in Split}
    assert list(counts.values()) == [96, 24, 24]

    def first_class(images: Tensor) -> Tensor:
        return torch.eye(3)[:1].repeat(len(images), 1)

    for split in (Split.VAL, Split.TEST):
        metric = finish(task.evaluate(first_class, split, NeverCancelled()))
        assert (metric.split, metric.value, metric.count) == (split, pytest.approx(1 / 3), 24)
