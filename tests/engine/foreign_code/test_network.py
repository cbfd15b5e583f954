"""Inside the guard nothing beyond this machine is reached, by name or by number; outside everything is as it was."""

import http.server
import socket
import threading
import urllib.request

import pytest

from secateur.engine.errors import OpenError
from secateur.engine.foreign_code.network import no_downloads


def asked(address: str) -> None:
    socket.create_connection((address, 9), timeout=0.2).close()


@pytest.mark.parametrize("address", ["download.example", "203.0.113.1", "2001:db8::1"])
def test_addresses_beyond_this_machine_are_refused(address: str) -> None:
    before = (socket.getaddrinfo, socket.socket.connect)
    with pytest.raises(OpenError, match=f"net needs a download from {address}") as refused, no_downloads("net", False):
        asked(address)
    assert refused.value.message.code == "source.download"
    with pytest.raises(OpenError), no_downloads("net", False), no_downloads("inner", False):
        urllib.request.urlopen(f"http://[{address}]" if ":" in address else f"http://{address}", timeout=0.2)
    assert (socket.getaddrinfo, socket.socket.connect) == before


def test_this_machine_is_reached_and_what_fails_otherwise_fails_as_ever() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    try:
        with no_downloads("net", False):
            socket.create_connection(("localhost", server.server_port), timeout=5).close()
            left, right = socket.socketpair()
            left.close()
            right.close()
        with pytest.raises(ZeroDivisionError), no_downloads("net", False):
            raise ZeroDivisionError
    finally:
        server.server_close()


def test_a_library_that_does_without_is_not_disturbed() -> None:
    with no_downloads("net", False):
        with pytest.raises(OSError, match=r"blocked a connection to download\.example"):
            asked("download.example")
        built = "without it"
    assert built == "without it"  # the block ends as if nothing had been asked for


def test_threads_of_the_block_are_refused_too() -> None:
    found: list[BaseException] = []

    def fetch() -> None:
        try:
            asked("203.0.113.1")
        except OSError as error:
            found.append(error)

    with no_downloads("net", False):
        thread = threading.Thread(target=fetch)
        thread.start()
        thread.join()
    assert "downloads were not allowed" in str(found[0])
