"""Which task a path is opened as."""

import subprocess
import sys
from pathlib import Path

import pytest

from secateur.engine.errors import TaskError
from secateur.engine.tasks.open import OPENERS, kind_of, open_task
from secateur.engine.tasks.protocol import TaskSpec


def test_the_kind_follows_from_the_path(tmp_path: Path) -> None:
    for name in ("data.npz", "task.py", "notes.txt"):
        (tmp_path / name).touch()
    assert kind_of("") == "bundled"
    assert kind_of(str(tmp_path)) == "folder"
    assert kind_of(str(tmp_path / "data.npz")) == "arrays"
    assert kind_of(str(tmp_path / "task.py")) == "file"


def test_a_path_that_is_no_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TaskError, match="is no task"):
        kind_of(str(tmp_path / "notes.txt"))
    with pytest.raises(TaskError, match="does not exist"):
        kind_of(str(tmp_path / "absent.npz"))


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaskError, match="bundled, arrays, folder, file"):
        open_task(TaskSpec("parquet"))


@pytest.mark.parametrize("kind", [kind for kind in OPENERS if kind != "bundled"])
def test_a_missing_path_is_refused_with_its_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="absent"):
        open_task(TaskSpec(kind, str(tmp_path / "absent")))


def test_the_table_loads_no_torch() -> None:
    code = "import sys, secateur.engine.tasks.open; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
