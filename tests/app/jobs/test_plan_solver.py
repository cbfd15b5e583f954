"""Plans are searched one at a time, and what was asked for before the goal was changed is not searched for."""

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from secateur.app.jobs.plan_jobs import PlanSolver
from secateur.engine.errors import Message
from secateur.engine.planning import goal
from secateur.engine.planning.protocol import Planned
from tests.app.playing import play
from tests.waiting import PATIENCE


def test_of_searches_that_wait_only_the_last_is_made(qtbot, monkeypatch) -> None:
    begun, go, asked = threading.Event(), threading.Event(), list[Any]()

    def solve(_analysis: Any, _scores: Any, wanted: Any, *_others: Any) -> Any:
        asked.append(wanted)
        begun.set()
        go.wait(PATIENCE)
        return SimpleNamespace(removed=wanted)

    monkeypatch.setattr(goal, "solve", solve)
    nothing = np.zeros(4, bool)
    masks = dict.fromkeys(("by_hand", "locked", "marked", "removed"), nothing)
    search, answers = PlanSolver(), list[int]()
    for number in range(5):
        contents: Any = SimpleNamespace(analysis=(), table=None, wanted=number, **masks)
        search.start(contents, None, on_done=lambda plan: answers.append(plan.removed), on_error=pytest.fail)  # type: ignore[arg-type]
        assert begun.wait(PATIENCE)
    go.set()
    qtbot.waitUntil(lambda: 4 in answers)
    search.close()
    assert asked == answers == [0, 4]


def test_what_a_smaller_multiple_would_keep_is_said_beside_the_plan(qtbot, monkeypatch) -> None:
    player, solve = play(), goal.solve

    def noted(*given: Any) -> Planned:
        return replace(solve(*given), note=Message("plan.coarse", "Multiples of {multiple} waste.", {"multiple": 128}))

    monkeypatch.setattr(goal, "solve", noted)
    player.workbench.plan.suggest()
    qtbot.waitUntil(lambda: "Multiples of 128 waste." in player.sentences)
    assert player.document.marked.any()
    player.workbench.close()
