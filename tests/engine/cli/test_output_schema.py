"""What `--json` prints has a schema of its own, with a version and a verdict that scripts can act on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from secateur.engine.cli.commands import COMMANDS
from secateur.engine.cli.main import main
from secateur.engine.cli.output import INFEASIBLE_CODES, SCHEMA_VERSION, Outcome, Verdict, error_as_json
from secateur.engine.errors import Message
from secateur.engine.planning.goal_verdict import goal_verdict
from secateur.engine.planning.protocol import Cost, QualityLimits, Reached
from secateur.engine.tasks.protocol import ClassLoss, Metric, Split
from tests.engine.session.small import write_project

from .output_schema import described, problems

Capture = pytest.CaptureFixture[str]


def printed(argv: list[str], capsys: Capture, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*argv, "--json"]) == code
    out = capsys.readouterr().out
    assert problems(out) == []
    return json.loads(out)


def test_every_command_is_described() -> None:
    Draft202012Validator.check_schema(described())
    every = {f"#/$defs/command-{name}" for name in COMMANDS}
    assert {one["$ref"] for one in described()["oneOf"]} == every | {"#/$defs/failure"}
    for name in COMMANDS:
        version = described()["$defs"][f"command-{name}"]["properties"]["schema_version"]
        assert version == {"const": SCHEMA_VERSION}
    assert described()["$defs"]["verdict"]["enum"] == [str(one) for one in Verdict]


def test_a_field_that_is_missing_or_new_is_a_problem(capsys: Capture) -> None:
    content = printed(["completion", "bash"], capsys)
    assert "additional" in problems(json.dumps(content | {"more": 1}))[0].lower()
    assert "required" in problems(json.dumps({name: one for name, one in content.items() if name != "verdict"}))[0]
    assert problems(json.dumps(content | {"command": "other"})) == ["no definition command-other"]


def test_the_schema_is_printed(capsys: Capture) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == described()
    assert printed(["schema"], capsys)["schema"] == described()


def test_commands_on_a_project_print_what_is_described(tmp_path: Path, capsys: Capture) -> None:
    write_project(tmp_path / "mine")
    model = [f"{tmp_path / 'mine/model.py'}:make", "--input", "1x1x8x8", "--threads", "1"]
    project = str(tmp_path / "project")
    done = printed(["prune", *model, "--keep-macs", "60%", "--multiple", "1", "--save", project], capsys)
    assert (done["schema_version"], done["verdict"], done["goal"]["met"]) == (SCHEMA_VERSION, "accept", True)
    (cost,) = done["goal"]["costs"]
    assert (cost["cost"], cost["got"]) == ("macs", done["after"]["macs"]) and "reached" in done["goal"]["sentence"]
    printed(["script", project], capsys)
    printed(["script", project, "--out", str(tmp_path / "again.py")], capsys)
    printed(["report", project, "--out", str(tmp_path / "report.html")], capsys)
    printed(["bundle", project, "--out", str(tmp_path / "small.zip")], capsys)
    printed(["bundle", str(tmp_path / "small.zip")], capsys)
    printed(["export", project, "--to", "pytorch", "--out", str(tmp_path)], capsys)
    assert "hugging-face" in printed(["export", project], capsys)["refused"]
    coarse = printed(["prune", *model, "--keep-macs", "60%", "--multiple", "8"], capsys)
    assert any("Multiples of 2 would keep 59.2%" in note for note in coarse["notes"])
    refused = printed(["prune", *model, "--keep-macs", "0.01%"], capsys, code=1)
    assert (refused["verdict"], refused["error"]["code"]) == ("infeasible", "plan.unreachable")
    wrong = printed(["prune"], capsys, code=2)
    assert (wrong["verdict"], wrong["error"]["code"]) == (None, "cli.usage")
    swept = printed(["sweep", *model, "--budgets", "60%,0.01%", "--multiple", "1"], capsys, code=1)
    assert [point["verdict"] for point in swept["points"]] == ["accept", "infeasible"]
    assert swept["verdict"] == "goal-missed"
    assert printed(["sweep", *model, "--budgets", "0.01%"], capsys, code=1)["verdict"] == "infeasible"


def test_a_loss_over_its_limit_is_a_regression_and_nothing_else_is() -> None:
    def top1(value: float) -> Metric:
        return Metric("top-1", value, 100, 0.01, Split.TEST)

    costs = (Reached(Cost.MACS, 100, 50, 60),)

    def regressed(*asked: Any, **limits: Any) -> bool:
        judged = goal_verdict(*asked, **limits)
        return judged is not None and judged.has_regressed

    assert regressed((), top1(0.9), top1(0.8), 0.05)
    assert not regressed(costs, top1(0.9), top1(0.86), 0.05)
    assert not regressed(costs, top1(0.9), top1(0.2))
    worse = replace(top1(0.89), class_loss=ClassLoss("cat", 0.04, 25), calibration_error=0.06)
    assert regressed((), top1(0.9), worse, quality=QualityLimits(class_loss=0.03))
    assert regressed((), top1(0.9), worse, quality=QualityLimits(calibration_error=0.05))
    assert not regressed((), top1(0.9), worse, quality=QualityLimits(0.04, 0.06))


def test_what_falls_short_is_a_goal_missed_unless_it_is_known_better() -> None:
    assert Outcome({}, "").verdict is Verdict.ACCEPT
    assert Outcome({}, "", "Something is missing.").verdict is Verdict.GOAL_MISSED
    assert Outcome({}, "", "It fell.", Verdict.REGRESSION).as_json()["verdict"] == "regression"
    for code in INFEASIBLE_CODES:
        assert error_as_json(Message(code, "", {}), "", "")["verdict"] == "infeasible"
