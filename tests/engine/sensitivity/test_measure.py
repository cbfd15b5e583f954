"""Sensitivity is the metric of models that are really cut; what was measured once is not measured again."""

import threading
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from secateur.engine.errors import SecateurError, TaskError
from secateur.engine.jobs import Cancelled, Progress, finish
from secateur.engine.planning.protocol import Goal
from secateur.engine.process.client import SESSION
from secateur.engine.scoring.score_options import Choices
from secateur.engine.sensitivity.protocol import Sensitivity, SensitivityPoint, removals, sets_of, trials
from secateur.engine.session.session import Session
from secateur.engine.structures.analysis import Kind, identities
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.sensitivity import measure_sensitivity
from tests.engine.session.small import write_project

SHARES = (0.25, 0.5, 0.9)
FILTERS = Goal((), kinds=(Kind.FILTER, Kind.BLOCK))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(tmp_path / "session", cache=tmp_path / "cache")
    finish(made.open(write_project(tmp_path / "mine"), evaluate=False))
    return made


def evaluations(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[Split]:
    """The splits that the task is evaluated on from now on."""
    task, seen = session.task, list[Split]()
    evaluate = task.evaluate

    def counted(predict: object, split: Split, token: object):
        seen.append(split)
        return (yield from evaluate(predict, split, token))  # type: ignore[arg-type]

    monkeypatch.setattr(task, "evaluate", counted)
    return seen


def test_each_value_is_the_metric_of_the_cut_state(session: Session):
    found = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS))
    filters = next(one for one in session.analysis.sets if one.kind is Kind.FILTER)
    row = found.keys.index(filters.key)
    scores = finish(session.score("s0", "l1"))[filters.structures]
    for share, count, value in zip(SHARES, found.removed[row], found.values[row], strict=True):
        assert count == min(round(share * filters.count), filters.count - 1)
        mask = session.analysis.empty()
        mask[filters.first + np.argsort(scores)[:count]] = True
        state = finish(session.cut("s0", mask))
        assert value == pytest.approx(finish(session.evaluate(state.id, Split.VAL)).value)
    assert found.lost[row] == pytest.approx(found.metric.value - found.values[row])


def test_every_point_is_told_when_it_is_measured_and_their_number_is_known_before(session: Session):
    told: list[SensitivityPoint] = []

    def listen(progress: Progress) -> None:
        if progress.made is not None:
            told.append(progress.made)

    found = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS), listen)
    assert (told[0].set_number, told[0].metric) == (-1, found.metric)
    values = {(one.set_number, one.removed): one.metric.value for one in told[1:]}
    numbers = sets_of(session.analysis, session.removed("s0"), FILTERS)
    assert tuple(session.analysis.sets[number].key for number in numbers) == found.keys
    for row, number in enumerate(numbers):
        for count, value in zip(found.removed[row], found.values[row], strict=True):
            assert value == (found.metric.value if count == 0 else values[number, count])
    before = trials(removals(session.analysis, session.removed("s0"), numbers, SHARES), numbers)
    assert list(values) == before


def test_a_block_goes_whole_or_not_at_all(session: Session):
    found = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS))
    block = next(n for n, key in enumerate(found.keys) if key.startswith("block"))
    assert found.removed[block].tolist() == [0, 1, 1] and found.values[block][0] == found.metric.value
    assert found.values[block][1] == found.values[block][2]


HALVES = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1)
        self.left, self.right = nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        a, b = self.stem(x).relu().chunk(2, 1)
        return self.fc((self.left(a) + self.right(b)).mean((2, 3)))


def make():
    torch.manual_seed(0)
    return Net()
"""


def test_halves_of_an_equal_split_lose_as_many_in_one_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = write_project(tmp_path / "mine")
    (tmp_path / "mine" / "model.py").write_text(HALVES)
    session = Session(tmp_path / "session")
    finish(session.open(spec, evaluate=False))
    seen = evaluations(session, monkeypatch)
    found = finish(measure_sensitivity(session, "s0", "l1", (0.5, 0.9), Goal((), scope=("stem",))))
    assert len(found.keys) == 2 and found.removed.tolist() == [[3, 5], [3, 5]] and found.notes == ()
    assert (found.values[0] == found.values[1]).all() and len(seen) == 1 + 2
    session.close()


def test_a_trial_whose_answers_are_no_numbers_is_left_out(session: Session, monkeypatch: pytest.MonkeyPatch):
    task = session.task
    evaluate, full = task.evaluate, session.history.state("s0").parameters

    def failing(predict: nn.Module, split: Split, token: object):
        if sum(p.numel() for p in predict.parameters()) < 0.7 * full:
            raise TaskError("task.not_finite", "The answers hold NaN.")
        return (yield from evaluate(predict, split, token))  # type: ignore[arg-type]

    monkeypatch.setattr(task, "evaluate", failing)
    found = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS))
    assert np.isnan(found.values).any() and not np.isnan(found.values).all()
    assert any("The answers hold NaN." in str(note) for note in found.notes)


def test_a_scope_says_which_sets(session: Session):
    found = finish(measure_sensitivity(session, "s0", "l1", (0.5,), Goal((), scope=("block",))))
    assert found.keys == ("filter|block.conv1.weight|0",) and found.values.shape == (1, 1)


def test_what_was_measured_is_taken_from_the_disk(session: Session, monkeypatch: pytest.MonkeyPatch):
    first = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS))
    again = Session(cache=session.location.cache)
    finish(again.open(session.history.spec, evaluate=False))  # type: ignore[arg-type]
    seen = evaluations(again, monkeypatch)
    second = finish(measure_sensitivity(again, "s0", "l1", (*SHARES, 0.7), FILTERS))
    assert (second.values[:, :3] == first.values).all() and len(seen) == 1  # filters at 70 %: the block is the same
    again.close()


def test_a_later_session_of_the_window_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module, _, name = SESSION.partition(":")
    make, found = getattr(import_module(module), name), list[Sensitivity]()
    spec = write_project(tmp_path / "mine")
    for folder, evaluated in (("first", 4), ("second", 0)):
        window = make(tmp_path / folder)
        session = window.session
        finish(session.open(spec, evaluate=False))
        seen = evaluations(session, monkeypatch)
        found.append(finish(measure_sensitivity(session, "s0", "l1", SHARES, Goal((), kinds=(Kind.FILTER,)))))
        assert len(seen) == evaluated
        window.close()
    assert (found[0].values == found[1].values).all()


def test_a_cancelled_run_goes_on_where_it_stood(session: Session, monkeypatch: pytest.MonkeyPatch):
    token, states = threading.Event(), session.states()

    def stop_at_the_third(progress: Progress) -> None:
        if progress.done == 2:
            token.set()

    seen = evaluations(session, monkeypatch)
    with pytest.raises(Cancelled):
        finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS, token=token), stop_at_the_third)
    before = len(seen)
    found = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS))
    assert before >= 3 and len(seen) == 1 + 4 and set(seen) == {Split.VAL}
    assert np.isfinite(found.values).all() and session.states() == states


def test_other_data_is_measured_anew(session: Session, monkeypatch: pytest.MonkeyPatch):
    finish(measure_sensitivity(session, "s0", "l1", (0.5,)))
    write_project(Path(session.history.task.path).parent, count=30)  # type: ignore[union-attr]
    seen = evaluations(session, monkeypatch)
    finish(measure_sensitivity(session, "s0", "l1", (0.5,)))
    assert len(seen) == 3  # as it is, filters, width


def test_a_damaged_cache_is_begun_anew(session: Session):
    first = finish(measure_sensitivity(session, "s0", "l1", (0.5,)))
    (file,) = (session.location.cache / "sensitivity").iterdir()
    file.write_bytes(b"{]\n" + file.read_bytes())
    assert (finish(measure_sensitivity(session, "s0", "l1", (0.5,))).values == first.values).all()


def test_sensitivity_needs_data(tmp_path: Path):
    session = Session(tmp_path / "session")
    spec = write_project(tmp_path / "mine")
    finish(session.open(replace(spec, task=None, input_shape=(1, 1, 8, 8)), evaluate=False))
    with pytest.raises(TaskError, match="Data needed"):
        finish(measure_sensitivity(session, "s0", "l1"))


def test_what_a_criterion_did_not_rate_is_left_out_and_said(session: Session):
    sets = [one for one in session.analysis.sets if one.kind is Kind.FILTER]
    chosen = session.analysis.empty()
    chosen[sets[0].structures] = True
    choices = Choices(selection=identities(session.analysis, chosen))
    goal = Goal((), kinds=tuple(one.kind for one in session.analysis.sets if one.kind is not Kind.BLOCK))
    found = finish(measure_sensitivity(session, "s0", "ablation", SHARES, goal, choices))
    assert found.keys == (sets[0].key,)
    assert any("left out, because ablation does not score it" in str(note) for note in found.notes)
    with pytest.raises(SecateurError, match="scores none of these layers"):
        others = tuple(kind for kind in goal.kinds if kind is not Kind.FILTER)
        finish(measure_sensitivity(session, "s0", "ablation", SHARES, Goal((), kinds=others), choices))


def test_the_share_of_the_work_is_told_from_the_scores_to_the_last_trial(session: Session):
    told: list[float] = []
    found = finish(measure_sensitivity(session, "s0", "l1", SHARES, FILTERS), lambda one: told.append(one.share))
    assert all(0 <= share <= 1 for share in told) and told == sorted(told)
    assert len(set(told)) >= np.unique(found.removed).size and told[-1] > 0.9
