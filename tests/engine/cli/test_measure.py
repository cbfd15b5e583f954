"""`secateur measure`: a project's states on a target here, and on another machine by way of a bench."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.cli.main import main
from secateur.engine.session.export_cache import Artifacts
from secateur.engine.session.state_history import StateHistory
from tests.engine.targets.stand_in_ssh import reach_this_machine

pytestmark = pytest.mark.end_to_end

CODE = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> str:
    tmp_path = tmp_path_factory.mktemp("mine")
    (tmp_path / "model.py").write_text(CODE)
    goal = ["--input", "1x6", "--keep-macs", "50%", "--multiple", "1", "--criterion", "l1"]
    assert main(["prune", f"{tmp_path / 'model.py'}:make", *goal, "--save", str(tmp_path / "project")]) == 0
    return str(tmp_path / "project")


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["measure", *arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_the_states_of_a_project_are_measured_here_and_elsewhere(
    project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = measured(capsys, project, "--batch", "4", "--precision", "int8")
    assert set(here["timings"]) == {"s0", "s1"}
    written = measured(capsys, project, "--runtime", "torch", "--batch", "2", "--bench", str(tmp_path / "away"))
    command = [sys.executable, *written["run"].split()[1:], "--seconds", "0.05"]
    subprocess.run(command, cwd=tmp_path / "away", check=True, capture_output=True)
    there = measured(capsys, project, "--results", str(tmp_path / "away" / "results.json"))
    assert there["timings"]["s1"]["target"]["machine"] and there["timings"]["s1"]["target"]["batch"] == 2
    history = StateHistory(Path(project))
    history.read()
    places = [[(t.target.precision, t.target.batch) for t in state.timings] for state in history.states.values()]
    assert places == [[("int8", 4), ("fp32", 2)]] * 2
    assert main(["measure", project, "--results", str(tmp_path / "away" / "results.json")]) == 0
    assert "times as fast" in (out := capsys.readouterr().out) and "onnxruntime, 1 thread, batch 2, fp32" in out


@pytest.mark.skipif(sys.platform == "win32", reason="a shell stands in for the other machine")
def test_another_machine_measures_by_one_command(
    project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach_this_machine(tmp_path, monkeypatch)
    address = f"ssh://me@board{sys.executable}"
    there = measured(capsys, project, "--over-ssh", address, "--provider", "CPUExecutionProvider")
    assert there["timings"].keys() == {"s0", "s1"} and there["timings"]["s1"]["target"]["machine"] == "board"
    speeds = there["timings"]["s1"]
    assert speeds["beside"] > 0 and speeds["target"]["address"] == ""  # who and where is not written down
    assert main(["measure", project, "--over-ssh", address, "--provider", "NoSuch"]) == 1
    assert "board failed: onnxruntime has no NoSuchExecutionProvider; it has" in capsys.readouterr().err
    monkeypatch.setattr(Artifacts, "file", None)  # what is certain to fail there is said before a file is written
    assert main(["measure", project, "--over-ssh", "ssh://board/no/python", "--batch", "2"]) == 1
    assert "There is no /no/python on board." in capsys.readouterr().err


def test_what_cannot_be_measured_is_said_in_words(
    project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", project, "--precision", "bf16"]) == 1
    assert "ONNX Runtime measures only in fp32 and int8" in capsys.readouterr().err
    assert main(["measure", project, "--precision", "int8", "--bench", str(tmp_path / "away")]) == 1
    assert "only in fp32, not in int8. Choose fp32 for the target. (--precision)" in capsys.readouterr().err
    results = {
        "schema": 1,
        "machine": {"name": "a", "processor": "b", "cores": 2, "onnxruntime": "1"},
        "target": {"runtime": "onnxruntime", "threads": 1, "batch": 1},
        "models": [{"file": "s0-other.onnx", "median": 1.0, "low": 1.0, "high": 1.0, "runs": 5}],
    }
    (tmp_path / "r.json").write_text(json.dumps(results))
    assert main(["measure", project, "--results", str(tmp_path / "r.json")]) == 1
    assert "no results of this project's states" in capsys.readouterr().err
