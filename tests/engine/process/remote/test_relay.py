"""The program that ssh starts on the other machine: what it says where it cannot start an engine."""

import sys
from pathlib import Path

import pytest

from secateur.engine.process.remote.protocol import refusal
from secateur.engine.process.remote.relay import TRIAL, main
from secateur.engine.process.remote.remote_folders import engine_folder
from secateur.engine.subprocesses.ssh import Address

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")


def test_a_full_disk_is_said_before_an_engine_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = engine_folder("abcdefgh")
    (folder / TRIAL).symlink_to("/dev/full")
    assert main(["abcdefgh"]) == 1
    said = capsys.readouterr().err
    assert refusal(Address("gpu"), 1, said).message.code == "remote.disk_full" and not (folder / TRIAL).is_symlink()
    assert not (folder / "log").exists()
