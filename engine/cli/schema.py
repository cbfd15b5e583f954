"""`secateur schema`: the JSON Schema of what `--json` prints, for those who read it by a program."""

import argparse
from pathlib import Path

from ..storage.serialization import decoded
from .output import Outcome, Reporter

SCHEMA = "output.schema.json"
"""Beside this file."""


def schema(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Print the schema."""
    text = Path(__file__).with_name(SCHEMA).read_text(encoding="utf-8")
    return Outcome({"command": "schema", "schema": decoded(text)}, text)
