"""`secateur baselines`: a table and a verdict, kept in the project and in its recipe."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.cli.baselines import common_timing
from secateur.engine.cli.main import main
from secateur.engine.targets.protocol import TargetSpec, Timing
from tests.engine.session.small import write_project

Capture = pytest.CaptureFixture[str]
STOCK = "from torch import nn\n\n\ndef small():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"


@pytest.fixture
def project(tmp_path: Path, capsys: Capture) -> Path:
    spec = write_project(tmp_path / "mine")
    goal = ["--keep-macs", "60%", "--criterion", "l1", "--multiple", "4", "--epochs", "1", "--threads", "1"]
    task = ["--task", str(tmp_path / "mine" / "data.npz")]
    assert main(["prune", spec.source, *task, *goal, "--save", str(tmp_path / "saved"), "--json"]) == 0
    (tmp_path / "stock.py").write_text(STOCK)
    capsys.readouterr()
    return tmp_path / "saved"


def test_all_kinds_as_json_and_as_steps_of_the_recipe(project: Path, capsys: Capture) -> None:
    stock = ["--stock", f"{project.parent / 'stock.py'}:small", "--epochs", "1", "--no-timing"]
    assert main(["baselines", str(project), *stock, "--threads", "1", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in done["baselines"]} == {"random", "scratch", "stock", "magnitude", "uncut"}
    assert all(one["metric"]["n"] == 48 and one["macs"] > 0 for one in done["baselines"])
    assert done["comparison"]["worth"] in (True, False, None) and done["comparison"]["sentences"][0]["code"]
    steps = json.loads((project / "recipe.json").read_text())["steps"]
    assert [one["step"] for one in steps if one["step"] == "baseline"] == ["baseline"] * 5


def test_one_kind_reads_well_and_what_cannot_be_made_is_no_success(project: Path, capsys: Capture) -> None:
    asked = ["--kind", "magnitude", "--kind", "stock", "--no-timing", "--threads", "1"]
    assert main(["baselines", str(project), *asked]) == 1
    captured = capsys.readouterr()
    assert "unstructured magnitude" in captured.out and "top-1 (n = 48)" in captured.out
    assert "Baseline stock not made: No smaller model of the same family" in captured.err


def test_a_stock_model_without_its_kind_is_refused(project: Path, capsys: Capture) -> None:
    assert main(["baselines", str(project), "--kind", "random", "--stock", "torchvision:resnet18"]) == 1
    assert "--kind stock" in capsys.readouterr().err


def test_times_stand_beside_each_other_only_where_all_were_taken_alike() -> None:
    here, away = Timing(TargetSpec(), 2.0, 1, 3, 9, "here"), Timing(TargetSpec(batch=64), 90.0, 1, 3, 9, "here")
    assert common_timing([(here, away), (away, here), (here,)]) == here
    assert common_timing([(here,), (away, here), (here, away)]) == here
    assert common_timing([(away,), (here,)]) is None and common_timing([(), ()]) is None
    assert common_timing([(here,), (replace(here, machine="there"),)]) is None
