"""What is said on another machine, or by `ssh`, where no engine answers."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.engine.process.remote.protocol import engine_command, refusal
from secateur.engine.subprocesses.ssh import Address


def test_what_runs_there_is_quoted() -> None:
    command = engine_command(Address("gpu", program="/opt/a; evil/secateur"), "abc12345")
    assert shlex.split(command) == ["exec", "/opt/a; evil/secateur", "engine", "abc12345"]


@pytest.mark.parametrize(
    ("exitcode", "log", "code", "words"),
    [
        (
            255,
            "ssh: Could not resolve hostname gpu: Name or service not known",
            "remote.unknown_host",
            "gpu is not known",
        ),
        (255, "me@gpu: Permission denied (publickey).", "remote.refused_login", "gpu refused the login"),
        (255, "Host key verification failed.", "remote.unknown_key", "key of gpu is unknown"),
        (255, "ssh: connect to host gpu port 22: Connection refused", "remote.unreachable", "(Connection refused)"),
        (127, "sh: 1: exec: secateur: not found", "remote.no_program", "not installed on gpu"),
        (127, "Python 3.11.2", "remote.no_program", "not installed on gpu"),
        (127, "Python 3.9.18", "remote.old_python", "gpu has Python 3.9. Install"),
        (127, "sh: 1: python3: not found\nno python3", "remote.no_python", "There is no Python on gpu"),
        (1, "[Errno 28] No space left on device: '/home/me'", "remote.disk_full", "home folder on gpu is full"),
        (
            1,
            "Traceback\nModuleNotFoundError: No module named 'numpy'",
            "remote.failed",
            "No module named 'numpy' (exit",
        ),
        (0, "", "remote.failed", "it said nothing"),
    ],
)
def test_what_ssh_says_is_a_sentence(exitcode: int, log: str, code: str, words: str) -> None:
    error = refusal(Address("gpu"), exitcode, log)
    assert error.message.code == code and words in str(error) and error.details == log


def test_a_path_of_the_program_that_is_none_is_named() -> None:
    error = refusal(Address("gpu", program="/opt/secateur"), 127, "bash: /opt/secateur: No such file or directory")
    assert str(error) == "There is no /opt/secateur on gpu. Check the path of secateur there."


@pytest.mark.skipif(sys.platform == "win32", reason="shells of the other machine")
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_where_no_program_is_found_the_other_machine_says_which_python_it_has(shell: str, tmp_path: Path) -> None:
    def run(path: str) -> subprocess.CompletedProcess[str]:
        command = engine_command(Address("gpu"), "abc12345")
        environment = {"HOME": str(tmp_path), "PATH": path}
        found = shutil.which(shell)
        return subprocess.run([str(found), "-c", command], env=environment, capture_output=True, text=True, timeout=180)

    empty, place = tmp_path / "empty", tmp_path / ".local" / "bin"
    empty.mkdir()
    (empty / "sh").symlink_to("/bin/sh")
    done = run(str(empty))
    assert refusal(Address("gpu"), done.returncode, done.stderr).message.code == "remote.no_python"
    (empty / "python3").write_text("#!/bin/sh\necho Python 3.12.1\n")
    (empty / "python3").chmod(0o755)
    done = run(str(empty))
    assert refusal(Address("gpu"), done.returncode, done.stderr).message.code == "remote.no_program"
    place.mkdir(parents=True)
    (place / "secateur").write_text('#!/bin/sh\necho "here: $*"\n')
    (place / "secateur").chmod(0o755)
    assert run(str(empty)).stdout == "here: engine abc12345\n"
