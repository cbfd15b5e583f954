"""An address becomes a command of ssh, and nothing of it an option or a second command; refusals are sentences."""

import shlex

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.process.remote.address import Address, read_address
from secateur.engine.process.remote.refusals import refusal


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
