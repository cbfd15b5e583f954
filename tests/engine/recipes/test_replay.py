"""A recipe that runs again gives the same model, or says what no longer matches and plans the same goal."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError, PlanError
from secateur.engine.foreign_code.consent import FULL_CONSENT, NO_CONSENT
from secateur.engine.jobs import Job, NeverCancelled, finish
from secateur.engine.planning.goal import suggest
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recipes import replay as module
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recipes.recipe import read_recipe, sealed, write_recipe
from secateur.engine.recipes.replay import Destination, replay, run_recipe, steps_again
from secateur.engine.recipes.script import script_of
from secateur.engine.recipes.steps import Open, Plan, Recipe, Replay
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.states import PlanIntent, State
from secateur.engine.sharing.session_files import session_recipe
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import TargetSpec

from ..session.small import write_project

GOAL = PlanIntent("l1", 0.6, 4)


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, State, Session]:
    """A recipe of cut, recovery and export, the state it leads to, and its session."""
    session = Session(tmp_path / "session")
    opened = finish(session.open(write_project(tmp_path / "mine")))
    scores = finish(session.score("s0", "l1"))
    cut = finish(session.cut("s0", suggest(opened.analysis, scores, 0.6, multiple=4), GOAL))
    state = finish(session.recover(cut.id, RecoverySettings(epochs=1, threads=1)))
    path = tmp_path / "mine" / "recipe.json"
    write_recipe(path, session_recipe(session, state.id))
    return path, state, session


def run(path: Path, trust_code: bool = False) -> tuple[Replay, Session]:
    session = Session()
    return finish(run_recipe(path, session, trust_code=trust_code)), session


def test_a_recipe_that_was_trained_on_another_device_says_so(
    recorded: tuple[Path, State, Session], capsys: pytest.CaptureFixture[str]
) -> None:
    path, state, session = recorded
    session.history.put(replace(state, device="cuda:7"))
    write_recipe(path, session_recipe(session, state.id))
    first = read_recipe(path).steps[0]
    assert isinstance(first, Open) and first.intent.device == "cuda:7"
    assert 'session.use_device("cuda:7")' in script_of(read_recipe(path))
    assert main(["run", str(path), "--threads", "1"]) == 0
    assert "Recovery ran on cuda:7 when it was recorded and on cpu now" in capsys.readouterr().out
    assert main(["run", str(path), "--device", "cuda:7"]) == 1
    assert "Device cuda:7 is not available" in capsys.readouterr().err


def test_a_recipe_run_again_gives_the_same_weights(recorded: tuple[Path, State, Session]) -> None:
    path, state, session = recorded
    torch.set_num_threads(1)
    done, again = run(path)
    last = done.states[-1]
    assert (last.kind, last.removed, last.parameters, last.macs) == (
        "recovered",
        state.removed,
        state.parameters,
        state.macs,
    )
    assert done.states[1].weights == session.states()[1].weights and last.weights == state.weights
    assert done.missing == () and done.complete
    assert [note.code for note in done.notes] == ["recovery.rate_found", "repair.done"]
    assert last.metrics and done.states[1].plan == GOAL
    again.close()


def test_another_version_of_the_model_gets_the_same_goal_planned_again(recorded: tuple[Path, State, Session]) -> None:
    path, _, _ = recorded
    code = path.parent / "model.py"
    code.write_text(code.read_text().replace("24", "16"))
    done, session = run(path, trust_code=True)
    assert done.missing and all("block.conv1" in name for name in done.missing)
    assert done.complete and any("Planned again" in str(note) for note in done.notes)
    assert done.states[1].macs <= 0.6 * done.states[0].macs
    assert done.states[1].verification is not None and done.states[1].verification.passed
    session.close()


def test_marks_of_a_hand_that_no_longer_match_are_listed_and_left_out(recorded: tuple[Path, State, Session]) -> None:
    path, _, _ = recorded
    _by_hand(path, {"filter|block.conv1.weight|0": [1, 99]})
    done, session = run(path, trust_code=True)  # it has changed since this user made it
    assert done.missing == ("filter|block.conv1.weight|0[99]",) and not done.complete
    assert done.states[1].removed == {"filter|block.conv1.weight|0": [1]}
    session.close()


def test_a_plan_that_names_nothing_of_the_model_is_a_sentence(recorded: tuple[Path, State, Session]) -> None:
    path, _, _ = recorded
    _by_hand(path, {"filter|other.weight|0": [1]})
    with pytest.raises(PlanError, match="names no structure"):
        run(path, trust_code=True)


def test_other_weights_and_versions_are_noted(recorded: tuple[Path, State, Session]) -> None:
    path, _, _ = recorded
    code = path.parent / "model.py"
    code.write_text(code.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    path.write_text(path.read_text().replace('"torch": "', '"torch": "0.'))
    done, session = run(path, trust_code=True)
    assert len(done.notes) == 4 and "torch 0." in str(done.notes[0]) and "weights" in str(done.notes[1])
    assert [note.code for note in done.notes[2:]] == ["recovery.rate_found", "repair.done"]
    session.close()


def test_a_recipe_whose_model_is_gone_is_a_sentence(recorded: tuple[Path, State, Session]) -> None:
    path, _, _ = recorded
    (path.parent / "model.py").unlink()
    with pytest.raises(OpenError, match=r"model\.py"):
        run(path)


def test_consent_to_pickles_comes_from_the_caller_only(recorded: tuple[Path, State, Session]) -> None:
    path, _, _ = recorded
    recipe = read_recipe(path)
    first = recipe.steps[0]
    assert isinstance(first, Open)
    sly = replace(first.intent.model, trust_pickle=True)
    asked: list[ModelSpec] = []

    class Stop(Session):
        def open(self, spec: ModelSpec, *_: object, **__: object):  # type: ignore[no-untyped-def, override]
            asked.append(spec)
            raise OpenError("stop", "stop")

    steps = (msgspec.structs.replace(first, intent=msgspec.structs.replace(first.intent, model=sly)), *recipe.steps[1:])
    for trust in (False, True):
        with pytest.raises(OpenError):
            finish(replay(Recipe(1, steps), Stop(), trust, consent=FULL_CONSENT))
    assert [spec.trust_pickle for spec in asked] == [False, True]


def _by_hand(path: Path, removed: dict[str, list[int]]) -> None:
    """Turn the recipe's plan into one without a goal."""
    recipe = read_recipe(path)
    steps = [
        msgspec.structs.replace(s, intent=PlanIntent(), outcome=msgspec.structs.replace(s.outcome, removed=removed))
        if isinstance(s, Plan)
        else s
        for s in recipe.steps
    ]
    write_recipe(path, Recipe(1, tuple(steps)))


def elsewhere(recipe: Recipe) -> Recipe:
    """A recipe whose plans limit the latency on another machine."""
    goal = Goal((Limit(Cost.LATENCY, 0.6),), target=TargetSpec(machine="board", address="ssh://me@board"))
    steps = [
        msgspec.structs.replace(step, intent=replace(step.intent, goal=goal)) if isinstance(step, Plan) else step
        for step in recipe.steps
    ]
    return msgspec.structs.replace(recipe, steps=tuple(steps))


def test_a_recipe_of_somebody_else_sends_no_model_to_another_machine_unasked(
    recorded: tuple[Path, State, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, session = recorded
    asked = list[str]()

    def table(_session: Session, goal: Goal, _token: object) -> Job[None]:
        asked.append(goal.target.address if goal.target else "")
        raise PlanError("x", "stop here")
        yield

    monkeypatch.setattr(module, "table_for", table)
    foreign, opened = elsewhere(read_recipe(path)), session.opened()
    again = steps_again(foreign, session, opened, Mode.SAME_GOAL, NeverCancelled(), NO_CONSENT, Destination())
    with pytest.raises(OpenError, match="sends models to ssh://me@board"):
        finish(again)
    assert not asked
    kept = steps_again(foreign, session, opened, Mode.SAME_INDICES, NeverCancelled(), NO_CONSENT, Destination())
    plans = [one.plan for one in finish(kept).states if one.plan is not None]
    assert plans and all(one.goal and one.goal.target and not one.goal.target.address for one in plans)
    own = sealed(foreign, session.history, FULL_CONSENT)
    for recipe, consent in ((foreign, FULL_CONSENT), (own, NO_CONSENT)):
        again = steps_again(recipe, session, opened, Mode.SAME_GOAL, NeverCancelled(), consent, Destination())
        with pytest.raises(PlanError, match="stop here"):
            finish(again)
    assert asked == ["ssh://me@board"] * 2
