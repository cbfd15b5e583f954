"""What the command line adds to the engine's sentences: arguments that exist, behind sentences that exist."""

import re
from pathlib import Path

import pytest

from secateur.engine.cli.arguments import parser
from secateur.engine.cli.commands import COMMANDS
from secateur.engine.cli.flag_hints import HINTS, OBSTACLES, with_hint
from secateur.engine.errors import Message

ENGINE = Path(__file__).parents[3] / "engine"


def test_every_hint_names_arguments_that_some_command_takes(capsys: pytest.CaptureFixture[str]) -> None:
    known = set[str]()
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            parser().parse_args([command, "--help"])
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    named = {flag for hint in (*HINTS.values(), *OBSTACLES.values()) for flag in re.findall(r"--[a-z-]+", hint)}
    assert named and named <= known


def test_every_hint_belongs_to_a_sentence_and_no_sentence_of_the_engine_names_an_argument():
    sources = {path: path.read_text(encoding="utf-8") for path in ENGINE.rglob("*.py") if "cli" not in path.parts}
    assert all(any(f'"{code}"' in text for text in sources.values()) for code in HINTS)
    assert not [path for path, text in sources.items() if re.search(r"\(--[a-z]", text)]


def test_a_sentence_gets_its_arguments_and_another_none():
    assert with_hint(Message("project.moved", "{path} is gone.", {"path": "a"})) == "a is gone. (--moved OLD=NEW)"
    told = {"advice": "b", "obstacles": (("multiple", False), ("kinds", True))}
    assert with_hint(Message("plan.unreachable", "Not so: {advice}.", told)) == "Not so: b. (--multiple, --depth)"
    assert with_hint(Message("session.closed", "No model is open.")) == "No model is open."
