"""A real `sshd` on the loopback address with keys, configuration and port of its own, and the real `ssh` to it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.free_port import free_port
from tests.waiting import wait_until

SSHD, SSH = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin"), shutil.which("ssh")
SEPARATION = Path("/run/sshd")
"""Where sshd locks itself in when root starts it; its service makes it, and so do we."""

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile {folder}/pid
SetEnv PATH={path} XDG_CACHE_HOME={folder}/cache OMP_NUM_THREADS=1 HOME={folder} PYTHONPATH={folder}/there
"""
CLIENT = """\
Host loop
HostName 127.0.0.1
Port {port}
IdentityFile {folder}/user
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
"""


def account_is_locked() -> bool:
    """Whether sshd lets nobody in as this user, as far as that can be read here: a password that begins with "!"."""
    try:
        lines = Path("/etc/shadow").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith(f"{getpass.getuser()}:!") for line in lines)


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        folder: All its files; Python there also imports what lies in "there".
        process: The one that listens.
    """

    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def sessions(self) -> list[int]:
        """Process ids of what serves the connections: for each a monitor, and the one that carries the bytes."""
        return _children(self.process.pid)

    def cut(self) -> None:
        """Kill what serves the connections, as the kernel would."""
        for child in self.sessions:
            with suppress(ProcessLookupError):  # it ended with the one before
                os.kill(child, signal.SIGKILL)

    def kill_engines(self) -> None:
        """End what goes on without a connection."""
        for held in (self.folder / "cache").glob("secateur/engines/*/held"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(held.read_text()), signal.SIGKILL)


def _children(process: int) -> list[int]:
    """All processes of sshd below one."""
    try:
        children = [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return []
    own = [child for child in children if _name(child).startswith("sshd")]
    return own + [inner for child in own for inner in _children(child)]


def _name(process: int) -> str:
    """Of its program; "" for one that has ended."""
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextmanager
def loopback(folder: Path) -> Generator[Server]:
    """A server, and on PATH an `ssh` that knows it as "loop", until the block ends."""
    folder.chmod(0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with free_port() as port:
        yield from _listening(folder, port)


def _listening(folder: Path, port: int) -> Generator[Server]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    words = {"folder": folder, "port": port, "path": path}
    (folder / "server").write_text(SERVER.format(**words))
    (folder / "client").write_text(CLIENT.format(**words))
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {key}\n")
    commands = folder / "bin"
    commands.mkdir()
    (commands / "ssh").write_text(f'#!/bin/sh\nexec {SSH} -F "{folder}/client" "$@"\n')
    (commands / "ssh").chmod(0o755)
    if os.getuid() == 0:
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
    assert SSHD is not None
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "server")], stderr=(folder / "log").open("wb"))
    server, before = Server(folder, process), os.environ["PATH"]
    os.environ["PATH"] = f"{commands}:{before}"
    try:
        _until_it_listens(port, process)
        yield server
    finally:
        os.environ["PATH"] = before
        server.kill_engines()
        server.cut()
        process.kill()
        process.wait()


def _until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    def listens() -> bool:
        assert process.poll() is None, "sshd has ended"
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens)
