"""CSV and TSV files, with or without a header line."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .protocol import Cells, ColumnKind
from .records import Records

BYTES, HELD = 8, 2**28
"""Of a number in memory, and of all numbers of a file together at most."""
MISSING = ("", "na", "n/a", "null", "none", "-", "?")
"""What is written where a number is not known, in lower case; "nan" is a number."""
LARGEST = 2.0**63
"""Whole numbers of 64 bits are smaller; larger ones, hashes say, are numbers like any other."""


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
        below, seen = False, [_Seen() for _ in first]
        for piece in self._records.pieces():
            for one, cells in zip(seen, zip(*piece, strict=True), strict=True):
                one.look(cells if below else cells[1:])
            below = True
        kinds = [one.kind for one in seen]
        self.named = header == "yes" if header in ("yes", "no") else _are_names(first, kinds)
        names = [cell.strip() for cell in first] if self.named else [str(1 + place) for place in range(len(first))]
        if self.named:
            self._records.leave_out_first()
        else:
            for one, cell in zip(seen, first, strict=True):
                one.look([cell])
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
            self._records.require_same()
            return held[rows]
        return self._values(self._records.take(rows))

    def pieces(self) -> Iterator[Cells]:
        """All cells, some at a time."""
        return map(self._values, self._records.pieces())

    def parts(self) -> None:
        """Every row is as near: the file is read where it lies."""
        return None

    def _values(self, records: Sequence[Sequence[str]]) -> Cells:
        cells = [record[self._place] for record in records]
        if self._kind is ColumnKind.TEXT:
            return cells
        return numbers(cells, self._kind)


def numbers(cells: Sequence[str], kind: ColumnKind) -> NDArray[Any]:
    """[n] cells of a column of numbers."""
    return np.array(cells, np.int64 if kind is ColumnKind.WHOLE else np.float64)


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
