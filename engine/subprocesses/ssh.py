"""Where an engine runs: `ssh://user@host:port/path/of/secateur`, and the command of the user's own `ssh` for it.

Whatever an address holds, it can never become an option of `ssh`, nor a second command on the other machine.
"""

import re
import shlex
from dataclasses import dataclass

from ..errors import SecateurError

SCHEME = "ssh://"
_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<program>/[^\x00-\x1f]*)?"
)
PROGRAM = "secateur"
FIND = (
    f'PATH="$HOME/.local/bin:$PATH"; command -v {PROGRAM} > /dev/null || '
    "{ python3 -V >&2 || echo no python3 >&2; exit 127; };"
)
"""What a shell there does first: where it finds no program, it says on standard error which Python there is."""
ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=20")
"""A connection that was cut without a word is noticed within a quarter of a minute."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine runs.

    Attributes:
        host: Name, number or alias in the user's configuration of ssh.
        user: "" for what the configuration says.
        port: 0 for what the configuration says.
        program: Path of `secateur` there, "" for the one that a login finds.
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

    def command(self, name: str, asks: bool) -> list[str]:
        """What connects to the engine of a name.

        Args:
            name: Letters and digits.
            asks: `ssh` may ask for a password or a passphrase in the terminal.
        """
        start = shlex.join([self.program or PROGRAM, "engine", name])
        if not self.program:
            start = f"sh -c {shlex.quote(f'{FIND} exec {start}')}"
        options = ["-T", *ALIVE, *(() if asks else ("-o", "BatchMode=yes"))]
        options += ["-p", str(self.port)] if self.port else []
        options += ["-l", self.user] if self.user else []
        return ["ssh", *options, "--", self.host, f"exec {start}"]


def read_address(text: str) -> Address:
    """An address as people write it; raises SecateurError with what it should be."""
    found = _ADDRESS.fullmatch(text.strip())
    port = int(found["port"] or 0) if found else 0
    if found is None or port > 65535:
        template = "{text} is no address of an engine. Write ssh://user@host or ssh://user@host:port."
        raise SecateurError("engine.address", template, text=text[:200])
    program = found["program"] or ""
    return Address(found["host"].strip("[]"), found["user"] or "", port, program if program != "/" else "")
