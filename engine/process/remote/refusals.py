"""Why there is no engine at the other end: what `ssh` and the machine there say, as a sentence with what to do."""

import re

from ...errors import EngineLost
from ...subprocesses.ssh import Address

NOT_FOUND = 127
"""Exit code of a shell that knows no such program."""
SSH_FAILED = 255
OLDEST = (3, 11)
"""Version of Python that is needed."""
DISK_FULL = r"No space left on device|Disk quota exceeded"
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


def refusal(address: Address, exitcode: int, log: str) -> EngineLost:
    """The sentence for an end of `ssh` before there was an engine.

    Args:
        address: Where to.
        exitcode: Of `ssh`: its own, or that of what it started there.
        log: What was written to standard error.
    """
    host = address.title
    for pattern, (code, template) in SAID.items() if exitcode == SSH_FAILED else ():
        if (found := re.search(pattern, log)) is not None:
            return EngineLost(code, template, log, host=host, reason=found[0])
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
        "Secateur is not installed on {host}, or not found there. Install it, or name its path: "
        "ssh://{host}/path/of/secateur."
    )
    return EngineLost("remote.no_program", template, log, host=host)


def other_version(address: Address, there: str, here: str) -> EngineLost:
    """Another version of Secateur is at the other end."""
    template = "{host} has Secateur {there}, this is {here}. Install the same version on both machines."
    return EngineLost("remote.version", template, host=address.title, there=there[:50], here=here)
