"""How many threads a command computes with: numbers are equal bit for bit only at one thread count; and where.

And where it leaves files for TensorBoard.
"""

import argparse
from pathlib import Path

from ..machine.devices import CPU, available, check_threads
from ..recovery.training_curve import require_tensorboard
from ..session.session import Session


def use_threads(threads: int | None) -> None:
    """Tell torch; None leaves its own choice. Raises SecateurError for more than any machine computes with."""
    if threads:
        import torch

        torch.set_num_threads(check_threads(threads))


def use_device(session: Session, arguments: argparse.Namespace, recorded: str = CPU) -> None:
    """Train and evaluate where the arguments say, else where a recipe did, if this machine has that.

    Raises:
        SecateurError: There is no device as the arguments name it, or no TensorBoard for `--log-dir`.
    """
    device = arguments.device or (recorded if recorded in available() else CPU)
    if device != CPU:
        session.use_device(device)
    log_folder: Path | None = getattr(arguments, "log_dir", None)
    if log_folder is not None:
        require_tensorboard(log_folder)
        session.log_folder = log_folder.absolute()
