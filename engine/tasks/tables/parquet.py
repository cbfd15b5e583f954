"""Parquet files, as data sets are often published: images as bytes (or {bytes, path}), texts, numbers, labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TaskError
from ..packages import needed
from .protocol import Kind, Values

METADATA = b"huggingface"
"""Where the library `datasets` notes the names of classes."""


class Parquet:
    """A Parquet file (a `Table`).

    Attributes:
        kinds: Columns of a kind that can be used.
        named: Always.
    """

    named = True

    def __init__(self, path: Path) -> None:
        """Read the schema only."""
        parquet = _arrow("parquet")
        self._path = path
        try:
            self._file: Any = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            template = "{path} is no Parquet file or is damaged."
            raise TaskError("task.parquet.damaged", template, details=str(error), path=str(path)) from error
        self._schema: Any = self._file.schema_arrow
        kinds = {field.name: _kind(field.type) for field in self._schema}
        self.kinds = {name: kind for name, kind in kinds.items() if kind is not None}

    def load(self, name: str) -> Values:
        """The cells of a column."""
        column = self._column(name)
        if self.kinds[name] in (Kind.IMAGE, Kind.TEXT):
            return column.to_pylist()
        if not _is_list(column.type):
            return column.to_numpy()
        rows: list[Any] = column.to_pylist()
        if len({len(row) for row in rows}) > 1:
            template = "The lists in the column {name} of {path} have different lengths."
            raise TaskError("task.table.lists", template, name=name, path=str(self._path))
        return np.array(rows)

    def classes(self, name: str) -> tuple[str, ...]:
        """What the library `datasets` wrote of a column."""
        try:
            noted: Any = json.loads(self._schema.metadata[METADATA])
            names: list[Any] = noted["info"]["features"][name]["names"]
            return tuple(map(str, names))
        except (ValueError, KeyError, TypeError):
            return ()

    def _column(self, name: str) -> Any:
        """A column without empty cells, of a struct its bytes."""
        types, compute = _arrow("types"), _arrow("compute")
        try:
            column = self._file.read(columns=[name]).column(name)
        except (OSError, ValueError) as error:
            template = "The column {name} of {path} cannot be read."
            raise TaskError("task.parquet.column", template, str(error), name=name, path=str(self._path)) from error
        if types.is_struct(column.type):
            column = compute.struct_field(column, "bytes")
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.null_count:
            template = "The column {name} of {path} has {count} empty cells."
            named = {"name": name, "path": str(self._path), "count": column.null_count}
            raise TaskError("task.table.empty_cells", template, **named)
        return column


def _arrow(module: str) -> Any:
    return needed(f"pyarrow.{module}", "parquet", "Parquet files")


def _kind(given: Any) -> Kind | None:
    """The kind of an Arrow type, None for what cannot be used."""
    types = _arrow("types")
    if types.is_dictionary(given):
        return _kind(given.value_type)
    if _is_list(given):
        inner = _kind(given.value_type)
        return Kind.NUMBER if inner in (Kind.WHOLE, Kind.NUMBER) else None
    if types.is_struct(given):
        inner = {given.field(i).name: given.field(i).type for i in range(given.num_fields)}
        return Kind.IMAGE if "bytes" in inner and _kind(inner["bytes"]) is Kind.IMAGE else None
    tests = (
        (Kind.IMAGE, (types.is_binary, types.is_large_binary)),
        (Kind.TEXT, (types.is_string, types.is_large_string)),
        (Kind.WHOLE, (types.is_integer, types.is_boolean)),
        (Kind.NUMBER, (types.is_floating,)),
    )
    return next((kind for kind, those in tests if any(test(given) for test in those)), None)


def _is_list(given: Any) -> bool:
    types = _arrow("types")
    return types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given)
