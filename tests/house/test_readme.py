"""The README says what is true: figures of the bundled networks as measured, commands where .ci/run finds them."""

import json
import re

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
SAMPLES = json.loads((ROOT / "resources" / "data" / "samples.json").read_text())
TITLES = {"resnet": "ResNet", "vit": "ViT"}


@pytest.mark.parametrize("net", TITLES)
def test_the_figures_of_a_bundled_network_are_those_measured(net: str):
    found = SAMPLES[net]
    figures = " | ".join(f"{found[split]['accuracy']:.2%}".replace("%", " %") for split in ("test", "report"))
    assert f"| {TITLES[net]} | {found['parameters']:,} | {figures} |" in README


@pytest.mark.parametrize(("name", "end"), [("open", "secateur"), ("test", "pytest")])
def test_a_command_is_one_line_under_its_mark(name: str, end: str):
    command = re.search(rf"<!-- {name} command -->\n```sh\n(.+)\n```\n", README)
    assert command is not None
    assert command[1].endswith(f".venv/bin/{end}")
