"""`kill -9` of the window or of its engine at any moment: the next start restores all but the last second.

Real processes: a window with its engine works through a list of steps (`victim.py`). One that nobody disturbs says
what is to be seen after each step; those that are killed must come back to one of these, behind by no more than what
was done within the last second, and end with the same weights.
"""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from secateur.app.storage.autosave import session_autosave
from tests.engine.session.small import write_project

from .victim import WARM

ROOT = Path(__file__).resolve().parents[4]
LOG = logging.getLogger(__name__)
STEPS = 22
RECOVERY = 9
"""The step that recovers."""
Told = tuple[Path, list[str], list[float]]
LIMIT = 300
UNSAVED = session_autosave.INTERVAL + 0.5
"""Seconds before a kill whose work may be lost: between two saves, and until one is written."""

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
    pytest.mark.timeout(7200),
]


class Run:
    """A victim, and what it wrote."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        (folder / "pids.txt").unlink(missing_ok=True)
        home = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE", "STATE")}
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # its engine imports tests too
        own = {"QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        environment = os.environ | home | own
        command = [sys.executable, "-m", "tests.app.storage.autosave.victim", str(folder), *arguments]
        with (folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    def lines(self) -> list[list[str]]:
        file = self.folder / "steps.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def at(self) -> list[str]:
        """The number of steps that it went on after."""
        return next(line[1:] for line in self.lines() if line[0] == "at")

    def pids(self) -> tuple[int, int]:
        """Of the window and its first engine."""
        self.wait(lambda: (self.folder / "pids.txt").exists() and (self.folder / "pids.txt").read_text())
        window, engine = (self.folder / "pids.txt").read_text().split()
        return int(window), int(engine)

    def wait(self, condition) -> None:
        end = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < end and self.process.poll() is None, (self.folder / "output.txt").read_text()
            time.sleep(0.01)

    def finish(self) -> None:
        assert self.process.wait(LIMIT) == 0, (self.folder / "output.txt").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Told:
    """All steps, undisturbed."""
    return undisturbed(tmp_path_factory, STEPS)


def undisturbed(tmp_path_factory, steps: int) -> Told:
    """A folder to copy, the digests after each step of an undisturbed run, and how many seconds each took."""
    folder = tmp_path_factory.mktemp("oracle")
    write_project(folder, 240)
    kept = tmp_path_factory.mktemp("kept")
    for file in ("model.py", "data.npz"):
        shutil.copy(folder / file, kept / file)
    run, times = Run(folder, str(steps)), list[float]()
    for number in range(steps + 1):
        run.wait(lambda number=number: len(run.lines()) > number)
        times.append(time.monotonic())
    run.finish()
    lines = run.lines()
    assert lines[-1] == ["end"]
    seconds = [after - before for before, after in pairwise(times)]
    return kept, [line[1] for line in lines if line[0].isdigit()], seconds


def prepared(told, folder: Path) -> Path:
    folder.mkdir()
    for file in told[0].iterdir():
        shutil.copy(file, folder / file.name)
    (folder / "known.json").write_text(json.dumps(told[1]))
    return folder


def saved_by(run: Run, killed: float) -> int:
    """The last step that a window must have saved when it was killed."""
    return max(
        (int(line[0]) for line in run.lines() if line[0].isdigit() and float(line[2]) < killed - UNSAVED), default=0
    )


def window_killed(told: Told, folder: Path, step: int, wait: float, further: int = STEPS) -> str:
    """Kill the window so many seconds after a step, or after the next one, and go on; what happened, in a few words."""
    run = Run(prepared(told, folder), str(STEPS))
    run.wait(lambda: len(run.lines()) > step)
    moment = time.monotonic() + wait
    run.wait(lambda: time.monotonic() > moment or len(run.lines()) > step + 1)
    killed = time.time()
    run.kill()
    if run.lines()[-1] == ["end"]:
        return "the end: it was closed in order"
    done, known, saved = len(run.lines()) - 1, told[1], saved_by(run, killed)
    end = min(done + further, len(known) - 1)
    again = Run(folder, str(end), "restore")
    again.finish()
    _, begun, found = next(line for line in again.lines() if line[0] == "restored")
    assert found in known[saved : done + 2], f"restored what was not shown between steps {saved} and {done + 1}"
    lines = again.lines()
    further_on = [line[1] for line in lines[lines.index(["at", *again.at()]) :] if line[0].isdigit()]
    assert [found, *further_on][-1] == known[max(end, int(again.at()[0]))]
    return f"step {done} of {STEPS}, {'went on by itself' if begun != found else 'restored'}"


def engine_killed(told: Told, folder: Path, step: int, wait: float, further: int = STEPS) -> str:
    """Kill the engine so many seconds after a step: the window goes on as if nothing had been."""
    end = min(step + further, len(told[1]) - 1)
    run = Run(prepared(told, folder), str(end))
    _, engine = run.pids()
    run.wait(lambda: len(run.lines()) > step)
    time.sleep(wait)
    with suppress(ProcessLookupError):  # it had come to its end
        os.kill(engine, signal.SIGKILL)
    run.finish()
    assert [line[1] for line in run.lines() if line[0].isdigit()] == told[1][: end + 1]
    return f"step {step} of {STEPS}"


@pytest.mark.end_to_end
def test_killed_in_a_recovery_it_comes_back(tmp_path_factory, tmp_path: Path, warm_processes, monkeypatch) -> None:
    """A few moments: the window as it recovers, its engine as it recovers."""
    if warm_processes is not None:
        monkeypatch.setenv(WARM, str(warm_processes()))
    told = undisturbed(tmp_path_factory, RECOVERY + 1)
    assert window_killed(told, tmp_path / "window", RECOVERY, told[2][RECOVERY] / 2, further=1)
    assert engine_killed(told, tmp_path / "engine", RECOVERY, told[2][RECOVERY] / 2, further=1)


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_comes_back(told: Told, tmp_path: Path) -> None:
    chance = random.Random(20261125)
    for number in range(50):
        # Half of them by the clock, most of which is recoveries and cuts; half by steps, most of which are marks.
        (step,) = chance.choices(range(STEPS), told[2] if number % 2 else None)
        wait = chance.uniform(0, told[2][step])
        killed = engine_killed if number % 3 == 2 else window_killed
        words = killed(told, tmp_path / str(number), step, wait, further=1)
        LOG.info("%d: %.2f s after %s", number, wait, words)
        shutil.rmtree(tmp_path / str(number))


@pytest.mark.slow
def test_killed_while_it_restores_it_comes_back_all_the_same(told: Told, tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(4):
        folder = tmp_path / str(number)
        run = Run(prepared(told, folder), str(STEPS))
        run.wait(lambda run=run: len(run.lines()) > STEPS // 2)
        killed = time.time()
        run.kill()
        done, saved = len(run.lines()) - 1, saved_by(run, killed)
        for _ in range(2):
            again = Run(folder, str(done), "restore")
            again.pids()
            time.sleep(chance.uniform(0, 4))
            again.kill()
        last = Run(folder, str(STEPS), "restore")
        last.finish()
        found = [line for line in last.lines() if line[0] == "restored"][-1][2]
        assert found in told[1][saved:]
        assert [line for line in last.lines() if line[0].isdigit()][-1] == [str(STEPS), told[1][-1]]
