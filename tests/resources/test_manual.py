"""Manual and README are true: every command and snippet runs, every link leads somewhere, every picture is shown.

A page's blocks run from top to bottom in a folder of its own, commands in this process, on a small part of the bundled
images. A ```python block that begins with a line `# NAME.py` is that file. ```text blocks do not run; blocks marked
`slow` take longer than about ten seconds and run with `-m slow`.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secateur.app.main import AT, main, model_of
from secateur.engine.cli.commands import COMMANDS
from tests.conftest import ROOT

MANUAL = ROOT / "resources" / "manual"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted(MANUAL.glob("*.md"))}
TEXTS = {**PAGES, "README": (ROOT / "README.md").read_text(encoding="utf-8")}
PICTURES = {f"pictures/{one.name}": one for one in (MANUAL / "pictures").iterdir()}
BLOCK = re.compile(r"^```(\w*)( slow)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
PROJECT = "secateur prune bundled:resnet --keep-macs 50% --epochs 1 --save project"
LAUNCHERS = {"--standalone", "--nproc-per-node", "--no-python", "--no", "--nodes", "--gres"}
"""Options of `torchrun`, `accelerate launch` and `sbatch`."""
OTHER_PROGRAMS = LAUNCHERS | {"--provider", "--option", "--name", "--plan-again", "--out", "--logdir"}
"""Beside them those of `bench.py`, of recorded scripts and of TensorBoard."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    slow: bool
    text: str


def blocks_of(page: str) -> list[Block]:
    """All but the README's set-up commands, which .ci/run runs."""
    found = [Block(language, bool(slow), code) for language, slow, code in BLOCK.findall(TEXTS[page])]
    return [block for block in found if "apt-get" not in block.text]


@pytest.fixture(scope="module")
def project(few_images: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What "Getting started" makes, and other pages use."""
    folder = tmp_path_factory.mktemp("started")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        run_command(PROJECT, patch)
    return folder / "project"


@pytest.fixture
def folder(page: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A page's folder, in which it may import what it writes, with the project where it does not make that itself."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    if not any("--save project" in block.text for block in blocks_of(page) if block.language == "sh"):
        shutil.copytree(project, tmp_path / "project")
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def run_block(block: Block, patch: pytest.MonkeyPatch) -> None:
    """Do what a reader does with a block."""
    if block.language == "python":
        first = block.text.partition("\n")[0]
        if re.fullmatch(r"# \w+\.py", first):
            Path(first[2:]).write_text(block.text, encoding="utf-8")
        else:
            exec(compile(block.text, "snippet", "exec"), {"__name__": "snippet"})
    elif block.language == "sh":
        for line in block.text.splitlines():
            run_command(line, patch)
    else:
        assert block.language == "text", f"a block of {block.language!r}: nothing runs it"


def run_command(line: str, patch: pytest.MonkeyPatch) -> None:
    """One line of a shell, in this process; it must succeed."""
    words = shlex.split(line, comments=True)
    out = words.index(">") if ">" in words else len(words)
    target, words = words[out + 1 :], words[:out]
    program, *arguments = words
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if program == "python":
            patch.setattr(sys, "argv", arguments)
            _run_script(arguments[0])
        elif arguments and arguments[0] in COMMANDS:
            assert program == "secateur"
            assert main(arguments) == 0, f"{line}\n{printed.getvalue()}"
        else:
            assert program == "secateur"
            model_of(arguments)  # what the window would open
    if target:
        Path(target[0]).write_text(printed.getvalue(), encoding="utf-8")


def _run_script(path: str) -> None:
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, f"{path} ended with {ended.code}"


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in TEXTS if blocks_of(page)])
def test_every_command_and_snippet_of_a_page_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    for block in blocks_of(page):
        if not block.slow:
            run_block(block, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in TEXTS if any(block.slow for block in blocks_of(page))])
def test_slow_blocks_of_a_page_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    for block in blocks_of(page):
        if block.slow or block.language == "python":
            run_block(block, monkeypatch)


def test_the_contents_list_every_page_once():
    listed = [link for link in LINK.findall(PAGES["index"]) if link.endswith(".md")]
    assert sorted(listed) == sorted(f"{name}.md" for name in PAGES if name != "index")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_page_a_heading_or_a_picture(page: str):
    for link in LINK.findall(PAGES[page]):
        file, _, anchor = link.partition("#")
        if file.startswith("pictures/"):
            assert file in PICTURES
            continue
        name = Path(file).stem if file else page
        assert name in PAGES, link
        assert not anchor or anchor in anchors(PAGES[name]), link


@pytest.mark.parametrize("page", TEXTS)
def test_words_stand_between_two_blocks_of_code(page: str):
    """Qt's Markdown joins blocks that follow each other."""
    assert not re.search(r"^```\n\n```\w", TEXTS[page], re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Headings as a forge and the window's manual name them in links."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_picture_is_shown_and_all_of_them_are_small():
    shown = {link for text in PAGES.values() for link in LINK.findall(text)}
    assert set(PICTURES) <= shown
    assert sum(os.path.getsize(one) for one in PICTURES.values()) < 1_500_000


@pytest.mark.parametrize("page", TEXTS)
def test_every_option_that_is_named_exists(page: str):
    own = [line for line in TEXTS[page].splitlines() if "pip install" not in line]
    assert set(OPTION.findall("\n".join(own))) - OTHER_PROGRAMS <= _options()


def _options() -> set[str]:
    """Those of all commands, and of the window."""
    from secateur.engine.cli.arguments import Parser, commands

    every = commands(Parser()).choices.values()
    return {name for one in every for action in one._actions for name in action.option_strings} | {"--empty", AT}
