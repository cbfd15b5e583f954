"""Nothing is fetched from the network unless the user asked for it.

Models are imported and built inside `no_downloads`. There no address beyond this machine is found or connected to, by
whatever library; what lies in a library's cache is found as ever. Where a model fails for that, the sentence says so.
"""

import ipaddress
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ..errors import OpenError

_lock = threading.Lock()
_guards: list[list[str]] = []
"""What each guard that is open has refused: addresses, in order."""
_own = "", "localhost", "ip6-localhost"


@contextmanager
def no_downloads(name: str, allowed: bool) -> Generator[None]:
    """Refuse the network to the block, in all threads.

    Args:
        name: What is built, for the sentence.
        allowed: The user asked for downloads: nothing is refused.

    Raises:
        OpenError: The block failed and had asked for an address ("source.download").
    """
    if allowed:
        yield
        return
    refused: list[str] = []
    with _lock:
        _guards.append(refused)
        if len(_guards) == 1:
            # Put functions that refuse in the place of those that every Python library connects through.
            _before.update(
                getaddrinfo=socket.getaddrinfo, connect=socket.socket.connect, connect_ex=socket.socket.connect_ex
            )

            def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
                _refuse(host)
                return _before["getaddrinfo"](host, *arguments, **named)

            def connect(self: socket.socket, address: Any) -> Any:
                _refuse(address[0] if isinstance(address, tuple) else "")
                return _before["connect"](self, address)

            def connect_ex(self: socket.socket, address: Any) -> Any:
                _refuse(address[0] if isinstance(address, tuple) else "")
                return _before["connect_ex"](self, address)

            socket.getaddrinfo = getaddrinfo
            socket.socket.connect, socket.socket.connect_ex = connect, connect_ex
    try:
        yield
    except Exception as error:
        if not refused:
            raise
        raise OpenError(
            "source.download",
            "{name} needs a download from {address}. Allow downloads, or open it without pretrained weights.",
            str(error),
            name=name,
            address=refused[0],
        ) from error
    finally:
        with _lock:
            _guards.pop(next(i for i, one in enumerate(_guards) if one is refused))
            if not _guards:
                socket.getaddrinfo = _before["getaddrinfo"]
                socket.socket.connect, socket.socket.connect_ex = _before["connect"], _before["connect_ex"]


_before: dict[str, Any] = {}


def _refuse(host: Any) -> None:
    """Raise ConnectionError for an address beyond this machine."""
    text = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
    if text in _own:
        return
    try:
        if ipaddress.ip_address(text.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    for refused in _guards:
        refused.append(text)
    raise ConnectionError(f"Secateur blocked a connection to {text}: downloads were not allowed")
