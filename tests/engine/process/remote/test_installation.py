"""This Secateur as a wheel again, and its installation on another machine; what fails there is a sentence."""

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from secateur.engine.process.remote.installation import install_there, write_own_wheel
from secateur.engine.process.remote.protocol import own_version
from secateur.engine.subprocesses.ssh import Address

from ...targets.stand_in_ssh import program, reach_this_machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell stands in for the other machine")
NEVER = NeverCancelled()
TOP = Path(__file__).parents[4]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files of the machine that `ssh` reaches."""
    return reach_this_machine(tmp_path, monkeypatch)


def test_the_wheel_holds_what_is_tracked_below_the_packages_with_hashes(tmp_path: Path) -> None:
    path = write_own_wheel(tmp_path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    described = f"secateur-{own_version()}.dist-info"
    rows = csv.reader(io.StringIO(content[f"{described}/RECORD"].decode()))
    digests = {name: digest for name, digest, _ in rows}
    assert digests.keys() == content.keys()
    package = {f"secateur/{one.relative_to(TOP)}" for top in ("app", "engine") for one in (TOP / top).rglob("*.py")}
    assert package and package <= content.keys()
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert digests[name] in (f"sha256={digest}", "")
    assert b"secateur.app.main" in content[f"{described}/entry_points.txt"]
    assert b"Requires-Dist: torch" in content[f"{described}/METADATA"]
    if (TOP / ".git").exists():
        command = ["git", "-C", str(TOP), "ls-files", "app", "engine", "resources"]
        tracked = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert {f"secateur/{name}" for name in tracked if (TOP / name).is_file()} <= content.keys()


@pytest.mark.end_to_end
def test_pip_there_installs_it_into_the_environment_of_the_address(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    for name in ("PIP_NO_DEPS", "PIP_NO_INDEX"):  # torch would take minutes
        monkeypatch.setenv(name, "1")
    said = [str(one.message) for one in install_there(Address("board", program=f"{environment}/bin/secateur"), NEVER)]
    assert any(one.startswith("Installing on board: ") for one in said)
    assert (environment / "bin" / "secateur").is_file() and not [*there.rglob("*.whl")]
    code = (
        "from importlib.metadata import files, version; "
        "print(version('secateur'), all(one.locate().exists() for one in files('secateur')))"
    )
    command = [str(environment / "bin" / "python3"), "-P", "-c", code]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout.split() == [own_version(), "True"]


FAILS = [
    ("exit 127", "There is no {python} on board. Install Python 3.11 or later there."),
    ("echo '/usr/bin/python3: No module named pip' >&2; exit 1", "has no pip or cannot make environments"),
    ("echo 'ERROR: secateur requires a different Python: 3.9.2 not in >=3.11' >&2; exit 1", "is too old"),
    ("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1", "There is no room for Secateur"),
    ("echo 'me@board: Permission denied (publickey).' >&2; exit 255", "board refused the login"),
    (
        "echo 'ERROR: No matching distribution found for torch>=2.6' >&2; echo '[notice] A new release' >&2; exit 1",
        "could not be installed on board: No matching distribution found for torch>=2.6 (exit code 1).",
    ),
    ("exit 3", "it said nothing (exit code 3)"),
]


@pytest.mark.parametrize(("script", "words"), FAILS)
def test_what_fails_there_is_a_sentence(there: Path, tmp_path: Path, script: str, words: str) -> None:
    python = program(tmp_path / "python3", f"#!/bin/sh\n{script}\n")
    with pytest.raises(SecateurError) as caught:
        finish(install_there(Address("board", program=str(tmp_path / "secateur")), NEVER))
    assert words.format(python=python) in str(caught.value)


def test_a_python_that_takes_no_packages_gets_an_environment_and_a_command(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of what runs there, told that it is a system's own; it notes what it would start."""
    told = tmp_path / "told"
    code = (
        "import subprocess, sys, sysconfig; sys.prefix = sys.base_prefix; "
        f"sysconfig.get_path = lambda _: {str(tmp_path)!r}; "
        f"subprocess.call = lambda words, **_: open({str(told)!r}, 'a').write(' '.join(words[1:5]) + '\\n') and 0; "
        "exec(sys.argv.pop(1))"
    )
    program(tmp_path / "python3", f'#!/bin/sh\nshift\nexec {sys.executable} -c "{code}" "$@"\n')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for managed in (False, True, True):
        told.write_text("")
        if managed:
            (tmp_path / "EXTERNALLY-MANAGED").touch()
        finish(install_there(Address("board", program=str(tmp_path / "secateur")), NEVER))
        lines = told.read_text().splitlines()
        own = tmp_path / "data" / "secateur" / "environment"
        assert lines == ([f"-m venv {own}"] if managed else []) + ["-m pip install --progress-bar"]
        command = tmp_path / "home" / ".local" / "bin" / "secateur"
        assert command.is_symlink() == managed
    assert os.readlink(command) == str(own / "bin" / "secateur")
    told.write_text("")
    for foreign in (lambda: command.write_text("of pip"), lambda: command.symlink_to("/opt/other")):
        command.unlink()
        foreign()
        with pytest.raises(SecateurError, match="belongs to another installation, move it away first"):
            finish(install_there(Address("board", program=str(tmp_path / "secateur")), NEVER))
    assert os.readlink(command) == "/opt/other" and not told.read_text()


def test_a_cancelled_one_ends(there: Path, tmp_path: Path) -> None:
    program(tmp_path / "python3", "#!/bin/sh\nsleep 60\n")
    token = threading.Event()
    job = install_there(Address("board", program=str(tmp_path / "secateur")), token)
    next(job)
    next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
