"""Processes of the engine without the seconds in which each of them would load torch: tests start hundreds.

A template process (`template.py`) loads what exports and sessions need and forks for each process that the engine
starts; `launcher.py` stands in the place of that process. It has the same input, output, working folder, environment,
exit code and signals, and it dies with it. What is measured (`engine/targets`) is started as ever, and so is everything
in the checks of the installed program. What tests start by hand is warm where its command is `python(...)`: not where
it matters what a process loads. Linux alone; elsewhere nothing changes.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until

HERE = Path(__file__).parent
MODULES = ("secateur.engine.subprocesses.child", "secateur.engine.process.worker")
SCRIPTS = "engine/export"
START = HERE / "start.py"
MEASURED = "secateur.engine.targets."
AVAILABLE = sys.platform == "linux"


@contextmanager
def warm_start(folder: Path) -> Generator[Callable[[], Path]]:
    """Start processes of the engine warm meanwhile; the template begins with the first of them.

    Gives a function that begins the template at once and returns the folder: a process that a test starts by hand may
    enter `warm_start` with it, and its own processes are then forks of the same template.

    Args:
        folder: Gets the socket, or has that of a template which lives longer.
    """
    place, template, starting = folder / "socket", None, threading.Lock()
    begin = subprocess.Popen.__init__

    def ready() -> Path:
        nonlocal template
        with starting:  # a window starts its engine in another thread than a test its process
            if not place.exists():
                template = _template(place)
        return folder

    def started(self: Any, args: Any, *rest: Any, **named: Any) -> None:
        if is_warm(args):
            ready()
            args = [sys.executable, "-I", "-S", str(HERE / "launcher.py"), str(place), *args[1:]]
        begin(self, args, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", started)
        yield ready
    if template is not None:
        template.kill()
        template.wait()


def python(*words: str) -> list[str]:
    """The command of a fresh interpreter with these words: a module, a script or code, with `-P` or `-B` before it."""
    return [sys.executable, "-P", str(START), *words]


def is_warm(command: Any) -> bool:
    """Whether a command starts a process of the engine that measures nothing, or is of `python`."""
    if isinstance(command, str) or not isinstance(command, Sequence) or list(command[:2]) != [sys.executable, "-P"]:
        return False
    words = [str(word) for word in command[2:] if word != "-B"]
    if words[:1] == ["-m"]:
        return words[1] in MODULES and not words[-1].startswith(MEASURED)
    return words[:1] == [str(START)] or (
        bool(words) and words[0].endswith(".py") and Path(words[0]).parent.match(SCRIPTS)
    )


def process_behind(pid: int) -> int:
    """The process that a launcher stands for; any other process stands for itself (Linux alone)."""
    place = Path(f"/proc/{pid}")
    if str(HERE / "launcher.py").encode() not in (place / "cmdline").read_bytes().split(b"\0"):
        return pid
    wait_until(lambda: (place / "comm").read_text().strip().isdecimal())
    return int((place / "comm").read_text())


def _template(place: Path) -> "subprocess.Popen[bytes]":
    """Wait until it listens: who comes earlier would be turned away."""
    command = [sys.executable, "-P", str(HERE / "template.py"), str(place)]
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert made.stdout is not None and made.stdout.readline() == b"ready\n"
    return made
