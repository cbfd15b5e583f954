"""The session that scripts get: what scripts of version 0.1 call on it is there, and is what the functions do.

`tests/engine/session/test_former_version.py` runs one.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from secateur.engine.scripting import Session
from secateur.engine.session import session
from secateur.engine.sharing.session_files import save_project
from secateur.engine.workflows.baselines import make_baseline
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.latency_table import latency_table

CALLED = ("attach", "close", "cut", "evaluate", "open", "recover", "removed", "score", "use_device")
"""What these scripts call besides, which every session has."""


@pytest.mark.parametrize(
    ("name", "function"),
    [("baseline", make_baseline), ("export", export_state), ("latencies", latency_table), ("save", save_project)],
)
def test_a_method_of_version_0_1_takes_what_its_function_takes(name: str, function: Callable[..., Any]) -> None:
    method = list(inspect.signature(getattr(Session, name)).parameters)[1:]
    assert method == list(inspect.signature(function).parameters)[1 : len(method) + 1]
    assert not hasattr(session.Session, name)


def test_all_else_that_scripts_call_is_a_method_of_every_session() -> None:
    assert all(hasattr(session.Session, name) for name in CALLED)
