"""The rules of `tests/conftest.py` bite: each of these small tests would pass without them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import HAS_QT, ROOT
from tests.warm_start import python

CULPRITS = """
from tests import conftest

conftest.GRACE = 0.1

def test_log():
    import logging
    logging.getLogger("secateur.engine.x").warning("lost a hair")

def test_thread():
    import threading
    threading.Thread(target=threading.Event().wait, args=(4,), name="idler").start()

def test_process():
    import multiprocessing, time
    multiprocessing.Process(target=time.sleep, args=(30,), name="lone", daemon=True).start()

def test_gradients():
    import torch
    torch.set_grad_enabled(False)

def test_hook():
    from torch.nn.modules import module
    module.register_module_forward_hook(lambda *_: None)

def test_innocent():
    import logging, torch
    logging.getLogger("secateur.engine.x").info("all is well")
    assert torch.is_grad_enabled()

def test_announced(caplog):
    import logging
    logging.getLogger("secateur.engine.x").warning("as expected")
"""
WINDOW = """
def test_window(qapp):
    from PySide6.QtWidgets import QLabel
    test_window.kept = QLabel("left")
    test_window.kept.show()
"""
TWICE = """
def test_twice():
    import engine
"""
COMPLAINTS = {
    "log": "WARNING secateur.engine.x: lost a hair",
    "thread": "left behind: idler",
    "process": "left behind: lone",
    "gradients": "left behind: gradients switched off",
    "hook": "left behind: global forward hook",
} | ({"window": "left behind: window QLabel"} if HAS_QT else {})

OPTIONS = ("-p", "tests.conftest", "-p", "no:cacheprovider")


def _run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_culprits.py").write_text(source)
    command = [*python("-m", "pytest"), "-q", *OPTIONS, "--rootdir", str(folder), "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the culprits and the innocent."""
    return _run(tmp_path_factory.mktemp("culprits"), CULPRITS + WINDOW * HAS_QT).stdout


@pytest.mark.parametrize("what", COMPLAINTS)
def test_what_a_test_leaves_behind_fails_it(output: str, what: str):
    assert COMPLAINTS[what] in output
    assert f"ERROR test_culprits.py::test_{what}" in output


def test_only_the_culprits_fail(output: str):
    # Beside them a newer torch may warn of what is no fault of a test.
    assert re.search(rf"\b{len(COMPLAINTS) + 2} passed,( \d+ warnings?,)? {len(COMPLAINTS)} errors in", output)


def test_a_second_copy_of_a_package_fails_the_run(tmp_path: Path):
    result = _run(tmp_path, TWICE)
    assert result.returncode != 0
    assert "loaded twice" in result.stdout + result.stderr
