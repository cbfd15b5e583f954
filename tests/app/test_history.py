import numpy as np

from secateur.app.aspects import Goal
from secateur.app.history import LIMIT, Entry, History, Snapshot

MASK = np.zeros(3, dtype=bool)


def at(state: str) -> Snapshot:
    return Snapshot(state, MASK, MASK, MASK, Goal())


def entry(text: str, before: str = "a", after: str = "b", fold: str = "") -> Entry:
    return Entry(text, at(before), at(after), fold)


def test_a_step_after_an_undo_forgets_what_could_be_redone():
    history = History()
    history.push(entry("one"))
    history.push(entry("two"))
    history.undo()
    history.push(entry("three"))
    assert history.redo() is None
    assert [e.text for e in history.entries] == ["one", "three"]


def test_a_run_of_steps_of_one_kind_folds_into_one_that_goes_back_to_its_begin():
    history = History()
    history.push(entry("goal", "a", "b", "goal"))
    history.push(entry("goal", "b", "c", "goal"))
    assert len(history.entries) == 1
    undone = history.undo()
    assert undone is not None and (undone.before.state, undone.after.state) == ("a", "c")


def test_saved_is_clean_until_something_changes_and_again_after_undoing_it():
    history = History()
    history.push(entry("one"))
    history.mark_clean(history.position)
    assert history.clean
    history.push(entry("two"))
    assert not history.clean
    history.undo()
    assert history.clean
    history.undo()
    history.push(entry("other"))
    assert not history.clean


def test_memory_is_bounded_and_the_newest_steps_stay():
    history = History()
    for number in range(LIMIT + 5):
        history.push(entry(str(number)))
    assert len(history.entries) == LIMIT
    assert history.undo_text == str(LIMIT + 4)
