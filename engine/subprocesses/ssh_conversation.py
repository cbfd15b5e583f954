"""A program on another machine that takes bytes, says how far it is, and answers: each heard in a thread of its own."""

import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader
from typing import IO, cast

from ..jobs import CancelToken, Job, Progress, check

TAIL = 4000
"""Characters of the error output that are kept."""
POLL = 0.1
"""Seconds between looks at whether it goes on."""
REST = 30.0
"""Seconds in which the rest of an answer is read, where nothing else on this machine gives way."""
GRACE = 1.0
"""Seconds for the last words on standard error, which a connection keeps open that `ssh` shares with later ones."""


class SshConversation:
    """Sends something to a process and hears what it says.

    Attributes:
        answer: What came on standard output, a little more than `most` bytes of it at most.
        log: The end of what came on standard error.
        sent: Everything is sent.
    """

    def __init__(self, process: subprocess.Popen[bytes], send: Callable[[IO[bytes]], None], most: int) -> None:
        """Begin.

        Args:
            process: As `start_ssh` started it.
            send: Writes into its standard input; where that is closed there it may raise OSError.
            most: Bytes of an answer that are of interest.
        """
        self.answer = bytearray()
        self.log: str = ""
        self.sent = False
        self._process, self._most = process, most
        work = (lambda: self._send(send), self._hear, self._listen)
        self._threads = [threading.Thread(target=one, name="ssh conversation", daemon=True) for one in work]
        for thread in self._threads:
            thread.start()

    def follow(self, tell: Callable[["SshConversation"], Progress], token: CancelToken) -> Job[int]:
        """Tell how far it is until it has ended, and end it where the job ends before; returns its exit code."""
        try:
            while self._goes_on():
                check(token)
                yield tell(self)
        finally:
            # End the process if it has not; returns its exit code.
            if self._process.poll() is None:
                self._process.kill()
            exitcode = self._process.wait()
        return exitcode

    def _goes_on(self) -> bool:
        """Wait a moment; False once the process has ended and everything was heard."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(POLL)
            _, hearing, listening = self._threads
            hearing.join(REST)
            listening.join(GRACE)
            return False
        return True

    def _send(self, send: Callable[[IO[bytes]], None]) -> None:
        sink = cast("IO[bytes]", self._process.stdin)
        with suppress(OSError, ValueError):  # it has ended: what it said tells why
            send(sink)
            sink.flush()
            self.sent = True
        with suppress(OSError, ValueError):
            sink.close()

    def _hear(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as source:
            while data := source.read(1 << 16):
                if len(self.answer) <= self._most:
                    self.answer += data

    def _listen(self) -> None:
        with cast("BufferedReader", self._process.stderr) as source:
            while data := source.read1(1 << 16):
                self.log = (self.log + data.decode("utf-8", "replace"))[-TAIL:]
