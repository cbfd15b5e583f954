"""The one-folder bundle: what it leaves out is used by no part of the program, and its scripts agree with its files."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "packaging" / "bundle"
LOADED = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
print(*{str(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)}, sep="\\n")
"""
"""Imports what it is told to and prints the files of all that this brought in."""


def _build():
    spec = importlib.util.spec_from_file_location("bundle_build", BUNDLE / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _imported() -> set[str]:
    """All modules of others that any line of the program imports, also within functions."""
    names = set[str]()
    for path in (*(ROOT / "engine").rglob("*.py"), *(ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if not name.startswith("secateur")}


def test_nothing_that_the_program_imports_is_left_out():
    build, packages = _build(), Path(pytest.__file__).parents[1]
    names = sorted(_imported())
    assert {"torch", "onnxruntime.quantization", "PySide6.QtSvg", "PySide6.QtSvg.QSvgGenerator"} <= set(names)
    done = subprocess.run([sys.executable, "-P", "-c", LOADED, *names], stdout=subprocess.PIPE, text=True, check=True)
    files = [
        Path(line).relative_to(packages) for line in done.stdout.splitlines() if Path(line).is_relative_to(packages)
    ]
    assert Path("torch/__init__.py") in files and len(files) > 1000
    assert [str(file) for file in files if build.is_left_out(file, build.patterns())] == []


def test_every_pattern_names_something():
    build, packages = _build(), Path(pytest.__file__).parents[1]
    present = {line.partition("/")[0] for line in build.patterns()} - {"*"}
    gone = sorted(name for name in present if not (packages / name).is_dir())
    assert gone == [], "a package that is not installed any more"


def test_a_pattern_takes_what_lies_below_it():
    build = _build()
    what = ["*/tests", "torch/include", "PySide6/*.pyi"]
    assert build.is_left_out(Path("scipy/stats/tests/test_fit.py"), what)
    assert build.is_left_out(Path("torch/include/c10/core.h"), what)
    assert build.is_left_out(Path("PySide6/QtCore.pyi"), what)
    assert not build.is_left_out(Path("torch/testing/_comparison.py"), what)
    assert not build.is_left_out(Path("tests_of_mine/one.py"), what)


def test_what_opens_with_the_program_is_declared_in_both_files():
    linux = ROOT / "packaging" / "linux"
    entry = (linux / "org.secateur.Secateur.desktop").read_text().splitlines()
    opened = (
        next(line for line in entry if line.startswith("MimeType=")).removeprefix("MimeType=").strip(";").split(";")
    )
    described = (linux / "org.secateur.Secateur.xml").read_text()
    assert all(f'<mime-type type="{kind}">' in described for kind in opened)
    assert described.count("<mime-type ") == len(opened)


def test_a_bundle_begins_with_its_manifest_by_which_desktops_know_it(tmp_path: Path):
    import zipfile

    from secateur.engine.session.bundle_file import MANIFEST

    described = (ROOT / "packaging" / "linux" / "org.secateur.Secateur.xml").read_text()
    assert f'<match type="string" offset="30" value="{MANIFEST}"/>' in described
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"{}")
    assert (tmp_path / "one.zip").read_bytes()[30:].startswith(MANIFEST.encode())


def test_modules_and_libraries_of_a_bundle_are_no_programs(tmp_path: Path):
    module, alone, library, program = (tmp_path / name for name in ("cgi.py", "empty.py", "libz.so.1", "protoc"))
    module.write_bytes(b"#! /usr/local/bin/python\nprint('x')\n")
    alone.write_bytes(b"#!/usr/bin/env python3")
    library.write_bytes(b"\x7fELF")
    program.write_bytes(b"#!/bin/sh\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    (folder := tmp_path / "scripts").mkdir()
    for path in (library, folder):
        os.utime(path, (0.0, 0.0))
    _build().make_libraries(tmp_path)
    assert module.read_bytes() == b"#\nprint('x')\n" and alone.read_bytes() == b"#"
    assert program.read_bytes() == b"#!/bin/sh\n"
    assert [path.stat().st_mode & 0o777 for path in (module, alone, library, program)] == [0o644, 0o644, 0o644, 0o755]
    assert min(path.stat().st_mtime for path in (library, folder)) > 1.6e9
