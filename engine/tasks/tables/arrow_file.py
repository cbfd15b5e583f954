"""Arrow files as the library `datasets` saves them on disk (`save_to_disk`); they are mapped, not read."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...storage.file_limits import check_special, check_unpacked
from .parquet import CELL, arrow_module, cells_of, noted_classes, unpacked_size, usable_kinds
from .protocol import Cells, ColumnKind

DICTIONARY = 2
"""The kind of a message that holds a dictionary."""


class ArrowFile:
    """A file of record batches (a `Table`).

    Attributes:
        kinds: Columns of a kind that can be used.
        named: Always.
    """

    named = True

    def __init__(self, path: Path) -> None:
        """Map the file and check what it says of itself."""
        arrow, ipc = arrow_module(), arrow_module("ipc")
        self._path = path
        check_special(path, DataError)
        try:
            batches, size, mapped = list[Any](), 0, arrow.memory_map(str(path))
            _refuse_compressed(path, ipc.MessageReader.open_stream(mapped))
            mapped.seek(0)
            with ipc.open_stream(mapped) as reader:
                for batch in reader:
                    batch.validate()  # whether all of it is there, before anything counts it
                    size += max(batch.nbytes, batch.num_rows * CELL)
                    check_unpacked(path, size, error=DataError)
                    batch.validate(full=True)
                    batches.append(batch)
                self._table: Any = arrow.Table.from_batches(batches, reader.schema)
        except (OSError, ValueError, MemoryError, struct.error, arrow.ArrowException) as error:
            template = "{path} is damaged or not an Arrow file of a saved dataset. Choose another file."
            raise DataError("arrow.damaged", template, details=str(error), path=str(path)) from error
        self.kinds = usable_kinds(self._table.schema)

    def column(self, name: str) -> "ArrowColumn":
        """A column, of which only what is used comes into memory."""
        return ArrowColumn(self._path, self._table.column(name), name, self.kinds[name])

    def classes(self, name: str) -> tuple[str, ...]:
        """What the library `datasets` wrote of a column."""
        return noted_classes(self._table.schema, name)


class ArrowColumn:
    """A column of a mapped file (a `Column`)."""

    def __init__(self, path: Path, column: Any, name: str, kind: ColumnKind) -> None:
        """Take the mapped column."""
        self._path, self._column, self._name, self._kind = path, column, name, kind
        check_unpacked(path, unpacked_size(column), error=DataError)
        self._starts = np.cumsum([0, *map(len, column.chunks)])[:-1]

    def __len__(self) -> int:
        """Rows of the file."""
        return len(self._column)

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """Cells of some rows, in their order: of each record batch those, as all together would be copied first."""
        arrow = arrow_module()
        batches = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(batches, kind="stable")
        found = [
            self._column.chunk(number).take(arrow.array(rows[batches == number] - self._starts[number]))
            for number in np.unique(batches).tolist()
        ]
        cells = self._cells(arrow.chunked_array(found, self._column.type))
        back = np.argsort(order)
        return [cells[place] for place in back.tolist()] if isinstance(cells, list) else cells[back]

    def pieces(self) -> Iterator[Cells]:
        """One record batch after another."""
        arrow = arrow_module()
        for chunk in self._column.chunks:
            yield self._cells(arrow.chunked_array([chunk]))

    def parts(self) -> tuple[NDArray[np.int64], int] | None:
        """All rows are as near."""
        return None

    def _cells(self, column: Any) -> Cells:
        return cells_of(column, self._name, self._path, self._kind)


def _refuse_compressed(path: Path, messages: Iterable[Any]) -> None:
    """Raise DataError for compressed record batches, which the library never writes: reading one unpacks all of it."""
    for message in messages:
        if message.type in ("record batch", "dictionary") and _is_compressed(bytes(message.metadata)):
            template = "{path} is compressed, which saved datasets are not. Save it again with save_to_disk."
            raise DataError("arrow.compressed", template, path=str(path))


def _is_compressed(metadata: bytes) -> bool:
    """Whether the header of a message, a flatbuffer, names a compression.

    https://github.com/apache/arrow/blob/main/format/Message.fbs
    """
    message = _pointed(metadata, 0)
    kind, header = _field(metadata, message, 1), _pointed(metadata, _field(metadata, message, 2))
    if metadata[kind] == DICTIONARY:
        header = _pointed(metadata, _field(metadata, header, 1))
    return _field(metadata, header, 3) > 0


def _pointed(data: bytes, place: int) -> int:
    """Where a table of a flatbuffer begins that is pointed at from a place."""
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a table lies; 0 where it is left out."""
    names = table - int(struct.unpack_from("<i", data, table)[0])
    size, at = int(struct.unpack_from("<H", data, names)[0]), 4 + 2 * number
    offset = int(struct.unpack_from("<H", data, names + at)[0]) if at < size else 0
    return table + offset if offset else 0
