"""Parquet files: images as bytes (or {bytes, path}), texts, numbers, labels."""

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, Message
from ...storage.file_limits import UNPACKED, check_special, check_unpacked, parse_json
from ..packages import require_package
from .protocol import HELD, Cells, ColumnKind, check_width

CELL = 8
"""Bytes of a number: as many cells as a file says there are, however they are packed, take this each."""
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
        parquet = arrow_module("parquet")
        self._path = path
        check_special(path, DataError)
        try:
            self._file: Any = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            template = "{path} is damaged or not a Parquet file. Choose another file."
            raise DataError("parquet.damaged", template, details=str(error), path=str(path)) from error
        check_width(path, len(self._file.schema))
        self._schema: Any = self._file.schema_arrow
        self.kinds = usable_kinds(self._schema)
        # Places of a column, and of all fields of a struct: to look for those of each among all takes minutes.
        self._places: dict[str, list[int]] = {}
        for place, leaf in enumerate(_paths(self._file)):
            for above in accumulate(leaf.split("."), "{}.{}".format):
                self._places.setdefault(above, []).append(place)

    def column(self, name: str) -> "ParquetColumn":
        """A column, of which a row group at a time is read."""
        return ParquetColumn(self._path, self._file, name, self.kinds[name], self._places[name])

    def classes(self, name: str) -> tuple[str, ...]:
        """What the library `datasets` wrote of a column."""
        return noted_classes(self._schema, name)


class ParquetColumn:
    """A column of a Parquet file (a `Column`); row groups are kept as long as they fit into `HELD` bytes."""

    def __init__(self, path: Path, file: Any, name: str, kind: ColumnKind, places: Sequence[int]) -> None:
        """Read nothing yet; `places` are those of the column in each row group, of a struct those of all fields."""
        self._path, self._file, self._name, self._kind = path, file, name, kind
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])[:-1].astype(np.int64)
        fields = [[group.column(place) for place in places] for group in groups]
        sizes = [sum(one.total_uncompressed_size for one in some) for some in fields]
        cells = sum(one.num_values for some in fields for one in some)  # of lists each number is one
        check_unpacked(path, max(sum(sizes), max(cells, len(self)) * CELL), error=DataError)
        self._repeats = [_repeats(some) for some in fields]
        self._held = max(1, HELD // max([1, *sizes]))
        self._all = sum(sizes) <= HELD
        self._kept: OrderedDict[int, Cells] = OrderedDict()

    def __len__(self) -> int:
        """Rows of the file."""
        return int(self._file.metadata.num_rows)

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """Cells of some rows, in their order."""
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        needed_now = sorted(map(int, np.unique(groups)), key=lambda number: number not in self._kept)
        read = {number: self._group(number) for number in needed_now}  # those first that the others may push out
        places = zip(groups.tolist(), (rows - self._starts[groups]).tolist(), strict=True)
        cells = [read[group][place] for group, place in places]
        return cells if self._kind in (ColumnKind.IMAGE, ColumnKind.TEXT) else stacked(cells, self._name, self._path)

    def pieces(self) -> Iterator[Cells]:
        """One row group after another."""
        for number in range(len(self._starts)):
            yield self._group(number)

    def parts(self) -> tuple[NDArray[np.int64], int] | None:
        """The row groups, where they do not fit into memory together."""
        return None if self._all else (self._starts, self._held)

    def _group(self, number: int) -> Cells:
        """The cells of a row group; the least used one makes room."""
        if number not in self._kept:
            while len(self._kept) >= self._held and not self._all:
                self._kept.popitem(last=False)
            self._kept[number] = self._read(number)
        self._kept.move_to_end(number)
        return self._kept[number]

    def _read(self, number: int) -> Cells:
        """Cells without empty ones."""
        self._check_repeats(number)
        try:
            column = self._file.read_row_group(number, columns=[self._name]).column(self._name)
        except (OSError, ValueError) as error:
            template = "Column {name} of {path} cannot be read. Choose other columns."
            named = {"name": self._name, "path": str(self._path)}
            raise DataError("parquet.column", template, str(error), **named) from error
        return cells_of(column, self._name, self._path, self._kind)

    def _check_repeats(self, number: int) -> None:
        """Raise an error where a row group says each of a few large values often, so that it unpacks to far more."""
        rows = int(self._file.metadata.row_group(number).num_rows)
        if self._kind not in (ColumnKind.IMAGE, ColumnKind.TEXT) or self._repeats[number] * rows <= UNPACKED:
            return
        leaves = [path for path in (self._name, f"{self._name}.bytes") if path in _paths(self._file)]
        held = arrow_module("parquet").ParquetFile(self._path, read_dictionary=leaves)
        column = held.read_row_group(number, columns=[self._name]).column(self._name)
        check_unpacked(self._path, unpacked_size(column), error=DataError)


def unpacked_size(column: Any) -> int:
    """Bytes of the cells of an Arrow column, each value as often as it is named; of a struct its bytes."""
    types, compute = arrow_module("types"), arrow_module("compute")
    if types.is_struct(column.type):
        column = compute.struct_field(column, "bytes")
    size = 0
    for piece in column.chunks:
        values = piece.dictionary if types.is_dictionary(piece.type) else piece
        if _is_list(values.type):
            sizes = compute.multiply(compute.list_value_length(values), CELL)
        elif _kind(values.type) in (ColumnKind.IMAGE, ColumnKind.TEXT):
            sizes = compute.binary_length(values)
        else:
            continue
        size += compute.sum(sizes if values is piece else compute.take(sizes, piece.indices)).as_py() or 0
    return max(size, len(column) * CELL)


def cells_of(column: Any, name: str, path: Path, kind: ColumnKind) -> Cells:
    """The cells of an Arrow column, none of them empty; of a struct its bytes. Raises DataError."""
    types, compute = arrow_module("types"), arrow_module("compute")
    if types.is_struct(column.type):
        column = compute.struct_field(column, "bytes")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        template = "Column {name} of {path} has {count} empty cells. Fill them, or remove their rows."
        raise DataError("table.empty_cells", template, name=name, path=str(path), count=column.null_count)
    if kind in (ColumnKind.IMAGE, ColumnKind.TEXT):
        return column.to_pylist()
    if not _is_list(column.type):
        return column.to_numpy()
    lengths, column = compute.list_value_length(column).to_numpy(), column.combine_chunks()
    if len(np.unique(lengths)) > 1:
        raise _uneven(name, path)
    return compute.list_flatten(column).to_numpy(zero_copy_only=False).reshape(len(lengths), -1)


def stacked(cells: list[Any], name: str, path: Path) -> NDArray[Any]:
    """Numbers [n], or lists of them [n, K]; raises DataError for lists of different lengths."""
    if len({np.shape(cell) for cell in cells}) > 1:
        raise _uneven(name, path)
    return np.array(cells)


def _uneven(name: str, path: Path) -> DataError:
    template = "Lists in column {name} of {path} have different lengths. Give all the same length."
    return DataError("table.lists", template, name=name, path=str(path))


def usable_kinds(schema: Any) -> dict[str, ColumnKind]:
    """Name of each column of an Arrow schema that can be used to its kind."""
    kinds = {field.name: _kind(field.type) for field in schema}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def noted_classes(schema: Any, name: str) -> tuple[str, ...]:
    """Names of classes that the library `datasets` wrote of a column in an Arrow schema."""
    try:
        noted: Any = parse_json(schema.metadata[METADATA])
        names: list[Any] = noted["info"]["features"][name]["names"]
        return tuple(map(str, names))
    except (ValueError, KeyError, TypeError):
        return ()


def _repeats(fields: Iterable[Any]) -> int:
    """Bytes that a cell of a row group has at most where values are kept once and named by number, else 0."""
    by_number = (one for one in fields if any("DICTIONARY" in how for how in one.encodings))
    return max((one.total_uncompressed_size for one in by_number), default=0)


def _paths(file: Any) -> list[str]:
    """Paths of what a file holds, fields of structs each."""
    return [file.schema.column(number).path for number in range(len(file.schema))]


def arrow_module(module: str = "") -> Any:
    """A module of pyarrow, "" for the package; raises TaskError where it is not installed."""
    name = f"pyarrow.{module}" if module else "pyarrow"
    return require_package(name, "parquet", Message("task.parquet", "Parquet files"))


def _kind(given: Any) -> ColumnKind | None:
    """The kind of an Arrow type, None for what cannot be used."""
    types = arrow_module("types")
    if types.is_dictionary(given):
        return _kind(given.value_type)
    if _is_list(given):
        inner = _kind(given.value_type)
        return ColumnKind.NUMBER if inner in (ColumnKind.WHOLE, ColumnKind.NUMBER) else None
    if types.is_struct(given):
        inner = {given.field(i).name: given.field(i).type for i in range(given.num_fields)}
        return ColumnKind.IMAGE if "bytes" in inner and _kind(inner["bytes"]) is ColumnKind.IMAGE else None
    tests = (
        (ColumnKind.IMAGE, (types.is_binary, types.is_large_binary)),
        (ColumnKind.TEXT, (types.is_string, types.is_large_string)),
        (ColumnKind.WHOLE, (types.is_integer, types.is_boolean)),
        (ColumnKind.NUMBER, (types.is_floating,)),
    )
    return next((kind for kind, those in tests if any(test(given) for test in those)), None)


def _is_list(given: Any) -> bool:
    types = arrow_module("types")
    return types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given)


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
                check_width(path, len(reader.schema))
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
    message = _flatbuffer_table(metadata, 0)
    kind, header = (
        _flatbuffer_field(metadata, message, 1),
        _flatbuffer_table(metadata, _flatbuffer_field(metadata, message, 2)),
    )
    if metadata[kind] == DICTIONARY:
        header = _flatbuffer_table(metadata, _flatbuffer_field(metadata, header, 1))
    return _flatbuffer_field(metadata, header, 3) > 0


def _flatbuffer_table(data: bytes, place: int) -> int:
    """Where a table of a flatbuffer begins that is pointed at from a place."""
    return place + int(struct.unpack_from("<I", data, place)[0])


def _flatbuffer_field(data: bytes, table: int, number: int) -> int:
    """Where a field of a table lies; 0 where it is left out."""
    names = table - int(struct.unpack_from("<i", data, table)[0])
    size, at = int(struct.unpack_from("<H", data, names)[0]), 4 + 2 * number
    offset = int(struct.unpack_from("<H", data, names + at)[0]) if at < size else 0
    return table + offset if offset else 0
