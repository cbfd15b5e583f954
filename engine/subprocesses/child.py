"""The other side of `run.run_killable`: take one job from standard input, run it, write progress and the result.

Runs as `python -m secateur.engine.subprocesses.child package.module:function`. What user code prints goes to
the error output, so that it cannot get between the lines of the protocol.
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any

from ..errors import Message, SecateurError
from ..jobs import Job


def main(name: str) -> None:
    """Run the function `name` on the job that comes in."""
    # Keep standard output for the protocol and point its number at the error output.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        module, _, function = name.partition(":")
        _run(getattr(importlib.import_module(module), function), job, output)
    except SecateurError as error:
        _write(output, {"error": {"kind": type(error).__name__, "message": error.message, "details": error.details}})


def _exit_with_parent() -> None:
    """Standard input ends when the parent is gone: nobody would read the result."""
    sys.stdin.read()
    os._exit(1)


def _run(function: Callable[[dict[str, Any]], Job[Any]], job: dict[str, Any], output: IO[str]) -> None:
    steps = function(job)
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            _write(output, {"result": stop.value})
            return
        _write(output, {"progress": asdict(progress)})


def _write(output: IO[str], message: dict[str, Any]) -> None:
    output.write(json.dumps(message, default=_plain) + "\n")
    output.flush()


def _plain(value: Any) -> Any:
    """What JSON does not know: a sentence by its parts."""
    return asdict(value) if isinstance(value, Message) else str(value)


if __name__ == "__main__":
    main(sys.argv[1])
