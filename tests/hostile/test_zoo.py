"""The hostile zoo: whatever file a command is given, it ends soon, in little memory, with a sentence, and runs no code.

`pytest -m hostile tests/hostile` runs all of it, with SECATEUR_ZOO=WORDS the cases with these words in their names.
A sample runs with the other tests.
"""

import os
import random
import re
import shutil
import zlib
from pathlib import Path

import pytest

from .pool import Ended, pool
from .zoo import MARKER, Case, cases, make_honest

SECONDS = 10.0
"""Of the processor, for any file."""
MEMORY = 2_000_000_000
"""Bytes resident, for any file."""
WORKERS = 2
SAMPLE = 37
"""Every so many cases one is in the sample."""
BAD = re.compile(r"Traceback \(most recent call last\)|Unexpected error|Error in sys\.|Fatal Python", re.IGNORECASE)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def faults(case: Case, ended: Ended, folder: Path) -> list[str]:
    """What is wrong with how a case ended."""
    found = list[str]()
    if ended.code is None:
        return [f"hangs or dies: {ended.err}"]
    if ended.code not in case.codes:
        found.append(f"exit code {ended.code}")
    if ended.seconds > SECONDS:
        found.append(f"{ended.seconds:.1f} s")
    if ended.peak > MEMORY:
        found.append(f"{ended.peak / 1e9:.2f} GB")
    if BAD.search(ended.err + ended.out):
        found.append("a traceback, or unexpected")
    if CONTROL.search(ended.err + ended.out):
        found.append("control characters")
    if ended.code and not ended.err.strip():
        found.append("no sentence")
    if any(path.name == MARKER for path in folder.rglob("*")):
        found.append("its code ran")
    return found


def run(chosen: list[Case], folder: Path, environment: dict[str, str]) -> list[str]:
    """Run cases; returns what is wrong, a line each."""
    (folder / "honest").mkdir()
    honest = make_honest(folder / "honest")
    told = list[str]()
    with pool(WORKERS, environment) as workers:
        for start in range(0, len(chosen), 50):
            some = chosen[start : start + 50]
            commands = []
            for number, case in enumerate(some, start):
                place = folder / str(number)
                place.mkdir()
                commands.append((case.make(place, honest, random.Random(zlib.crc32(case.name.encode()))), place))
            for case, (argv, place), ended in zip(some, commands, workers.run(commands), strict=True):
                wrong = faults(case, ended, place)
                if wrong:
                    words = f"{ended.err.strip()[-300:]}" or ended.out[-200:]
                    told.append(f"{case.name}: {', '.join(wrong)}\n    {words!r}\n    {argv!r}")
                shutil.rmtree(place, ignore_errors=True)
    return told


def environment(folder: Path) -> dict[str, str]:
    """A home of their own for the commands, and one thread."""
    places = {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "TMPDIR": "temporary"}
    for name in places.values():
        (folder / name).mkdir()
    return {key: str(folder / name) for key, name in places.items()} | {"OMP_NUM_THREADS": "1"}


def test_the_zoo_is_large() -> None:
    assert len(cases()) >= 300


def test_a_sample_of_the_zoo_is_refused_soon_and_in_words(tmp_path: Path) -> None:
    assert run(cases()[::SAMPLE], tmp_path, environment(tmp_path)) == []


@pytest.mark.hostile
@pytest.mark.timeout(3600)
def test_the_whole_zoo_is_refused_soon_and_in_words(tmp_path: Path) -> None:
    words = os.environ.get("SECATEUR_ZOO", "")
    told = run([case for case in cases() if words in case.name], tmp_path, environment(tmp_path))
    assert not told, f"{len(told)} of {len(cases())}\n" + "\n".join(told)
