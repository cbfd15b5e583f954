"""Arrow files as the library `datasets` saves them on disk (`save_to_disk`); they are mapped, not read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, Message
from ...storage.file_limits import check_special, check_unpacked
from ..packages import require_package
from .parquet import cells_of, noted_classes, usable_kinds
from .protocol import Cells, ColumnKind

EXTRA = ("parquet", Message("task.parquet", "Parquet files"))
"""What brings pyarrow, and for what."""


class ArrowFile:
    """A file of record batches (a `Table`).

    Attributes:
        kinds: Columns of a kind that can be used.
        named: Always.
    """

    named = True

    def __init__(self, path: Path) -> None:
        """Map the file and check what it says of itself."""
        arrow, ipc = require_package("pyarrow", *EXTRA), require_package("pyarrow.ipc", *EXTRA)
        self._path = path
        check_special(path, DataError)
        try:
            batches, size = list[Any](), 0
            with ipc.open_stream(arrow.memory_map(str(path))) as reader:
                for batch in reader:
                    size += batch.nbytes
                    check_unpacked(path, size, error=DataError)
                    batch.validate(full=True)
                    batches.append(batch)
                self._table: Any = arrow.Table.from_batches(batches, reader.schema)
        except (OSError, ValueError, MemoryError) as error:  # pyarrow's own errors are ValueErrors
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
        self._starts = np.cumsum([0, *map(len, column.chunks)])[:-1]

    def __len__(self) -> int:
        """Rows of the file."""
        return len(self._column)

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """Cells of some rows, in their order: of each record batch those, as all together would be copied first."""
        arrow = require_package("pyarrow", *EXTRA)
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
        arrow = require_package("pyarrow", *EXTRA)
        for chunk in self._column.chunks:
            yield self._cells(arrow.chunked_array([chunk]))

    def parts(self) -> tuple[NDArray[np.int64], int] | None:
        """All rows are as near."""
        return None

    def _cells(self, column: Any) -> Cells:
        return cells_of(column, self._name, self._path, self._kind)
