"""How many threads a command computes with: numbers are equal bit for bit only at one thread count; and where."""

import argparse

from ..devices import CPU
from ..session.session import Session


def use_threads(threads: int | None) -> None:
    """Tell torch; None leaves its own choice."""
    if threads:
        import torch

        torch.set_num_threads(threads)


def use_device(session: Session, arguments: argparse.Namespace) -> None:
    """Train and judge where the arguments say; raises SecateurError where there is no such device."""
    if arguments.device != CPU:
        session.use_device(arguments.device)
