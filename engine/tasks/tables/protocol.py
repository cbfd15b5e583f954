"""The protocol of tables: named columns, each of one kind, read only when and as far as they are used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

Cells: TypeAlias = list[Any] | NDArray[Any]
"""Cells [n]: bytes of image files, texts, or numbers [n] or [n, K]."""

HELD = 256 * 2**20
"""Bytes of a file that are held in memory; what is smaller is read once."""
WIDEST = 2**17
"""Columns at most: a table of all genes has 60,000. Work and memory grow with each of them, not with the file alone."""


def check_width(path: Path, count: int) -> None:
    """Refuse a file of more columns than can be used; raises DataError."""
    if count > WIDEST:
        template = "{path} has {count:,} columns. At most {most:,} can be opened."
        raise DataError("table.wide", template, path=str(path), count=count, most=WIDEST)


class ColumnKind(StrEnum):
    """What the cells of a column are."""

    IMAGE = "image"
    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"


class Column(Protocol):
    """The cells of a column, wherever they lie."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """The cells of some rows, in their order; raises TaskError where some are empty."""
        ...

    def pieces(self) -> Iterator[Cells]:
        """All cells in order, some at a time."""
        ...

    def parts(self) -> tuple[NDArray[np.int64], int] | None:
        """First rows of the parts that are read together, and how many are held; None where all rows are as near."""
        ...


class Table(Protocol):
    """A file with columns. Parquet and CSV are its members."""

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """Name of each column that can be used to its kind, in order."""
        ...

    @property
    def named(self) -> bool:
        """Whether the file gives the columns names; otherwise they are numbered from 1."""
        ...

    def column(self, name: str) -> Column:
        """A column; raises TaskError where it is known that cells are empty."""
        ...

    def classes(self, name: str) -> tuple[str, ...]:
        """Names of the class numbers in a column, where the file says them."""
        ...


@dataclass(frozen=True, slots=True)
class Chained:
    """A column whose cells lie in several files (a `Column`).

    Attributes:
        columns: One of each file, in order.
    """

    columns: Sequence[Column]

    def __len__(self) -> int:
        """How many cells there are in all files."""
        return sum(map(len, self.columns))

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """Cells of some rows, in their order."""
        starts = self._starts()
        file = np.searchsorted(starts, rows, side="right") - 1
        places, found = list[NDArray[np.int64]](), list[Cells]()
        for number in map(int, np.unique(file)):
            places.append(np.flatnonzero(file == number))
            found.append(self.columns[number].take(rows[places[-1]] - starts[number]))
        if not found:
            return []
        order = np.argsort(np.concatenate(places))
        cells = joined(found)
        return cells[order] if not isinstance(cells, list) else [cells[place] for place in order.tolist()]

    def pieces(self) -> Iterator[Cells]:
        """All cells, one file after another."""
        for column in self.columns:
            yield from column.pieces()

    def parts(self) -> tuple[NDArray[np.int64], int] | None:
        """The parts of all files; a file without any is one."""
        found = [column.parts() for column in self.columns]
        if all(one is None for one in found):
            return None
        none = np.zeros(1, np.int64)
        firsts = [(none if one is None else one[0]) + at for one, at in zip(found, self._starts(), strict=True)]
        return np.concatenate(firsts), min(one[1] for one in found if one is not None)

    def _starts(self) -> NDArray[np.int64]:
        """First row of each file."""
        return np.cumsum([0, *map(len, self.columns)])[:-1].astype(np.int64)


def joined(pieces: Sequence[Cells]) -> Cells:
    """Cells of several pieces as one."""
    if not pieces:
        return []
    return [cell for one in pieces for cell in one] if isinstance(pieces[0], list) else np.concatenate(pieces)


def whole(column: Column) -> Cells:
    """All cells, in memory."""
    return joined(list(column.pieces()))
