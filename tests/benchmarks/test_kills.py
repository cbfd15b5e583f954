"""A sample of `kills.py`: a few moments of a pruning and of a sweep."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="forks and signals")
def test_nothing_is_lost_by_a_kill(tmp_path: Path) -> None:
    results = tmp_path / "kills.jsonl"
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--case", "prune", "--case", "sweep", "--count", "4"]
    done = subprocess.run([*command, "--results", str(results)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = [json.loads(line) for line in results.read_text().splitlines()]
    assert {one["case"] for one in trials} == {"prune", "sweep"} and sum(len(one["kills"]) for one in trials) >= 4
    assert not any(one["lost"] or one["differs"] for one in trials)
