"""A port for a server that a test starts."""

import socket
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def free_port() -> Generator[int]:
    """A port of the loopback address that no other program gets until the block ends.

    It is bound, and nobody listens: a server that sets SO_REUSEADDR, as sshd and torch's store do, may take it.
    """
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]
