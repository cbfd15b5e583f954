"""What the file of a window says is what its document shows, whatever was done and whoever wrote the file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.app.document.aspects import Goal, Selection
from secateur.app.document.document import Document
from secateur.app.storage.autosave import session_autosave, window_file
from secateur.app.storage.autosave.layout import Layout, changed, difference
from secateur.app.storage.autosave.window_file import WINDOW, read
from secateur.app.storage.settings import BOARDS, remember_machine
from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage import atomic_files
from secateur.engine.targets.protocol import TargetSpec
from tests.waiting import PATIENCE

from ...demo_analysis import scores_of, small_resnet
from ...document.test_document import ANALYSIS, FIRST, SCORES, STEPS, Desk, act
from ...fake_link import FakeLink, workbench_on
from ...stand_in import state_of, task_info

FIXTURES = Path(__file__).parents[3] / "fixtures"
JOURNAL = Path(__file__).with_name("journal.jsonl")


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
        document.contents.by_hand.tobytes(),
        document.goal,
        document.contents.searched,
        document.selection,
        (document.criterion, document.contents.choices, document.contents.ranking, document.target, document.recovery),
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


def save(desk: Desk) -> None:
    desk.workbench.autosave.save()
    assert desk.workbench.autosave._background.flush(PATIENCE)


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
    save(desk)
    again = restored(tmp_path / "session", document)
    assert shown(again) == shown(document)
    assert again.history.redo_text == "change the goal" and again.contents.searched
    again.plan.redo()
    assert again.goal == Goal(0.3, 1.5)
    workbench.close()


@pytest.mark.parametrize("known", [True, False])
def test_only_a_machine_that_this_user_has_measured_on_can_be_reached_again(qapp, tmp_path: Path, known: bool) -> None:
    desk = opened(tmp_path / "session")
    board = TargetSpec(machine="board", address="ssh://me@board")
    desk.document.set_target(board)
    save(desk)
    if known:
        remember_machine(BOARDS, board.address)
    again = restored(tmp_path / "session", desk.document)
    assert again.target == board and again.target.is_reachable is known
    again.set_target(board)
    assert again.target.address == board.address
    desk.workbench.close()


@settings(max_examples=30, deadline=None)
@given(STEPS, st.lists(st.sampled_from(["undo", "redo", "save", "select", "mark", "go 0", "go 1", "go 3"]), max_size=8))
def test_after_any_steps_the_file_says_what_is_shown(qapp, tmp_path_factory, steps, travels) -> None:
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
    save(desk)
    again = restored(folder, document)
    assert shown(again) == shown(document)
    for move in ("undo", "redo"):
        while getattr(document.history, f"{move}_text"):
            getattr(document.plan, move)()
            getattr(again.plan, move)()
            assert again.marked.tobytes() == document.marked.tobytes() and again.goal == document.goal
            desk.settle()
    workbench.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.plan.mark([FIRST], True),
        lambda document: document.plan.lock([FIRST], True),
        lambda document: document.plan.undo(),
        lambda document: document.saved("somewhere", document.history.position),
        lambda document: document.set_criterion("l2"),
        lambda document: document.set_choices(Choices(batches=3), Ranking.MODEL),
        lambda document: document.set_target(TargetSpec(threads=2)),
        lambda document: document.set_recovery(RecoverySettings(epochs=7)),
        lambda document: document.expect(91.5),
        lambda document: document.select(Selection(ANALYSIS.sets[2].module, 2, -1)),
    ],
)
def test_every_change_is_saved_soon_without_being_asked_for(qapp, qtbot, tmp_path: Path, monkeypatch, change) -> None:
    monkeypatch.setattr(session_autosave, "INTERVAL", 0.02)
    desk = opened(tmp_path)
    desk.document.plan.set_goal(Goal(0.3, 1.5))
    save(desk)
    change(desk.document)
    expected = shown(desk.document)
    qtbot.waitUntil(lambda: shown(restored(tmp_path, desk.document)) == expected)
    desk.workbench.close()


def test_a_quick_hand_is_saved_once_a_second_and_a_job_at_once(qapp, qtbot, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(session_autosave, "INTERVAL", PATIENCE)
    desk = opened(tmp_path)
    save(desk)
    for number in range(5):
        desk.document.plan.mark([FIRST + number], True)
    qtbot.wait(50)
    assert desk.workbench.autosave._background.flush(PATIENCE)
    assert read(tmp_path).now.marked.sum() == 0
    desk.workbench.states.cut()
    assert desk.workbench.autosave._background.flush(PATIENCE)
    kept = read(tmp_path)
    assert kept.now.marked.sum() == 5 and kept.job.method == "cut"
    desk.workbench.close()


def test_what_is_only_previewed_is_not_saved(qapp, tmp_path: Path) -> None:
    desk = opened(tmp_path)
    desk.document.plan.mark([FIRST], True)
    desk.document.plan.preview(~desk.document.marked)
    save(desk)
    assert read(tmp_path).now.marked.sum() == 1
    desk.workbench.close()


def five_steps(folder: Path) -> Desk:
    desk = opened(folder)
    for step in range(5):
        desk.document.plan.mark([FIRST + step], True)
    save(desk)
    return desk


def test_a_file_that_was_cut_anywhere_is_named_and_says_an_earlier_moment(qapp, tmp_path: Path) -> None:
    desk = five_steps(tmp_path)
    content = (tmp_path / WINDOW).read_bytes()
    steps = list[int]()
    for end in range(0, len(content) - 1, 7):
        (tmp_path / WINDOW).write_bytes(content[:end])
        damaged: list[Path] = []
        kept = read(tmp_path, damaged.append)
        assert damaged == [tmp_path / WINDOW]
        if kept is not None:
            history = kept.history
            assert kept.now.marked.sum() == history.position == len(history.entries)
            steps.append(history.position)
    assert steps == sorted(steps) and set(steps) == set(range(6))
    desk.workbench.close()


def test_damage_in_the_middle_is_named_and_what_is_before_it_is_kept(qapp, tmp_path: Path) -> None:
    desk = five_steps(tmp_path)
    lines = (tmp_path / WINDOW).read_bytes().splitlines(keepends=True)
    lines[-3] = b"rubbish\n"
    (tmp_path / WINDOW).write_bytes(b"".join(lines))
    damaged: list[Path] = []
    kept = read(tmp_path, damaged.append)
    assert damaged == [tmp_path / WINDOW]
    assert kept is not None and kept.now.marked.sum() == 3 and kept.history.position == 3
    desk.workbench.close()


# Journals, as versions up to 1.0 wrote them.


def test_a_journal_of_an_earlier_version_says_what_was_done(qapp, tmp_path: Path) -> None:
    desk = opened(tmp_path / "new")
    document, plan = desk.document, desk.document.plan
    document.set_criterion("obs")
    plan.mark([FIRST, FIRST + 2], True)
    plan.lock([FIRST + 5], True)
    document.saved("somewhere", document.history.position)
    plan.set_goal(Goal(0.3, 1.5))
    plan.undo()
    plan.undo()
    plan.mark([FIRST + 7], True)
    plan.jump(2)
    plan.redo()
    plan.undo()
    document.set_criterion("l2")
    document.select(Selection(ANALYSIS.sets[2].module, 2, ANALYSIS.sets[2].first + 1))
    (tmp_path / "old").mkdir()
    shutil.copy(JOURNAL, tmp_path / "old" / WINDOW)
    assert shown(restored(tmp_path / "old", document)) == shown(document)
    desk.workbench.close()


def test_a_journal_of_version_0_1_is_read(tmp_path: Path) -> None:
    damaged: list[Path] = []
    kept = read(FIXTURES / "0.1" / "window", damaged.append)
    assert kept is not None and not damaged
    assert kept.history.undo_text == "mark 1 structure" and kept.now.state == "s2" and kept.now.marked.sum() == 1


def test_a_journal_may_end_with_half_a_step_and_damage_before_that_is_named(tmp_path: Path) -> None:
    content = JOURNAL.read_bytes()
    begin, damaged = content.index(b'"do":"push"') - 1, list[Path]()
    for end in range(begin, len(content) + 1, 7):
        (tmp_path / WINDOW).write_bytes(content[:end])
        assert read(tmp_path, damaged.append) is not None and not damaged
    (tmp_path / WINDOW).write_bytes(content[:begin] + b"rubbish\n" + content[begin:])
    kept = read(tmp_path, damaged.append)
    assert damaged == [tmp_path / WINDOW]
    assert kept is not None and not kept.history.entries


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


def test_of_a_history_that_is_too_long_for_the_file_the_oldest_steps_are_left_out(
    qapp, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(window_file, "BOUND", 3000)
    desk = opened(tmp_path)
    document = desk.document
    for number in range(60):
        document.plan.mark([FIRST], number % 2 == 0)
    document.plan.undo()
    save(desk)
    assert (tmp_path / WINDOW).stat().st_size < 3000 + 4000
    again = restored(tmp_path, document)
    count = len(again.history.entries)
    assert 10 < count < 60 and [e.text for e in again.history.entries] == [
        e.text for e in document.history.entries[-count:]
    ]
    assert again.marked.tobytes() == document.marked.tobytes() and again.history.redo_text == document.history.redo_text
    while again.history.undo_text:
        assert again.history.undo_text == document.history.undo_text
        again.plan.undo()
        document.plan.undo()
        assert again.marked.tobytes() == document.marked.tobytes()
    desk.workbench.close()


def test_a_save_packs_only_the_steps_that_are_new(qapp, tmp_path: Path, monkeypatch) -> None:
    desk = opened(tmp_path)
    for number in range(50):
        desk.document.plan.mark([FIRST], number % 2 == 0)
    save(desk)
    packed = list[object]()

    def counted(before: np.ndarray, after: np.ndarray) -> str:
        packed.append(after)
        return difference(before, after)

    monkeypatch.setattr(window_file, "difference", counted)
    desk.document.plan.mark([FIRST + 1], True)
    save(desk)
    assert len(packed) == 2  # what is marked, and what is decided by hand
    assert shown(restored(tmp_path, desk.document)) == shown(desk.document)
    desk.workbench.close()


def test_a_full_disk_is_told_once_and_tried_again(qapp, qtbot, tmp_path: Path, monkeypatch) -> None:
    desk = opened(tmp_path)
    save(desk)
    before = (tmp_path / WINDOW).read_bytes()
    monkeypatch.setattr(session_autosave, "RETRY", 0.05)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic_files.os, "fsync", full)
        for number in range(3):
            desk.document.plan.mark([FIRST + number], True)
            save(desk)
        qtbot.waitUntil(lambda: any("No space left" in s for s in desk.sentences))
        qtbot.wait(200)
        assert (tmp_path / WINDOW).read_bytes() == before
    assert sum("No space left" in s for s in desk.sentences) == 1
    assert desk.document.marked.sum() == 3
    qtbot.waitUntil(lambda: (tmp_path / WINDOW).read_bytes() != before)
    assert read(tmp_path).now.marked.sum() == 3 and [one.name for one in tmp_path.glob(".*")] == []
    desk.workbench.close()


def test_what_changes_nothing_that_is_kept_writes_nothing(qapp, tmp_path: Path) -> None:
    (tmp_path / ".window.jsonl.abc.part").write_bytes(b"of a window that was killed")
    desk = opened(tmp_path)
    save(desk)
    assert not list(tmp_path.glob("*.part"))
    before = (tmp_path / WINDOW).stat()
    desk.document.take_scores("s0", "taylor", scores_of(ANALYSIS))
    save(desk)
    after = (tmp_path / WINDOW).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    desk.workbench.close()
