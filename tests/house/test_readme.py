"""The README is short and true: results as the benchmarks have them, commands where .ci/run finds them, no dead link.

Its commands and its snippet run in `tests/resources/test_manual.py`.
"""

import json
import re
import tomllib
from statistics import mean

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")
SAMPLES = json.loads((ROOT / "resources" / "data" / "samples.json").read_text())
TITLES = {"resnet": "ResNet", "vit": "ViT"}


@pytest.mark.parametrize("net", TITLES)
def test_the_figures_of_a_bundled_network_are_those_measured(net: str):
    found = SAMPLES[net]
    figures = " | ".join(f"{found[split]['accuracy']:.2%}".replace("%", " %") for split in ("test", "shipped_test"))
    assert f"| {TITLES[net]} | {found['parameters']:,} | {figures} |" in BENCHMARKS


@pytest.mark.parametrize(("name", "end"), [("open", "secateur"), ("test", "pytest -n logical --maxprocesses 4")])
def test_a_command_is_one_line_under_its_mark(name: str, end: str):
    command = re.search(rf"<!-- {name} command -->\n```sh\n(.+)\n```\n", README)
    assert command is not None
    assert command[1].endswith(f".venv/bin/{end}")


def test_the_readme_is_short():
    assert len(README.encode()) <= 8_000


@pytest.mark.parametrize("net", TITLES.values())
def test_the_results_are_those_of_the_benchmarks(net: str):
    """Means of the three seeds, and the speed of one sample."""
    shown, measured, timed = (
        _row(text, table, net)
        for text, table in (
            (README, "network | parameters | original"),
            (BENCHMARKS, "network | MACs kept | parameters"),
            (BENCHMARKS, "network | batch | original"),
        )
    )
    recovered, uncut = (f"{mean(map(float, re.findall(r'[0-9.]+', cell))):.2f} %" for cell in measured[5:7])
    assert shown[1:] == [measured[2], measured[3], measured[4], recovered, uncut, timed[4]]


def _row(text: str, table: str, net: str) -> list[str]:
    """The last row of a network in the table with this head, as cells."""
    rows = text[text.index(table) :].partition("\n\n")[0].splitlines()
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return [row for row in cells if row[0] == net][-1]


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "tests/benchmarks/README.md"])
def test_links_within_the_repository_lead_to_files(path: str):
    page = ROOT / path
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_newest_version_of_the_changelog_is_that_of_the_package_and_of_the_metadata():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = re.search(r"^## (\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    metadata = (ROOT / "packaging" / "linux" / "org.secateur.Secateur.metainfo.xml").read_text(encoding="utf-8")
    release = re.search(r'<release version="(\S+)" date="(\S+)"', metadata)
    assert changelog is not None and release is not None
    assert changelog.groups() == release.groups() and changelog[1] == version
