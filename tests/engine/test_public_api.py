"""`import secateur.engine` costs nothing, and every documented name is there."""

import subprocess
import sys
from importlib import import_module

import pytest

from secateur import engine


def test_importing_the_engine_loads_neither_torch_nor_qt_nor_onnx() -> None:
    code = (
        "import sys, secateur.engine as e; dir(e); e.ModelSpec, e.TaskSpec, e.TargetSpec, e.RecoverySettings, e.State\n"
    )
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'PySide6', 'onnx', 'onnxruntime')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("name", engine.__all__)
def test_every_public_name_is_what_its_home_defines(name: str) -> None:
    value = getattr(engine, name)
    home = import_module(f"secateur.engine.{engine._HOME[name]}")
    assert value is getattr(home, name)
    assert getattr(value, "__module__", home.__name__) in (home.__name__, "typing", "collections.abc", "types")


def test_the_list_of_names_is_complete_and_sorted() -> None:
    assert list(engine.__all__) == list(engine._HOME)
    assert dir(engine) == sorted(engine.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        engine.nonsense  # noqa: B018
