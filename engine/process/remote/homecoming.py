"""Files that an engine elsewhere has written, brought home: to where the user has said, whole or not at all.

The other machine chooses no names here: what it sends lies in the file or folder that the user named, or beside it
under the same stem ("net.onnx", "net.onnx.data").
"""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from ...errors import SecateurError
from ...export.protocol import Exported
from ...export.staged_output import staged_file, staged_folder
from ...session.states import State
from .protocol import Fetched, FileBegins, Part

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
Value = TypeVar("Value")


def stays_inside(name: str) -> bool:
    """Whether a name that another machine has chosen stays in its folder on any system.

    A window on Windows takes a backslash for a slash, and what has a colon for a drive or a stream.
    """
    return not (name.startswith("/") or ".." in name.split("/") or any(sign in name for sign in "\\:\0"))


class Homecoming:
    """What one call writes.

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
        self._staged: Path | None = None
        self._file: BinaryIO | None = None

    def take(self, what: FileBegins | Part) -> None:
        """Take what came next; raises SecateurError, and leaves nothing then."""
        try:
            if isinstance(what, FileBegins):
                name = what.name
                path = PurePosixPath(name)
                first, stem = path.parts[0] if path.parts else "", PurePosixPath(self.place.name).stem
                if not stays_inside(name) or (first != self.place.name and not first.startswith(f"{stem}.")):
                    template = "The engine sent {name}, which nobody asked for."
                    raise SecateurError("remote.stray_file", template, name=name[:200])
                if self._file is not None:
                    self._file.close()
                staged = self._staged
                if staged is None:
                    staged = self._staged = Path(tempfile.mkdtemp(prefix=".secateur-", dir=self.place.parent))
                target = staged.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                self._file = target.open("xb")
                if self._staged is not staged:  # another thread has removed the folder, and it was made again here
                    self._staged = staged
                    self.abandon()
            elif self._file is not None:
                self._file.write(what.data)
        except (OSError, SecateurError) as error:
            self.abandon()
            raise self._failed(error) from error

    def finish(self, what: Fetched) -> None:
        """Put everything in its place; raises SecateurError, and leaves nothing then."""
        try:
            if what.error:
                raise self._failed(OSError(0, what.error))
            if self._file is not None:
                self._file.close()
            if self._staged is not None:
                staged = self._staged
                main = staged / self.place.name
                if main.is_dir():
                    came = frozenset(path.relative_to(main) for path in main.rglob("*"))
                    with staged_folder(
                        self.place, lambda old: all(path.relative_to(old) in came for path in old.rglob("*"))
                    ) as folder:
                        for inner in main.iterdir():
                            os.replace(inner, folder / inner.name)
                else:
                    beside = [path.name.removeprefix(self.place.stem) for path in staged.iterdir() if path != main]
                    with staged_file(self.place, beside) as temporary:
                        for one in beside:
                            os.replace(staged / f"{self.place.stem}{one}", temporary.with_suffix(one))
                        os.replace(main, temporary)
        except (OSError, SecateurError) as error:
            raise self._failed(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what is not in its place."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
        staged, self._staged = self._staged, None
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)

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

    def _failed(self, error: OSError | SecateurError) -> SecateurError:
        if isinstance(error, SecateurError):
            return error
        template = "{path} could not be brought here: {reason}. Choose another place, or make room."
        return SecateurError(
            "remote.not_home", template, path=str(self.place), reason=error.strerror or type(error).__name__
        )
