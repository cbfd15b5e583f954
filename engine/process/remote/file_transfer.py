"""Files between a window and an engine elsewhere, in either direction: sent in parts, kept whole or not at all.

What an engine has written comes to where the user has said (`Homecoming`), what a window sends goes into one folder of
the user there (`ReceivedFiles`). Neither end lets the other choose a place: a name stays in its folder.
"""

import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from ...errors import SecateurError
from ...export.protocol import Exported
from ...export.staged_output import staged_file, staged_folder
from ...session.states import State
from .protocol import FileBegins, FilesEnd, Kept, Part

PATH_OF = {
    "export": 2,
    "save": 0,
    "write_bench": 1,
    "write_bundle": 1,
    "write_job": 1,
    "write_recipe": 1,
    "write_report": 1,
    "write_script": 1,
}
"""Name of a call that writes where the user says -> which of its arguments says it."""
PART = 1 << 18
"""Bytes of a part of a file."""
SENT = "secateur-files"
"""Folder in the home folder that files of windows elsewhere are kept in."""
Value = TypeVar("Value")


def stays_inside(name: str) -> bool:
    """Whether a name that another machine has chosen stays in its folder on any system.

    A window on Windows takes a backslash for a slash, and what has a colon for a drive or a stream.
    """
    return not (name.startswith("/") or ".." in name.split("/") or any(sign in name for sign in "\\:\0"))


def send_parts(
    number: int, name: str, path: Path, post: Callable[[FileBegins | Part], None], may_go_on: Callable[[int], bool]
) -> bool:
    """Send a file; False where it was broken off.

    Args:
        number: Of the call that it belongs to.
        name: Of the file at the other end.
        path: Of the file here.
        post: Sends a message.
        may_go_on: Called with the bytes that are on their way before each part, to wait while too much is, or to say
            that no more is wanted.

    Raises:
        OSError: It cannot be read.
    """
    sent = 0
    with path.open("rb") as file:
        post(FileBegins(number, name))
        while data := file.read(PART):
            if not may_go_on(sent):
                return False
            post(Part(number, data))
            sent += len(data)
    return True


class StagedFiles:
    """Files that come, in a temporary folder next to their place until all are whole.

    Attributes:
        folder: What has come; None before the first file, and after `drop`.
    """

    def __init__(self, parent: Path) -> None:
        """Nothing is made before the first file comes."""
        self.folder: Path | None = None
        self._parent = parent
        self._file: BinaryIO | None = None

    def take(self, what: FileBegins | Part) -> None:
        """Take what came next; raises OSError."""
        if isinstance(what, Part):
            if self._file is not None:
                self._file.write(what.data)
            return
        self.close()
        folder = self.folder
        if folder is None:
            folder = self.folder = Path(tempfile.mkdtemp(prefix=".secateur-", dir=self._parent))
        target = folder.joinpath(*PurePosixPath(what.name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = target.open("xb")
        # Another thread may have dropped everything meanwhile: then the folder was made once more here.
        if self.folder is not folder:
            self.folder = folder
            self.drop()

    def close(self) -> None:
        """The file that came last is whole; raises OSError where it cannot be written to its end."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def drop(self) -> None:
        """Remove what is not in its place."""
        with suppress(OSError):
            self.close()
        folder, self.folder = self.folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class Homecoming:
    """What one call writes on the other machine.

    The other machine chooses no names here: what it sends becomes the file or folder that the user named, or one
    next to it with the same stem ("net.onnx", "net.onnx.data").

    Attributes:
        place: File or folder that the user has named, absolute.
        there: The same on the other machine.
    """

    def __init__(self, place: Path, folder: str) -> None:
        """Nothing is made before the first file comes.

        Args:
            place: Where to.
            folder: The call's own folder there.
        """
        self.place = place
        self.there = f"{folder}/{place.name}"
        self._folder = folder
        self._staged = StagedFiles(place.parent)

    def take(self, what: FileBegins | Part) -> None:
        """Take what came next; raises SecateurError, and leaves nothing then."""
        try:
            if isinstance(what, FileBegins):
                first, stem = what.name.split("/")[0], PurePosixPath(self.place.name).stem
                if not stays_inside(what.name) or (first != self.place.name and not first.startswith(f"{stem}.")):
                    template = "The engine sent {name}, which nobody asked for."
                    raise SecateurError("remote.stray_file", template, name=what.name[:200])
            self._staged.take(what)
        except (OSError, SecateurError) as error:
            self.abandon()
            raise self._failure(error) from error

    def finish(self, what: FilesEnd) -> None:
        """Put everything in its place; raises SecateurError, and leaves nothing then."""
        try:
            if what.error:
                raise OSError(0, what.error)
            self._staged.close()
            if (staged := self._staged.folder) is not None:
                main = staged / self.place.name
                if main.is_dir():
                    came = frozenset(path.relative_to(main) for path in main.rglob("*"))
                    with staged_folder(
                        self.place, lambda old: all(path.relative_to(old) in came for path in old.rglob("*"))
                    ) as folder:
                        for inner in main.iterdir():
                            os.replace(inner, folder / inner.name)
                else:
                    # Files that belong together (a graph and its weights) appear together or not at all.
                    endings = [path.name.removeprefix(self.place.stem) for path in staged.iterdir() if path != main]
                    with staged_file(self.place, endings) as temporary:
                        for ending in endings:
                            os.replace(staged / f"{self.place.stem}{ending}", temporary.with_suffix(ending))
                        os.replace(main, temporary)
        except (OSError, SecateurError) as error:
            raise self._failure(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what is not in its place."""
        self._staged.drop()

    def here(self, value: Value) -> Value:
        """A result with the paths of this machine in place of those of the other one."""
        return cast("Value", self._here(value))

    def _here(self, value: Any) -> Any:
        if isinstance(value, str):
            rest = value.removeprefix(f"{self._folder}/")
            return value if rest == value or not stays_inside(rest) else str(self.place.parent / rest)
        if isinstance(value, tuple):
            return tuple(map(self._here, cast("tuple[Any, ...]", value)))
        if isinstance(value, Exported):
            return replace(value, files=self._here(value.files))
        if isinstance(value, State):
            return replace(value, exports=self._here(value.exports))
        return value

    def _failure(self, error: OSError | SecateurError) -> SecateurError:
        if isinstance(error, SecateurError):
            return error
        template = "{path} could not be brought here: {reason}. Choose another place, or make room."
        return SecateurError(
            "remote.not_home", template, path=str(self.place), reason=error.strerror or type(error).__name__
        )


class ReceivedFiles:
    """Files that a window elsewhere sends, one at a time: each is kept whole or not at all, and replaces none."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._number, self._name, self._error = 0, "", ""
        self._staged = StagedFiles(Path.home() / SENT)

    def take(self, what: FileBegins | Part) -> None:
        """Take what came next; a file that was not whole is dropped by the next one."""
        # Parts of a file that was dropped may still be on their way.
        if isinstance(what, Part) and (self._error or what.number != self._number):
            return
        try:
            if isinstance(what, FileBegins):
                self.drop()
                self._number, self._name, self._error = what.number, what.name, ""
                if not stays_inside(what.name) or "/" in what.name or what.name in ("", "."):
                    raise OSError(0, "this is no name of a file")
                (Path.home() / SENT).mkdir(exist_ok=True)
            self._staged.take(what)
        except OSError as error:
            self._error = str(error.strerror)
            self.drop()

    def finish(self, number: int) -> Kept:
        """Keep the file, under a name that is free, or that has the same content."""
        if number != self._number:
            return Kept(number, "", "the file was cut short")
        try:
            self._staged.close()
            if self._staged.folder is not None:
                staged = self._staged.folder / self._name
                # Other users of the machine need not read it, whatever its umask says.
                staged.chmod(0o600)
                return Kept(number, str(_keep_file(staged, Path.home() / SENT / self._name)))
        except OSError as error:
            self._error = str(error.strerror)
        finally:
            self.drop()
        return Kept(number, "", self._error or "the file was cut short")

    def drop(self) -> None:
        """Remove what has come of a file."""
        self._staged.drop()


def _keep_file(staged: Path, first: Path) -> Path:
    """Give a file its name, with a number in it where another file has that."""
    place, count = first, 1
    while True:
        try:
            # Taking the name first makes two windows that send the same file choose different names.
            place.open("xb").close()
            os.replace(staged, place)
            return place
        except FileExistsError:
            if place.is_file() and filecmp.cmp(staged, place, shallow=False):
                return place
            count += 1
            place = first.with_name(f"{first.stem}-{count}{first.suffix}")
