"""`secateur changes`: a table, a file and JSON of what got worse."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from secateur.engine.cli.main import main
from tests.engine.session.small import write_project

from .output_schema import problems

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, capsys: Capture) -> Path:
    """A pruned model that was not recovered: it loses something."""
    spec = write_project(tmp_path / "mine")
    goal = ["--keep-macs", "50%", "--criterion", "l1", "--multiple", "4", "--epochs", "1", "--threads", "1"]
    task = ["--task", str(tmp_path / "mine" / "data.npz")]
    assert main(["prune", spec.source, *task, *goal, "--save", str(tmp_path / "saved"), "--json"]) == 0
    capsys.readouterr()
    return tmp_path / "saved"


def printed(argv: list[str], capsys: Capture) -> dict[str, object]:
    """What is printed as JSON, which is as described."""
    assert main([*argv, "--json"]) == 0
    out = capsys.readouterr().out
    assert problems(out) == []
    return json.loads(out)


def test_original_and_result_are_compared_on_what_both_were_evaluated_on(project: Path, capsys: Capture) -> None:
    """A table of classes, those that lost most first, and a sentence on top of it."""
    assert main(["changes", str(project), "--threads", "1"]) == 0
    captured = capsys.readouterr()
    assert "on the test split (n = 48)" in captured.out and "McNemar's test" in captured.out
    assert "Evaluating" not in captured.err  # they were kept
    assert {"left", "middle", "right"} <= set(captured.out.split()) and "also --by sample" in captured.out


def test_json_and_file_have_the_same_table(project: Path, capsys: Capture, tmp_path: Path) -> None:
    """Of two states by name, on another split."""
    file = tmp_path / "classes.csv"
    asked = ["changes", str(project), "--state", "s0", "s1", "--split", "val", "--csv", str(file), "--threads", "1"]
    done = printed(asked, capsys)
    assert (done["before"], done["after"], done["split"], done["paired"]) == ("s0", "s1", "val", True)
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["class"] for row in rows] == ["left", "middle", "right"]
    groups = done["groups"]["class"]  # type: ignore[index]
    np.testing.assert_allclose([float(row["after"]) for row in rows], [one["after"] for one in groups])
    assert main(asked) != 0 and "exists" in capsys.readouterr().err
    assert main([*asked, "--overwrite"]) == 0


def test_samples_are_listed_when_they_are_asked_for(project: Path, capsys: Capture) -> None:
    """All of them in a file, the first ones for a person."""
    assert main(["changes", str(project), "--by", "sample", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "confidence_in_class_before" in out and "and 18 more" in out


def test_a_class_that_loses_more_than_is_allowed_fails_the_command(project: Path, capsys: Capture) -> None:
    """With the verdict that scripts can act on; a limit that is met is said, too."""
    asked = ["changes", str(project), "--threads", "1"]
    done = printed([*asked, "--max-class-loss", "100%", "--max-calibration-error", "100%"], capsys)
    assert done["verdict"] == "accept" and [one["met"] for one in done["limits"]] == [True, True]  # type: ignore[attr-defined]
    worst = max(one["before"] - one["after"] for one in done["groups"]["class"])  # type: ignore[index]
    assert done["limits"][0]["got"] == pytest.approx(worst)  # type: ignore[index]
    assert main([*asked, "--max-calibration-error", "0.001%", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["verdict"] == "regression" and "allowed 0.0 %" in captured.err


def test_prune_judges_limits_besides_the_metric_as_changes_does(capsys: Capture, tmp_path: Path) -> None:
    """What is there is taken up under a limit that is new, and a project's report says what it was asked."""
    spec, saved, other = write_project(tmp_path / "mine"), str(tmp_path / "saved"), str(tmp_path / "other")
    model = [spec.source, "--task", str(tmp_path / "mine" / "data.npz")]
    goal = ["--keep-macs", "30%", "--no-recover", "--criterion", "random", "--threads", "1", "--json"]
    assert main(["prune", *model, *goal, "--save", saved]) == 0
    assert json.loads(capsys.readouterr().out)["goal"]["quality"] == []
    changed = printed(["changes", saved], capsys)
    worst = max(one["before"] - one["after"] for one in changed["groups"]["class"])  # type: ignore[index]
    limits = ["--max-class-loss", "10%", "--max-calibration-error", "99%"]
    assert worst > 0.1 and main(["prune", saved, *goal, *limits, "--save", saved]) == 1
    captured = capsys.readouterr()
    assert "Resuming" in captured.err and problems(captured.out) == []
    done = json.loads(captured.out)
    limited, calibrated = done["goal"]["quality"]
    assert done["verdict"] == "regression" and "worst class" in done["goal"]["sentence"]
    assert limited["got"] == pytest.approx(worst) and (limited["met"], calibrated["met"]) == (False, True)
    assert calibrated["got"] == pytest.approx(changed["calibration"][1]["error"])  # type: ignore[index]
    assert main(["prune", *model, *goal, *limits, "--save", other]) == 1
    assert main(["report", other, "--out", str(tmp_path / "report.html")]) == 0
    assert "worst class" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_limits_that_the_data_cannot_show_are_refused_before_the_cut(tmp_path: Path, capsys: Capture) -> None:
    """A regression has neither classes nor confidences, and without data nothing is limited."""
    values = {
        f"{part}_{split}": np.random.rand(16, 2).astype("f4") for part in "xy" for split in ("train", "val", "test")
    }
    np.savez(tmp_path / "data.npz", **values)  # pyright: ignore[reportArgumentType] - numpy reads its own flags into **
    layers = "nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))"
    code = f"from torch import nn\n\n\ndef make():\n    return {layers}\n"
    (tmp_path / "net.py").write_text(code)
    asked = ["prune", f"{tmp_path / 'net.py'}:make", "--threads", "1", "--no-recover"]
    with_data = [*asked, "--task", str(tmp_path / "data.npz"), "--purpose", "regression"]
    for limit, words in (("--max-class-loss", "no classes"), ("--max-calibration-error", "no confidences")):
        assert main([*with_data, limit, "3%"]) != 0
        captured = capsys.readouterr()
        assert words in captured.err and "Verifying" not in captured.err
        assert main([*asked, "--input", "1x2", limit, "3%"]) != 0
        assert f"{limit} needs data" in capsys.readouterr().err


def test_what_is_cut_on_trial_is_compared_with_the_result(project: Path, capsys: Capture) -> None:
    """By layer and numbers; the project has no further state, and nothing that was named is no trial."""
    asked = ["changes", str(project), "--threads", "1", "--without", "block.conv1"]
    kept = {path for path in project.rglob("*") if "predictions" not in str(path)}
    done = printed([*asked, "--numbers", "0-11"], capsys)
    assert (done["before"], done["after"], done["split"], done["paired"]) == ("s2", "trial", "val", True)
    assert {path for path in project.rglob("*") if "predictions" not in str(path)} == kept
    assert main([*asked, "--numbers", "900"]) != 0
    assert "Nothing is marked" in capsys.readouterr().err
    assert main([*asked, "--split", "test"]) != 0
    assert "val split" in capsys.readouterr().err
    assert main(["changes", str(project), "--numbers", "1"]) != 0
    assert "--without LAYER" in capsys.readouterr().err


def test_an_unknown_table_or_state_is_refused(project: Path, capsys: Capture) -> None:
    """With what there is."""
    assert main(["changes", str(project), "--by", "weather"]) != 0
    assert "Choose one of: class, sample" in capsys.readouterr().err
    assert main(["changes", str(project), "--state", "s0", "s7"]) != 0
    assert "no state s7" in capsys.readouterr().err


def test_columns_of_a_table_are_slices(tmp_path: Path, capsys: Capture) -> None:
    """A column that no input is made of, with words; and numbers in ranges."""
    random = np.random.default_rng(0)
    lines = ["a,b,site,label"]
    for number in range(400):
        a, b = random.normal(size=2)
        lines.append(f"{a:.4f},{b:.4f},{'north' if number % 3 else 'south'},{int(a + b > 0)}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    code = (
        "import torch\nfrom torch import nn\n\n\ndef make():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))\n"
    )
    (tmp_path / "net.py").write_text(code)
    task = ["--task", str(tmp_path / "data.csv"), "--features", "a,b"]
    goal = ["--keep-params", "60%", "--epochs", "1", "--threads", "1", "--save", str(tmp_path / "saved")]
    assert main(["prune", f"{tmp_path / 'net.py'}:make", *task, *goal, "--json"]) == 0
    capsys.readouterr()
    done = printed(["changes", str(tmp_path / "saved"), "--threads", "1"], capsys)
    groups = done["groups"]
    assert isinstance(groups, dict) and {"class", "a", "b", "site"} == set(groups)
    assert [one["site"] for one in groups["site"]] == ["north", "south"]
    assert len(groups["a"]) == 4 and sum(one["n"] for one in groups["a"]) == done["n"]
