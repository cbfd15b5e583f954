"""The constraints name one version of every package that the program asks for, and one that it accepts."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [line for line in (ROOT / "packaging" / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
PINNED = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}
OF_BENCHMARKS = {"torch-pruning"}


def test_every_line_is_one_version():
    assert all(Requirement(line).specifier and "==" in line for line in LINES)
    assert len(PINNED) == len(LINES)


def test_every_requirement_accepts_its_version():
    texts = [*PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values() for text in extra)]
    requirements = [Requirement(text) for text in texts]
    others = [one for one in requirements if one.name not in {"secateur", *OF_BENCHMARKS}]
    here = [one for one in others if one.marker is None or one.marker.evaluate({"python_version": "3.11"})]
    refused = [str(one) for one in here if not one.specifier.contains(PINNED.get(canonicalize_name(one.name), "0"))]
    assert refused == []
