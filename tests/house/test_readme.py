"""The README says what is true: figures of the bundled networks as measured, commands where .ci/run finds them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
SAMPLES = json.loads((ROOT / "resources" / "data" / "samples.json").read_text())
TITLES = {"resnet": "ResNet", "vit": "ViT"}


@pytest.mark.parametrize("net", TITLES)
def test_the_figures_of_a_bundled_network_are_those_measured(net: str):
    found = SAMPLES[net]
    figures = " | ".join(f"{found[split]['accuracy']:.2%}".replace("%", " %") for split in ("test", "shipped_test"))
    assert f"| {TITLES[net]} | {found['parameters']:,} | {figures} |" in README


@pytest.mark.parametrize(("name", "end"), [("open", "secateur"), ("test", "pytest -n logical --maxprocesses 4")])
def test_a_command_is_one_line_under_its_mark(name: str, end: str):
    command = re.search(rf"<!-- {name} command -->\n```sh\n(.+)\n```\n", README)
    assert command is not None
    assert command[1].endswith(f".venv/bin/{end}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_python_example_runs_as_it_stands(tmp_path: Path):
    example = re.search(r"```python\n(from secateur.+?)```", README, re.DOTALL)
    assert example is not None
    subprocess.run([sys.executable, "-c", example[1]], cwd=tmp_path, check=True)
    assert (tmp_path / "smaller.onnx").stat().st_size > 10_000
