"""A sample of `kills.py`: two moments of a sweep."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end


@pytest.mark.skipif(sys.platform != "linux", reason="forks and signals")
def test_nothing_is_lost_by_a_kill(tmp_path: Path) -> None:
    results = tmp_path / "kills.jsonl"
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--case", "sweep", "--count", "2"]
    done = subprocess.run([*command, "--results", str(results)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = [json.loads(line) for line in results.read_text().splitlines()]
    assert sum(len(one["kills"]) for one in trials) >= 2
    assert not any(one["lost"] or one["differs"] for one in trials)
