"""A new checkpoint of the same model with an old recipe: same indices, same shape, same goal; what does not match."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.errors import PlanError
from secateur.engine.jobs import Progress, finish
from secateur.engine.planning.goal import suggest
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recipes.replay import recipe_fit, run_recipe
from secateur.engine.recipes.steps import Replay
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.states import PlanIntent, State
from secateur.engine.sharing.session_files import save_recipe
from secateur.engine.structures.analysis import from_identities
from tests.engine.builders import tiny_analysis, tiny_scores

from ..session.small import keep, restored, write_project

Removed = list[dict[str, list[int]]]
FILTERS, WIDTH = "filter|block.conv1.weight|0", "residual width|stem.weight|0"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[State, ...]]:
    """A recorded cut for a goal with a lock, a second one by hand, and a checkpoint of the next version."""
    session, folder = Session(), tmp_path_factory.mktemp("recorded") / "work"
    opened = finish(session.open(write_project(folder)))
    locked = {FILTERS: [0, 1]}
    spared = from_identities(opened.analysis, locked)[0]
    scores = finish(session.score("s0", "l1"))
    first = finish(
        session.cut(
            "s0",
            suggest(opened.analysis, scores, 0.7, locked=spared, multiple=4),
            PlanIntent("l1", 0.7, 4, locked=locked),
        )
    )
    left = [i for i in range(24) if i not in first.removed.get(FILTERS, []) and i > 1]
    by_hand = from_identities(opened.analysis, {FILTERS: left[:2]})[0]
    second = finish(session.cut(first.id, by_hand))
    save_recipe(session, second.id, str(folder / "recipe.json"))
    torch.manual_seed(5)
    fresh = opened_model(folder)
    for parameter in fresh.parameters():
        torch.nn.init.normal_(parameter)
    torch.save(fresh.state_dict(), folder / "new.pt")
    session.close()
    return keep(folder), (first, second)


@pytest.fixture
def mine(kept: tuple[Path, tuple[State, ...]]) -> Path:
    return restored(kept[0])


@pytest.fixture
def cuts(kept: tuple[Path, tuple[State, ...]]) -> tuple[State, ...]:
    """The two states as they were recorded."""
    return kept[1]


@pytest.fixture
def recorded(cuts: tuple[State, ...]) -> Removed:
    """What was gone behind each cut when it was recorded."""
    return [state.removed for state in cuts]


def opened_model(folder: Path) -> torch.nn.Module:
    names: dict[str, object] = {}
    exec((folder / "model.py").read_text(), names)
    return names["make"]()  # type: ignore[operator]


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


def run(session: Session, mine: Path, mode: Mode | None, weights: str = "new.pt") -> Replay:
    new = str(mine / weights) if weights else ""
    return finish(run_recipe(mine / "recipe.json", session, mode=mode, weights=new, trust_code=not new))


def test_the_same_indices_go_from_new_weights(session: Session, mine: Path, recorded: Removed) -> None:
    done = run(session, mine, Mode.SAME_INDICES)
    assert [state.removed for state in done.states[1:]] == recorded
    assert done.complete and any("weights differ" in str(note) for note in done.notes)


def test_the_same_shape_keeps_as_many_of_each_layer_and_scores_say_which(
    session: Session, mine: Path, recorded: Removed
) -> None:
    done = run(session, mine, Mode.SAME_SHAPE)
    now = [state.removed for state in done.states[1:]]
    assert [{key: len(one) for key, one in state.items()} for state in now] == [
        {key: len(one) for key, one in state.items()} for state in recorded
    ]
    assert now != recorded and not {0, 1} & set(now[0][FILTERS])
    scores = finish(session.score("s0", "l1"))
    analysis = session.analysis
    one = next(each for each in analysis.sets if each.key == FILTERS)
    own = scores[one.structures].copy()
    own[[0, 1]] = np.inf  # locked
    assert sorted(now[0][FILTERS]) == sorted(np.argsort(own)[: len(now[0][FILTERS])].tolist())
    assert done.states[1].verification.passed


def test_the_same_goal_is_planned_for_again_also_where_a_hand_marked(
    session: Session, mine: Path, cuts: tuple[State, ...]
) -> None:
    done = run(session, mine, Mode.SAME_GOAL)
    assert done.states[1].macs <= 0.7 * done.states[0].macs
    assert done.states[2].macs <= cuts[1].macs
    assert not {0, 1} & set(done.states[1].removed.get(FILTERS, []))
    assert any("marked by hand was replaced by a goal" in str(note) for note in done.notes)


def test_other_sizes_are_said_and_the_same_indices_refused(session: Session, mine: Path, recorded: Removed) -> None:
    kept = 24 - len(recorded[0][FILTERS])
    code = mine / "model.py"
    code.write_text(code.read_text().replace("24", "32"))
    with pytest.raises(PlanError, match=r"block\.conv1 \(filter\) \(24 > 32\).*same shape"):
        run(session, mine, Mode.SAME_INDICES, "")
    done = run(session, mine, Mode.SAME_SHAPE, "")
    assert 32 - len(done.states[1].removed[FILTERS]) == kept
    assert any("block.conv1 (filter) now has 32 structures instead of 24" in str(note) for note in done.notes)


def test_a_layer_that_is_gone_is_listed_and_the_rest_is_done(session: Session, mine: Path, recorded: Removed) -> None:
    recipe = (mine / "recipe.json").read_text()
    (mine / "recipe.json").write_text(recipe.replace(WIDTH, "residual width|old.weight|0"))
    widths = sum(WIDTH in one for one in recorded)
    done = run(session, mine, Mode.SAME_INDICES)
    assert bool(done.missing) == bool(widths) or not done.complete
    fit = recipe_fit(session, str(mine / "recipe.json"))
    assert any("old (residual width)" in str(sentence) for sentence in fit.sentences)


def test_a_layer_of_another_kind_keeps_its_marks_and_locks(session: Session, mine: Path, recorded: Removed) -> None:
    recipe = (mine / "recipe.json").read_text()
    (mine / "recipe.json").write_text(recipe.replace(FILTERS, FILTERS.replace("filter", "residual width")))
    done = run(session, mine, Mode.SAME_INDICES, "")
    assert done.complete and not done.missing and [state.removed for state in done.states[1:]] == recorded
    assert any("block.conv1 (residual width) is now listed as" in str(note) for note in done.notes)


def test_names_with_another_prefix_are_the_same_layers(session: Session, mine: Path, recorded: Removed) -> None:
    code = mine / "model.py"
    code.write_text(
        code.read_text().replace(
            "    return Net(classes)",
            "    class Wrapped(nn.Module):\n        def __init__(self):\n            super().__init__()\n"
            "            self.backbone = Net(classes)\n        def forward(self, x):\n"
            "            return self.backbone(x)\n    return Wrapped()",
        )
    )
    done = run(session, mine, Mode.SAME_INDICES, "")
    moved = {key.replace("|", "|backbone.", 1): indices for key, indices in recorded[0].items()}
    assert done.states[1].removed == moved
    assert any("new prefix" in str(note) for note in done.notes)


def test_another_model_is_refused_with_a_sentence(session: Session, mine: Path) -> None:
    recipe = (mine / "recipe.json").read_text()
    for name in ("block.", "stem."):
        recipe = recipe.replace(f"|{name}", f"|other_{name}")
    (mine / "recipe.json").write_text(recipe)
    for mode in (Mode.SAME_INDICES, Mode.SAME_SHAPE):
        with pytest.raises(PlanError, match="name no structure of this model"):
            run(session, mine, mode)


def test_changed_data_and_versions_are_said(session: Session, mine: Path) -> None:
    write_project(mine, 60)
    recipe = (mine / "recipe.json").read_text()
    (mine / "recipe.json").write_text(recipe.replace('"torch": "', '"torch": "0.'))
    done = run(session, mine, Mode.SAME_SHAPE)
    assert any("n = 60" in str(note) and "n = 48" in str(note) for note in done.notes)
    assert any("torch 0." in str(note) for note in done.notes)


def test_without_data_the_recovery_and_what_follows_is_left_out(session: Session, tmp_path: Path) -> None:
    maker, folder = Session(), tmp_path / "mine"
    opened = finish(maker.open(write_project(folder)))
    cut = finish(maker.cut("s0", from_identities(opened.analysis, {FILTERS: [1]})[0]))
    state = finish(maker.recover(cut.id, RecoverySettings(epochs=1, threads=1)))
    save_recipe(maker, state.id, str(folder / "recipe.json"))
    maker.close()
    text = (folder / "recipe.json").read_text()
    start = text.index('"task": {')
    (folder / "recipe.json").write_text(
        text[:start] + '"input_shape": [1, 1, 8, 8],' + text[text.index("}", start) + 2 :]
    )
    done = run(session, folder, Mode.SAME_INDICES, "")
    assert [state.kind for state in done.states] == ["original", "cut"] and not done.complete
    assert any("needs data" in str(note) for note in done.notes)


def test_the_command_line_says_what_was_done(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(mine / "recipe.json"), "--weights", str(mine / "new.pt"), "--threads", "1"]
    assert main([*arguments, "--mode", "same-shape"]) == 0
    assert "weights differ" in capsys.readouterr().out
    code = mine / "model.py"
    code.write_text(code.read_text().replace("24", "32"))
    assert main(["run", str(mine / "recipe.json"), "--mode", "same-indices"]) == 2
    assert "model.py changed since you last allowed this code to run" in capsys.readouterr().err
    assert main(["run", str(mine / "recipe.json"), "--mode", "same-indices", "--trust-code"]) == 1
    assert "24 > 32" in capsys.readouterr().err


def test_reshaping_respects_locks_and_says_where_they_leave_too_little() -> None:
    from secateur.engine.planning.protocol import PlanStart
    from secateur.engine.planning.target_shape import reshape_plan

    analysis = tiny_analysis()
    scores, locked = tiny_scores(analysis), analysis.empty()
    number = next(n for n, one in enumerate(analysis.sets) if one.kind == "filter")
    one = analysis.sets[number]
    locked[one.first : one.first + 20] = True
    start = PlanStart.of(analysis, scores, locked=locked)
    plan = reshape_plan(start, {number: 22})
    assert plan[one.structures].sum() == 2 and not (plan & locked).any()
    with pytest.raises(PlanError, match="cannot keep 2: 20 of its structures are locked"):
        reshape_plan(start, {number: 2})


def test_every_step_says_which_one_it_is_and_what_it_does(session: Session, mine: Path) -> None:
    told = list[Progress]()
    finish(run_recipe(mine / "recipe.json", session, mode=Mode.SAME_SHAPE, weights=str(mine / "new.pt")), told.append)
    texts = [str(one.message) for one in told]
    assert "Step 1 of 6: Evaluating the original" in texts
    assert "Step 4 of 6: Verifying: removal with the model's weights" in texts
    assert all(re.fullmatch(r"Step \d of 6(: .+)?", one) for one in texts)
    assert [one.done for one in told] == sorted(one.done for one in told) and {one.total for one in told} == {6}


def test_the_command_line_says_the_step_and_what_it_does(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(mine / "recipe.json"), "--weights", str(mine / "new.pt"), "--mode", "same-shape"]) == 0
    assert "Step 4 of 6: Verifying: permutation of coupled sets" in capsys.readouterr().err
