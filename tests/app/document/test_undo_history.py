import numpy as np

from secateur.app.document.aspects import Goal
from secateur.app.document.undo_history import LIMIT, Entry, Snapshot, UndoHistory

MASK = np.zeros(3, dtype=bool)


def at(state: str) -> Snapshot:
    return Snapshot(state, MASK, MASK, MASK, Goal())


def entry(text: str, before: str = "a", after: str = "b", fold: str = "") -> Entry:
    return Entry(text, at(before), at(after), fold)


def test_a_step_after_an_undo_begins_a_branch_and_the_other_stays():
    history = UndoHistory()
    history.push(entry("one", "a", "b"))
    history.push(entry("two", "b", "c"))
    history.undo()
    history.push(entry("three", "b", "d"))
    assert history.redo() is None
    assert [history.entries[place - 1].text for place in history.ends()] == ["two", "three"]
    there = history.go(history.ends()[0])
    assert there is not None and there.state == "c"
    assert history.undo_text == "two" and [history.entries[p - 1].text for p in history.line() if p] == ["one", "two"]


def test_redo_follows_the_branch_that_was_left_last():
    history = UndoHistory()
    history.push(entry("one", "a", "b"))
    history.undo()
    history.push(entry("other", "a", "c"))
    history.undo()
    assert history.redo_text == "other"
    history.go(1)
    history.undo()
    assert history.redo_text == "one"


def test_going_to_the_begin_shows_what_was_there():
    history = UndoHistory()
    history.push(entry("one", "a", "b"))
    history.push(entry("two", "b", "c"))
    begun = history.go(0)
    assert begun is not None and begun.state == "a" and history.undo_text == ""
    assert history.go(7) is None


def test_a_step_never_folds_into_one_that_another_branch_began_behind():
    history = UndoHistory()
    history.push(entry("goal", "a", "b", "goal"))
    history.push(entry("mark", "b", "c"))
    history.undo()
    history.push(entry("goal", "b", "d", "goal"))
    history.go(2)
    undone = history.undo()
    assert undone is not None and undone.before.state == "b"
    assert history.go(1).state == "b"  # type: ignore[union-attr]


def test_a_run_of_steps_of_one_kind_folds_into_one_that_goes_back_to_its_begin():
    history = UndoHistory()
    history.push(entry("goal", "a", "b", "goal"))
    history.push(entry("goal", "b", "c", "goal"))
    assert len(history.entries) == 1
    undone = history.undo()
    assert undone is not None and (undone.before.state, undone.after.state) == ("a", "c")


def test_saved_is_clean_until_something_changes_and_again_after_undoing_it():
    history = UndoHistory()
    history.push(entry("one"))
    history.clean_place = history.position
    assert history.clean
    history.push(entry("two"))
    assert not history.clean
    history.undo()
    assert history.clean
    history.undo()
    history.push(entry("other"))
    assert not history.clean


def test_memory_is_bounded_and_the_newest_steps_stay():
    history = UndoHistory()
    for number in range(LIMIT + 5):
        history.push(entry(str(number)))
    assert len(history.entries) == LIMIT
    assert history.undo_text == str(LIMIT + 4)


def test_what_is_forgotten_is_the_oldest_and_branches_hold_together():
    history = UndoHistory()
    for number in range(LIMIT - 1):
        history.push(entry(str(number), str(number), str(number + 1)))
    history.go(5)
    for number in range(10):
        history.push(entry(f"branch {number}", str(number), str(number + 1)))
    assert len(history.entries) == LIMIT and len(history.parents) == LIMIT
    texts = [history.entries[place - 1].text for place in history.line() if place]
    assert texts[-10:] == [f"branch {number}" for number in range(10)]
    other = history.ends()[0]
    history.go(other)
    assert history.undo_text == str(LIMIT - 2)
    steps = 0
    while history.undo() is not None:
        steps += 1
    assert steps == LIMIT - 1 - 9 + 0


def test_a_saved_place_is_clean_again_when_one_comes_back_from_another_branch():
    history = UndoHistory()
    history.push(entry("one"))
    history.push(entry("two"))
    history.clean_place = history.position
    history.undo()
    history.push(entry("three"))
    assert not history.clean
    history.go(2)
    assert history.clean


def test_another_history_is_taken_with_its_branches_and_its_saved_place():
    first, second = UndoHistory(), UndoHistory()
    first.push(entry("one", "a", "b"))
    first.undo()
    first.push(entry("other", "a", "c"))
    first.clean_place = 2
    second.take(first)
    first.push(entry("more", "c", "d"))
    assert second.ends() == [1, 2] and second.clean and second.undo_text == "other"


def test_redo_from_the_begin_leads_to_the_branch_that_was_begun_last():
    history = UndoHistory()
    history.push(entry("one", "a", "b"))
    history.undo()
    history.push(entry("other", "a", "c"))
    history.go(0)
    assert history.redo_text == "other"
