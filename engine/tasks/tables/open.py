"""Opens tables: assigns roles to columns, and makes a model's inputs and targets of them.

Parquet and CSV files, datasets that Hugging Face's library saved, or a folder with one for each split.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import DataError, Message, SecateurError, TaskError
from ...messages import all_of, title
from ..data import RowParts, number_ranges
from ..data_task import DataTask
from ..image_samples import standardise
from ..images import ImageReader
from ..protocol import CLASSES, Split, TaskSpec, option
from ..purposes.table import LANGUAGE, purpose_of
from ..splitting import divide, domain_of, files_by_split, seed_of
from ..texts import language_task
from ..tokens import length_of, tokens_of
from .delimited import Delimited
from .parquet import ArrowFile, Parquet
from .protocol import Cells, Chained, Column, ColumnKind, Table, whole

COLUMNAR: dict[str, Callable[[Path], Table]] = {".parquet": Parquet, ".arrow": ArrowFile}
"""What reads files with a schema of their own, by their endings."""
PURPOSES = ("classification", "regression", "similarity")
"""Purposes of tables besides language."""
NUMERIC = frozenset({ColumnKind.WHOLE, ColumnKind.NUMBER})

LABELS = (
    "label",
    "labels",
    "target",
    "class",
    "score",
    "similarity",
    "similarity_score",
    "y",
    "sentiment",
    "category",
    "intent",
    "topic",
    "emotion",
    "rating",
)
"""What people call the column of labels."""

SLICED, WORDS = 64, 50
"""Columns that predictions are compared by at most, and different words of one of texts that is no longer text."""

ROW_NUMBERS = ("id", "idx", "index")
"""What people call columns that only number the rows."""


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """What the columns are for.

    Attributes:
        purpose: A key of `PURPOSES`.
        features: Columns that the inputs are made of, all of one kind.
        labels: Columns that hold what is right, may be none.
    """

    purpose: str
    features: tuple[str, ...]
    labels: tuple[str, ...]


def assign_roles(table: Table, spec: TaskSpec) -> ColumnRoles:
    """The roles of a table's columns, as the user says or by names and kinds; raises TaskError where they are open."""
    kinds, purpose = table.kinds, option(spec, "purpose")
    features = _parse_columns(table, option(spec, "features"))
    labels = _parse_columns(table, option(spec, "label"))
    if purpose in LANGUAGE:
        return ColumnRoles(purpose, _require_texts(table, features or tuple(kinds), 1), ())
    if not labels:
        # The column that is called as labels are, or the last one of a table without names.
        others = [name for name in kinds if name not in features]
        called = {name.lower(): name for name in others}
        found = next((called[name] for name in LABELS if name in called), None)
        if found is None and not table.named and len(kinds) > 1 and others:
            found = others[-1]
        labels = () if found is None else (found,)
    if not features:
        # The first image, or else all texts, or else all numbers.
        others = [name for name in kinds if name not in labels and name.lower() not in ROW_NUMBERS]
        images = [name for name in others if kinds[name] is ColumnKind.IMAGE]
        texts = [name for name in others if kinds[name] is ColumnKind.TEXT]
        numbers = [name for name in others if kinds[name] in NUMERIC]
        features = tuple(images[:1] or texts or numbers)
        if not features:
            template = "No column is left for the inputs among {columns}. Choose the feature columns."
            raise TaskError("table.features", template, columns=", ".join(kinds))
    found_kinds = {kinds[name] for name in features}
    if len(features) > 1 and not (found_kinds <= NUMERIC or found_kinds == {ColumnKind.TEXT}):
        template = "Inputs must be one image, texts or numbers, not {kinds} together. Choose the feature columns."
        raise TaskError("table.mixed", template, kinds=all_of(map(title, sorted(found_kinds))))
    is_text = ColumnKind.TEXT in found_kinds
    if not purpose and not labels and is_text:
        template = "No label column found among {columns}. Choose the label column, or the purpose."
        raise TaskError("table.purpose", template, columns=", ".join(kinds))
    if not purpose:
        # Whole numbers are classes, other numbers are quantities; several labels can only be quantities.
        quantities = len(labels) > 1 or any(kinds[name] is ColumnKind.NUMBER for name in labels)
        of_quantities = "similarity" if is_text and len(features) == 2 else "regression"
        purpose = of_quantities if quantities else "classification"
    if is_text or purpose == "similarity":
        features = _require_texts(table, features, 2 if purpose == "similarity" else 1)
    return ColumnRoles(purpose, features, labels)


def _parse_columns(table: Table, given: str) -> tuple[str, ...]:
    """Columns that the user names, commas between them."""
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    missing = [name for name in names if name not in table.kinds]
    if missing:
        template = "Column {missing} does not exist or cannot be used. Choose from {columns}."
        raise TaskError("table.column", template, missing=", ".join(missing), columns=", ".join(table.kinds))
    return names


def _require_texts(table: Table, names: Sequence[str], count: int) -> tuple[str, ...]:
    """The columns of text among some, which must be `count`."""
    found = tuple(name for name in names if table.kinds[name] is ColumnKind.TEXT)
    if count == 1 and len(found) == 2:
        template = (
            "Two columns contain text: {found}. If the label says how similar they are, choose the purpose "
            "similarity. Otherwise choose one feature column."
        )
        raise TaskError("table.pairs", template, found=all_of(found))
    if len(found) != count:
        template = "{count} text columns are needed, but found: {found}. Choose the feature columns."
        raise TaskError("table.texts", template, count=count, found=", ".join(found) or Message("table.none", "none"))
    return found


Encode: TypeAlias = Callable[[Sequence[Cells]], Any]
"""Makes a tensor [n, ...] or tensors by name of some rows of the feature columns."""


def make_encoder(kind: ColumnKind, spec: TaskSpec) -> Encode:
    """What makes inputs of columns of a kind: images, texts or numbers."""
    if kind is ColumnKind.IMAGE:
        reader = ImageReader(spec)
        return lambda columns: reader.read(list(columns[0]), "An image of the table")
    if kind is ColumnKind.TEXT:
        # The texts of the first column, then those of the second one where there are two.
        tokens, length = tokens_of(spec), length_of(spec)
        return lambda columns: tokens.padded([text for column in columns for text in column], length)

    def encode_numbers(columns: Sequence[Cells]) -> torch.Tensor:
        table = np.concatenate([np.reshape(column, (len(column), -1)) for column in columns], 1)
        return standardise(torch.from_numpy(table.astype(np.float32)), spec)

    return encode_numbers


def check_numbers(names: Sequence[str], columns: Sequence[Column]) -> None:
    """Refuse features with cells that are no numbers; goes through all of them, some at a time."""
    before = 0
    # All columns together, so that a row is read once.
    for pieces in zip(*(one.pieces() for one in columns), strict=True):
        for name, piece in zip(names, pieces, strict=True):
            values: NDArray[Any] = np.asarray(piece)
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
            if bad.any():
                template = "Column {name} contains NaN or infinity, first in row {row}. Correct it."
                raise TaskError("table.not_finite", template, name=name, row=before + int(np.argmax(bad)) + 1)
        before += len(pieces[0])


class TableRows:
    """Rows of tables (`Data`).

    Attributes:
        title: Name of the file or folder.
        classes: Names of the classes.
        labelled: Whether a column holds what is right.
    """

    def __init__(
        self,
        spec: TaskSpec,
        features: dict[Split, list[Column]],
        labels: dict[Split, NDArray[Any]],
        classes: tuple[str, ...],
        encode: Encode,
        known: Callable[[Split], dict[str, Column]],
    ) -> None:
        """Take columns by split, divided further by the specification's seed where splits are missing.

        Args:
            spec: Where they come from.
            features: What inputs are made of.
            labels: [N] what is right.
            classes: Names of the classes.
            encode: Makes inputs of cells.
            known: Gives by name what else is known of the rows: texts and numbers.
        """
        self._known = known
        self.title = Path(spec.path).name
        self.classes = classes
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

    def slices(self, split: Split) -> dict[str, NDArray[np.str_]]:
        """By column: numbers in four ranges, words as they are, and longer texts by their length."""
        source, taken = self._rows[split]
        found = dict[str, NDArray[np.str_]]()
        for name, column in self._known(source).items():
            try:
                cells = column.take(taken)
            except SecateurError:  # a column with empty cells, which nothing else asks for
                continue
            values: NDArray[Any] = np.asarray(cells)
            if values.ndim != 1:
                continue
            if values.dtype.kind in "biuf":
                found[name] = number_ranges(values.astype(np.float64))
            elif len(words := np.unique(values.astype(np.str_))) <= WORDS or len(words) <= len(values) // 10:
                found[name] = values.astype(np.str_)
            else:
                lengths = number_ranges(np.array([len(str(cell)) for cell in cells], np.float64))
                found[f"characters of {name}"] = lengths
        return found

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
    roles = assign_roles(first, spec)
    for name in (*roles.features, *roles.labels):
        kinds = {one.kinds.get(name) for some in tables.values() for one in some}
        if len(kinds) > 1 and not kinds <= NUMERIC:
            template = (
                "Column {name} has different kinds of values in the files of the splits ({kind} in the first one). "
                "Use one kind in all."
            )
            raise DataError("table.splits", template, name=name, kind=title(first.kinds[name]))
    features = {split: [_column(some, name) for name in roles.features] for split, some in tables.items()}
    if roles.purpose in LANGUAGE:
        return language_task(spec, {split: _by_domain(spec, files[split], tables[split], roles) for split in tables})
    kind = first.kinds[roles.features[0]]
    if kind in NUMERIC:
        for columns in features.values():
            check_numbers(roles.features, columns)
    labels: dict[Split, list[Cells]] = {}
    if roles.labels:
        labels = {split: [whole(_column(some, name)) for name in roles.labels] for split, some in tables.items()}
    if roles.purpose == "classification":
        noted = first.classes(roles.labels[0]) if roles.labels else ()
        single = {split: np.asarray(columns[0]) for split, columns in labels.items()}
        targets, names = _number_classes(single, noted, json.loads(option(spec, CLASSES, "[]")))
    else:
        # [N] of one column, [N, K] of several.
        targets = {
            split: np.asarray(columns[0]) if len(columns) == 1 else np.stack(columns, -1)
            for split, columns in labels.items()
        }
        names = first.classes(roles.labels[0]) if roles.labels else ()
    # What the predictions can be compared by; opened when somebody asks for that.
    by = [name for name, one in first.kinds.items() if one is not ColumnKind.IMAGE and name not in roles.labels]

    def known(split: Split) -> dict[str, Column]:
        full = [name for name in by if all(_is_full(one, name) for one in tables[split])]
        return {name: _column(tables[split], name) for name in full[:SLICED]}

    data = TableRows(spec, features, targets, names, make_encoder(kind, spec), known)
    return DataTask(spec, data, purpose_of(spec, *PURPOSES, default=roles.purpose))


def _number_classes(
    labels: dict[Split, NDArray[Any]], noted: tuple[str, ...], order: Sequence[str]
) -> tuple[dict[Split, NDArray[Any]], tuple[str, ...]]:
    """Class numbers by split, and the names of the classes.

    Args:
        labels: [N] words or numbers.
        noted: Names of numbered classes, as the file says.
        order: The model's order of the names. It counts where it has all of them.
    """
    if any(column.dtype.kind == "U" for column in labels.values()):
        words, numbers = np.unique(np.concatenate(list(labels.values())), return_inverse=True)
        ends = np.cumsum([len(column) for column in labels.values()])[:-1]
        targets, names = dict(zip(labels, np.split(numbers, ends), strict=True)), tuple(map(str, words))
    else:
        # Whole numbers and flags in the type that losses take; other numbers stay, and the purpose refuses them.
        targets = {s: one.astype(np.int64) if one.dtype.kind in "biu" else one for s, one in labels.items()}
        names = noted
    place = np.array([order.index(name) for name in names if name in order], np.int64)
    fit = all(column.dtype.kind in "iu" and np.isin(column, range(len(names))).all() for column in targets.values())
    if not names or len(place) < len(names) or not fit:
        return targets, names
    return {split: place[column] for split, column in targets.items()}, tuple(order)


def _is_full(table: Table, name: str) -> bool:
    """Whether a table has a column, and no cell of it is known to be empty."""
    if name not in table.kinds:
        return False
    try:
        table.column(name)
    except SecateurError:
        return False
    return True


def _column(tables: Sequence[Table], name: str) -> Column:
    """A column of all files of a split."""
    columns = [one.column(name) for one in tables]
    return columns[0] if len(columns) == 1 else Chained(columns)


def _by_domain(
    spec: TaskSpec, files: Sequence[Path], tables: Sequence[Table], roles: ColumnRoles
) -> dict[str, Iterator[tuple[str, ...]]]:
    """The documents of each domain that the files of a split name: each cell is one."""
    named: dict[str, list[Table]] = {}
    for file, one in zip(files, tables, strict=True):
        named.setdefault(domain_of(file, spec.path), []).append(one)
    return {name: _documents(_column(some, roles.features[0])) for name, some in named.items()}


def _documents(column: Column) -> Iterator[tuple[str, ...]]:
    return ((str(cell),) for piece in column.pieces() for cell in piece)
