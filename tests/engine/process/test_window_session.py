"""The table of what the window may call: names that the worker can run."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.process.answers import RESULTS
from secateur.engine.process.messages import call
from secateur.engine.process.window_session import CALLS, WindowSession
from secateur.engine.process.worker import Asked, run
from secateur.engine.storage.folder_lock import ENGINE


@pytest.mark.parametrize("name", CALLS)
def test_what_is_called_takes_a_session_and_a_job_can_be_cancelled(name: str) -> None:
    parameters = list(inspect.signature(CALLS[name]).parameters)
    assert parameters[0] in ("session", "self")
    assert ("token" in parameters) == inspect.isgeneratorfunction(CALLS[name])


@pytest.mark.parametrize("name", CALLS)
def test_the_window_reads_each_result_by_the_type_that_its_function_declares(name: str) -> None:
    function = CALLS[name]
    declared = get_type_hints(function, localns={"Session": object})["return"]
    if inspect.isgeneratorfunction(function):
        _, _, declared = get_args(declared)
    assert RESULTS[name] == declared


def test_every_call_declares_what_it_takes_and_nothing_undeclared_is_a_result() -> None:
    assert set(RESULTS) == set(CALLS)
    for function in CALLS.values():
        hints = get_type_hints(function, localns={"Session": object})
        assert all(name == "self" or hints[name] is not Any for name in inspect.signature(function).parameters)


def test_the_types_of_results_bring_no_torch() -> None:
    code = "import sys, secateur.engine.process.answers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=180).returncode == 0


def test_nothing_but_what_is_in_the_table_can_be_called(tmp_path: Path) -> None:
    served = WindowSession(tmp_path / "session")
    token = type("Token", (), {"is_set": lambda self: False})()
    for name in ("close", "_open", "history", "keep_baseline", "nonsense"):
        with pytest.raises(SecateurError, match="Unknown engine call"):
            run(served, Asked(call(1, name, ()), token), None)  # type: ignore[arg-type]
    with pytest.raises(OpenError, match="No model is open"):
        run(served, Asked(call(1, "filters", ("s0",)), token), None)  # type: ignore[arg-type]
    served.close()
    assert not (tmp_path / "session" / ENGINE).exists()
