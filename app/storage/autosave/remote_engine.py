"""The engine on another machine that has a session's states: noted in its folder while the session is open.

A window that was killed leaves it there, and the next one finds the engine again by it.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from secateur.engine.errors import SecateurError
from secateur.engine.storage.atomic_files import write
from secateur.engine.subprocesses.ssh import read_address

ENGINE = "engine.json"
LARGEST = 4096
"""Bytes of the file at most."""


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """An engine that a window has started elsewhere; several addresses may lead to the same one.

    Attributes:
        address: As `read_address` takes it.
        name: Of the engine there, which no other one has.
    """

    address: str = field(compare=False)
    name: str

    @property
    def host(self) -> str:
        """The machine, for people."""
        return read_address(self.address).title

    def keep(self, folder: Path) -> None:
        """Write it into a session's folder."""
        write(folder / ENGINE, json.dumps(asdict(self)).encode())

    @staticmethod
    def forget(folder: Path) -> None:
        """The session was closed in order, and nothing is left of it there."""
        with suppress(OSError):
            (folder / ENGINE).unlink()


def remote_engine_of(folder: Path) -> RemoteEngine | None:
    """The engine that has the states of a session's folder, None for this machine's."""
    try:
        with (folder / ENGINE).open("rb") as file:
            kept = json.loads(file.read(LARGEST))
        found = RemoteEngine(str(kept["address"]), str(kept["name"]))
        read_address(found.address)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, SecateurError):
        return None
    return found
