"""How a newer version comes is told by what the installers leave beside this one."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from secateur.engine.machine import installation
from secateur.engine.machine.installation import BILL, PIPX, UV, command_to_install, how_to_update


class Told:
    """What an installer has noted of where it took the distribution from."""

    def __init__(self, **noted: object) -> None:
        self.noted = noted

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self.noted) if self.noted else None


CLONE = Told(url="file:///home/me/a%20clone", dir_info={})


@pytest.mark.parametrize(
    ("beside", "told", "says"),
    [
        (BILL, Told(), "in place of {prefix}."),
        (UV, CLONE, "in /home/me/a clone, then run: uv tool install --reinstall '/home/me/a clone[gui]'"),
        (PIPX, CLONE, "then run: pipx install --force '/home/me/a clone[gui]'"),
        ("", CLONE, "then run: {python} -m pip install '/home/me/a clone[gui]'"),
        (
            "",
            Told(url="file:///my%20install%20files", dir_info={"editable": True}),
            "{python} -m pip install -e '/my install files[gui]'",
        ),
        ("", Told(), "newer version: {python} -m pip install secateur-VERSION-py3-none-any.whl"),
        ("", Told(url="https://example.org/a.whl", archive_info={}), "-VERSION-py3-none-any.whl"),
    ],
)
def test_a_newer_version_comes_as_this_one_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: str, told: Told, says: str
) -> None:
    if beside:
        (tmp_path / beside).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/opt/python")
    monkeypatch.setattr(metadata, "distribution", lambda _name: told)
    words = str(how_to_update())
    assert words.startswith("Updates are never fetched.")
    assert words.endswith(says.format(prefix=tmp_path, python="/opt/python"))


def test_an_environment_without_pip_gets_packages_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _name: None)
    monkeypatch.setattr(sys, "executable", "/opt/a python")
    assert command_to_install("secateur[timm]") == "uv pip install --python '/opt/a python' 'secateur[timm]'"
