"""`kill -9` of the window or of its engine at any moment: the next start restores all but the step in flight.

Real processes: a window with its engine works through a list of steps (`victim.py`). One that nobody disturbs says what
is to be seen after each step; those that are killed must come back to one of these, no more than one step behind, and end
with the same weights.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.session.small import write_project

ROOT = Path(__file__).resolve().parents[3]
STEPS = 22
FEW = 2
LIMIT = 300

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
        environment = os.environ | home | {"QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.app.autosave.victim", str(folder), *arguments]
        with (folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    def lines(self) -> list[list[str]]:
        file = self.folder / "steps.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

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
        self.process.wait(10)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[Path, list[str], float]:
    """A folder to copy, the digests after each step of an undisturbed run, and how many seconds the steps took."""
    folder = tmp_path_factory.mktemp("oracle")
    write_project(folder, 240)
    kept = tmp_path_factory.mktemp("kept")
    for file in ("model.py", "data.npz"):
        shutil.copy(folder / file, kept / file)
    run = Run(folder, str(STEPS))
    run.wait(lambda: run.lines())
    begin = time.monotonic()
    run.finish()
    lines = run.lines()
    assert lines[-1] == ["end"]
    return kept, [line[1] for line in lines if len(line) == 2], time.monotonic() - begin


def prepared(told, folder: Path) -> Path:
    folder.mkdir()
    for file in told[0].iterdir():
        shutil.copy(file, folder / file.name)
    (folder / "known.json").write_text(json.dumps(told[1]))
    return folder


def window_killed(told, folder: Path, seconds: float) -> str:
    """Kill the window after so many seconds of steps; what happened, in a few words."""
    run = Run(prepared(told, folder), str(STEPS))
    run.wait(lambda: run.lines())
    time.sleep(seconds)
    run.kill()
    lines, known = run.lines(), told[1]
    if lines[-1] == ["end"]:
        return "it was done already"
    done = len([line for line in lines if len(line) == 2]) - 1
    again = Run(folder, str(STEPS), "restore")
    again.finish()
    _, begun, found = next(line for line in again.lines() if line[0] == "restored")
    assert found in known[max(done - 1, 0) : done + 2], f"restored what was not shown around step {done}"
    after = [line for line in again.lines() if len(line) == 2][-1]
    assert after == [str(STEPS), known[-1]]
    return f"step {done} of {STEPS}, {'went on by itself' if begun != found else 'restored'}"


def engine_killed(told, folder: Path, seconds: float) -> str:
    """Kill the engine after so many seconds of steps: the window goes on to the same end."""
    run = Run(prepared(told, folder), str(STEPS))
    run.wait(lambda: run.lines())
    _, engine = run.pids()
    time.sleep(seconds)
    os.kill(engine, signal.SIGKILL)
    done = len(run.lines()) - 1
    run.finish()
    assert [line[1] for line in run.lines() if len(line) == 2] == told[1]
    return f"step {done} of {STEPS}"


def test_killed_at_a_few_moments_it_comes_back(told, tmp_path: Path) -> None:
    for number in range(FEW):
        seconds = told[2] * (number + 0.5) / FEW
        killed = engine_killed if number == 1 else window_killed
        print(killed(told, tmp_path / str(number), seconds))


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_comes_back(told, tmp_path: Path) -> None:
    chance = random.Random(20261125)
    for number in range(50):
        seconds = chance.uniform(0, told[2])
        killed = engine_killed if number % 3 == 2 else window_killed
        print(number, f"{seconds:.2f} s:", killed(told, tmp_path / str(number), seconds), flush=True)
        shutil.rmtree(tmp_path / str(number))


@pytest.mark.slow
def test_killed_while_it_restores_it_comes_back_all_the_same(told, tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(8):
        folder = tmp_path / str(number)
        run = Run(prepared(told, folder), str(STEPS))
        run.wait(lambda run=run: len(run.lines()) > STEPS // 2)
        run.kill()
        done = len(run.lines()) - 1
        for _ in range(2):
            again = Run(folder, str(STEPS), "restore")
            again.pids()
            time.sleep(chance.uniform(0, 4))
            again.kill()
        last = Run(folder, str(STEPS), "restore")
        last.finish()
        found = [line for line in last.lines() if line[0] == "restored"][-1][2]
        assert found in told[1][done - 1 :]
        assert [line for line in last.lines() if len(line) == 2][-1] == [str(STEPS), told[1][-1]]
