"""Workers that run commands on hostile files: one that does not end is killed, and another one takes over."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK, WAIT = 30.0, 60.0
"""Seconds of the processor, and seconds without it, until a command is killed; its child may be at work meanwhile."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code; None where it was killed or died.
        out: Standard output.
        err: Standard error.
        seconds: Of the processor.
        peak: Bytes of resident memory at most.
    """

    code: int | None
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    peak: int = 0


class Worker:
    """A process that runs commands; started when it is needed, and again after it was killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, argv: Sequence[str], cwd: Path) -> Ended:
        """Run a command in a folder."""
        process = self._started()
        asked = {"argv": [os.fsencode(one).hex() for one in argv], "cwd": str(cwd)}
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        answer = self._answer(process)
        if not answer:
            self.end()
            return Ended(None, err=f"killed, or died by itself: {process.returncode}")
        return Ended(**json.loads(answer))

    def end(self) -> None:
        """Stop the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.worker"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, **self._environment},
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()  # it has loaded what it needs
        return self._process

    def _answer(self, process: subprocess.Popen[str]) -> str:
        """The line that the process writes; "" where it is killed, because it works or waits for too long."""
        assert process.stdout is not None
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process, done))
        watcher.start()
        try:
            return process.stdout.readline()
        finally:
            done.set()
            watcher.join()


def _watch(process: subprocess.Popen[str], done: threading.Event) -> None:
    """Kill a process that has worked or waited too long. It waits where it uses no processor: others may need it."""
    began = last = used(process.pid)
    waited = 0
    while not done.wait(1):
        now = used(process.pid)
        waited = waited + 1 if now - last < 0.01 else 0
        last = now
        if now - began > WORK or waited > WAIT:
            process.kill()
            return


def used(pid: int) -> float:
    """Seconds of the processor that a process and its children that have ended have used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def pool(count: int, environment: dict[str, str]) -> Generator["Pool"]:
    """So many workers, ended when the block ends."""
    workers = [Worker(environment) for _ in range(count)]
    try:
        yield Pool(workers)
    finally:
        for worker in workers:
            worker.end()


class Pool:
    """Hands commands to workers as they become free."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    def run(self, commands: Sequence[tuple[Sequence[str], Path]]) -> list[Ended]:
        """Run commands, each with the folder that it runs in; returns how they ended, in the same order."""
        ended: list[Ended | None] = [None] * len(commands)
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(commands)):
            waiting.put(number)

        def work(worker: Worker) -> None:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                ended[number] = worker.run(*commands[number])

        threads = [threading.Thread(target=work, args=(worker,)) for worker in self._workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [one for one in ended if one is not None]
