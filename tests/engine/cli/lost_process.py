"""A command of which the process of rank 1 is killed at an update.

`python -m tests.engine.cli.lost_process N WORDS...`, with the variables that `torchrun` sets. Checkpoints are written
after every update.
"""

import os
import signal
import sys
from typing import Any

from secateur.engine.cli.main import main
from secateur.engine.recovery import checkpoint
from secateur.engine.recovery.gradient_worker import GradientWorker

if __name__ == "__main__":
    checkpoint.SECONDS, checkpoint.SHARE = 0.0, 0
    last, step = int(sys.argv[1]), GradientWorker.step

    def killed(self: GradientWorker, order: Any) -> None:
        """The step, or the end."""
        if order.step == last:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, order)

    GradientWorker.step = killed
    sys.exit(main(sys.argv[2:]))
