"""A search of shares is part of a plan: recorded, made again by a recipe, and refused where nothing can move."""

from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.errors import PlanError, TaskError
from secateur.engine.jobs import Progress, finish
from secateur.engine.planning.protocol import Choose, Cost, Goal, KindLimit, Limit
from secateur.engine.pruning import prune
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recipes.recipe import write_recipe
from secateur.engine.recipes.replay import run_recipe
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.state_text import step_told
from secateur.engine.sharing.session_files import session_recipe
from secateur.engine.structures.analysis import Kind, from_identities
from secateur.engine.structures.costs import costs
from secateur.engine.workflows.prune import PruneRequest, prune_state
from tests.engine.session.small import write_project
from tests.engine.workflows.test_choose import opened

SEARCHED = PruneRequest(Goal((Limit(Cost.MACS, 0.6),)), "l1", search=30)


def test_a_searched_plan_meets_the_goal_is_recorded_and_made_once(tmp_path: Path) -> None:
    session = opened(tmp_path)
    told = list[Progress]()
    (cut,) = finish(prune_state(session, "s0", SEARCHED), told.append)
    assert cut.plan is not None and cut.plan.search == 30 and "measurements" in str(cut.searched)
    assert session.history.state(cut.id).searched == cut.searched
    assert ("Search", str(cut.searched)) in step_told(
        session.history.state("s0"), cut, session.history.state("s0")
    ).lines
    assert any("measurements" in str(one.message) for one in told)
    removed, _ = from_identities(session.analysis, cut.removed)
    assert costs(session.analysis, removed).macs <= 0.6 * costs(session.analysis).macs
    assert [one.id for one in finish(prune_state(session, "s0", SEARCHED))] == [cut.id]
    (other,) = finish(prune_state(session, "s0", replace(SEARCHED, search=0)))
    assert other.id != cut.id and other.plan is not None and other.plan.search is None
    assert other.searched is None


def test_a_recipe_searches_again(tmp_path: Path) -> None:
    session = opened(tmp_path)
    (cut,) = finish(prune_state(session, "s0", SEARCHED))
    path = tmp_path / "recipe.json"
    write_recipe(path, session_recipe(session, cut.id))
    again = Session(tmp_path / "again")
    told = list[Progress]()
    finish(run_recipe(path, again, mode=Mode.SAME_GOAL), told.append)
    assert again.present.removed == cut.removed and again.present.plan == cut.plan
    assert any("measurements" in str(one.message) for one in told)


def test_masks_are_learned_for_searched_shares(tmp_path: Path) -> None:
    session = opened(tmp_path)
    settings = replace(SEARCHED, recovery=RecoverySettings(epochs=1, threads=1), choose=Choose.MASKS, mask_steps=4)
    learned = finish(prune_state(session, "s0", settings))[0]
    (cut,) = finish(prune_state(session, "s0", SEARCHED))
    one, two = (from_identities(session.analysis, each)[0] for each in (learned.chosen, cut.removed))
    assert [int(one[each.structures].sum()) for each in session.analysis.sets] == [
        int(two[each.structures].sum()) for each in session.analysis.sets
    ]


def test_what_cannot_be_searched_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    without = opened(tmp_path / "without", data=False)
    with pytest.raises(TaskError, match="Searching shares needs data"):
        finish(prune_state(without, "s0", SEARCHED))
    session = opened(tmp_path / "with")
    goal = Goal((), kept=(KindLimit(Kind.FILTER, share=0.5),))
    with pytest.raises(PlanError, match="no shares to search"):
        finish(prune_state(session, "s0", replace(SEARCHED, goal=goal)))
    assert len(session.states()) == 1


def test_python_searches_too(tmp_path: Path) -> None:
    spec = write_project(tmp_path / "mine")
    found = prune(spec, keep_macs=0.6, criterion="l1", search_shares=30, multiple=1)
    assert any("measurements" in str(one) for one in found.report.notes)
    assert found.report.after.macs <= 0.6 * found.report.before.macs
