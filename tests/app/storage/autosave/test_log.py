"""What the window's log holds is what the document shows, whatever was done and wherever the log ends."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.app.document.aspects import Goal, Selection
from secateur.app.document.document import Document
from secateur.app.storage.autosave.layout import Layout, changed, difference
from secateur.app.storage.autosave.tape import LOG, read
from secateur.app.storage.settings import BOARDS, remember_machine
from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import TargetSpec
from tests.waiting import PATIENCE

from ...demo_analysis import scores_of, small_resnet
from ...document.test_document import ANALYSIS, FIRST, SCORES, STEPS, Desk, act
from ...fake_link import FakeLink, workbench_on
from ...stand_in import state_of, task_info


def opened(folder: Path) -> Desk:
    """A document whose session lies in a folder."""
    link = FakeLink()
    workbench = workbench_on(link)
    document = workbench.document
    desk = Desk(workbench, link, [], [])
    document.announced.connect(desk.sentences.append)
    state = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    model = OpenedModel("net", ANALYSIS, state, (), task_info(), folder=str(folder))
    workbench.model.adopt(model, ModelSpec("net.py:make"))
    document.take_scores("s0", "taylor", SCORES)
    return desk


def shown(document: Document) -> tuple:
    """All that a person would have to do again."""
    undo_history = document.history
    return (
        document.contents.present,
        document.marked.tobytes(),
        document.locked.tobytes(),
        document.by_hand.tobytes(),
        document.goal,
        document.contents.searched,
        document.selection,
        (document.criterion, document.choices, document.contents.ranking, document.target, document.recovery),
        [(e.text, e.fold, e.before.state, e.after.state, e.after.marked.tobytes()) for e in undo_history.entries],
        (undo_history.position, undo_history.clean_place, undo_history.parents, undo_history.line()),
    )


def restored(folder: Path, of: Document) -> Document:
    """Another window's document that takes what lies in the folder; the engine gives the same states."""
    workbench = workbench_on(FakeLink())
    document = workbench.document
    original = of.original
    assert original is not None
    document.adopt(OpenedModel("net", ANALYSIS, original, (), task_info()), ModelSpec(str(folder)))
    document.take_states(of.states)
    kept = read(folder)
    assert kept is not None
    workbench.autosave.resume(kept)
    return document


def written(desk: Desk) -> None:
    assert desk.workbench.autosave.journal._background.flush(PATIENCE)


def test_everything_that_was_chosen_comes_back(qapp, tmp_path: Path) -> None:
    desk = opened(tmp_path / "session")
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST, FIRST + 2], True)
    document.plan.lock([FIRST + 5], True)
    document.plan.apply_plan(document.marked, "search shares", searched=True)
    document.plan.set_goal(Goal(0.3, 1.5))
    document.set_criterion("l2")
    document.set_choices(Choices(batches=3), Ranking.MODEL)
    document.set_target(TargetSpec(threads=2))
    document.set_recovery(RecoverySettings(epochs=7, learning_rate=0.003))
    document.select(Selection(ANALYSIS.sets[2].module, 2, ANALYSIS.sets[2].first + 1))
    document.plan.undo()
    written(desk)
    again = restored(tmp_path / "session", document)
    assert shown(again) == shown(document)
    assert again.redo_text == "change the goal" and again.contents.searched
    again.plan.redo()
    assert again.goal == Goal(0.3, 1.5)
    workbench.close()


@pytest.mark.parametrize("known", [True, False])
def test_only_a_machine_that_this_user_has_measured_on_can_be_reached_again(qapp, tmp_path: Path, known: bool) -> None:
    desk = opened(tmp_path / "session")
    board = TargetSpec(machine="board", address="ssh://me@board")
    desk.document.set_target(board)
    written(desk)
    if known:
        remember_machine(BOARDS, board.address)
    again = restored(tmp_path / "session", desk.document)
    assert again.target == board and again.target.is_reachable is known
    again.set_target(board)
    assert again.target.address == board.address
    desk.workbench.close()


@settings(max_examples=30, deadline=None)
@given(STEPS, st.lists(st.sampled_from(["undo", "redo", "save", "select", "mark", "go 0", "go 1", "go 3"]), max_size=8))
def test_after_any_steps_the_log_tells_what_is_shown(qapp, tmp_path_factory, steps, travels) -> None:
    folder = tmp_path_factory.mktemp("session")
    desk = opened(folder)
    document = desk.document
    workbench = desk.workbench
    for step in steps:
        act(desk, *step)
    for travel in travels:
        match travel:
            case "save":
                document.saved("somewhere", document.history.position)
            case "select":
                document.select(Selection(ANALYSIS.sets[1].module, 1, -1))
            case "mark":  # behind what was undone: a branch
                document.plan.mark([FIRST + 7], not document.marked[FIRST + 7])
            case "go 0" | "go 1" | "go 3":
                document.plan.jump(min(int(travel[-1]), len(document.history.entries)))
            case _:
                getattr(document.plan, travel)()
        desk.settle()
    written(desk)
    again = restored(folder, document)
    assert shown(again) == shown(document)
    for move in ("undo", "redo"):
        while getattr(document, f"{move}_text"):
            getattr(document.plan, move)()
            getattr(again.plan, move)()
            assert again.marked.tobytes() == document.marked.tobytes() and again.goal == document.goal
            desk.settle()
    workbench.close()


def test_a_log_cut_anywhere_tells_an_earlier_moment(qapp, tmp_path: Path) -> None:
    desk = opened(tmp_path / "session")
    document, moments = desk.document, []
    workbench = desk.workbench
    for step in range(6):
        document.plan.mark([FIRST + step], step % 2 == 0)
        document.plan.lock([FIRST + 10 + step], True)
        written(desk)
        moments.append(((tmp_path / "session" / LOG).stat().st_size, document.marked.copy(), document.locked.copy()))
    content = (tmp_path / "session" / LOG).read_bytes()
    begin = content.index(b'"do":"push"') - 1
    for end in range(begin, len(content) + 1, 7):
        (tmp_path / "session" / LOG).write_bytes(content[:end])
        damaged: list[Path] = []
        kept = read(tmp_path / "session", damaged.append)
        assert kept is not None and not damaged
        whole = [moment for moment in moments if moment[0] <= end]
        assert kept.now.marked.sum() >= (whole[-1][1].sum() if whole else 0) - 1
        if whole:
            assert (kept.now.locked | ~whole[-1][2]).all()
    workbench.close()


def test_damage_in_the_middle_is_named_and_what_is_before_it_is_kept(qapp, tmp_path: Path) -> None:
    desk = opened(tmp_path)
    for number in range(3):
        desk.document.plan.mark([FIRST + number], True)
    written(desk)
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    lines[-2] = b"rubbish\n"
    (tmp_path / LOG).write_bytes(b"".join(lines))
    damaged: list[Path] = []
    kept = read(tmp_path, damaged.append)
    assert damaged == [tmp_path / LOG]
    assert kept is not None and kept.now.marked.sum() == 1 and kept.history.position == 1
    desk.workbench.close()


def test_marks_find_their_structures_in_an_analysis_that_numbers_them_otherwise() -> None:
    analysis = small_resnet()
    layout = Layout.of(analysis)
    order = np.random.default_rng(0).permutation(len(layout.keys))
    firsts = np.cumsum([0, *layout.counts])
    index = np.concatenate([layout.index[firsts[n] : firsts[n] + layout.counts[n]][::-1] for n in order])
    other = Layout(tuple(layout.keys[n] for n in order), tuple(layout.counts[n] for n in order), index)
    mask = np.random.default_rng(1).random(layout.count) < 0.3
    moved = layout.onto(other)(mask)

    def named(one: Layout, marked: np.ndarray) -> set[tuple[str, int]]:
        keys = np.repeat(np.array(one.keys), one.counts)
        return {(str(key), int(number)) for key, number in zip(keys[marked], one.index[marked])}

    assert moved.sum() == mask.sum() and named(layout, mask) == named(other, moved)
    wide = Layout(tuple(one.replace("filter|", "neuron|") for one in layout.keys), layout.counts, layout.index)
    assert "neuron|" in "".join(wide.keys) and (wide.onto(layout)(mask) == mask).all()
    fewer = Layout(layout.keys[:-1], layout.counts[:-1], layout.index[: -layout.counts[-1]])
    assert (layout.onto(fewer)(mask) == mask[: -layout.counts[-1]]).all()
    assert not fewer.onto(layout)(mask[: -layout.counts[-1]])[-layout.counts[-1] :].any()


def test_a_step_on_a_third_of_a_million_structures_costs_little() -> None:
    before = np.random.default_rng(0).random(350_000) < 0.5
    after = before.copy()
    after[123_456:123_460] ^= True
    assert len(difference(before, after)) < 400
    assert (changed(before, difference(before, after)) == after).all()
    flipped = ~before
    assert len(difference(before, flipped)) < 1000  # inverting all is one run
    assert len(difference(before, np.random.default_rng(1).random(350_000) < 0.5)) < 350_000 / 8 * 1.4


@pytest.mark.parametrize("stored", ["", "AA", "eJwDAAAAAAE="])
def test_a_change_that_is_none_is_refused(stored: str) -> None:
    with pytest.raises(ValueError):
        changed(np.zeros(20, bool), stored)


def test_a_history_that_has_grown_long_is_written_anew(qapp, tmp_path: Path, monkeypatch) -> None:
    from secateur.app.document import undo_history
    from secateur.app.storage.autosave import tape

    monkeypatch.setattr(tape, "BOUND", 2000)
    monkeypatch.setattr(undo_history, "LIMIT", 5)
    desk = opened(tmp_path)
    document, sizes = desk.document, []
    workbench = desk.workbench
    for number in range(200):
        document.plan.mark([FIRST], number % 2 == 0)
        document.plan.undo()
        written(desk)
        sizes.append((tmp_path / LOG).stat().st_size)
    assert any(after < before for before, after in pairwise(sizes))
    assert shown(restored(tmp_path, document)) == shown(document)
    workbench.close()


def test_a_disk_that_is_full_is_said_once_and_the_work_goes_on(qapp, qtbot, tmp_path: Path, monkeypatch) -> None:
    from secateur.app.storage.autosave import tape

    desk = opened(tmp_path)
    written(desk)

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tape.os, "write", full)
    for number in range(3):
        desk.document.plan.mark([FIRST + number], True)
    written(desk)
    qtbot.waitUntil(lambda: any("No space left" in s for s in desk.sentences))
    assert sum("No space left" in s for s in desk.sentences) == 1
    assert desk.document.marked.sum() == 3
    monkeypatch.undo()
    desk.workbench.close()


def test_scores_are_no_part_of_the_log(qapp, tmp_path: Path) -> None:
    desk = opened(tmp_path)
    written(desk)
    size = (tmp_path / LOG).stat().st_size
    desk.document.take_scores("s0", "taylor", scores_of(ANALYSIS))
    written(desk)
    assert (tmp_path / LOG).stat().st_size == size
    desk.workbench.close()
