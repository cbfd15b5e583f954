"""A shell completes commands, options and choices; `--help` has headings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.engine.cli.arguments import SHELLS, parser
from secateur.engine.cli.main import main

ANSWER = """
import os, sys
os.dup2(1, 8)
from secateur.app.main import main
try:
    main([])
finally:
    sys.stderr.write(str('torch' in sys.modules))
"""


def answers(line: str) -> list[str]:
    """What the program offers at the end of a command line."""
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run([sys.executable, "-c", ANSWER], env=os.environ | asked, capture_output=True, timeout=120)
    return done.stdout.decode().split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("secateur pr", ["prune"]),
        ("secateur prune m --weight-d", ["--weight-decay"]),
        ("secateur prune m --criterion ta", ["taylor"]),
        ("secateur prune m --repair least", ["least-squares"]),
    ],
)
def test_what_may_stand_there_is_offered(line: str, offered: list[str]) -> None:
    assert answers(line) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_the_shell(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "secateur" in script and "_ARGCOMPLETE" in script
    if found := shutil.which(shell):
        (tmp_path / "script").write_text(script)
        assert subprocess.run([found, "-n", str(tmp_path / "script")], timeout=180).returncode == 0


def test_help_has_headings_and_a_short_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["prune", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: secateur prune MODEL [OPTIONS]"
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "positional arguments:",
        "options:",
        "goal:",
        "scores:",
        "plan:",
        "recovery after each cut:",
        "target, where latency counts:",
        "run and output:",
        "model:",
        "files from elsewhere:",
        "data:",
    ]
