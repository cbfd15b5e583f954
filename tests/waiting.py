"""The one way for a test to wait for what another thread or process does: until it is there, however long that takes.

A pause in its place ("by now it has happened") fails on a busy machine, and so does a bound that only fits a quick one.
A test that nothing happens may look after a pause: a busy machine only lets it miss a fault.
"""

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 90.0
"""Seconds for what takes a moment: no test waits that long unless it fails."""

COURSE = 600.0
"""Seconds for a whole course in another process: a training, an export. Tests marked `end_to_end` may last longer."""


def wait_until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds; fails where it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.005)


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended (Linux alone)."""
    try:
        return _state_and_more(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def cpu_seconds(pid: int) -> float:
    """What a process has computed in all of its threads, in steps of a hundredth (Linux alone).

    Bounds that are said of a job are held against this: it is the same however many others want the processor.
    """
    user, system = _state_and_more(pid)[11:13]
    return (int(user) + int(system)) / 100


def _state_and_more(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
