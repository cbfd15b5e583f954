"""Runs commands one after the other in one process, as lines of JSON ask for it, and says how each ended.

What goes in is {"argv": [...], "cwd": "..."}; what comes out {"code", "out", "err", "seconds", "peak"}: exit code, the
two outputs, seconds of the processor, and the peak of resident memory in bytes.
"""

import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from secateur.engine.cli import main as cli

STATUS = Path("/proc/self/status")


def peak() -> int:
    """Bytes of memory that were resident at most since `forget_peak`."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    for name in ("torch", "torchvision", "secateur.engine.session.session"):  # before anything is timed
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        argv = [os.fsdecode(bytes.fromhex(one)) for one in asked["argv"]]
        os.chdir(os.fsencode(asked["cwd"]))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            forget_peak()
            began = time.process_time()
            try:
                code = cli.main(argv)
            except BaseException:
                traceback.print_exc()
                code = -1
            sys.stdout.flush()
            sys.stderr.flush()
            told: dict[str, Any] = {"code": code, "seconds": time.process_time() - began, "peak": peak()}
            for name, file in (("out", out), ("err", err)):
                file.seek(0)
                told[name] = file.read()[-100_000:].decode("utf-8", "backslashreplace")
        answers.write(json.dumps(told) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
