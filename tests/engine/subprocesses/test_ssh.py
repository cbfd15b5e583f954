"""An address becomes a command of ssh, and nothing of it an option or a second command; what it says is a sentence."""

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.subprocesses.ssh import Address, read_address, ssh_refusal


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
    with pytest.raises(SecateurError, match="is no address of a machine"):
        read_address(text)


def test_the_command_leaves_the_users_configuration_as_it_is() -> None:
    command = read_address("ssh://me@gpu:22").running("exec run", asks=False)
    assert command[0] == "ssh" and command[-3:] == ["--", "gpu", "exec run"]
    assert command[command.index("-p") + 1] == "22" and command[command.index("-l") + 1] == "me"
    assert "BatchMode=yes" in command and "BatchMode=yes" not in Address("gpu").running("exec run", asks=True)
    assert not {"-F", "-i", "-J"} & set(command) and "StrictHostKeyChecking" not in " ".join(command)


def test_what_a_program_there_says_is_no_refusal_of_ssh() -> None:
    log = "me@gpu: Permission denied (publickey)."
    said = ssh_refusal("gpu", 255, log)
    assert said is not None and said.code == "remote.refused_login"
    assert ssh_refusal("gpu", 1, log) is None and ssh_refusal("gpu", 255, "something else") is None
