"""Opens Parquet and CSV files, datasets saved by Hugging Face's library, or a folder with one for each split."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...messages import title
from ..data import RowParts
from ..data_task import DataTask
from ..protocol import CLASSES, Split, TaskSpec, option
from ..purposes.table import purpose_of
from ..split_files import domain_of, files_by_split
from ..splitting import divide, seed_of
from ..texts import LANGUAGE, language_task
from .arrow_file import ArrowFile
from .delimited import Delimited
from .inputs import Encode, check_numbers, encoder
from .parquet import Parquet
from .protocol import Cells, Chained, Column, ColumnKind, Table, whole
from .roles import ColumnRoles, roles_of

COLUMNAR: dict[str, Callable[[Path], Table]] = {".parquet": Parquet, ".arrow": ArrowFile}
"""What reads files with a schema of their own, by their endings."""
PURPOSES = ("classification", "regression", "similarity")
"""What tables are for, beside language."""


class TableRows:
    """Rows of tables (`Data`).

    Attributes:
        title: Name of the file or folder.
        classes: Names of the classes.
        labelled: Whether a column holds what is right.
    """

    def __init__(
        self, spec: TaskSpec, features: dict[Split, list[Column]], labels: dict[Split, NDArray[Any]], encode: Encode
    ) -> None:
        """Take columns by split, divided further by the specification's seed where splits are missing."""
        self.title = Path(spec.path).name
        self.classes: tuple[str, ...] = ()
        self.labelled = bool(labels)
        self._features, self._labels, self._encode = features, labels, encode
        self._rows = divide({split: len(columns[0]) for split, columns in features.items()}, seed_of(spec))

    def size(self, split: Split) -> int:
        """How many rows a split has."""
        return len(self._rows[split][1])

    def read(self, split: Split, rows: NDArray[np.int64]) -> Any:
        """Inputs [n, ...]; of two columns of text, those of the second one follow as further n."""
        source, taken = self._rows[split]
        return self._encode([column.take(taken[rows]) for column in self._features[source]])

    def parts(self, split: Split) -> RowParts | None:
        """Which rows are read together; of several columns the first one says."""
        source, taken = self._rows[split]
        found = self._features[source][0].parts()
        return None if found is None else RowParts(np.searchsorted(found[0], taken, side="right") - 1, found[1])

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Labels [n] or [n, K]."""
        source, taken = self._rows[split]
        return self._labels[source][taken[rows]]


def open_parquet(spec: TaskSpec) -> DataTask:
    """Open Parquet files, or the Arrow files of a dataset that was saved on disk."""
    return _open(spec, tuple(COLUMNAR), lambda path: COLUMNAR[path.suffix.lower()](path))


def open_csv(spec: TaskSpec) -> DataTask:
    """Open CSV or TSV files."""
    return _open(spec, (".csv", ".tsv"), lambda path: Delimited(path, option(spec, "header")))


def _open(spec: TaskSpec, suffixes: tuple[str, ...], read: Callable[[Path], Table]) -> DataTask:
    files = files_by_split(spec.path, suffixes)
    tables = {split: [read(file) for file in some] for split, some in files.items()}
    first = next(iter(tables.values()))[0]
    roles = roles_of(first, spec)
    _check_columns([one for some in tables.values() for one in some], first, roles)
    features = {split: [_column(some, name) for name in roles.features] for split, some in tables.items()}
    if roles.purpose in LANGUAGE:
        return language_task(spec, {split: _by_domain(spec, files[split], tables[split], roles) for split in tables})
    kind = first.kinds[roles.features[0]]
    if kind in (ColumnKind.WHOLE, ColumnKind.NUMBER):
        for columns in features.values():
            check_numbers(roles.features, columns)
    labels = {
        split: [whole(_column(some, name)) for name in roles.labels] for split, some in tables.items() if roles.labels
    }
    targets, names = _targets(labels, roles)
    names = names or (first.classes(roles.labels[0]) if roles.labels else ())
    if roles.purpose == "classification":
        targets, names = _in_order(targets, names, json.loads(option(spec, CLASSES, "[]")))
    data = TableRows(spec, features, targets, encoder(kind, spec))
    data.classes = names
    return DataTask(spec, data, purpose_of(spec, *PURPOSES, default=roles.purpose))


def _check_columns(tables: Sequence[Table], first: Table, roles: ColumnRoles) -> None:
    """Refuse files that lack a column, or hold something else in it."""
    for name in (*roles.features, *roles.labels):
        kinds = {one.kinds.get(name) for one in tables}
        if len(kinds) > 1 and not kinds <= {ColumnKind.WHOLE, ColumnKind.NUMBER}:
            template = (
                "Column {name} has different kinds of values in the files of the splits ({kind} in the first one). "
                "Use one kind in all."
            )
            raise DataError("table.splits", template, name=name, kind=title(first.kinds[name]))


def _column(tables: Sequence[Table], name: str) -> Column:
    """A column of all files of a split."""
    return Chained([one.column(name) for one in tables])


def _by_domain(
    spec: TaskSpec, files: Sequence[Path], tables: Sequence[Table], roles: ColumnRoles
) -> dict[str, Iterator[tuple[str, ...]]]:
    """The documents of each domain that the files of a split name: the cells, one after another."""
    named: dict[str, list[Table]] = {}
    for file, one in zip(files, tables, strict=True):
        named.setdefault(domain_of(file, spec.path), []).append(one)
    return {name: _texts(_column(some, roles.features[0])) for name, some in named.items()}


def _texts(column: Column) -> Iterator[tuple[str, ...]]:
    """The cells, one after another, each a document."""
    return ((str(cell),) for piece in column.pieces() for cell in piece)


def _targets(labels: dict[Split, list[Cells]], roles: ColumnRoles) -> tuple[dict[Split, NDArray[Any]], tuple[str, ...]]:
    """Labels as the purpose takes them, and the names of classes that are written as text."""
    if roles.purpose != "classification":
        return {split: _side_by_side(columns) for split, columns in labels.items()}, ()
    single = {split: np.asarray(columns[0]) for split, columns in labels.items()}
    if not any(column.dtype.kind == "U" for column in single.values()):
        return {split: _whole(column) for split, column in single.items()}, ()
    names, numbers = np.unique(np.concatenate(list(single.values())), return_inverse=True)
    ends = np.cumsum([len(column) for column in single.values()])[:-1]
    return dict(zip(single, np.split(numbers, ends), strict=True)), tuple(map(str, names))


def _in_order(
    targets: dict[Split, NDArray[Any]], names: tuple[str, ...], order: Sequence[str]
) -> tuple[dict[Split, NDArray[Any]], tuple[str, ...]]:
    """Class numbers and names in an order that has all of the names; as they are where it does not."""
    numbers = np.array([order.index(name) for name in names if name in order], np.int64)
    fit = all(column.dtype.kind in "iu" and np.isin(column, range(len(names))).all() for column in targets.values())
    if not names or len(numbers) < len(names) or not fit:
        return targets, names
    return {split: numbers[column] for split, column in targets.items()}, tuple(order)


def _side_by_side(columns: list[Cells]) -> NDArray[Any]:
    """[N] of one column, [N, K] of several."""
    return np.asarray(columns[0]) if len(columns) == 1 else np.stack(columns, -1)


def _whole(column: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers and flags in the type that losses take; others stay, and are refused."""
    return column.astype(np.int64) if column.dtype.kind in "biu" else column
