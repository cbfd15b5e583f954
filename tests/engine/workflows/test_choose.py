"""The three ways to choose what stays reach the same goal, by states that are not made again and recipes that run."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from secateur.engine.errors import PlanError, SecateurError, TaskError
from secateur.engine.inference.model_inputs import call
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.planning.protocol import Choose, Cost, Goal, Limit
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recipes.recipe import read_recipe, write_recipe
from secateur.engine.recipes.replay import run_recipe
from secateur.engine.recipes.script import script_of
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.states import State, StateKind
from secateur.engine.sharing.session_files import session_recipe
from secateur.engine.structures.analysis import from_identities
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.prune import PruneRequest, mask_share, prune_state

from ..session.small import write_project

KEY = "filter|block.conv1.weight|0"
GOAL = Goal((Limit(Cost.MACS, 0.6),), multiple=4)
MASKS = PruneRequest(
    GOAL,
    "l1",
    RecoverySettings(epochs=1, threads=1),
    choose=Choose.MASKS,
    mask_steps=12,
    locked={KEY: [0]},
    marked={KEY: [1]},
)


def opened(folder: Path, data: bool = True) -> Session:
    spec = write_project(folder / "mine")
    session = Session(folder / "session")
    finish(session.open(spec if data else replace(spec, task=None, input_shape=(2, 1, 8, 8))))
    return session


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, tuple[State, ...]]:
    """A session that was pruned with masks."""
    session = opened(tmp_path_factory.mktemp("masks"))
    return session, finish(prune_state(session, "s0", MASKS))


def test_masks_make_a_state_whose_choice_is_cut_verified_and_recovered(
    masked: tuple[Session, tuple[State, ...]],
) -> None:
    session, (learned, cut, recovered) = masked
    kinds = [StateKind.MASKED, StateKind.CUT, StateKind.RECOVERED]
    assert [one.kind for one in (learned, cut, recovered)] == kinds
    assert not learned.removed and learned.weights != session.history.state("s0").weights and learned.curve
    assert cut.removed == learned.chosen and cut.verification is not None
    assert cut.macs <= 0.6 * learned.macs and recovered.metrics
    assert 0 not in cut.removed[KEY] and 1 in cut.removed[KEY]
    kept, _ = from_identities(session.analysis, cut.removed)
    scores = finish(session.score("s0", "l1"))
    one_shot = finish(prune_state(session, "s0", replace(MASKS, choose=Choose.SCORES, recovery=None), scores))
    plan, _ = from_identities(session.analysis, one_shot[0].removed)
    assert [int(kept[one.structures].sum()) for one in session.analysis.sets] == [
        int(plan[one.structures].sum()) for one in session.analysis.sets
    ]  # as many of each layer as the scores would keep


def test_masks_are_evaluated_without_what_they_close_as_the_cut_is(masked: tuple[Session, tuple[State, ...]]) -> None:
    session, (learned, cut, _) = masked
    closed, after = (finish(session.evaluate(one.id, Split.TEST)) for one in (learned, cut))
    assert closed.value == after.value and closed.count == after.count
    inputs = session.prepared.inputs
    with session.running(learned.id) as model, torch.no_grad():
        given = call(model, inputs)
    assert torch.allclose(given, call(session.model(cut.id), inputs), atol=1e-5)
    assert not torch.allclose(given, call(session.model(learned.id), inputs), atol=1e-2)  # all of it computes else


def test_progress_counts_updates_of_masks_and_of_the_recovery(masked: tuple[Session, tuple[State, ...]]) -> None:
    session, _ = masked

    def share(recovery: RecoverySettings | None) -> float:
        return mask_share(session, replace(MASKS, recovery=recovery))

    assert share(RecoverySettings(steps=36)) == 12 / 48 and share(RecoverySettings(steps=4)) == 12 / 16
    updates = sum(1 for _ in session.task.batches(Split.TRAIN, seed=0))
    assert share(RecoverySettings(epochs=3)) == pytest.approx(12 / (12 + 3 * updates))
    assert share(RecoverySettings(epochs=4, accumulate=2)) == pytest.approx(12 / (12 + 2 * updates))
    assert share(RecoverySettings(minutes=1)) < share(None) < 1


def test_masks_that_were_learned_are_not_learned_again_for_another_recovery(
    masked: tuple[Session, tuple[State, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, made = masked
    monkeypatch.setattr(session, "learn_masks", None)
    longer = replace(MASKS, recovery=RecoverySettings(epochs=2, evaluate_every=2, patience=3, threads=1))
    again = finish(prune_state(session, "s0", longer, report=False))
    assert [one.id for one in again[:2]] == [one.id for one in made[:2]] and again[2].id != made[2].id
    untrained = replace(MASKS, recovery=RecoverySettings(epochs=0, threads=1))
    again = finish(prune_state(session, "s0", untrained, report=False))
    assert [one.id for one in again[:2]] == [one.id for one in made[:2]]


def test_a_recipe_with_masks_gives_the_same_weights_and_another_shape_of_itself(
    masked: tuple[Session, tuple[State, ...]], tmp_path: Path
) -> None:
    session, made = masked
    recipe = session_recipe(session, made[-1].id)
    path = session.folder.parent / "mine" / "recipe.json"
    write_recipe(path, recipe)
    read = read_recipe(path)
    assert [type(step).__name__ for step in read.steps] == ["Open", "LearnMasks", "Score", "Plan", "Cut", "Recover"]
    done = finish(run_recipe(path, Session(tmp_path / "same")))
    assert [one.weights for one in done.states[1:]] == [one.weights for one in made]
    shape = finish(run_recipe(path, Session(tmp_path / "shape"), mode=Mode.SAME_SHAPE))
    assert shape.complete and shape.states[2].macs == made[1].macs
    indices = finish(run_recipe(path, Session(tmp_path / "indices"), mode=Mode.SAME_INDICES))
    assert indices.states[1].kind is StateKind.CUT and indices.states[1].removed == made[1].removed
    assert any("not learned again" in str(note) for note in indices.notes)
    script = script_of(read)
    compile(script, "recipe.py", "exec")
    assert "state = finish(masked_state(session, state.id, masks))" in script and "PLAN_AGAIN" not in script


def test_learning_that_was_cancelled_goes_on_where_it_stood(
    masked: tuple[Session, tuple[State, ...]], tmp_path: Path
) -> None:
    session, token, steps = opened(tmp_path), threading.Event(), list[float]()
    with pytest.raises(Cancelled):
        for progress in prune_state(session, "s0", MASKS, token=token):
            if progress.values.get("step", 0) >= 5:
                token.set()
    assert len(session.states()) == 1
    for progress in prune_state(session, "s0", replace(MASKS, recovery=RecoverySettings(epochs=3, threads=1))):
        steps += [progress.values["step"]] if "loss" in progress.values else []
        if isinstance(progress.made, State):
            assert progress.made.weights == masked[1][0].weights  # bit for bit
            break
    else:
        pytest.fail("nothing was made")


def test_rounds_take_at_most_a_tenth_each(tmp_path: Path) -> None:
    session = opened(tmp_path, data=False)
    settings = PruneRequest(replace(GOAL, multiple=1), "l1", choose=Choose.ROUNDS)
    made = finish(prune_state(session, "s0", settings))
    shares = [one.macs / session.history.state("s0").macs for one in made]
    assert len(made) == 5 and 0.55 < shares[-1] <= 0.6  # 0.9 ** 5 is the first below 0.6
    assert len(finish(prune_state(session, "s0", replace(settings, rounds=2)))) == 2


def test_what_masks_cannot_do_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(tmp_path, data=False)
    with pytest.raises(TaskError, match="Learning masks needs data"):
        finish(prune_state(session, "s0", MASKS))
    with pytest.raises(PlanError, match="learned in one round"):
        finish(prune_state(session, "s0", replace(MASKS, rounds=3)))
    monkeypatch.setattr(Session, "processes", 2)
    with pytest.raises(SecateurError, match="whole copies"):
        next(prune_state(session, "s0", replace(MASKS, recovery=RecoverySettings(shard=True))))
    assert len(session.states()) == 1


def test_masks_are_not_learned_on_what_is_cut(masked: tuple[Session, tuple[State, ...]]) -> None:
    session, made = masked
    smaller = replace(MASKS, goal=replace(GOAL, limits=(Limit(Cost.MACS, 0.3),)))
    with pytest.raises(PlanError, match="nothing is cut"):
        finish(prune_state(session, made[-1].id, smaller))
