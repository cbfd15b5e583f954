"""An address becomes a command of ssh, and nothing of it an option or a second command; refusals are sentences."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.process.remote.refusals import refusal
from secateur.engine.subprocesses.ssh import Address, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://gpu", Address("gpu")),
        (" ssh://me@gpu.example.org:2222 ", Address("gpu.example.org", "me", 2222)),
        ("ssh://me@[fe80::1]:22/opt/my venv/bin/secateur", Address("fe80::1", "me", 22, "/opt/my venv/bin/secateur")),
        ("ssh://gpu/", Address("gpu")),
    ],
)
def test_an_address_is_read_and_written_as_people_write_it(text: str, address: Address) -> None:
    assert read_address(text) == address and read_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "gpu",
        "http://gpu",
        "ssh://",
        "ssh://-oProxyCommand=evil",
        "ssh://-l@gpu",
        "ssh://me@-gpu",
        "ssh://gpu:99999",
        "ssh://gpu;evil",
        "ssh://gpu evil",
        "ssh://$(evil)",
        "ssh://a@b@c",
        "ssh://gpu\n-oProxyCommand=evil",
        "ssh://gpu/bin/a\nevil",
    ],
)
def test_what_could_be_an_option_or_a_command_is_no_address(text: str) -> None:
    with pytest.raises(SecateurError, match="is no address of an engine"):
        read_address(text)


def test_the_command_leaves_the_users_configuration_and_quotes_what_runs_there() -> None:
    command = read_address("ssh://me@gpu:22/opt/a; evil/secateur").command("abc12345", asks=False)
    assert command[0] == "ssh" and command[-3:-1] == ["--", "gpu"]
    assert shlex.split(command[-1]) == ["exec", "/opt/a; evil/secateur", "engine", "abc12345"]
    assert command[command.index("-p") + 1] == "22" and command[command.index("-l") + 1] == "me"
    assert "BatchMode=yes" in command and "BatchMode=yes" not in Address("gpu").command("abc12345", asks=True)
    assert not {"-F", "-i", "-J"} & set(command) and "StrictHostKeyChecking" not in " ".join(command)


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
        command = Address("gpu").command("abc12345", asks=False)[-1]
        environment = {"HOME": str(tmp_path), "PATH": path}
        found = shutil.which(shell)
        return subprocess.run([str(found), "-c", command], env=environment, capture_output=True, text=True, timeout=20)

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
