"""Messages between window and engine process: pickles with a length before them, over anonymous pipes.

Nobody but parent and child can reach an anonymous pipe, so nothing needs to be authenticated.
"""

import pickle
import struct
import threading
from typing import Any, BinaryIO

_LENGTH = struct.Struct("<Q")


class Wire:
    """One end of a connection. Sending is safe from several threads, receiving belongs to one.

    Attributes:
        source: Where messages come from.
        sink: Where messages go.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        """Take two open binary files."""
        self.source = source
        self.sink = sink
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Write one message; raises OSError or ValueError when the other end is gone."""
        data = pickle.dumps(message, protocol=5)
        with self._sending:
            self.sink.write(_LENGTH.pack(len(data)))
            self.sink.write(data)
            self.sink.flush()

    def receive(self) -> Any:
        """Wait for one message; raises EOFError when the other end is gone."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return pickle.loads(self._read(length))

    def _read(self, size: int) -> bytes:
        data = self.source.read(size)
        if len(data) < size:
            raise EOFError
        return data
