"""A table: named columns, each of one kind, loaded when they are used."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = list[Any] | NDArray[Any]
"""A column [N]: bytes of image files, texts, or numbers [N] or [N, K]."""


class Kind(StrEnum):
    """What the cells of a column are."""

    IMAGE = "image"
    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"


class Table(Protocol):
    """A file with columns. Parquet and CSV are its members."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Name of each column that can be used to its kind, in order."""
        ...

    @property
    def named(self) -> bool:
        """Whether the file gives the columns names; otherwise they are numbered from 1."""
        ...

    def load(self, name: str) -> Values:
        """The cells of a column; raises TaskError where some are empty."""
        ...

    def classes(self, name: str) -> tuple[str, ...]:
        """Names of the class numbers in a column, where the file says them."""
        ...


def rows_of(values: Values, rows: NDArray[np.int64]) -> Values:
    """The cells of some rows."""
    return [values[int(row)] for row in rows] if isinstance(values, list) else values[rows]
