"""The table of what the window may call: names that the worker can run."""

import inspect
from pathlib import Path

import pytest

from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.process.window_session import CALLS, WindowSession
from secateur.engine.process.worker import Call, run
from secateur.engine.storage.folder_lock import ENGINE


@pytest.mark.parametrize("name", CALLS)
def test_what_is_called_takes_a_session_and_a_job_can_be_cancelled(name: str) -> None:
    parameters = list(inspect.signature(CALLS[name]).parameters)
    assert parameters[0] in ("session", "self")
    assert ("token" in parameters) == inspect.isgeneratorfunction(CALLS[name])


def test_nothing_but_what_is_in_the_table_can_be_called(tmp_path: Path) -> None:
    served = WindowSession(tmp_path / "session")
    token = type("Token", (), {"is_set": lambda self: False})()
    for name in ("close", "_open", "history", "keep_baseline", "nonsense"):
        with pytest.raises(SecateurError, match="Unknown engine call"):
            run(served, Call(1, name, (), token), None)  # type: ignore[arg-type]
    with pytest.raises(OpenError, match="No model is open"):
        run(served, Call(1, "filters", ("s0",), token), None)  # type: ignore[arg-type]
    served.close()
    assert not (tmp_path / "session" / ENGINE).exists()
