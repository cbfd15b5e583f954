"""The import linter sees a violation: with other root packages it stays green on a real one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ENGINE, WINDOW = "neither the window nor Qt", "touches no tensor"  # words of the contracts
LAYERS, WINDOW_LAYERS = "A layer of the engine", "A layer of the window"
VIOLATIONS = {
    "the window imported by the engine": ("engine/text/planted.py", "from secateur.app import document\n", ENGINE),
    "Qt imported by the engine": ("engine/text/planted.py", "import PySide6.QtCore\n", ENGINE),
    "torch imported by the window": ("app/text/planted.py", "def late():\n    import torch\n", WINDOW),
    "a workflow imported by the session": ("engine/session/planted.py", "from ..workflows import prune\n", LAYERS),
    "the session imported by a step, late": (
        "engine/planning/planted.py",
        "def late():\n    from ..session import session\n",
        LAYERS,
    ),
    "one of two packages side by side imported by the other": (
        "engine/export/planted.py",
        "from ..baselines import protocol\n",
        LAYERS,
    ),
    "a module that is in no layer": ("engine/planted.py", "", LAYERS),
    "a panel imported by a dialog": ("app/dialogs/planted.py", "from ..panels import registry\n", WINDOW_LAYERS),
    "a job imported by the document": (
        "app/document/planted.py",
        "def late():\n    from ..jobs import job_queue\n",
        WINDOW_LAYERS,
    ),
    "a package of the window without a layer": ("app/planted.py", "", WINDOW_LAYERS),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as `secateur/app` and `secateur/engine`, with the contracts beside them."""
    folder = tmp_path_factory.mktemp("copy")
    for top in ("app", "engine"):
        shutil.copytree(ROOT / top, folder / "secateur" / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_sources_keep_their_layers(copy: Path):
    result = _lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_planted_violation_is_seen(copy: Path, what: str):
    name, source, contract = VIOLATIONS[what]
    planted = copy / "secateur" / name
    planted.write_text(source)
    try:
        result = _lint(copy)
    finally:
        planted.unlink()
    broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
    assert result.returncode == 1
    assert len(broken) == 1 and contract in broken[0], result.stdout
