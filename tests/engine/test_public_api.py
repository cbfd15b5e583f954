"""`import secateur.engine` costs nothing, and every documented name is there."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from secateur import engine

STUB = ast.parse(Path(engine.__file__).with_suffix(".pyi").read_text())
HOMES = {alias.name: node.module for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names}
PUBLIC: list[str] = vars(engine)["__all__"]


def test_editors_see_each_name_as_one_of_this_module() -> None:
    """A stub hands on what it imports by its own name."""
    imports = [node for node in STUB.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(STUB.body) - 1  # all but its docstring
    assert all(alias.asname == alias.name for node in imports for alias in node.names)


def test_importing_the_engine_loads_neither_torch_nor_qt_nor_onnx() -> None:
    code = (
        "import sys, secateur.engine as e; dir(e); e.ModelSpec, e.TaskSpec, e.TargetSpec, e.RecoverySettings, e.State\n"
    )
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'PySide6', 'onnx', 'onnxruntime')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=180).returncode == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_what_its_home_defines(name: str) -> None:
    value = getattr(engine, name)
    home = import_module(f"secateur.engine.{HOMES[name]}")
    assert value is getattr(home, name)
    assert getattr(value, "__module__", home.__name__) in (home.__name__, "typing", "collections.abc", "types")


def test_the_list_of_names_is_complete_and_sorted() -> None:
    assert sorted(HOMES) == PUBLIC
    assert dir(engine) == sorted(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(engine, "nonsense")  # noqa: B009
