"""`secateur prune` says what to expect before the recovery begins, and repeats it in its JSON."""

import functools
import json
from pathlib import Path

import pytest

from secateur.engine.cli import prune
from secateur.engine.cli.main import main
from secateur.engine.recovery.expected_result import BenchmarkPoint, Family, expectation
from tests.engine.session.small import write_project

Capture = pytest.CaptureFixture[str]
POINT = BenchmarkPoint(
    family=Family.CONVOLUTIONAL,
    subject="a ResNet",
    parameters=7203,
    classes=3,
    kept=0.55,
    metric="top-1",
    percent=True,
    original=0.9,
    cut=0.3,
    recovered=0.88,
    epochs=2,
    how="2 epochs",
    source="fashion a/cell",
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(prune, "expectation", functools.partial(expectation, points=[POINT]))
    spec = write_project(tmp_path / "mine", count=96)
    goal = ["--keep-macs", "60%", "--criterion", "l1", "--multiple", "4", "--threads", "1"]
    return ["prune", spec.source, "--task", str(tmp_path / "mine" / "data.npz"), "--batch", "8", *goal]


def test_the_sentence_stands_before_the_recovery(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--epochs", "1"]) == 0
    said = capsys.readouterr().err
    assert "went from 90.0 % to 30.0 % with the cut and was 88.0 % after 2 epochs" in said
    assert "are normal" in said
    assert said.index("What to expect") < said.index("Fine-tuning")


def test_json_repeats_it_and_nothing_is_said_where_nothing_is_recovered(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--epochs", "1", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["expected"]["code"] == "recovery.expect_low" and "a ResNet" in done["expected"]["text"]
    assert main([*command, "--no-recover", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expected"] is None
