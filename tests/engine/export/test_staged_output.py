"""Where files go: refused early with a sentence, and never half-written."""

import errno
import os
import sys
import tempfile
from pathlib import Path

import pytest

from secateur.engine.errors import ExportError
from secateur.engine.export import staged_output
from secateur.engine.export.staged_output import (
    check_destination,
    lock_folder,
    staged_file,
    staged_folder,
)
from secateur.engine.export.table import EXPORTERS, exporter_named

NOBODY = 65534


@pytest.fixture
def read_only():
    """A folder that may be read and not written to, by root neither."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.rmdir()


def refused(path, need=0, folder=False):
    with pytest.raises(ExportError) as caught:
        check_destination(path, need, folder)
    return caught.value


def test_a_folder_without_write_permission_is_refused(read_only):
    error = refused(read_only / "a.onnx")
    assert error.message.code == "export.permission" and str(read_only) in str(error)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert "does not exist" in str(refused(tmp_path / "gone/a.onnx"))


def test_a_folder_in_place_of_a_file_and_the_other_way_round(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    assert refused(tmp_path / "a").message.code == "export.is_folder"
    assert refused(tmp_path / "b", folder=True).message.code == "export.is_file"


def test_a_disk_that_is_too_small_is_refused(tmp_path):
    assert "disk is full" in str(refused(tmp_path / "a.onnx", need=10**18))
    check_destination(tmp_path / "a.onnx", need=1000)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_leaves_the_old_file(tmp_path):
    (tmp_path / "a.onnx").write_text("old")
    with pytest.raises(ExportError, match="disk is full"), staged_file(tmp_path / "a.onnx") as temporary:
        temporary.write_text("half of i")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"] and (tmp_path / "a.onnx").read_text() == "old"


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    with staged_file(tmp_path / "a.onnx") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.onnx").exists() and temporary.suffix == ".onnx"
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


def test_a_folder_vanishes_on_any_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "a", Path.is_dir) as temporary:
        (temporary / "x").write_text("1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_when_the_same_path_is_written(tmp_path):
    left = [".a.0123abcd", ".a.0123abce", ".a.notes", ".ab.0123abcd", ".a.0123abcd.onnx", ".a.0123abcd.data", "b"]
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()
        if name != ".a.0123abcd":
            os.utime(tmp_path / name, (0, 0))

    def there():
        return {one.name for one in tmp_path.iterdir()}

    with lock_folder(tmp_path / ".a.0123abce") as free:  # as another process does that is at work there
        assert free
        with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "a", Path.is_dir):
            assert there() > {*left} - {".a.0123abcd"}  # at once: it may be as large as what is to be written
            raise KeyboardInterrupt
        assert there() == {*left} - {".a.0123abcd"}
        with staged_folder(tmp_path / "a", Path.is_dir):
            pass
    assert there() == {*left, "a"} - {".a.0123abcd"}
    with staged_file(tmp_path / "a.onnx", [".data"]) as temporary:
        temporary.touch()
        temporary.with_suffix(".data").touch()
    assert there() == {*left, "a", "a.onnx", "a.data"} - {".a.0123abcd", ".a.0123abcd.onnx", ".a.0123abcd.data"}


@pytest.mark.skipif(sys.platform == "win32", reason="locks of Unix")
def test_one_that_another_process_takes_for_left_before_it_is_held_is_replaced_by_a_next_one(tmp_path, monkeypatch):
    hold, taken = lock_folder, []

    def late(folder):
        """Before the first folder is held, another process looks for what was left at the same path."""
        if not taken:
            taken.append(folder)
            staged_output._remove_abandoned(tmp_path / "a", ("",))
            assert not folder.exists()
        return hold(folder)

    monkeypatch.setattr(staged_output, "lock_folder", late)
    with staged_folder(tmp_path / "a", Path.is_dir) as temporary:
        (temporary / "x").write_text("1")
    assert temporary not in taken and [one.name for one in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "x").read_text() == "1"


def test_an_unknown_format_lists_those_there_are():
    assert {"onnx", "pytorch", "hugging-face", "program", "onnx-fp16", "openvino", "model-card"} < set(EXPORTERS)
    with pytest.raises(ExportError, match=", ".join(EXPORTERS)):
        exporter_named("tflite")
