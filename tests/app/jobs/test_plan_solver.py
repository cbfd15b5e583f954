"""Plans are searched one at a time, and what was asked for before the goal was changed is not searched for."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from secateur.app.jobs.plan_solver import Suggestion
from secateur.engine.planning import goal


def test_of_searches_that_wait_only_the_last_is_made(qtbot, monkeypatch) -> None:
    begun, go, asked = threading.Event(), threading.Event(), list[Any]()

    def solve(_analysis: Any, _scores: Any, wanted: Any, *_others: Any) -> Any:
        asked.append(wanted)
        begun.set()
        go.wait(10)
        return SimpleNamespace(removed=wanted)

    monkeypatch.setattr(goal, "solve", solve)
    nothing = np.zeros(4, bool)
    masks = dict.fromkeys(("by_hand", "locked", "marked", "removed"), nothing)
    search, answers = Suggestion(None), list[int]()  # type: ignore[arg-type]
    search.ready.connect(lambda _, revision: answers.append(revision))
    for revision in range(5):
        search.start(SimpleNamespace(analysis=None, table=None, wanted=revision, **masks), None, revision)  # type: ignore[arg-type]
        assert begun.wait(10)
    go.set()
    qtbot.waitUntil(lambda: 4 in answers)
    search.close()
    assert asked == answers == [0, 4]
