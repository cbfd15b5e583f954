"""CSV and TSV files, with or without a first line of names; where each record begins is held, its cells are not."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TaskError
from .protocol import Kind, Values

SEPARATORS = (",", ";", "\t")
MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""
PIECE = 4096
"""Records that are read at a time where all are."""


class Delimited:
    """A CSV file (a `Table`).

    Attributes:
        kinds: Name of each column to its kind.
        named: Whether the first line holds names.
    """

    def __init__(self, path: Path, header: str = "") -> None:
        """Go through a file once; `header` is "yes" or "no" where it is said whether the first line holds names."""
        self._path = path
        self._records = Records(path)
        first = self._records.first
        self.named = header == "yes" if header in ("yes", "no") else not any(map(_is_number, first))
        names = first if self.named else [str(number + 1) for number in range(len(first))]
        if self.named:
            self._records.leave_out_first()
        if not len(self._records) or len(set(names)) < len(names):
            template = "{path} has no lines below its first one, or two columns of one name."
            raise TaskError("task.csv.empty", template, path=str(path))
        seen = [_Seen() for _ in names]
        for piece in self._records.pieces():
            for one, cells in zip(seen, zip(*piece, strict=True), strict=True):
                one.look(cells)
        self._names = {name: place for place, name in enumerate(names)}
        self._empty = {name: one.empty for name, one in zip(names, seen, strict=True)}
        self.kinds = {name: one.kind for name, one in zip(names, seen, strict=True)}

    def column(self, name: str) -> "Cells":
        """A column without empty cells."""
        if self._empty[name]:
            template = "The column {name} of {path} has {count} empty cells."
            raise TaskError(
                "task.table.empty_cells", template, name=name, path=str(self._path), count=self._empty[name]
            )
        return Cells(self._records, self._names[name], self.kinds[name])

    def classes(self, name: str) -> tuple[str, ...]:
        """Nothing: the file has no place for them."""
        return ()


class Records:
    """The records of a file, each a list of as many cells.

    Attributes:
        first: The first one.
    """

    def __init__(self, path: Path) -> None:
        """Find where each begins; raises TaskError where they do not have the same number of cells."""
        self._path = path
        self._last: tuple[bytes, list[list[str]]] = b"", []
        with self._reading() as file:
            self._separator = _separator(file)
            places = [at for at, _ in self._checked(file)]
        if not places:
            raise TaskError("task.csv.nothing", "{path} is empty.", path=str(path))
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
                self._last = key, [self._at(file, at) for at in self._places[rows].tolist()]
        return self._last[1]

    def pieces(self) -> Iterator[list[list[str]]]:
        """All records, some at a time."""
        for start in range(0, len(self), PIECE):
            yield self.take(np.arange(start, min(start + PIECE, len(self))))

    def _at(self, file: IO[bytes], place: int) -> list[str]:
        file.seek(place)
        return next(csv.reader(_decoded(file), delimiter=self._separator))

    def _checked(self, file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        """Where each record begins, and its cells; records are counted as a person sees them, without empty lines."""
        lines = _Lines(file)
        reader, width, number = csv.reader(lines, delimiter=self._separator), 0, 0
        while True:
            begin = lines.at
            cells = next(reader, None)
            if cells is None:
                return
            if cells:
                number += 1
                width = width or len(cells)
                if len(cells) != width:
                    template = "Record {number} of {path} has {count} cells, the first one {first}."
                    named: dict[str, Any] = {"number": number, "path": str(self._path)}
                    raise TaskError("task.csv.ragged", template, count=len(cells), first=width, **named)
                yield begin, cells

    def _reading(self) -> "_Reading":
        return _Reading(self._path)


class Cells:
    """A column of a CSV file (a `Column`)."""

    def __init__(self, records: Records, place: int, kind: Kind) -> None:
        """Take the cells at a place of each record."""
        self._records, self._place, self._kind = records, place, kind

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records)

    def take(self, rows: NDArray[np.int64]) -> Values:
        """Cells of some rows, in their order."""
        return self._values(self._records.take(rows))

    def pieces(self) -> Iterator[Values]:
        """All cells, some at a time."""
        return map(self._values, self._records.pieces())

    def parts(self) -> None:
        """Every row is as near: the file is read where it lies."""
        return None

    def _values(self, records: Sequence[Sequence[str]]) -> Values:
        cells = [record[self._place] for record in records]
        if self._kind is Kind.TEXT:
            return cells
        return np.array(cells, np.int64 if self._kind is Kind.WHOLE else np.float64)


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

    def _refused(self, error: BaseException) -> TaskError:
        template = "{path} is no CSV file in UTF-8 that can be read."
        return TaskError("task.csv.damaged", template, details=str(error), path=str(self._path))


class _Lines:
    """Decoded lines; `at` is where the next one begins. A reader takes no line before it needs it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        file.seek(0)
        self.at = len(MARK) if file.read(len(MARK)) == MARK else 0
        file.seek(self.at)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        self.at += len(line)
        return line.decode("utf-8")


class _Seen:
    """What the cells of a column are, as far as they were looked at."""

    def __init__(self) -> None:
        self.empty = 0
        self._given = False
        self._numbers = self._whole = True

    def look(self, cells: Sequence[str]) -> None:
        """Look at further cells."""
        given = [cell for cell in cells if cell.strip()]
        self.empty += len(cells) - len(given)
        self._given = self._given or bool(given)
        self._numbers = self._numbers and all(map(_is_number, given))
        self._whole = self._whole and all(cell.strip().lstrip("+-").isdecimal() for cell in given)

    @property
    def kind(self) -> Kind:
        """What all cells that are not empty are."""
        if not (self._given and self._numbers):
            return Kind.TEXT
        return Kind.WHOLE if self._whole and not self.empty else Kind.NUMBER


def _separator(file: IO[bytes]) -> str:
    """The one that occurs most in the first line."""
    first = file.readline().decode("utf-8-sig")
    return max(SEPARATORS, key=first.count)


def _decoded(file: IO[bytes]) -> Iterator[str]:
    return (line.decode("utf-8") for line in file)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
