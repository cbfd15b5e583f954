"""Commands that `torchrun` or `accelerate launch` start several times: which process runs them, what the others do."""

import argparse
import sys
from collections.abc import Callable
from typing import TypeVar

from ..distributed import joined, launched

PARALLEL = frozenset({"prune", "shear", "sweep", "run"})
"""Commands that score or train, which several processes do together; every other one runs in one process."""
Result = TypeVar("Result")


def led(arguments: argparse.Namespace, command: Callable[[], Result]) -> Result | None:
    """Run a command in the process that leads; the others compute with it, or leave where it has nothing for them.

    Returns:
        What the command gives, None in the others.
    """
    place = launched()
    if place.size == 1:
        return command()
    if arguments.command not in PARALLEL:
        if place.rank == 0:
            return command()
        sys.stderr.write(f"{arguments.command} runs in one process: process {place.rank} has nothing to do.\n")
        return None
    with joined() as group:
        if group.is_writer:
            return command()
        from ..session.parallel import Follower  # brings torch
        from .compute_device import use_threads

        use_threads(arguments.threads)
        Follower(group).follow()
        return None
