"""Who may import whom, and when torch is loaded: the window starts without it, the engine knows no Qt."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import HAS_QT, ROOT
from tests.warm_start import python

needs_qt = pytest.mark.skipif(not HAS_QT, reason="PySide6 is not installed")


def _loaded_by(statement: str, folder: Path, warm: bool = False) -> set[str]:
    """Top-level names in sys.modules after a statement in an empty folder; `warm` where torch may be there before."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(list(sys.modules)))"
    command = python("-c", code) if warm else [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


def _names_below(top: str) -> list[str]:
    """Every module of a top, from the files (walking packages would import them here)."""
    files = sorted((ROOT / top).rglob("*.py"))
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files if file.stem != "__main__"]
    return [".".join(("secateur", *(names[:-1] if names[-1] == "__init__" else names))) for names in parts]


@needs_qt
def test_no_module_of_the_window_loads_torch(tmp_path: Path):
    loaded = _loaded_by("import " + ", ".join(_names_below("app")), tmp_path)
    assert "PySide6" in loaded
    assert loaded.isdisjoint({"torch", "torchvision", "onnx", "onnxruntime", "onnxscript"})


def test_the_command_line_loads_neither_qt_nor_torch_before_it_knows_its_task(tmp_path: Path):
    loaded = _loaded_by("from secateur.app.main import main\nmain(['inspect', '--help'])", tmp_path)
    assert "secateur" in loaded
    assert loaded.isdisjoint({"torch", "PySide6"})


def test_importing_the_engine_loads_neither_torch_nor_qt(tmp_path: Path):
    loaded = _loaded_by("import secateur.engine", tmp_path)
    assert loaded.isdisjoint({"torch", "onnxruntime", "PySide6", "pyqtgraph"})


def test_no_module_of_the_engine_loads_qt(tmp_path: Path):
    loaded = _loaded_by("import " + ", ".join(_names_below("engine")), tmp_path, warm=True)
    assert "torch" in loaded
    assert loaded.isdisjoint({"PySide6", "shiboken6", "pyqtgraph"})


def test_the_folder_names_stay_free_for_the_users_own_modules(tmp_path: Path):
    (tmp_path / "engine.py").write_text("MINE = True\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("MINE = True\n")
    loaded = _loaded_by("import secateur.engine, engine, app; assert engine.MINE and app.MINE", tmp_path)
    assert {"secateur", "engine", "app"} <= loaded
