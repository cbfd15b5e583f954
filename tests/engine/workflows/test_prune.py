"""Courses of several steps make states, go on where they stood, and refuse at once what they cannot reach."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.cli.tables import searches_of
from secateur.engine.errors import PlanError, SecateurError
from secateur.engine.jobs import Cancelled, Progress, finish
from secateur.engine.planning.protocol import Cost, Goal, Limit, Ranking
from secateur.engine.process.answers import RESULTS
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recipes.recipe import read_recipe, write_recipe
from secateur.engine.recipes.replay import run_recipe
from secateur.engine.recipes.steps import Plan
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.state_text import step_told
from secateur.engine.session.states import State, StateKind
from secateur.engine.sharing.anonymise import strip_history
from secateur.engine.sharing.report import report_of
from secateur.engine.sharing.session_files import session_recipe
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.costs import costs
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.workflows.baselines import rounds_of
from secateur.engine.workflows.budget_search import LossLimit, search_budget
from secateur.engine.workflows.prune import PruneRequest, prune_state
from secateur.engine.workflows.sweep import sweep_budgets

from ..session.small import write_project

ONE_EPOCH = RecoverySettings(epochs=1, threads=1)
HALF = PruneRequest(Goal((Limit(Cost.MACS, 0.5),)), "l1")


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return write_project(tmp_path / "mine")


@pytest.fixture
def session(tmp_path: Path, spec: ModelSpec) -> Session:
    made = Session(tmp_path / "session")
    finish(made.open(spec))
    return made


def counted(session: Session, monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[str, int]:
    """How often these steps of the session run from now on."""
    calls = dict.fromkeys(names, 0)
    for name in names:
        step = getattr(session, name)

        def wrapped(*args: object, name: str = name, step=step, **kwargs: object):
            calls[name] += 1
            return (yield from step(*args, **kwargs))

        monkeypatch.setattr(session, name, wrapped)
    return calls


def test_a_result_says_which_structures_were_scored_on_little_data(session: Session, tmp_path: Path) -> None:
    """Of 48 samples 12 are kept apart, and the head with 16 inputs gets a row of each of the others."""
    (cut,) = finish(prune_state(session, "s0", replace(HALF, criterion="obs")))
    (said,) = map(str, cut.rated)
    assert said.startswith("16 structures before fc are scored on 36 rows of data, fewer than 4 for each input.")
    first = session.history.state("s0")
    assert ("Scores", said) in step_told(first, cut, first).lines and said in searches_of([cut])
    recipe = session_recipe(session, cut.id)
    assert said in report_of(session.history, recipe, cut.id)
    assert strip_history(session.history).state(cut.id).rated == cut.rated
    write_recipe(tmp_path / "recipe.json", recipe)
    replay = run_recipe(tmp_path / "recipe.json", Session(tmp_path / "again"), mode=Mode.SAME_GOAL)
    assert said in map(str, finish(replay).notes)
    (by_weights,) = finish(prune_state(session, "s0", HALF))
    assert not by_weights.rated


def test_rounds_score_cut_and_recover_down_to_the_goal(session: Session):
    settings = PruneRequest(Goal((Limit(Cost.PARAMETERS, 0.4),)), "taylor", ONE_EPOCH, rounds=3)
    said = list[str]()
    made = finish(prune_state(session, "s0", settings), lambda progress: said.append(str(progress.message)))
    assert [one.kind for one in made] == [StateKind.CUT, StateKind.RECOVERED] * 3
    training = [words for words in dict.fromkeys(said) if words.endswith("Fine-tuning, epoch 1 of 1")]
    assert training == [f"Round {number} of 3: Fine-tuning, epoch 1 of 1" for number in (1, 2, 3)]
    whole = session.history.state("s0").parameters
    shares = [one.parameters / whole for one in made[::2]]
    asked, step = [0.4 ** (n / 3) for n in (1, 2, 3)], 0.07  # of the width: 2 x 24 x 9 weights and a few of 7.2 k
    assert all(a - step < share <= a for share, a in zip(shares, asked, strict=True))
    assert made[-1].metrics and made[-1].macs == costs(session.analysis, session.removed(made[-1].id)).macs


def test_a_recovery_by_minutes_is_kept_with_its_epochs_and_not_made_again(session: Session, monkeypatch):
    asked = RecoverySettings(minutes=0.01, threads=1)
    made = finish(prune_state(session, "s0", replace(HALF, recovery=asked)))
    recovery = made[-1].recovery
    assert recovery is not None and recovery.minutes == 0.01
    calls = counted(session, monkeypatch, "recover", "cut")
    again = finish(prune_state(session, "s0", replace(HALF, recovery=replace(asked, epochs=3))))
    assert [one.id for one in again] == [one.id for one in made] and not any(calls.values())
    ((told,),) = (one.recoveries for one in rounds_of(session, made))
    assert told == replace(recovery, minutes=0.0)  # baselines get as many epochs, whatever theirs take


def test_a_recipe_of_rounds_runs_again_and_its_goals_are_planned_again(session: Session, tmp_path: Path):
    made = finish(
        prune_state(session, "s0", PruneRequest(Goal((Limit(Cost.SIZE, amount=14_000),), multiple=4), "l1", rounds=2))
    )
    path = tmp_path / "mine" / "recipe.json"
    write_recipe(path, session_recipe(session, made[-1].id))
    plans = [step.intent.goal for step in read_recipe(path).steps if isinstance(step, Plan)]
    assert len(plans) == 2
    assert plans[-1] == Goal((Limit(Cost.SIZE, amount=14_000),), multiple=4, ranking=Ranking.SHAPES)
    assert finish(run_recipe(path, Session(tmp_path / "same"))).states[-1].weights == made[-1].weights
    code = path.parent / "model.py"
    code.write_text(code.read_text().replace("24", "16"))
    other = Session(tmp_path / "other")
    done = finish(run_recipe(path, other, trust_code=True))
    assert any("the file size at most 14 kB" in str(note) for note in done.notes)
    assert any("nothing was cut" in str(note) for note in done.notes) and len(done.states) == 2  # met already
    assert 4 * costs(other.analysis, other.removed(done.states[-1].id)).tensor_sizes.sum() <= 14_000


def test_an_unreachable_goal_is_refused_before_the_first_round_cuts(session: Session):
    with pytest.raises(PlanError, match="out of reach"):
        finish(prune_state(session, "s0", PruneRequest(Goal((Limit(Cost.MACS, 0.001),)), "l1", rounds=4)))
    assert len(session.states()) == 1


def test_a_training_that_cannot_be_is_refused_before_anything_is_scored(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    calls = counted(session, monkeypatch, "score", "cut")
    with pytest.raises(SecateurError, match="Temperature must be from 0 to 100"):
        finish(prune_state(session, "s0", replace(HALF, recovery=replace(ONE_EPOCH, temperature=-1.0))))
    assert not any(calls.values()) and len(session.states()) == 1


def test_what_a_hand_locked_stays_and_what_it_marked_goes_in_every_round(session: Session):
    key = "filter|block.conv1.weight|0"
    settings = PruneRequest(Goal((Limit(Cost.MACS, 0.5),)), "l1", rounds=2, locked={key: [0, 1]}, marked={key: [2, 3]})
    first, last = finish(prune_state(session, "s0", settings))
    assert {2, 3} <= set(first.removed[key]) <= set(last.removed[key]) and not {0, 1} & set(last.removed[key])


def test_a_sweep_scores_once_and_gives_a_point_for_each_budget(session: Session, monkeypatch: pytest.MonkeyPatch):
    calls = counted(session, monkeypatch, "score")
    done = finish(sweep_budgets(session, "s0", HALF, (0.4, 0.8, 0.6, 0.0001)))
    assert calls == {"score": 1} and [point.share for point in done.points] == [0.8, 0.6, 0.4, 0.0001]
    whole = session.history.state("s0").macs
    got = [one.macs / whole for one in done.states]
    assert all(a - 0.07 < share <= a for share, a in zip(got, (0.8, 0.6, 0.4), strict=True))
    assert all(one.parent == "s0" and one.metrics for one in done.states)
    assert done.points[-1].states == () and "out of reach" in str(done.points[-1].note)
    back = decode(encode(done), RESULTS["sweep"])  # as the window gets it
    assert [str(point.note) for point in back.points] == [str(point.note) for point in done.points]


def test_every_state_of_a_sweep_is_told_when_it_is_there(session: Session):
    told, places = list[State](), set[tuple[int, int]]()

    def listen(progress: Progress) -> None:
        if progress.made is not None:
            assert session.history.state(progress.made.id) == progress.made
            told.append(progress.made)
        if str(progress.message).startswith("Budget"):
            places.add((progress.done, progress.total))

    settings = PruneRequest(HALF.goal, "l1", ONE_EPOCH)
    done = finish(sweep_budgets(session, "s0", settings, (0.6, 0.8)), listen)
    assert [one.kind for one in told if not one.metrics] == [StateKind.CUT] * 2
    assert {one.id: one for one in told} == {one.id: one for one in session.states() if one.parent}
    assert told[-1] == done.states[-1] and places == {(0, 2), (1, 2)}


def test_a_cancelled_sweep_goes_on_after_the_process_is_gone(
    session: Session, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
):
    settings, token = PruneRequest(HALF.goal, "l1", ONE_EPOCH), threading.Event()

    def stop_in_the_second(progress: Progress) -> None:
        if str(progress.message).startswith("Budget 2 of 3") and "step" in progress.values:
            token.set()

    with pytest.raises(Cancelled):
        finish(sweep_budgets(session, "s0", settings, (0.8, 0.6, 0.4), token=token), stop_in_the_second)
    assert [one.kind.value for one in session.states()] == ["original", "cut", "recovered", "cut"]
    session.close()
    again = Session(session.folder)
    finish(again.restore())
    calls = counted(again, monkeypatch, "cut", "recover")
    done = finish(sweep_budgets(again, "s0", settings, (0.8, 0.6, 0.4)))
    assert calls == {"cut": 1, "recover": 2} and done.points[0].states == ("s1", "s2")
    assert len(again.states()) == 7


def test_what_was_made_on_other_data_is_made_anew(session: Session, tmp_path: Path):
    settings = PruneRequest(HALF.goal, "l1", ONE_EPOCH)
    first = finish(prune_state(session, "s0", settings))
    assert [one.id for one in finish(prune_state(session, "s0", settings))] == [one.id for one in first]
    other = write_project(tmp_path / "other", count=36).task
    assert other is not None
    finish(session.attach_task(other))
    second = finish(prune_state(session, "s0", settings))
    assert not {one.id for one in second} & {one.id for one in first} and not second[-1].former
    session.history.mark_stale()
    third = finish(prune_state(session, "s0", settings))
    assert not {one.id for one in third} & {one.id for one in second}
    session.close()
    again = Session(session.folder)
    finish(again.restore())
    assert [one.id for one in again.states() if one.former] == [one.id for one in first]


def test_data_in_smaller_batches_are_the_same_data(session: Session):
    made = finish(prune_state(session, "s0", PruneRequest(HALF.goal, "l1", ONE_EPOCH)))
    metrics = session.history.state(made[-1].id).metrics
    task = session.history.task
    assert task is not None and metrics
    finish(session.attach_task(replace(task, batch=8)))
    assert session.history.task is not None and session.history.task.batch == 8
    assert session.history.state(made[-1].id).metrics == metrics
    assert [one.id for one in finish(prune_state(session, "s0", PruneRequest(HALF.goal, "l1", ONE_EPOCH)))] == [
        o.id for o in made
    ]


def test_options_in_another_order_are_the_same_data():
    one = TaskSpec("csv", "a.csv", options=(("label", "y"), ("header", "yes")))
    assert one.same_data(replace(one, options=one.options[::-1], batch=3))
    assert not one.same_data(replace(one, options=one.options[:1])) and not one.same_data(None)


def test_rounds_that_wait_for_data_to_be_mended_go_on(session: Session):
    settings = PruneRequest(Goal((Limit(Cost.PARAMETERS, 0.4),)), "l1", ONE_EPOCH, rounds=2)
    for progress in prune_state(session, "s0", settings):
        if progress.text == "Cut" and len(session.states()) == 4:
            break
    session.history.mark_stale()
    assert [one.kind.value for one in session.states()] == ["original", "cut", "recovered", "cut"]
    made = finish(prune_state(session, "s0", settings))
    assert [one.id for one in made] == ["s1", "s2", "s3", "s4"]


def test_a_scope_that_holds_nothing_is_refused_before_anything_is_scored(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    calls = counted(session, monkeypatch, "score", "evaluate_once")
    nowhere = replace(HALF, goal=replace(HALF.goal, scope=("layer9",)))
    limit = LossLimit(0.02, Cost.MACS, epochs=1)
    for job in (
        prune_state(session, "s0", nowhere),
        sweep_budgets(session, "s0", nowhere),
        search_budget(session, "s0", nowhere, limit),
    ):
        with pytest.raises(PlanError, match="Nothing in layer9 can be removed"):
            finish(job)
    assert calls == {"score": 0, "evaluate_once": 0}
