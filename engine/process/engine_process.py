"""One engine process of this machine: its start, its frames undecoded, its log, and its end.

The window's client (`client.py`) reads what it says; the broker of a remote engine (`remote/broker.py`) hands it on.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from ..errors import WireError
from ..machine.operating_system import no_console
from .wire import Wire

SESSION = "secateur.engine.process.window_session:WindowSession"
UNREAD = 500
"""Messages that may wait to be read before log lines are left out."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What is called of a process, from threads of its own.

    Attributes:
        message: A frame came; may raise `WireError`, which ends the process.
        log: It printed lines.
        ended: (exit code, its last lines, why it was ended, None where it ended by itself).
        unread: How many messages wait to be read.
    """

    message: Callable[[bytes | bytearray], None]
    log: Callable[[str], None]
    ended: Callable[[int, str, WireError | None], None]
    unread: Callable[[], int]


class EngineProcess:
    """One engine process and the two threads that listen to it.

    Attributes:
        process: It.
    """

    def __init__(self, session: str, listener: Listener) -> None:
        """Start it; `session` is "module:name" of what makes its session from a folder."""
        pipe = subprocess.PIPE
        # -P: a file of the user's working folder must not take the place of a module of Python or of ours.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "secateur.engine.process.worker", session],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            creationflags=no_console(),
        )
        self._wire = Wire(cast("BinaryIO", self.process.stdout), cast("BinaryIO", self.process.stdin))
        self._listener = listener
        self._closing = False
        self._tail: deque[str] = deque(maxlen=40)
        self._left_out = 0
        self._log_thread = threading.Thread(target=self._read_log, name="engine log", daemon=True)
        self._log_thread.start()
        self._thread = threading.Thread(target=self._listen, name="engine events", daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        """Hand a message on, also to a process that has died."""
        # A process that has died reports by `ended`.
        with contextlib.suppress(OSError, ValueError):
            self._wire.send(data)

    def close(self, goodbye: bytes, timeout: float) -> None:
        """Ask the process to end, kill it after `timeout` seconds, and stop listening."""
        self._closing = True
        self.send(goodbye)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._thread.join(timeout)
        with contextlib.suppress(OSError):
            self._wire.sink.close()

    def _listen(self) -> None:
        try:
            while True:
                data = self._wire.receive()
                if not self._closing:
                    self._listener.message(data)
        except (EOFError, OSError):
            garbled = None
        except WireError as error:
            self.process.kill()
            garbled = error
        exitcode = self.process.wait()
        # Its last words say why it died.
        self._log_thread.join(1.0)
        self._wire.source.close()
        if not self._closing:
            self._listener.ended(exitcode, "\n".join(self._tail), garbled)

    def _read_log(self) -> None:
        rest = b""
        with cast("BinaryIO", self.process.stderr) as source:
            while data := os.read(source.fileno(), 65536):
                *lines, rest = (rest + data).split(b"\n")
                self._pass_on(lines)
        self._pass_on([rest] if rest else [])

    def _pass_on(self, lines: list[bytes]) -> None:
        texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
        self._tail.extend(texts)
        # A process may print faster than a window shows it: then the window must not fall behind for good.
        if self._listener.unread() > UNREAD:
            self._left_out += len(texts)
        elif texts:
            omitted = [f"({self._left_out} lines left out)"] if self._left_out else []
            self._left_out = 0
            self._listener.log("\n".join(omitted + texts))
