"""The disk of another machine, as dialogs ask for it: answers at once."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from secateur.app.jobs.remote_files import Sending
from secateur.engine.errors import SecateurError
from secateur.engine.process.remote.protocol import Entry, Seen

HOME = "/home/me"


class Disk:
    """Has the files that it is told of.

    Attributes:
        sent: Files that came from this machine.
        error: What it says in place of an answer, None for nothing.
    """

    def __init__(self, files: dict[str, int | None]) -> None:
        """Path -> bytes of a file, None of a folder; the folders above are there, too."""
        self.host = "gpu"
        self.sent: list[Path] = []
        self.error: SecateurError | None = None
        files = {HOME: None, **files}
        self._files = {"/": None} | {str(up): None for path in files for up in PurePosixPath(path).parents} | files

    def look(
        self, path: str, on_done: Callable[[Seen], None], on_error: Callable[[SecateurError], None] | None = None
    ) -> None:
        if self.error is not None:
            return None if on_error is None else on_error(self.error)
        place = path or HOME
        inside = {one: size for one, size in self._files.items() if one != "/" and _above(one) == place}
        entries = tuple(Entry(PurePosixPath(one).name, size is None, size or 0, 0.0) for one, size in inside.items())
        is_folder = place in self._files and self._files[place] is None
        on_done(Seen(1, place, place in self._files, is_folder, entries if is_folder else ()))

    def send(
        self, path: Path, sending: Sending, on_done: Callable[[str], None], on_error: Callable[[SecateurError], None]
    ) -> None:
        if self.error is not None:
            return on_error(self.error)
        assert sending.may_go_on(1)
        self.sent.append(path)
        on_done(f"{HOME}/secateur-files/{path.name}")

    def close(self) -> None:
        """Nothing runs."""


def _above(path: str) -> str:
    return str(PurePosixPath(path).parent)
