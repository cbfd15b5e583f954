"""Run a function in a further process that can be killed: for work that cannot be interrupted, or not disturbed.

The job goes in as one line of JSON on standard input, progress and the result come back as lines of JSON; `child.py` is
the other side. When the process dies by itself, the end of its error output becomes the details of the error.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import msgspec

from .. import errors
from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from ..machine.operating_system import group_options, kill_group

POLL = 0.05
"""Seconds between looks at the cancel token."""
TAIL = 4000
"""Characters of the error output that are kept."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def run_killable(
    function: str,
    job: Mapping[str, Any],
    token: CancelToken,
    what: Message,
    threads: int = 1,
    error: type[SecateurError] = SecateurError,
) -> Job[dict[str, Any]]:
    """Run `function(job)` in a process of its own, killed within a tenth of a second once `token` is set.

    Args:
        function: "package.module:function", a generator of `Progress` that returns something JSON can say.
        job: Its argument; must go through JSON.
        token: Looked at every 50 ms.
        what: What the process does, for the sentence when it dies ("The export").
        threads: Compute threads of the process.
        error: Raised when the process dies by itself; what the function raises keeps its class.
    """
    # -P: a folder `secateur` or `torch` in the working folder must not be imported in their place.
    command = [sys.executable, "-P", "-m", "secateur.engine.subprocesses.child", function]
    return (yield from run_command(command, job, token, what, threads, error))


def run_command(
    command: Sequence[str],
    job: Mapping[str, Any],
    token: CancelToken,
    what: Message,
    threads: int = 1,
    error: type[SecateurError] = SecateurError,
) -> Job[dict[str, Any]]:
    """The same for any program that reads a line of JSON and answers in lines {"progress": ...} and {"result": ...}."""
    check(token)
    with tempfile.TemporaryFile() as complaints:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONIOENCODING": "utf-8"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
            encoding="utf-8",
            **group_options(),
        )
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), name="worker output", daemon=True)
        reader.start()
        try:
            # Hand over the job; standard input stays open, so that the child notices when this process is gone.
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once: following its output says why
                process.stdin.write(json.dumps(dict(job)) + "\n")
                process.stdin.flush()
            for line in _lines(lines, token):
                message: dict[str, Any] = json.loads(line)
                if "result" in message:
                    return message["result"]
                if "error" in message:
                    raise _error(message["error"])
                yield msgspec.convert(message["progress"], Progress)
            code = process.wait()
            complaints.seek(0)
            tail = complaints.read().decode("utf-8", "replace")[-TAIL:]
            last = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")
            if code < 0:
                template = (
                    "{what} was killed by the system ({name}). Memory may have run out: close other programs and try "
                    "again."
                )
                raise error("process.killed", template, tail, what=what, name=signal.Signals(-code).name)
            if not last:
                raise error("process.silent", "{what} failed with exit code {number}", tail, what=what, number=code)
            raise error("process.died", "{what} failed: {last}", tail, what=what, last=last)
        finally:
            # Kill what still runs, with its own children, and close the pipes.
            if process.poll() is None:
                kill_group(process)
            process.wait()
            reader.join(timeout=1)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


def _read(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _lines(lines: "queue.Queue[str | None]", token: CancelToken) -> Iterator[str]:
    """Lines as they come, until the output ends; raises Cancelled."""
    while True:
        check(token)
        try:
            line = lines.get(timeout=POLL)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line


def _error(content: dict[str, Any]) -> SecateurError:
    """The error that the function raised, in its own class."""
    kind = getattr(errors, content["kind"], SecateurError)
    message = msgspec.convert(content["message"], Message)
    return kind(message.code, message.template, content["details"], **message.arguments)
