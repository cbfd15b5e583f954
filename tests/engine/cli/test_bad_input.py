"""Bad input on the command line: one sentence that says what to do, no traceback, no half-written file, exit code."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine.cli.main import main
from tests.engine.session.small import write_project

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    write_project(folder)
    code, data = folder / "model.py", folder / "data.npz"
    (folder / "truncated.npz").write_bytes(data.read_bytes()[:-400])
    torch.save({"state_dict": {"w": torch.ones(1000)}}, folder / "w.pt")
    (folder / "truncated.pt").write_bytes((folder / "w.pt").read_bytes()[:-300])
    torch.save({"fc.weight": torch.ones(3, 99)}, folder / "misfit.pt")
    torch.save(os.path.join, folder / "pickle.pt")
    raising = code.read_text().replace("return self.fc(", "raise ValueError('no such thing') or self.fc(")
    (folder / "raises.py").write_text(raising)
    (folder / "broken.py").write_text("import torch\ndef make(:\n")
    (folder / "task.py").write_text("def batches(split):\n    x = 1\n    return undefined_name\n")
    (folder / "notes.txt").write_text("no model")
    (folder / "recipe.json").write_text('{"schema": 1, "steps": [')
    return folder


MAKE = "{mine}/model.py:make"
SHAPE = ["--input", "1x1x8x8"]

CASES: dict[str, tuple[list[str], str]] = {
    "no such model": (["inspect", "nothing:at all"], "Unknown model"),
    "a file that is no model": (["inspect", "{mine}/notes.txt"], "not the model's code"),
    "a torchvision name that does not exist": (["inspect", "torchvision:resnet19"], "resnet19"),
    "a callable that does not exist": (["inspect", "{mine}/model.py:build"], "build"),
    "a file with a syntax error": (["inspect", "{mine}/broken.py:make"], "line 2"),
    "no input shape": (["inspect", MAKE], "(--input, --task)"),
    "an input that does not fit": (["inspect", MAKE, "--input", "1x3x8x8"], "channels"),
    "a forward that raises": (["inspect", "{mine}/raises.py:make", *SHAPE], "no such thing"),
    "a truncated checkpoint": (["inspect", MAKE, *SHAPE, "--weights", "{mine}/truncated.pt"], "damaged"),
    "a missing checkpoint": (["inspect", MAKE, *SHAPE, "--weights", "{mine}/none.pt"], "none.pt"),
    "a checkpoint that is none": (["inspect", MAKE, *SHAPE, "--weights", "{mine}/notes.txt"], "not a checkpoint"),
    "a checkpoint of another model": (["inspect", MAKE, *SHAPE, "--weights", "{mine}/misfit.pt"], "does not fit"),
    "a pickle without consent": (["inspect", MAKE, *SHAPE, "--weights", "{mine}/pickle.pt"], "--trust-pickle"),
    "truncated data": (["prune", MAKE, "--task", "{mine}/truncated.npz"], "truncated.npz"),
    "missing data": (["prune", MAKE, "--task", "{mine}/none.npz"], "does not exist"),
    "a task that raises": (["prune", MAKE, "--task", "{mine}/task.py", *SHAPE], "line 3"),
    "a goal that cannot be reached": (["prune", MAKE, *SHAPE, "--keep-macs", "0.01%"], "MACs"),
    "epochs without data": (["prune", MAKE, *SHAPE, "--epochs", "2"], "--task"),
    "an export into no folder": (["prune", MAKE, *SHAPE, "--export", "{mine}/none/out.onnx"], "does not exist"),
    "an export over files of others": (
        ["prune", MAKE, *SHAPE, "--export", "{mine}", "--overwrite"],
        "already holds other files",
    ),
    "an export to a file that is not written": (
        ["prune", MAKE, *SHAPE, "--export", "{mine}/a.pth"],
        "Cannot export to a .pth file",
    ),
    "an export below a file": (["prune", MAKE, *SHAPE, "--export", "{mine}/notes.txt/out.onnx"], "does not exist"),
    "an export over a folder": (["prune", MAKE, *SHAPE, "--export", "{mine}/dir.onnx"], "is a folder"),
    "a recipe that is no JSON": (["run", "{mine}/recipe.json"], "not valid JSON"),
    "a missing recipe": (["run", "{mine}/none.json"], "Cannot read"),
}


AT_WORK = {
    "an input that does not fit",
    "a forward that raises",
    "a task that raises",
    "a goal that cannot be reached",
    "epochs without data",
    "an export into no folder",
    "an export to a file that is not written",
    "an export below a file",
    "an export over a folder",
    "an export over files of others",
}
"""What is no fault of a file that was named, and so ends with 1."""


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_a_sentence_and_leaves_nothing_behind(mine: Path, case: str, capsys: Capture) -> None:
    (mine / "dir.onnx").mkdir()
    argv, words = CASES[case]
    before = [p for p in sorted(mine.rglob("*")) if "__pycache__" not in p.parts]
    assert main([part.format(mine=mine) for part in argv] + ["--json"]) == (1 if case in AT_WORK else 2)
    captured = capsys.readouterr()
    message = json.loads(captured.out)["error"]["message"]
    assert words in message and message in captured.err
    assert "Traceback" not in captured.err and "\n" not in message
    assert [p for p in sorted(mine.rglob("*")) if "__pycache__" not in p.parts] == before


def test_data_with_other_classes_is_a_sentence(mine: Path, capsys: Capture) -> None:
    code = mine / "model.py"
    code.write_text(code.read_text().replace("make(classes=3)", "make(classes=5)"))
    assert main(["prune", f"{code}:make", "--task", str(mine / "data.npz")]) == 1
    assert "3 classes, but the model has 5 outputs" in capsys.readouterr().err


HUNGRY = """
import torch


class Hungry(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = torch.nn.Linear(8, 3)

    def forward(self, x):
        x = x.mean((1, 2))
        return self.rows(x + 0 * torch.empty(1 << 47).sum() if len(x) > 2 else x)


make = Hungry
"""


def test_a_lack_of_memory_says_what_to_lower(mine: Path, capsys: Capture) -> None:
    (mine / "hungry.py").write_text(HUNGRY)
    assert main(["prune", f"{mine}/hungry.py:make", "--task", str(mine / "data.npz")]) == 1
    told = "Out of memory: another 562,949,953 MB were needed. Lower the batch size "
    err = capsys.readouterr().err
    assert told in err and "(--batch)" in err


def test_details_name_the_keys_of_a_misfit(mine: Path, capsys: Capture) -> None:
    argv = ["inspect", f"{mine}/model.py:make", *SHAPE, "--weights", f"{mine}/misfit.pt"]
    assert main(argv) == 2
    brief = capsys.readouterr().err.partition("does not fit")[2].splitlines()
    assert len(brief) == 3 and "--verbose shows the rest" in brief[2]
    assert main([*argv, "--verbose"]) == 2
    err = capsys.readouterr().err
    assert "fc.weight: [3, 16] in the model, [3, 99] in the checkpoint" in err and "missing: stem.weight" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_export_folder_without_permission_is_refused_before_the_work(mine: Path, capsys: Capture) -> None:
    locked = mine / "locked"
    locked.mkdir(mode=0o500)
    assert main(["prune", f"{mine}/model.py:make", *SHAPE, "--export", str(locked / "out.onnx")]) == 1
    captured = capsys.readouterr()
    assert "No permission to write" in captured.err and "Recording" not in captured.err


def test_a_failure_after_the_work_leaves_no_file(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    from secateur.engine.export import export_process

    def broken(*_: object, **__: object) -> Callable[..., object]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_process, "_write_and_check", broken)
    before = sorted(p for p in mine.rglob("*") if "__pycache__" not in p.parts)
    argv = ["prune", f"{mine}/model.py:make", *SHAPE, "--multiple", "1", "--export", str(mine / "out.onnx")]
    assert main(argv) == 1
    assert "disk is full" in capsys.readouterr().err
    assert sorted(p for p in mine.rglob("*") if "__pycache__" not in p.parts) == before


def test_wrong_usage_is_an_object_too(capsys: Capture) -> None:
    assert main(["prune", "bundled:resnet", "--keep-macs", "150%", "--json"]) == 2
    out, err = capsys.readouterr()
    assert "150%" in json.loads(out)["error"]["message"] and "usage:" in err


def test_a_forward_that_exits_is_a_sentence(mine: Path, capsys: Capture) -> None:
    code = (mine / "model.py").read_text().replace("return self.fc(", "raise SystemExit(0) or self.fc(")
    (mine / "exits.py").write_text(code)
    assert main(["inspect", f"{mine}/exits.py:make", *SHAPE, "--json"]) == 1
    assert "SystemExit" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_traceback_without_its_first_line_is_folded_too(mine: Path, capsys: Capture) -> None:
    assert main(["inspect", f"{mine}/model.py:make", "--input", "1x3x8x8"]) == 1
    assert 'File "' not in capsys.readouterr().err


def test_images_with_other_channels_are_told_in_words(mine: Path, capsys: Capture) -> None:
    rng = np.random.default_rng(0)
    np.savez(mine / "colour.npz", x=rng.random((30, 3, 8, 8), dtype=np.float32), y=np.arange(30) % 3)
    assert main(["prune", f"{mine}/model.py:make", "--task", f"{mine}/colour.npz"]) == 1
    assert "The images have 3 channels, but the model takes 1" in capsys.readouterr().err
