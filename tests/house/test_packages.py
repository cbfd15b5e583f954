"""The wheel holds what the folders hold: what is forgotten breaks only the program that people install."""

import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("app", "engine", "resources")
SETUP = "import setuptools, runpy; setuptools.setup = lambda packages: print(*packages); runpy.run_path('setup.py')"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _folders_with_python(top: str) -> set[str]:
    parents = {path.parent for path in (ROOT / top).rglob("*.py")}
    return {".".join(("secateur", *folder.relative_to(ROOT).parts)) for folder in parents}


def _tracked(top: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", top], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in listing.stdout.split("\0") if name]


def _packages_that_setup_lists() -> set[str]:
    result = subprocess.run([sys.executable, "-c", SETUP], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_every_folder_with_python_files_is_a_listed_package():
    expected = set().union(*(_folders_with_python(top) for top in TOPS))
    assert _packages_that_setup_lists() == expected


def test_every_test_folder_is_a_package():
    fixtures = ROOT / "tests" / "fixtures"
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py") if fixtures not in path.parents}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("top", TOPS)
def test_every_tracked_file_beside_the_code_is_package_data(top: str):
    patterns = PROJECT["tool"]["setuptools"]["package-data"][f"secateur.{top}"]
    licences = {Path(name) for name in PROJECT["project"]["license-files"]}  # the wheel has them beside its metadata
    others = [path.relative_to(top) for path in _tracked(top) if path.suffix != ".py" and path not in licences]
    forgotten = [str(path) for path in others if not any(_matches(path, pattern) for pattern in patterns)]
    assert forgotten == []


def _matches(path: Path, pattern: str) -> bool:
    return fnmatch(str(path), pattern) or (pattern.startswith("**/") and fnmatch(path.name, pattern[3:]))


def test_what_is_shipped_beside_the_code_stays_under_ten_megabytes():
    assert sum((ROOT / path).stat().st_size for path in _tracked("resources")) < 10e6


def test_the_links_of_the_type_checker_name_the_folders():
    for top in TOPS:
        assert (ROOT / ".links" / "secateur" / top).resolve() == ROOT / top
