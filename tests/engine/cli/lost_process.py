"""A command of which the process of rank 1 is killed at an update, the first time.

`python -m tests.engine.cli.lost_process N WORDS...`, with the variables that `torchrun` sets. Checkpoints are written
after every update.
"""

import os
import signal
import sys
from typing import Any

from secateur.engine.cli.main import main
from secateur.engine.recovery import checkpoint
from secateur.engine.recovery.training import Training

if __name__ == "__main__":
    checkpoint.SECONDS, checkpoint.SHARE = 0.0, 0
    last, step = int(sys.argv[1]), Training.train_on

    def killed(self: Training, batches: Any) -> float:
        """The step, or the end."""
        restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        if self.step == last and os.environ["RANK"] == "1" and restarts == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batches)

    Training.train_on = killed
    sys.exit(main(sys.argv[2:]))
