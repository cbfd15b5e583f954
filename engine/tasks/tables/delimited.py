"""CSV and TSV files, with or without a header line.

Where each record begins is kept in memory; its cells are read when they are used.
"""

import csv
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...storage.file_limits import check_special, check_unpacked
from .protocol import Cells, ColumnKind, check_width

TAB = "\t"
SEPARATORS = (",", ";", TAB)
MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""
BLOCK = 8192
"""Bytes that are read at a time where no line feed ends a line."""
PIECE = 4096
"""Records that are read at a time where all are."""
BYTES, HELD = 8, 2**28
"""Of a number in memory, and of all numbers of a file together at most."""
MISSING = ("", "na", "n/a", "null", "none", "-", "?")
"""What is written where a number is not known, in lower case; "nan" is a number."""
LARGEST = 2.0**63
"""Whole numbers of 64 bits are smaller; larger ones, hashes say, are numbers like any other."""


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
        with _open_csv(path) as file:
            self._state = _size_and_time(file)
            check_unpacked(path, self._state[0], error=DataError)
            # A line ends with a line feed, or in old files, which have none, with a carriage return.
            begin = file.read(BLOCK)
            self._ending = b"\r" if b"\r" in begin and b"\n" not in begin else b"\n"
            file.seek(0)
            line = next(_lines_of(file, self._ending), b"").decode("utf-8-sig")
            self._separator = max(SEPARATORS, key=line.count)
            try:
                places = self._check_records(file)
            except csv.Error:
                if self._separator != TAB:
                    raise
                # Quotation marks of many TSV files enclose no cells: they are text like any other.
                self._quoting = csv.QUOTE_NONE
                places = self._check_records(file)
        if not places:
            raise DataError("csv.nothing", "{path} is empty. Choose another file.", path=str(path))
        self._places = np.array(places, np.int64)
        self.first = self.take(np.arange(1))[0]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def leave_out_first(self) -> None:
        """Leave out the first one, which holds names."""
        self._places, self._last = self._places[1:], (b"", [])

    def take(self, rows: NDArray[np.int64]) -> list[list[str]]:
        """Some records, in their order; those that were read last are kept, for the next column of them."""
        key = rows.tobytes()
        if self._last[0] != key:
            found: list[list[str]] = []
            with _open_csv(self._path) as file:
                self._require_state(_size_and_time(file))
                for place in self._places[rows].tolist():
                    file.seek(place)
                    lines = (line.decode("utf-8") for line in _lines_of(file, self._ending))
                    found.append(next(self._parse(lines)))
            self._last = key, found
        return self._last[1]

    def pieces(self) -> Iterator[list[list[str]]]:
        """All records, some at a time."""
        for start in range(0, len(self), PIECE):
            yield self.take(np.arange(start, min(start + PIECE, len(self))))

    def require_unchanged(self) -> None:
        """Raise DataError where the file was written anew since it was opened."""
        try:  # asked for each column of a batch: opening the file takes ten times as long
            found = self._path.stat()
        except OSError as error:
            raise _unreadable(self._path, error) from error
        self._require_state((found.st_size, found.st_mtime_ns))

    def _require_state(self, found: tuple[int, int]) -> None:
        if found != self._state:
            template = "{path} has changed since it was opened. Open the data again."
            raise DataError("csv.changed", template, path=str(self._path))

    def _parse(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The records of lines. Strict: a lone quotation mark would take the lines behind it into its cell."""
        return csv.reader(lines, delimiter=self._separator, quoting=self._quoting, strict=True)

    def _check_records(self, file: IO[bytes]) -> list[int]:
        """Where each record begins; raises an error for records of different lengths, and for lost quotation marks."""
        lines = _CountedLines(file, self._ending)
        reader, width, places = self._parse(lines), 0, list[int]()
        while True:
            begin = lines.at
            # Records are counted as a person sees them: without empty lines.
            number = len(places) + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise csv.Error(f"record {number}: {error}") from error
            if cells is None:
                return places
            if not cells:
                continue
            if not width:
                width = len(cells)
                check_width(self._path, width)
            if len(cells) != width:
                template = "Record {number} of {path} has {count} cells, but the first has {first}. Correct the file."
                named: dict[str, Any] = {"number": number, "path": str(self._path)}
                raise DataError("csv.ragged", template, count=len(cells), first=width, **named)
            # A cell with a tab and a line end has swallowed the cells of the next lines.
            marked = self._separator == TAB and self._quoting != csv.QUOTE_NONE
            if marked and any(TAB in cell and ("\n" in cell or "\r" in cell) for cell in cells):
                raise csv.Error(f"record {number}: a cell holds a tab and ends on another line")
            places.append(begin)


@contextmanager
def _open_csv(path: Path) -> Generator[IO[bytes]]:
    """An open file; what goes wrong becomes a sentence."""
    try:
        with path.open("rb") as file:
            yield file
    except csv.Error as error:
        named: dict[str, Any] = {"path": str(path), "error": str(error)}
        if any(sign in str(error) for sign in ("expected after", "end of data")):
            template = (
                "{path} cannot be read as CSV ({error}). Put cells with quotation marks into quotation marks, and "
                "double the marks inside."
            )
            raise DataError("csv.quotes", template, details=str(error), **named) from error
        template = "{path} cannot be read as CSV ({error}). Correct the file."
        raise DataError("csv.malformed", template, details=str(error), **named) from error
    except (OSError, UnicodeDecodeError, StopIteration) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    """What to say of a file that cannot be read as text."""
    template = "{path} is not a readable CSV file in UTF-8. Save it as UTF-8, or choose another file."
    return DataError("csv.damaged", template, details=str(error), path=str(path))


class _CountedLines:
    """Decoded lines; `at` is where the next one begins. A reader takes no line before it needs it."""

    def __init__(self, file: IO[bytes], ending: bytes) -> None:
        file.seek(0)
        self.at = len(MARK) if file.read(len(MARK)) == MARK else 0
        file.seek(self.at)
        self._lines = _lines_of(file, ending)

    def __iter__(self) -> "_CountedLines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.at += len(line)
        return line.decode("utf-8")


def _size_and_time(file: IO[bytes]) -> tuple[int, int]:
    """Size and time of the last change."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _lines_of(file: IO[bytes], ending: bytes) -> Iterator[bytes]:
    """Lines from the present position of a file, with their ending."""
    if ending == b"\n":
        yield from iter(file.readline, b"")
        return
    rest = b""
    while data := file.read(BLOCK):
        *whole, rest = (rest + data).split(ending)
        yield from (line + ending for line in whole)
    if rest:
        yield rest


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
        below, seen = False, [_ColumnScan() for _ in first]
        for piece in self._records.pieces():
            for one, cells in zip(seen, zip(*piece, strict=True), strict=True):
                one.scan(cells if below else cells[1:])
            below = True
        kinds = [one.kind for one in seen]
        self.named = header == "yes" if header in ("yes", "no") else _are_names(first, kinds)
        names = [cell.strip() for cell in first] if self.named else [str(1 + place) for place in range(len(first))]
        if self.named:
            self._records.leave_out_first()
        else:
            for one, cell in zip(seen, first, strict=True):
                one.scan([cell])
        if not len(self._records) or len(set(names)) < len(names):
            template = "{path} has no rows below its first line, or two columns of the same name. Correct the file."
            raise DataError("csv.empty", template, path=str(path))
        self._names = {name: place for place, name in enumerate(names)}
        self._empty = {name: one.empty for name, one in zip(names, seen, strict=True)}
        self.kinds = {name: one.kind for name, one in zip(names, seen, strict=True)}

    def column(self, name: str) -> "DelimitedColumn":
        """A column without empty cells."""
        if self._empty[name]:
            template = "Column {name} of {path} has {count} empty cells. Fill them, or remove their rows."
            raise DataError("table.empty_cells", template, name=name, path=str(self._path), count=self._empty[name])
        held = None if self.kinds[name] is ColumnKind.TEXT else lambda: self._numbers.get(name)
        return DelimitedColumn(self._records, self._names[name], self.kinds[name], held)

    @cached_property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        """Columns of numbers, read in one go, where there is room for them: epochs then parse nothing."""
        names = [name for name, kind in self.kinds.items() if kind is not ColumnKind.TEXT and not self._empty[name]]
        if BYTES * len(names) * len(self._records) > HELD:
            return {}
        found: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for piece in self._records.pieces():
            for name in names:
                found[name].append(numbers([record[self._names[name]] for record in piece], self.kinds[name]))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def classes(self, name: str) -> tuple[str, ...]:
        """Nothing: the file has no place for them."""
        return ()


class DelimitedColumn:
    """A column of a CSV file (a `Column`)."""

    def __init__(
        self, records: Records, place: int, kind: ColumnKind, held: Callable[[], NDArray[Any] | None] | None = None
    ) -> None:
        """Take the cells at a place of each record; `held` gives all of them where they are in memory."""
        self._records, self._place, self._kind, self._held = records, place, kind, held

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records)

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """Cells of some rows, in their order."""
        held = None if self._held is None else self._held()
        if held is not None:
            self._records.require_unchanged()
            return held[rows]
        return self._values(self._records.take(rows))

    def pieces(self) -> Iterator[Cells]:
        """All cells, some at a time."""
        return map(self._values, self._records.pieces())

    def parts(self) -> None:
        """None: every row is as near."""
        return None

    def _values(self, records: Sequence[Sequence[str]]) -> Cells:
        cells = [record[self._place] for record in records]
        if self._kind is ColumnKind.TEXT:
            return cells
        return numbers(cells, self._kind)


def numbers(cells: Sequence[str], kind: ColumnKind) -> NDArray[Any]:
    """[n] cells of a column of numbers."""
    return np.array(cells, np.int64 if kind is ColumnKind.WHOLE else np.float64)


class _ColumnScan:
    """What the cells of a column are, as far as they were read."""

    def __init__(self) -> None:
        self.empty = 0
        self._given = False
        self._numbers = self._whole = True

    def scan(self, cells: Sequence[str]) -> None:
        """Go through further cells."""
        given = [cell for cell in cells if cell.strip()]
        self.empty += len(cells) - len(given)
        self._given = self._given or bool(given)
        self._numbers = self._numbers and all(map(_is_number, given))
        self._whole = self._whole and all(map(_is_whole, given))

    @property
    def kind(self) -> ColumnKind:
        """What all cells that are not empty are."""
        if not (self._given and self._numbers):
            return ColumnKind.TEXT
        return ColumnKind.WHOLE if self._whole and not self.empty else ColumnKind.NUMBER


def _are_names(first: Sequence[str], kinds: Sequence[ColumnKind]) -> bool:
    """Whether a first line holds names: no number, or a word above a column of numbers (other names may be numbers)."""
    words = [not _is_number(cell) and cell.strip().lower() not in MISSING for cell in first]
    above = (word and kind is not ColumnKind.TEXT for word, kind in zip(words, kinds, strict=True))
    return not any(map(_is_number, first)) or any(above)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_whole(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdecimal() and _is_number(cell) and abs(float(cell)) < LARGEST
