"""The records of a CSV file: their offsets are kept in memory, their cells are read when they are used."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...storage.file_limits import check_special, check_unpacked

TAB = "\t"
SEPARATORS = (",", ";", TAB)
MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""
BLOCK = 8192
"""Bytes that are read at a time where no line feed ends a line."""
PIECE = 4096
"""Records that are read at a time where all are."""


class Records:
    """The records of a file, each a list of as many cells.

    Attributes:
        first: The first one.
    """

    def __init__(self, path: Path) -> None:
        """Find where each begins; raises DataError where they do not have the same number of cells."""
        self._path = path
        self._last: tuple[bytes, list[list[str]]] = b"", []
        self._quoting: Any = csv.QUOTE_MINIMAL
        check_special(path, DataError)
        with self._reading() as file:
            check_unpacked(path, _state_of(file)[0], error=DataError)
            self._seen = _state_of(file)
            self._ending = _ending(file)
            self._separator = _separator(file, self._ending)
            places = self._found(file)
        if not places:
            raise DataError("csv.nothing", "{path} is empty. Choose another file.", path=str(path))
        self._places = np.array(places, np.int64)
        self.first = self.take(np.arange(1))[0]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def leave_out_first(self) -> None:
        """The first one holds names."""
        self._places, self._last = self._places[1:], (b"", [])

    def take(self, rows: NDArray[np.int64]) -> list[list[str]]:
        """Some records, in their order; those that were read last are kept, for the next column of them."""
        key = rows.tobytes()
        if self._last[0] != key:
            with self._reading() as file:
                self._require_same(file)
                self._last = key, [self._at(file, at) for at in self._places[rows].tolist()]
        return self._last[1]

    def pieces(self) -> Iterator[list[list[str]]]:
        """All records, some at a time."""
        for start in range(0, len(self), PIECE):
            yield self.take(np.arange(start, min(start + PIECE, len(self))))

    def require_same(self) -> None:
        """Raise DataError where the file was written anew since it was opened."""
        with self._reading() as file:
            self._require_same(file)

    def _require_same(self, file: IO[bytes]) -> None:
        """Places in a file that was written anew are those of something else."""
        if _state_of(file) != self._seen:
            template = "{path} has changed since it was opened. Open the data again."
            raise DataError("csv.changed", template, path=str(self._path))

    def _found(self, file: IO[bytes]) -> list[int]:
        """Where each record begins; a TSV whose quotation marks enclose no cells is read with them as they stand."""
        try:
            return [at for at, _ in self._checked(file)]
        except csv.Error:
            if self._separator != TAB:
                raise
        self._quoting = csv.QUOTE_NONE
        return [at for at, _ in self._checked(file)]

    def _at(self, file: IO[bytes], place: int) -> list[str]:
        file.seek(place)
        return next(self._read(line.decode("utf-8") for line in _lines_of(file, self._ending)))

    def _read(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The records of lines. Strict: a lone quotation mark would take the lines behind it into its cell."""
        return csv.reader(lines, delimiter=self._separator, quoting=self._quoting, strict=True)

    def _checked(self, file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        """Where each record begins, and its cells; records are counted as a person sees them, without empty lines."""
        lines = _Lines(file, self._ending)
        reader, width, number = self._read(lines), 0, 0
        while True:
            begin = lines.at
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise csv.Error(f"record {number + 1}: {error}") from error
            if cells is None:
                return
            if cells:
                number += 1
                width = width or len(cells)
                if len(cells) != width:
                    template = (
                        "Record {number} of {path} has {count} cells, but the first has {first}. Correct the file."
                    )
                    named: dict[str, Any] = {"number": number, "path": str(self._path)}
                    raise DataError("csv.ragged", template, count=len(cells), first=width, **named)
                if self._separator == TAB and self._quoting != csv.QUOTE_NONE and any(map(_swallowed, cells)):
                    raise csv.Error(f"record {number}: a cell holds a tab and ends on another line")
                yield begin, cells

    def _reading(self) -> "_Reading":
        return _Reading(self._path)


class _Reading:
    """An open file; what goes wrong becomes a sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> IO[bytes]:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise self._refused(error) from error
        return self._file

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._file is not None:
            self._file.close()
        if isinstance(error, OSError | UnicodeDecodeError | csv.Error | StopIteration):
            raise self._refused(error) from error

    def _refused(self, error: BaseException) -> DataError:
        named: dict[str, Any] = {"path": str(self._path), "error": str(error)}
        if isinstance(error, csv.Error):
            if any(sign in str(error) for sign in ("expected after", "end of data")):
                template = (
                    "{path} cannot be read as CSV ({error}). Put cells with quotation marks into quotation marks, and "
                    "double the marks inside."
                )
                return DataError("csv.quotes", template, details=str(error), **named)
            template = "{path} cannot be read as CSV ({error}). Correct the file."
            return DataError("csv.malformed", template, details=str(error), **named)
        template = "{path} is not a readable CSV file in UTF-8. Save it as UTF-8, or choose another file."
        return DataError("csv.damaged", template, details=str(error), path=str(self._path))


class _Lines:
    """Decoded lines; `at` is where the next one begins. A reader takes no line before it needs it."""

    def __init__(self, file: IO[bytes], ending: bytes) -> None:
        file.seek(0)
        self.at = len(MARK) if file.read(len(MARK)) == MARK else 0
        file.seek(self.at)
        self._lines = _lines_of(file, ending)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.at += len(line)
        return line.decode("utf-8")


def _swallowed(cell: str) -> bool:
    """Whether a cell of a TSV has cells of the next lines in it."""
    return TAB in cell and ("\n" in cell or "\r" in cell)


def _state_of(file: IO[bytes]) -> tuple[int, int]:
    """Size and time of the last change."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _ending(file: IO[bytes]) -> bytes:
    """What ends a line: a line feed, or a carriage return where the beginning of a file has none, as old ones do."""
    file.seek(0)
    begin = file.read(BLOCK)
    return b"\r" if b"\r" in begin and b"\n" not in begin else b"\n"


def _lines_of(file: IO[bytes], ending: bytes) -> Iterator[bytes]:
    """Lines from where a file stands, with their ending."""
    if ending == b"\n":
        yield from iter(file.readline, b"")
        return
    rest = b""
    while data := file.read(BLOCK):
        *whole, rest = (rest + data).split(ending)
        yield from (line + ending for line in whole)
    if rest:
        yield rest


def _separator(file: IO[bytes], ending: bytes) -> str:
    """The one that occurs most in the first line."""
    file.seek(0)
    first = next(_lines_of(file, ending), b"").decode("utf-8-sig")
    return max(SEPARATORS, key=first.count)
