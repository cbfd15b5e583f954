"""Runs a bench on another machine over the user's own `ssh`: its folder goes there, its results come back.

The other machine needs Python, numpy and onnxruntime. Nothing stays there, and what it sends is read as data.
"""

import re
import shlex
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from ..subprocesses.ssh import Address, ssh_refusal, start_ssh
from .remote import RESULTS

PYTHON = "python3"
MARK = b"secateur-bench-results"
"""The line behind which the results stand: a login shell may print before it."""
MOST = 1 << 20
"""Bytes of results."""
TAIL = 4000
"""Characters of the error output that are kept."""
POLL = 0.1
"""Seconds between looks at the cancel token."""
GRACE = 1.0
"""Seconds in which the last words of a process come that has ended."""
PERCENT = re.compile(r"(\d{1,3}) %")
NOT_FOUND = 127
RECEIVE = f"""
import subprocess, sys, tarfile, tempfile
from pathlib import Path
with tempfile.TemporaryDirectory() as folder:
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as files:
        if hasattr(tarfile, "data_filter"):
            files.extraction_filter = tarfile.data_filter
        files.extractall(folder)
    command = [sys.executable, "bench.py", "--out", "{RESULTS}", *sys.argv[1:]]
    code = subprocess.call(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if code == 0:
        sys.stdout.write("\\n{MARK.decode()}\\n" + Path(folder, "{RESULTS}").read_text(encoding="utf-8"))
sys.exit(code)
"""
"""What Python runs there: it takes the folder from standard input, measures, answers, and removes the folder."""


def bench_over_ssh(folder: Path, address: Address, arguments: Sequence[str], token: CancelToken) -> Job[Path]:
    """Run the bench of a folder on another machine; returns the file with its results, which is put into the folder.

    Args:
        folder: As `write_bench` has made it.
        address: Where; its program is the Python there.
        arguments: Of `bench.py`.
        token: Ends the connection; the machine there ends the bench with it.

    Raises:
        SecateurError: No `ssh`, no connection, no Python or no onnxruntime there, or what `bench.py` says itself.
    """
    check(token)
    python = address.program or PYTHON
    command = shlex.join(["exec", python, "-c", RECEIVE, *arguments])
    process = start_ssh(address, command, asks=False)
    talk = _Conversation(process, folder)
    try:
        while talk.goes_on():
            check(token)
            yield talk.progress(address.title)
    finally:
        talk.end()
    exitcode, log = process.returncode, talk.log
    _, marked, results = bytes(talk.answer).partition(b"\n" + MARK + b"\n")
    if exitcode or not marked or len(talk.answer) > MOST:
        raise _failed(address, python, exitcode, log)
    path = folder / RESULTS
    path.write_bytes(results)
    return path


class _Conversation:
    """Sends a folder to a process and hears what it says, each in a thread of its own.

    Attributes:
        answer: What came on standard output.
        log: The end of what came on standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.answer = bytearray()
        self.log: str = ""
        self._process, self._sent = process, False
        work = (lambda: self._send(folder), self._hear, self._listen)
        self._threads = [threading.Thread(target=one, name="bench over ssh", daemon=True) for one in work]
        for thread in self._threads:
            thread.start()

    def goes_on(self) -> bool:
        """Wait a moment; False once the process has ended and everything was heard."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(POLL)
            for thread in self._threads[1:]:  # a connection that `ssh` shares with later ones may stay open
                thread.join(GRACE)
            return False
        return True

    def progress(self, host: str) -> Progress:
        if not self._sent:
            return Progress(Message("progress.sending_bench", "Sending the models to {host}", {"host": host}))
        done = PERCENT.findall(self.log)
        words = Message("progress.measuring_there", "Measuring on {host}", {"host": host})
        return Progress(words, min(int(done[-1]), 100) if done else 0, 100)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _send(self, folder: Path) -> None:
        sink = cast("IO[bytes]", self._process.stdin)
        with suppress(OSError, ValueError):  # it has ended: what it said tells why
            with tarfile.open(fileobj=sink, mode="w|") as files:
                for path in sorted(folder.iterdir()):
                    files.add(path, path.name)
            sink.flush()
            self._sent = True
        with suppress(OSError, ValueError):
            sink.close()

    def _hear(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as source:
            while data := source.read(1 << 16):
                if len(self.answer) <= MOST:
                    self.answer += data

    def _listen(self) -> None:
        with cast("BufferedReader", self._process.stderr) as source:
            while data := source.read1(1 << 16):
                self.log = (self.log + data.decode("utf-8", "replace"))[-TAIL:]


def no_results(host: str) -> SecateurError:
    """The other machine has answered, but not with what `bench.py` writes."""
    template = "{host} sent no results of bench.py. Write a benchmark folder and run it there by hand to see why."
    return SecateurError("target.no_results_there", template, host=host)


def _failed(address: Address, python: str, exitcode: int, log: str) -> SecateurError:
    """Why there are no results."""
    host = address.title
    if (said := ssh_refusal(host, exitcode, log)) is not None:
        return SecateurError(said.code, said.template, log, **said.arguments)
    if exitcode == NOT_FOUND:
        template = "There is no {python} on {host}. Name its path: ssh://{host}/path/of/python3."
        return SecateurError("target.no_python_there", template, log, python=python, host=host)
    if (found := re.search(r"No module named '(numpy|onnxruntime)'", log)) is not None:
        template = "{python} on {host} has no {module}. Run {command} there."
        command = f"{python} -m pip install numpy onnxruntime"
        return SecateurError(
            "target.no_module_there", template, log, python=python, host=host, module=found[1], command=command
        )
    if not exitcode:
        return no_results(host)
    lines = [line.strip() for line in re.split(r"[\r\n]", log) if line.strip() and not PERCENT.fullmatch(line.strip())]
    template = "The measurement on {host} failed: {reason}"
    reason = lines[-1][:300] if lines else f"exit code {exitcode}"
    return SecateurError("target.failed_there", template, log, host=host, reason=reason)
