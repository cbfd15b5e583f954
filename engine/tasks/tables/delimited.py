"""CSV and TSV files, with or without a first line of names."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TaskError
from .protocol import Kind, Values

SEPARATORS = (",", ";", "\t")


class Delimited:
    """A CSV file (a `Table`), held as text.

    Attributes:
        kinds: Name of each column to its kind.
        named: Whether the first line holds names.
    """

    def __init__(self, path: Path, header: str = "") -> None:
        """Read a file; `header` is "yes" or "no" where it is said whether the first line holds names."""
        self._path = path
        lines = _lines(path)
        self.named = header == "yes" if header in ("yes", "no") else not any(map(_is_number, lines[0]))
        names = lines[0] if self.named else [str(number + 1) for number in range(len(lines[0]))]
        cells = lines[1:] if self.named else lines
        if not cells or len(set(names)) < len(names):
            template = "{path} has no lines below its first one, or two columns of one name."
            raise TaskError("task.csv.empty", template, path=str(path))
        self._cells = {name: [line[place] for line in cells] for place, name in enumerate(names)}
        self.kinds = {name: _kind(column) for name, column in self._cells.items()}

    def load(self, name: str) -> Values:
        """The cells of a column."""
        cells, kind = self._cells[name], self.kinds[name]
        empty = sum(not cell.strip() for cell in cells)
        if empty:
            template = "The column {name} of {path} has {count} empty cells."
            raise TaskError("task.table.empty_cells", template, name=name, path=str(self._path), count=empty)
        return cells if kind is Kind.TEXT else np.array(cells, np.int64 if kind is Kind.WHOLE else np.float64)

    def classes(self, name: str) -> tuple[str, ...]:
        """Nothing: the file has no place for them."""
        return ()


def _lines(path: Path) -> list[list[str]]:
    """The cells of every line, as many in each."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(SEPARATORS, key=first.count)
            lines = [line for line in csv.reader(file, delimiter=separator) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        template = "{path} is no CSV file in UTF-8 that can be read."
        raise TaskError("task.csv.damaged", template, details=str(error), path=str(path)) from error
    if not lines:
        raise TaskError("task.csv.nothing", "{path} is empty.", path=str(path))
    odd = next((number for number, line in enumerate(lines, 1) if len(line) != len(lines[0])), 0)
    if odd:
        template = "Record {number} of {path} has {count} cells, the first one {first}."
        counts: dict[str, Any] = {"count": len(lines[odd - 1]), "first": len(lines[0])}
        raise TaskError("task.csv.ragged", template, number=odd, path=str(path), **counts)
    return lines


def _kind(cells: Sequence[str]) -> Kind:
    """What all cells that are not empty are."""
    given = [cell for cell in cells if cell.strip()]
    if not given or not all(map(_is_number, given)):
        return Kind.TEXT
    whole = len(given) == len(cells) and all(cell.strip().lstrip("+-").isdecimal() for cell in given)
    return Kind.WHOLE if whole else Kind.NUMBER


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
