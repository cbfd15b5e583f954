"""`secateur doctor` names what is missing or broken, and the command that brings it."""

import json
import tomllib
from pathlib import Path

import pytest

from secateur.engine.cli import doctor
from secateur.engine.cli.doctor import EXTRAS, command_for, list_packages, load
from secateur.engine.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
NOT_FOR_USERS = {"bench", "test", "dev"}


def test_every_extra_for_users_is_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert EXTRAS.keys() == project["optional-dependencies"].keys() - NOT_FOR_USERS


def test_what_is_missing_old_or_broken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(doctor.MODULES, "safetensors", "broken_one")
    (tmp_path / "broken_one.py").write_text("raise OSError('libmissing.so: no such file')")
    found = list_packages(
        [
            "packaging>=20",
            "filelock>=99999",
            "no-such-package>=1",
            "safetensors",
            'msgspec>=0.1; extra == "timm"',
            'no-such-extra; extra == "timm"',
            'filelock; extra == "dev"',
            "other; python_version < '3'",
        ]
    )
    told = {one.name: (one.extra, bool(one.version), one.fault) for one in found}
    assert told["packaging"] == ("", True, "") and told["msgspec"] == ("timm", True, "")
    assert told["filelock"][2].endswith(" is not >=99999") and told["filelock"][1]
    assert told["no-such-package"] == ("", False, "not installed")
    assert told["safetensors"] == ("", True, "OSError: libmissing.so: no such file")
    assert told["no-such-extra"] == ("timm", False, "not installed") and len(found) == 6
    commands = {one.name: command_for(one).partition(" ")[2] for one in found}
    assert commands["no-such-package"] == "-m pip install 'no-such-package>=1'"
    assert commands["no-such-extra"] == "-m pip install 'secateur[timm]'"


def test_a_package_that_takes_the_process_down_is_named_and_the_others_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "deadly.py").write_text("import os; os.abort()")
    found = load(["json", "deadly", "this_is_not_there", "csv"])
    assert found["json"] == found["csv"] == "" and "dies" in found["deadly"]
    assert found["this_is_not_there"].startswith("ModuleNotFoundError")


def test_a_needed_package_that_is_broken_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor.metadata, "requires", lambda _name: ["no-such-package>=1", "filelock"])
    assert main(["doctor", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["verdict"] == "goal-missed"
    assert "no-such-package: not installed. Install it: " in printed.err
    monkeypatch.setattr(doctor.metadata, "requires", lambda _name: ["filelock"])
    assert main(["doctor"]) == 0
    assert "filelock" in (out := capsys.readouterr().out) and "Computes with\n  cpu  " in out and " free of " in out
    assert out.rstrip().splitlines()[-1].startswith("Updates are never fetched. ")
    assert main(["doctor", "--json"]) == 0
    assert "cpu" in [one["name"] for one in json.loads(capsys.readouterr().out)["devices"]]
