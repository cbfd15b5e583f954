"""Another machine: `ssh://user@host:port/path/of/program`, the command of the user's own `ssh` for it, what that says.

Whatever an address holds, it can never become an option of `ssh`, nor a second command on the other machine.
"""

import re
import subprocess
from dataclasses import dataclass

from ..errors import Message, SecateurError
from ..machine.operating_system import no_console

SCHEME = "ssh://"
_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<program>/[^\x00-\x1f]*)?"
)
ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=20")
"""A connection that was cut without a word is noticed within a quarter of a minute."""


FAILED = 255
"""Exit code of `ssh` where it is `ssh` that failed."""
UNREACHABLE = (
    "remote.unreachable",
    "{host} cannot be reached ({reason}). Check the network, the port and whether the machine runs.",
)
SAID: dict[str, tuple[str, str]] = {
    r"Could not resolve hostname|Name or service not known": (
        "remote.unknown_host",
        "{host} is not known. Check the name, or add it to your ssh configuration.",
    ),
    r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "remote.unknown_key",
        "The key of {host} is unknown, or has changed. Run ssh {host} in a terminal and compare the key, then connect "
        "again.",
    ),
    r"Permission denied|Too many authentication failures": (
        "remote.refused_login",
        "{host} refused the login. Try ssh {host} in a terminal; load a key with a passphrase into the ssh agent.",
    ),
    r"Connection refused|(?:Connection|Operation) timed out|No route to host|Network is unreachable": UNREACHABLE,
    r"Connection (?:reset|closed)": UNREACHABLE,
}
"""What `ssh` says -> code and template of what that means."""


@dataclass(frozen=True, slots=True)
class Address:
    """A machine, and a program there.

    Attributes:
        host: Name, number or alias in the user's configuration of ssh.
        user: "" for what the configuration says.
        port: 0 for what the configuration says.
        program: Path of the program there, "" for the one that a login finds.
    """

    host: str
    user: str = ""
    port: int = 0
    program: str = ""

    def __str__(self) -> str:
        """As people write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"{SCHEME}{user}{host}{port}{self.program}"

    @property
    def title(self) -> str:
        """The machine, for a title or a status bar."""
        return self.host

    def running(self, command: str, asks: bool) -> list[str]:
        """What runs a command of a shell there, with this machine's input and output.

        Args:
            command: Quoted for a shell.
            asks: `ssh` may ask for a password or a passphrase in the terminal.
        """
        options = ["-T", *ALIVE, *(() if asks else ("-o", "BatchMode=yes"))]
        options += ["-p", str(self.port)] if self.port else []
        options += ["-l", self.user] if self.user else []
        return ["ssh", *options, "--", self.host, command]


def start_ssh(address: Address, command: str, asks: bool) -> subprocess.Popen[bytes]:
    """Run a command of a shell on another machine; its input and outputs are pipes.

    Raises:
        SecateurError: There is no `ssh` on this machine.
    """
    pipe, flags = subprocess.PIPE, no_console()
    try:
        words = address.running(command, asks)
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, creationflags=flags)
    except OSError as error:
        template = "ssh cannot be started: {reason}. Install the OpenSSH client."
        raise SecateurError("remote.no_ssh", template, reason=str(error.strerror)) from error


def read_address(text: str) -> Address:
    """An address as people write it; raises SecateurError with what it should be."""
    found = _ADDRESS.fullmatch(text.strip())
    port = int(found["port"] or 0) if found else 0
    if found is None or port > 65535:
        template = "{text} is no address of a machine. Write ssh://user@host or ssh://user@host:port."
        raise SecateurError("ssh.address", template, text=text[:200])
    program = found["program"] or ""
    return Address(found["host"].strip("[]"), found["user"] or "", port, program if program != "/" else "")


def typed_address(text: str) -> Address:
    """The same of what is typed where an address is asked for: "user@host" will do."""
    text = text.strip()
    return read_address(text if text.startswith(SCHEME) else f"{SCHEME}{text}")


def ssh_refusal(host: str, exitcode: int, log: str) -> Message | None:
    """The sentence for an end of `ssh` itself, with what to do; None where what it started there has ended.

    Args:
        host: Its name for people.
        exitcode: Of `ssh`: its own, or that of what it started there.
        log: What was written to standard error.
    """
    for pattern, (code, template) in SAID.items() if exitcode == FAILED else ():
        if (found := re.search(pattern, log)) is not None:
            return Message(code, template, {"host": host, "reason": found[0]})
    return None
