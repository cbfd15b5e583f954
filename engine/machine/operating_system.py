"""What differs between Linux, macOS and Windows: processes, memory, folders, displays. Everything else asks here.

Each function takes the name of the system as `sys.platform` has it, this machine's by default, so that tests can name
another one. Windows and macOS have never been tried.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SYSTEM = sys.platform
WINDOWS, MACOS = "win32", "darwin"
NO_CONSOLE = 0x08000000
"""`subprocess.CREATE_NO_WINDOW`: a program with a window starts others without a console of their own."""
UNKNOWN = float("nan")


def runs(pid: int) -> bool:
    """Whether a process runs under an id, whoever's it is."""
    import psutil

    return psutil.pid_exists(pid)


def group_options(system: str = SYSTEM) -> dict[str, Any]:
    """Keywords of `Popen` for a process that `kill_group` ends with all that it has started."""
    return {"creationflags": NO_CONSOLE} if system == WINDOWS else {"start_new_session": True}


def no_console(system: str = SYSTEM) -> int:
    """`creationflags` of `Popen` for a process in the group of this one: on Windows it opens no console."""
    return NO_CONSOLE if system == WINDOWS else 0


def kill_group(process: subprocess.Popen[Any], system: str = SYSTEM) -> None:
    """End a process that was started with `group_options`, and all that it has started; one that has ended is left."""
    if system == WINDOWS:
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def step_behind(steps: int, system: str = SYSTEM) -> None:
    """Have this process computed after others: `steps` of Unix's niceness, one class of priority on Windows."""
    if system == WINDOWS:
        import psutil

        psutil.Process().nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS"))  # noqa: B009 - only there has it
    else:
        os.nice(steps)


def free_memory() -> float:
    """Bytes of memory that can be had now without swapping, NaN where the system does not say."""
    import psutil

    try:
        return float(psutil.virtual_memory().available)
    except (OSError, ValueError, RuntimeError):
        return UNKNOWN


def swap_space() -> int:
    """Bytes that can be written out of memory in all, 0 where the system does not say."""
    import psutil

    try:
        return psutil.swap_memory().total
    except (OSError, ValueError, RuntimeError):
        return 0


def resident_memory(pid: int) -> int:
    """Bytes of memory that a process holds, 0 where the system does not say."""
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss
    except (OSError, ValueError, psutil.Error):
        return 0


def cache_base(environment: Mapping[str, str], home: Path, system: str = SYSTEM) -> Path:
    """Where programs keep what they can make again.

    Args:
        environment: Variables of the process.
        home: The user's folder.
        system: Which.
    """
    if system == WINDOWS:
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if system == MACOS:
        return home / "Library" / "Caches"
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache")


def own_user() -> int | None:
    """This user's number, None where files have no such owner."""
    return os.getuid() if hasattr(os, "getuid") else None


def has_display(environment: Mapping[str, str], system: str = SYSTEM) -> bool:
    """Whether a window can be shown: Linux may run without any display."""
    if system in (WINDOWS, MACOS):
        return True
    return any(environment.get(name) for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"))


def holds_engines_for_others(system: str = SYSTEM) -> bool:
    """Whether an engine here can be held for windows on other machines: it needs Unix's sockets and locks."""
    return system != WINDOWS


@contextmanager
def uncollected() -> Generator[None]:
    """No cyclic garbage collection inside; also a decorator. With torch loaded a full collection takes 0.2 s."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
