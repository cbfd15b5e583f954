"""`secateur shear` that is killed after its second file: `python -m tests.engine.workflows.killed_shear WORDS...`."""

import os
import signal
import sys
from itertools import count
from typing import Any

from secateur.engine.cli.main import main
from secateur.engine.export import sharded_folder

if __name__ == "__main__":
    sharded_folder.LARGEST = 1
    write, number = sharded_folder.write_tensors, count(1)

    def killed(*words: Any) -> None:
        """The file, and at the second one the end."""
        write(*words)
        if next(number) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    sharded_folder.write_tensors = killed
    sys.exit(main(["shear", *sys.argv[1:]]))
