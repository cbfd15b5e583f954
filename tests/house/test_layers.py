"""The import linter sees a violation: with other root packages it stays green on a real one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ENGINE, WINDOW = "The engine knows neither the window nor Qt", "The window touches no tensor"
WINDOW_LAYERS, LAYERS = "A layer of the window knows only those below it", "A layer of the engine knows only those"
LATE, BESIDE = "def late():\n    ", "from ..baselines import protocol\n"
VIOLATIONS = {
    "the window imported by the engine": ("engine/text/a", "from secateur.app import document\n", ENGINE),
    "Qt imported by the engine": ("engine/text/b", "import PySide6.QtCore\n", ENGINE),
    "torch imported by the window": ("app/text/c", LATE + "import torch\n", WINDOW),
    "a workflow imported by the session": ("engine/session/d", "from ..workflows import prune\n", LAYERS),
    "the session imported by a step, late": ("engine/planning/e", LATE + "from ..session import session\n", LAYERS),
    "one of two packages side by side imported by the other": ("engine/export/f", BESIDE, LAYERS),
    "a module that is in no layer": ("engine/g", "", LAYERS),
    "a panel imported by a dialog": ("app/dialogs/h", "from ..panels import registry\n", WINDOW_LAYERS),
    "a job imported by the document": ("app/document/i", LATE + "from ..jobs import job_queue\n", WINDOW_LAYERS),
    "a package of the window without a layer": ("app/j", "", WINDOW_LAYERS),
}
"""Modules that are planted, their text, and the contract whose complaint names them."""


def _lint(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as `secateur/app` and `secateur/engine`, with the contracts beside them."""
    folder = tmp_path_factory.mktemp("copy")
    for top in ("app", "engine"):
        shutil.copytree(ROOT / top, folder / "secateur" / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture(scope="module")
def complaints(copy: Path) -> dict[str, str]:
    """What is said of each contract while all violations are planted: a module is the cause of one."""
    planted = {(copy / "secateur" / name).with_suffix(".py"): text for name, text, _ in VIOLATIONS.values()}
    for file, text in planted.items():
        file.write_text(text)
    code, said = _lint(copy)
    for file in planted:
        file.unlink()
    assert code == 1
    starts = sorted((said.rindex(f"{contract}"), contract) for contract in (ENGINE, WINDOW, WINDOW_LAYERS, LAYERS))
    ends = [start for start, _ in starts[1:]] + [len(said)]
    return {contract: said[start:end] for (start, contract), end in zip(starts, ends, strict=True)}


def test_the_sources_keep_their_layers(copy: Path) -> None:
    code, said = _lint(copy)
    assert code == 0, said


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_planted_violation_is_seen_by_its_contract_alone(complaints: dict[str, str], what: str) -> None:
    name, _, contract = VIOLATIONS[what]
    module = "secateur." + name.replace("/", ".")
    assert [one for one, said in complaints.items() if f"- {module}" in said.replace("-   ", "- ")] == [contract]
