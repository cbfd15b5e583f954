"""Another machine in the place of `ssh`: a script that runs what it is asked for here, and can be cut off."""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[4]
SECATEUR = """#!/bin/sh
export PYTHONPATH="{root}" XDG_CACHE_HOME="{home}/cache"
echo "Welcome to this machine"
exec "{python}" -P -c 'import sys; sys.path.append("{root}")
from secateur.engine.process.remote.relay import relay; relay(sys.argv[2], "{session}")' "$@"
"""
SSH = """#!/bin/sh
test -e "{home}/down" && {{ echo "ssh: connect to host far port 22: Connection refused" >&2; exit 255; }}
for word; do last="$word"; done
echo $$ >> "{home}/connections"
export HOME="{home}"
exec sh -c "$last"
"""


FRAGILE = """#!{python}
import os, subprocess, sys, threading
with open("{home}/connections", "a+") as file:
    file.write(str(os.getpid()) + chr(10))
    file.seek(0)
    count = len(file.read().split())
left, changing = [{first} if count == 1 else {step} * (count - 1)], threading.Lock()
pipe = subprocess.PIPE
there = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdin=pipe, stdout=pipe, env=os.environ | dict(HOME="{home}"))
def pump(source, sink):
    while data := source.read1(1 << 16):
        with changing:
            data, broken = data[: left[0]], len(data) >= left[0]
            left[0] -= len(data)
            sink.write(data)
            sink.flush()
            if broken:
                there.kill()
                os._exit(255)
    sink.close()
threading.Thread(target=pump, args=(sys.stdin.buffer, there.stdin), daemon=True).start()
pump(there.stdout, sys.stdout.buffer)
"""
"""An `ssh` whose connections break: the first after `first` bytes in both directions, later ones after `step` more."""


@dataclass(frozen=True)
class Far:
    """The machine.

    Attributes:
        home: Its files.
    """

    home: Path

    def kill_engines(self) -> None:
        """As if the machine had been switched off."""
        for held in (self.home / "cache").glob("secateur/engines/*/held"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(held.read_text()), signal.SIGKILL)

    def cut(self) -> None:
        """Cut the connection that was made last."""
        os.kill(int((self.home / "connections").read_text().split()[-1]), signal.SIGKILL)

    @property
    def connections(self) -> int:
        """How many were made."""
        return len((self.home / "connections").read_text().split())

    def break_off(self, first: int, step: int) -> None:
        """From now on each connection breaks, the first after so many bytes, later ones after `step` more each."""
        text = FRAGILE.format(python=sys.executable, home=self.home, first=first, step=step)
        ssh = self.home / ".local" / "bin" / "ssh"
        ssh.with_name("fragile").write_text(text)
        ssh.with_name("fragile").chmod(0o755)
        ssh.with_name("fragile").replace(ssh)  # a window may start it at this moment

    def reachable(self, on: bool) -> None:
        """Whether `ssh` gets there."""
        if on:
            (self.home / "down").unlink()
        else:
            (self.home / "down").write_text("")


def far_machine(home: Path, session: str) -> tuple[Far, Path]:
    """A machine with a session of a module of the tests, and the folder that has to stand in front of PATH."""
    commands = home / ".local" / "bin"
    commands.mkdir(parents=True)
    words = {"root": str(ROOT), "home": str(home), "python": sys.executable, "session": session}
    for name, text in (("secateur", SECATEUR), ("ssh", SSH)):
        (commands / name).write_text(text.format(**words))
        (commands / name).chmod(0o755)
    return Far(home), commands
