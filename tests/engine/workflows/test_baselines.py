"""Baselines beside the states: kept with the project, found again, replayed by a recipe, measured with the state."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.jobs import Cancelled, Progress, finish
from secateur.engine.planning.protocol import Cost, Goal, Limit, Ranking
from secateur.engine.recipes.recipe import RECIPE, write_recipe
from secateur.engine.recipes.replay import run_recipe
from secateur.engine.recovery import checkpoint
from secateur.engine.recovery.protocol import RecoverySettings, Teacher
from secateur.engine.session.session import Session
from secateur.engine.sharing.session_files import save_project, session_recipe
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.baselines import compare_with_baselines, open_baseline, rounds_of, standing_of
from secateur.engine.workflows.measure import measure_states
from secateur.engine.workflows.prune import PruneRequest, prune_state
from tests.engine.session.small import write_project

pytestmark = pytest.mark.end_to_end

SETTINGS = PruneRequest(Goal((Limit(Cost.MACS, 0.5),), multiple=4), "l1", RecoverySettings(epochs=1, threads=1))
STOCK = "from torch import nn\n\n\ndef small():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"


@pytest.fixture
def pruned(tmp_path: Path) -> Iterator[Session]:
    """A session with a cut (s1) and its recovery (s2)."""
    session = Session(tmp_path / "session")
    finish(session.open(write_project(tmp_path / "mine"), evaluate=False))
    finish(prune_state(session, "s0", SETTINGS))
    (tmp_path / "stock.py").write_text(STOCK)
    yield session
    session.close()


def specs(folder: Path) -> list[BaselineSpec]:
    sources = {BaselineKind.STOCK: f"{folder / 'stock.py'}:small"}
    return [BaselineSpec(kind, source=sources.get(kind, "")) for kind in BaselineKind]


def test_every_kind_stands_beside_the_state_with_n_costs_and_time(pruned: Session, tmp_path: Path) -> None:
    made: list[Any] = []
    target = TargetSpec("torch", seconds=0.02)
    done = finish(
        compare_with_baselines(pruned, "s2", specs(tmp_path), target), lambda p: made.append(p.made) if p.made else None
    )
    assert [one.asked.kind for one in made[:-1]] == [*BaselineKind]  # told as they come, the original's time last
    assert made[-1] == pruned.history.state("s0") and made[-1].timings
    assert pruned.baselines() == pruned.baselines("s2") == done.baselines and not pruned.baselines("s1")
    assert [one.asked.kind for one in done.baselines] == [*BaselineKind] and not done.missed
    assert all(one.metric.count == 48 and one.metric.split == "test" for one in done.baselines)
    assert all(one.timings[0].median > 0 for one in done.baselines) and done.state.timings
    macs = {one.asked.kind: one.macs for one in done.baselines}
    original = pruned.history.state("s0").macs
    assert macs[BaselineKind.STOCK] == 64 * 3 and macs[BaselineKind.MAGNITUDE] == original
    assert macs[BaselineKind.SCRATCH] == done.state.macs >= macs[BaselineKind.RANDOM] - 0.1 * original
    assert [one.id for one in pruned.states()] == ["s0", "s1", "s2"]  # they are no states


def test_one_is_opened_as_a_state_with_its_weights_and_leaves_as_any(pruned: Session, tmp_path: Path) -> None:
    done = finish(compare_with_baselines(pruned, "s2", specs(tmp_path)))
    for one in done.baselines:
        if one.asked.kind is BaselineKind.STOCK:
            with pytest.raises(SecateurError, match="model of its own"):
                finish(open_baseline(pruned, one.id))
            continue
        state = finish(open_baseline(pruned, one.id))
        assert (state.removed, state.edits, state.macs) == (one.removed, one.edits, one.macs)
        assert state.weights == one.weights and state.metrics == (one.metric,)
        assert finish(open_baseline(pruned, one.id)) == state
        assert finish(pruned.evaluate(state.id, Split.TEST)).value == pytest.approx(one.metric.value)
        # That of a shape which a cut has needs no cut of its own.
        scratch = one.asked.kind is BaselineKind.SCRATCH
        assert pruned.history.state(state.parent).id == {BaselineKind.RANDOM: "s3"}.get(
            one.asked.kind, "s1" if scratch else "s0"
        )
    opened = next(one for one in pruned.states() if one.parent == "s3")
    write_recipe(tmp_path / RECIPE, session_recipe(pruned, opened.id))
    again = finish(run_recipe(tmp_path / RECIPE, Session(tmp_path / "again")))
    assert again.states[-1].weights == opened.weights
    with pytest.raises(SecateurError, match="no baseline b9"):
        finish(open_baseline(pruned, "b9"))


def test_the_command_line_writes_one_as_a_state(pruned: Session, tmp_path: Path) -> None:
    done = finish(compare_with_baselines(pruned, "s2", [BaselineSpec(BaselineKind.RANDOM)]))
    finish(save_project(pruned, str(tmp_path / "project"), "s2"))
    pruned.close()
    words = ["export", str(tmp_path / "project"), "--state", "b0", "--to", "onnx", "--out", str(tmp_path)]
    (tmp_path / "project-b0.onnx").touch()
    assert main(words) == 1  # and no state is made for what cannot be written
    (tmp_path / "project-b0.onnx").unlink()
    assert main(words) == 0 and (tmp_path / "project-b0.onnx").is_file()
    with closing(Session(tmp_path / "project")) as session:
        finish(session.open(ModelSpec(str(tmp_path / "project")), evaluate=False))
        assert session.history.state("s4").metrics[0].value == done.baselines[0].metric.value
        assert session.history.state("s4").exports and "s5" not in [one.id for one in session.states()]


def test_what_was_made_is_not_made_again_and_a_failure_keeps_nobody(pruned: Session, tmp_path: Path) -> None:
    magnitude, stock = BaselineSpec(BaselineKind.MAGNITUDE), BaselineSpec(BaselineKind.STOCK)
    first = finish(compare_with_baselines(pruned, "s2", [stock, magnitude]))
    assert [one.asked for one in first.baselines] == [magnitude]
    assert first.missed[0].asked == stock and first.missed[0].reason.code == "baselines.no_family"
    said: list[Progress] = []
    again = finish(compare_with_baselines(pruned, "s2", [magnitude]), said.append)
    assert again.baselines == first.baselines and not any("Fine-tuning" in str(one.message) for one in said)


def test_a_project_keeps_them_and_measures_them_elsewhere(pruned: Session, tmp_path: Path) -> None:
    made = finish(compare_with_baselines(pruned, "s2", specs(tmp_path)))
    finish(save_project(pruned, str(tmp_path / "saved"), "s2"))
    other = Session(tmp_path / "other")
    finish(other.open(ModelSpec(str(tmp_path / "saved")), evaluate=False))
    assert other.baselines("s2") == made.baselines
    timings = finish(
        measure_states(other, ("s2", *(one.id for one in made.baselines)), TargetSpec("torch", seconds=0.02))
    )
    assert len(timings) == 6 and all(one.timings for one in other.baselines("s2"))
    other.close()


def test_a_moved_project_asks_before_it_runs_the_stock_models_file(pruned: Session, tmp_path: Path) -> None:
    made = finish(compare_with_baselines(pruned, "s2", [s for s in specs(tmp_path) if s.kind is BaselineKind.STOCK]))
    pruned.history.put_baseline(replace(made.baselines[0], seal="made by somebody else"))
    folder = finish(save_project(pruned, str(tmp_path / "project"), "s2"))
    later = Session()
    finish(later.open(ModelSpec(folder), evaluate=False))
    with pytest.raises(OpenError) as refused:
        finish(measure_states(later, ("b0",), TargetSpec("torch", seconds=0.02)))
    later.close()
    assert refused.value.message.code == "source.code" and "stock.py" in str(refused.value)


def test_a_recipe_makes_them_again_bit_for_bit(pruned: Session, tmp_path: Path) -> None:
    made = finish(
        compare_with_baselines(pruned, "s2", [one for one in specs(tmp_path) if one.kind is not BaselineKind.STOCK])
    )
    write_recipe(tmp_path / RECIPE, session_recipe(pruned, "s2"))
    other = Session(tmp_path / "other")
    done = finish(run_recipe(tmp_path / RECIPE, other))
    again = other.baselines(done.states[-1].id)
    assert [one.asked for one in again] == [one.asked for one in made.baselines]
    assert [one.weights for one in again] == [one.weights for one in made.baselines]
    other.close()


def test_a_cancelled_baseline_leaves_nothing(pruned: Session, tmp_path: Path) -> None:
    class Later:
        """Is set once the training runs."""

        def __init__(self) -> None:
            self.now = False

        def is_set(self) -> bool:
            return self.now

    token = Later()
    before = {name: tensor.clone() for name, tensor in standing_of(pruned, "s2").original.state_dict().items()}

    def listen(progress: Progress) -> None:
        token.now |= str(progress.message).startswith("Updating BatchNorm")

    with pytest.raises(Cancelled):
        finish(compare_with_baselines(pruned, "s2", specs(tmp_path), token=token), listen)
    assert pruned.baselines("s2") == ()
    after = standing_of(pruned, "s2").original.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_marks_by_hand_stand_for_their_macs_and_rounds_for_themselves(pruned: Session) -> None:
    marked = pruned.analysis.empty()
    marked[np.arange(pruned.analysis.count)[pruned.analysis.sets[0].structures][:4]] = True
    by_hand = finish(pruned.cut("s0", marked))
    (one,) = rounds_of(pruned, pruned.history.path_to(by_hand.id))
    assert one.goal.limits == (Limit(Cost.MACS, amount=by_hand.macs),) and one.recoveries == ()
    (other,) = rounds_of(pruned, pruned.history.path_to("s2"))
    assert other.goal == replace(SETTINGS.goal, ranking=Ranking.SHAPES) and other.recoveries == (SETTINGS.recovery,)


def test_the_original_has_no_baselines(pruned: Session) -> None:
    with pytest.raises(SecateurError) as refused:
        finish(compare_with_baselines(pruned, "s0", [BaselineSpec(BaselineKind.RANDOM)]))
    assert refused.value.message.code == "baselines.original"


def test_other_data_forgets_what_was_trained_on_the_data_before(pruned: Session, tmp_path: Path) -> None:
    finish(compare_with_baselines(pruned, "s2", [BaselineSpec(BaselineKind.MAGNITUDE)]))
    others = write_project(tmp_path / "others").task
    assert others is not None
    finish(pruned.attach_task(others))
    assert pruned.baselines("s2") == ()


@pytest.mark.parametrize("kind", [BaselineKind.RANDOM, BaselineKind.SCRATCH])
def test_a_baseline_whose_training_was_stopped_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: BaselineKind
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    recovery = RecoverySettings(epochs=2, threads=1, teacher=Teacher.ORIGINAL, mirror=False)
    settings, asked = replace(SETTINGS, recovery=recovery, rounds=2), BaselineSpec(kind)
    with closing(Session(tmp_path / "session")) as session:
        finish(session.open(write_project(tmp_path / "mine"), evaluate=False))
        state = finish(prune_state(session, "s0", settings))[-1].id
        job, measured = compare_with_baselines(session, state, [asked]), 0
        while measured < 3:  # random: after the first epoch of the second round
            values = next(job).values
            measured += "metric" in values and bool(values["step"])
        job.close()
        kept = [*(session.folder / "recovery").iterdir()]
        assert not session.baselines() and len(kept) == (2 if kind is BaselineKind.RANDOM else 1)
        another = replace(asked, seed=1, epochs=1)  # does not take what the first one goes on with
        assert len(finish(compare_with_baselines(session, state, [another])).baselines) == 1
        assert [*(session.folder / "recovery").iterdir()] == kept
        texts: list[str] = []
        job = compare_with_baselines(session, state, [asked])
        resumed = finish(job, lambda progress: texts.append(str(progress.message))).baselines[-1]
        assert sum("Resuming at step" in text for text in texts) >= 1
        assert not [*(session.folder / "recovery").iterdir()]
    with closing(Session(tmp_path / "other")) as session:
        finish(session.open(write_project(tmp_path / "mine"), evaluate=False))
        state = finish(prune_state(session, "s0", settings))[-1].id
        (whole,) = finish(compare_with_baselines(session, state, [asked])).baselines
    assert whole.weights == resumed.weights
