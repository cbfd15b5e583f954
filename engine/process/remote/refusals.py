"""What connects to an engine on another machine; why there is none, as a sentence with what to do."""

import re
import shlex

from ...errors import EngineLost
from ...subprocesses.ssh import Address, ssh_refusal
from .protocol import own_version

NOT_FOUND = 127
"""Exit code of a shell that knows no such program."""
OLDEST = (3, 11)
"""Version of Python that is needed."""
DISK_FULL = r"No space left on device|Disk quota exceeded"
PROGRAM = "secateur"
FIND = (
    f'PATH="$HOME/.local/bin:$PATH"; command -v {PROGRAM} > /dev/null || '
    "{ python3 -V >&2 || echo no python3 >&2; exit 127; };"
)
"""What a shell there does first: where it finds no program, it says on standard error which Python there is."""


def engine_command(address: Address, name: str) -> str:
    """What a shell there runs to connect to the engine of a name (letters and digits), or to say why it cannot."""
    start = shlex.join([address.program or PROGRAM, "engine", name])
    return f"exec {start}" if address.program else f"exec sh -c {shlex.quote(f'{FIND} exec {start}')}"


def refusal(address: Address, exitcode: int, log: str) -> EngineLost:
    """The sentence for an end of `ssh` before there was an engine.

    Args:
        address: Where to.
        exitcode: Of `ssh`: its own, or that of what it started there.
        log: What was written to standard error.
    """
    host = address.title
    if (said := ssh_refusal(host, exitcode, log)) is not None:
        return EngineLost(said.code, said.template, log, **said.arguments)
    if (found := re.search(DISK_FULL, log)) is not None:
        template = "The disk of your home folder on {host} is full ({reason}). Make room there, then connect again."
        return EngineLost("remote.disk_full", template, log, host=host, reason=found[0])
    if exitcode == NOT_FOUND or "command not found" in log:
        return _no_program(address, log)
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    template = "No engine on {host}: {reason} (exit code {exitcode})."
    return EngineLost("remote.failed", template, log, host=host, reason=last.rstrip(".")[:300], exitcode=exitcode)


def _no_program(address: Address, log: str) -> EngineLost:
    host, python = address.title, re.search(r"^Python (\d+)\.(\d+)", log, re.MULTILINE)
    if address.program:
        template = "There is no {path} on {host}. Check the path of secateur there."
        return EngineLost("remote.no_such_program", template, log, path=address.program, host=host)
    if "no python3" in log:
        template = "There is no Python on {host}. Install Python 3.11 or later there, then Secateur."
        return EngineLost("remote.no_python", template, log, host=host)
    if python is not None and (int(python[1]), int(python[2])) < OLDEST:
        template = "{host} has {python}. Install Python 3.11 or later there, then Secateur."
        return EngineLost("remote.old_python", template, log, host=host, python=python[0])
    template = (
        "Secateur is not installed on {host}, or not found there. Copy its wheel there and run {command}, or name its "
        "path: ssh://{host}/path/of/secateur."
    )
    command = f"python3 -m pip install --user secateur-{own_version()}-py3-none-any.whl"
    return EngineLost("remote.no_program", template, log, host=host, command=command)


def other_version(address: Address, there: str, here: str) -> EngineLost:
    """Another version of Secateur is at the other end."""
    template = "{host} has Secateur {there}, this is {here}. Install the same version on both machines."
    return EngineLost("remote.version", template, host=address.title, there=there[:50], here=here)
