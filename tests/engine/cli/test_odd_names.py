"""Names and places that a machine may have: they work, or a sentence says so before the work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.session import measurement_cache
from tests.engine.session.small import write_project

pytestmark = pytest.mark.end_to_end

Capture = pytest.CaptureFixture[str]
SHAPE = ["--input", "1x1x8x8"]
CUT = [*SHAPE, "--no-recover", "--multiple", "1"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    write_project(tmp_path / "mine")
    return tmp_path / "mine"


def at_once(captured: str) -> bool:
    """Whether a sentence came before the model was run."""
    return "Recording" not in captured


@pytest.mark.parametrize("threads", ["100000", "1000000000", "9" * 30])
def test_threads_beyond_any_machine_are_wrong_usage(mine: Path, capsys: Capture, threads: str) -> None:
    assert main(["inspect", f"{mine}/model.py:make", *SHAPE, "--threads", threads]) == 2
    assert "Choose a number from 1 to" in capsys.readouterr().err


def test_threads_of_a_recipe_are_checked_before_the_work(mine: Path, capsys: Capture) -> None:
    assert main(["prune", f"{mine}/model.py:make", *CUT, "--save", str(mine / "saved")]) == 0
    recipe = mine / "saved" / "recipe.json"
    content = json.loads(recipe.read_text())
    content["steps"][0]["intent"]["threads"] = 1_000_000_000
    recipe.write_text(json.dumps(content))
    capsys.readouterr()
    for command in ("run", "script"):
        assert main([command, str(recipe)]) == 2
        captured = capsys.readouterr().err
        assert "Cannot use 1000000000 threads" in captured and at_once(captured)


@pytest.mark.parametrize("name", ["my-net.py", "my net.py", "class.py", "a'b.py", "a.b.py"])
def test_a_model_file_of_any_name_is_cut_exported_and_loaded(mine: Path, name: str, capsys: Capture) -> None:
    (mine / name).write_text((mine / "model.py").read_text())
    assert main(["prune", f"{mine / name}:make", *CUT, "--export", str(mine / "out")]) == 0, capsys.readouterr().err
    assert main(["inspect", str(mine / "out"), *SHAPE]) == 0


def test_names_of_300_characters_are_refused_at_once(mine: Path, capsys: Capture) -> None:
    long, model = "x" * 300, f"{mine}/model.py:make"
    for argv in (["--export", f"{mine / long}.onnx"], ["--save", str(mine / long)], ["--weights", long]):
        assert main(["prune", model, *CUT, *argv]) in (1, 2)
        captured = capsys.readouterr().err
        assert "name too long" in captured and at_once(captured) and "Unexpected error" not in captured


def test_names_that_are_just_short_enough_can_be_written(mine: Path) -> None:
    long = "x" * 250
    argv = ["--export", f"{mine / long}.onnx", "--save", str(mine / f"{long}saved")]
    assert main(["prune", f"{mine}/model.py:make", *CUT, *argv]) == 0


def test_a_name_that_is_no_utf_8_is_refused_at_once(mine: Path, capsys: Capture) -> None:
    name = os.fsdecode(os.fsencode(mine / "w") + b"\xff.pt")
    torch.save({}, name)
    assert main(["inspect", f"{mine}/model.py:make", *SHAPE, "--weights", name, "--json"]) == 2
    captured = capsys.readouterr()
    assert (
        "w\\udcff.pt is not valid UTF-8. Rename" in captured.err
        and json.loads(captured.out)["error"]["code"] == "cli.name"
    )


def test_names_of_tensors_do_nothing_to_a_terminal(mine: Path, capsys: Capture) -> None:
    torch.save({"\x1b]0;owned\x07\x1b[2J\u202efc": torch.ones(1), "fc.bias": torch.ones(3)}, mine / "w.pt")
    assert main(["inspect", f"{mine}/model.py:make", *SHAPE, "--weights", str(mine / "w.pt"), "--verbose"]) == 2
    err = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07\\x1b[2J\\u202efc" in err and not any(sign in err for sign in "\x1b\x07\u202e")


def test_names_of_modules_do_nothing_to_a_terminal(mine: Path, capsys: Capture) -> None:
    code = (mine / "model.py").read_text().replace("return Net(classes)", "net = Net(classes)\n    return named(net)")
    code += "\n\ndef named(net):\n    return nn.Sequential(__import__('collections').OrderedDict({'\\x1b[31m': net}))\n"
    (mine / "odd.py").write_text(code)
    assert main(["inspect", f"{mine}/odd.py:make", *SHAPE]) == 0
    out, err = capsys.readouterr()
    assert "\\x1b[31m" in out and "\x1b" not in out + err


def test_without_a_home_folder_caches_lie_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache = measurement_cache.user_cache()
    assert cache.parent == tmp_path and cache.is_dir() and cache.stat().st_mode & 0o077 == 0


SETPRIV = shutil.which("setpriv")
as_another = pytest.mark.skipif(
    SETPRIV is None or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become another user"
)


def command(
    rights: list[str], argv: list[str], folder: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder with other rights than those of root."""
    whole = [SETPRIV or "", *rights, sys.executable, "-P", "-m", "secateur.engine.cli.main", *argv]
    more = {"TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(whole, env=environment | more, cwd=folder, capture_output=True, text=True, timeout=200)


@as_another
def test_a_user_without_an_entry_and_a_home_can_prune_and_export(tmp_path: Path) -> None:
    write_project(mine := tmp_path / "mine")
    (work := tmp_path / "work").mkdir()
    work.chmod(0o777)
    reads = ["--reuid=12345", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    argv = ["prune", f"{mine}/model.py:make", *CUT, "--export", str(work / "out.onnx"), "--save", str(work / "saved")]
    done = command(reads, argv, work, {"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    assert (work / "out.onnx").is_file() and not list(work.glob("secateur-?[!a]*"))


@as_another
def test_a_project_that_may_not_be_written_is_told_before_the_work(mine: Path, tmp_path: Path) -> None:
    assert main(["prune", f"{mine}/model.py:make", *CUT, "--save", str(mine / "saved")]) == 0
    (mine / "saved").chmod(0o500)
    (work := tmp_path / "work").mkdir()
    try:
        for name in ("measure", "baselines"):
            argv = [name, str(mine / "saved"), "--trust-code"]
            done = command(["--inh-caps=-dac_override", "--bounding-set=-dac_override"], argv, work, dict(os.environ))
            assert done.returncode == 1 and "No permission to write to" in done.stderr and at_once(done.stderr), (
                done.stderr
            )
    finally:
        (mine / "saved").chmod(0o700)
