"""The systems that this program is for, faked where they are not this one."""

import os
import subprocess
import sys
from pathlib import Path, PurePath

import psutil
import pytest

from secateur.engine.machine import operating_system
from secateur.engine.machine.operating_system import MACOS, WINDOWS
from tests.waiting import PATIENCE, wait_until

LINUX = "linux"
HOME = Path("home")
FAMILY = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
FAMILY += "print(p.pid, flush=True); time.sleep(600)"


@pytest.mark.parametrize(
    ("system", "environment", "folder"),
    [
        (LINUX, {}, "home/.cache"),
        (LINUX, {"XDG_CACHE_HOME": "elsewhere"}, "elsewhere"),
        (LINUX, {"XDG_CACHE_HOME": ""}, "home/.cache"),
        (MACOS, {"XDG_CACHE_HOME": "elsewhere"}, "home/Library/Caches"),
        (WINDOWS, {}, "home/AppData/Local"),
        (WINDOWS, {"LOCALAPPDATA": "local"}, "local"),
    ],
)
def test_caches_lie_where_the_system_has_them(system: str, environment: dict[str, str], folder: str):
    assert operating_system.cache_base(environment, HOME, system) == PurePath(folder)


def test_only_linux_may_have_no_display():
    assert not operating_system.has_display({}, LINUX)
    assert operating_system.has_display({"WAYLAND_DISPLAY": "wayland-0"}, LINUX)
    assert operating_system.has_display({}, WINDOWS) and operating_system.has_display({}, MACOS)


def test_on_windows_no_console_opens_and_no_engine_is_held_for_others():
    assert operating_system.group_options(WINDOWS) == {"creationflags": operating_system.no_console(WINDOWS)}
    assert operating_system.no_console(WINDOWS) == 1 << 27
    assert operating_system.no_console(MACOS) == 0
    assert not operating_system.holds_engines_for_others(WINDOWS)
    assert operating_system.holds_engines_for_others(MACOS)


@pytest.mark.parametrize("system", [LINUX, WINDOWS])
def test_a_process_ends_with_all_that_it_has_started(system: str):
    alone = operating_system.group_options(LINUX)  # else pytest's own group would end
    process = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True, **alone)
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    operating_system.kill_group(process, system)
    process.wait(PATIENCE)
    wait_until(lambda: not _runs(child))
    process.stdout.close()
    operating_system.kill_group(process, system)  # once more does no harm


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_processes_and_memory_are_seen():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert operating_system.runs(os.getpid()) and not operating_system.runs(gone.pid)
    assert operating_system.free_memory() > 1e6
    assert operating_system.resident_memory(os.getpid()) > 1e6 and operating_system.resident_memory(gone.pid) == 0
