"""Another machine: `ssh://user@host:port/path/of/program`, programs there over the user's own `ssh`, what that says.

`ssh_aliases` offers the machines of the user's configuration; what their names mean, `ssh` alone knows.

Whatever an address holds, it can never become an option of `ssh`, nor a second command on the other machine.
"""

import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from ..machine.operating_system import no_console

PIPE = subprocess.PIPE
SCHEME = "ssh://"
_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<program>/[^\x00-\x1f]*)?"
)
ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=20")
"""A connection that was cut without a word is noticed within a quarter of a minute."""


TAIL, POLL = 4000, 0.1
"""Bytes of the error output that are kept, and seconds between looks at whether a program goes on."""
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


def start_ssh(
    address: Address, command: str, asks: bool, stdout: int | IO[bytes] = PIPE, stderr: int | IO[bytes] = PIPE
) -> subprocess.Popen[bytes]:
    """Run a command of a shell on another machine; its input is a pipe, and so are its outputs unless given.

    Raises:
        SecateurError: There is no `ssh` on this machine.
    """
    try:
        words = address.running(command, asks)
        return subprocess.Popen(words, stdin=PIPE, stdout=stdout, stderr=stderr, creationflags=no_console())
    except OSError as error:
        template = "ssh cannot be started: {reason}. Install the OpenSSH client."
        raise SecateurError("remote.no_ssh", template, reason=str(error.strerror)) from error


@dataclass(slots=True)
class RemoteRun:
    """A program on another machine that takes bytes, says how far it is, and answers.

    Attributes:
        sent: Everything that it gets is sent.
        log: The end of what it wrote to standard error.
        answer: The beginning of what it wrote to standard output; read once it has ended.
        exitcode: Of `ssh`: its own, or that of the program.
    """

    sent: bool = False
    log: str = ""
    answer: bytes = b""
    exitcode: int = 0


def run_over_ssh(
    address: Address,
    words: Sequence[str],
    send: Callable[[IO[bytes]], None],
    tell: Callable[[RemoteRun], Progress],
    token: CancelToken,
    most: int = 0,
) -> Job[RemoteRun]:
    """Run a program on another machine until it ends; it is ended with its connection where the job ends before.

    Args:
        address: Where.
        words: The program and its arguments.
        send: Writes into its standard input.
        tell: How far it is.
        token: Cancels.
        most: Bytes that an answer may have, 0 where none is of interest; a longer one ends the program, and one byte
            more of it is read.

    Raises:
        SecateurError: There is no `ssh` on this machine.
    """
    check(token)
    run = RemoteRun()
    # Files instead of pipes: nothing has to read them meanwhile, and a connection that `ssh` shares with later ones,
    # which holds standard error open, cannot keep the job waiting.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        answer, log = Path(folder, "answer"), Path(folder, "log")
        with answer.open("wb") as out, log.open("wb") as errors:
            process = start_ssh(address, shlex.join(["exec", *words]), asks=False, stdout=out, stderr=errors)

        def feed() -> None:
            sink = cast("IO[bytes]", process.stdin)
            with suppress(OSError, ValueError):  # it has ended: its log says why
                send(sink)
                sink.flush()
                run.sent = True
            with suppress(OSError, ValueError):
                sink.close()

        feeder = threading.Thread(target=feed, name="ssh input", daemon=True)
        feeder.start()
        ended: int | None = None
        try:
            while ended is None and (not most or answer.stat().st_size <= most):
                with suppress(subprocess.TimeoutExpired):
                    ended = process.wait(POLL)
                with log.open("rb") as said:
                    said.seek(max(0, os.fstat(said.fileno()).st_size - TAIL))
                    run.log = said.read().decode("utf-8", "replace")
                if ended is None:
                    check(token)
                    yield tell(run)
        finally:
            if ended is None:
                process.kill()
            run.exitcode = process.wait()
            feeder.join(1.0)
        with answer.open("rb") as given:
            run.answer = given.read(most + 1)
    return run


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


MOST = 200
"""Names that are offered."""
FILES = 50
"""Files that are read, where one includes another."""
LARGEST = 1 << 20
"""Bytes of a file that are read."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A name of one machine: no pattern, and none that is left out by a "!"."""
LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)")
"""A keyword and its arguments."""


def ssh_aliases(file: Path | None = None) -> tuple[str, ...]:
    """Names of `Host` lines in the order of the file, included ones among them; () where there is no such file.

    Args:
        file: None for `~/.ssh/config`.
    """
    try:
        place = file or Path.home() / ".ssh" / "config"
    except RuntimeError:  # a user without an entry
        return ()
    return tuple(dict.fromkeys(_names(place, place.parent, set())))[:MOST]


def _names(file: Path, folder: Path, read: set[Path]) -> list[str]:
    try:
        place = file.resolve()
        if place in read or len(read) >= FILES:
            return []
        read.add(place)
        with place.open("rb") as opened:
            lines = opened.read(LARGEST).decode("utf-8", "replace").splitlines()
    except (OSError, RuntimeError):  # not there, or links in a circle
        return []
    found = list[str]()
    for line in lines:
        if (parts := LINE.fullmatch(line)) is None:
            continue
        keyword = parts[1].lower()
        try:
            words = shlex.split(parts[2], comments=True)
        except ValueError:  # a quote without its end
            continue
        if keyword == "host":
            found += [word for word in words if NAME.fullmatch(word)]
        elif keyword == "include":
            for pattern in words:
                found += [name for one in _included(folder, pattern) for name in _names(one, folder, read)]
    return found


def _included(folder: Path, pattern: str) -> list[Path]:
    """Files that a pattern names; a relative one begins where the user's configuration lies."""
    path = folder / Path(pattern).expanduser()
    try:
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))[:MOST]
    except (ValueError, OSError, NotImplementedError):
        return []
