"""Completion of commands and options in a shell, by argcomplete; `secateur completion SHELL` turns it on."""

import argparse
import os

from .arguments import parser
from .output import Outcome, Reporter

ASKED = "_ARGCOMPLETE"
"""The environment variable by which a shell asks this program what may stand at the cursor."""


def completion(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Print the script for a shell."""
    from argcomplete.shell_integration import shellcode

    script = shellcode(["secateur"], shell=arguments.shell)
    return Outcome({"command": "completion", "shell": arguments.shell, "script": script}, script)


def complete() -> None:
    """Answer a shell that asks, and leave; return where none does. Loads no torch."""
    if ASKED in os.environ:
        from argcomplete import autocomplete

        autocomplete(parser())
