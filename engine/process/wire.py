"""Frames between window and engine: bytes with a length before them, over pipes. What is in them says `messages.py`.

What comes is bounded before it is read: a length that is a lie costs no memory, and what is packed unpacks to no more
than a message may have.
"""

import struct
import threading
import zlib
from typing import BinaryIO

from .plain_data import not_understood

MOST = 1 << 30
"""Bytes that a message may have; the analysis of a language model of 7 billion parameters has 16 million."""
PACKED = 4096
"""Bytes from which a message is packed where the link is a slow one."""
_HEAD = struct.Struct("<QB")
"""Length, and whether what follows is packed."""


class Wire:
    """One end of a connection. Sending is safe from several threads, receiving belongs to one.

    Attributes:
        source: Where messages come from.
        sink: Where messages go.
        slow: Large messages are worth packing.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO, slow: bool = False) -> None:
        """Take two open binary files."""
        self.source = source
        self.sink = sink
        self.slow = slow
        self._sending = threading.Lock()

    def send(self, data: bytes) -> None:
        """Write one message; raises OSError or ValueError when the other end is gone."""
        packed = self.slow and len(data) >= PACKED
        if packed:
            data = zlib.compress(data, level=1)
        with self._sending:
            self.sink.write(_HEAD.pack(len(data), packed))
            self.sink.write(data)
            self.sink.flush()

    def receive(self) -> bytearray | bytes:
        """Wait for one message; raises EOFError when the other end is gone, `WireError` for what is none."""
        length, packed = _HEAD.unpack(self._read(_HEAD.size))
        if length > MOST or packed > 1:
            raise not_understood("what came is no message, or one of more than a gigabyte")
        data = self._read(length)
        if not packed:
            return data
        # Unpack no more than a message may have: a small one could hold anything.
        unpacker = zlib.decompressobj()
        try:
            found = unpacker.decompress(data, MOST)
        except zlib.error as error:
            raise not_understood(str(error)) from error
        if not unpacker.eof:
            raise not_understood("a packed message is cut short, or unpacks to more than a gigabyte")
        return found

    def _read(self, size: int) -> bytearray:
        # Zeros take no memory before they are written over.
        data = bytearray(size)
        left = memoryview(data)
        while left:
            count = self.source.readinto(left)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            left = left[count:]
        return data
