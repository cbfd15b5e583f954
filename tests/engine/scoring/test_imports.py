"""The window lists criteria and plans by itself, and it never loads torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["scoring.criteria", "planning.goal", "planning.marks", "recovery.protocol"])
def test_what_the_window_imports_loads_no_torch(module: str) -> None:
    program = f"import sys, secateur.engine.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
