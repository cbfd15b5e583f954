"""Assigns roles to columns, and a purpose to the table: as the user says, or by names and kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import Message, TaskError
from ...messages import all_of, title
from ..protocol import TaskSpec, option
from ..texts import LANGUAGE
from .protocol import ColumnKind, Table

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
"""What people call the column that holds what is right."""

NUMBERS = ("id", "idx", "index")
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


def roles_of(table: Table, spec: TaskSpec) -> ColumnRoles:
    """The roles of a table's columns; raises TaskError where they cannot be told."""
    kinds, purpose = table.kinds, option(spec, "purpose")
    features, labels = (_named(kinds, option(spec, name)) for name in ("features", "label"))
    if purpose in LANGUAGE:
        return ColumnRoles(purpose, _texts(kinds, features or tuple(kinds), 1), ())
    labels = labels or _label(table, features)
    features = features or _features(kinds, labels)
    if not features:
        template = "No column is left for the inputs among {columns}. Choose the feature columns."
        raise TaskError("table.features", template, columns=", ".join(kinds))
    _check_kinds(kinds, features)
    purpose = purpose or _purpose(kinds, features, labels)
    if kinds[features[0]] is ColumnKind.TEXT or purpose == "similarity":
        features = _texts(kinds, features, 2 if purpose == "similarity" else 1)
    return ColumnRoles(purpose, features, labels)


def _check_kinds(kinds: Mapping[str, ColumnKind], features: Sequence[str]) -> None:
    """Refuse inputs that are made of several images, or of columns that do not go together."""
    found = {kinds[name] for name in features}
    if len(features) > 1 and not (found <= {ColumnKind.WHOLE, ColumnKind.NUMBER} or found == {ColumnKind.TEXT}):
        template = "Inputs must be one image, texts or numbers, not {kinds} together. Choose the feature columns."
        raise TaskError("table.mixed", template, kinds=all_of(map(title, sorted(found))))


def _named(kinds: Mapping[str, ColumnKind], given: str) -> tuple[str, ...]:
    """Columns that the user names."""
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    missing = [name for name in names if name not in kinds]
    if missing:
        template = "Column {missing} does not exist or cannot be used. Choose from {columns}."
        raise TaskError("table.column", template, missing=", ".join(missing), columns=", ".join(kinds))
    return names


def _label(table: Table, features: Sequence[str]) -> tuple[str, ...]:
    """The column that is called as labels are, or the last one of a table without names."""
    others = [name for name in table.kinds if name not in features]
    called = {name.lower(): name for name in others}
    found = next((called[name] for name in LABELS if name in called), None)
    if found is None and not table.named and len(table.kinds) > 1 and others:
        found = others[-1]
    return () if found is None else (found,)


def _features(kinds: Mapping[str, ColumnKind], labels: Sequence[str]) -> tuple[str, ...]:
    """The image, or else all texts, or else all numbers."""
    others = [name for name in kinds if name not in labels and name.lower() not in NUMBERS]
    images, texts = ([name for name in others if kinds[name] is kind] for kind in (ColumnKind.IMAGE, ColumnKind.TEXT))
    numbers = [name for name in others if kinds[name] in (ColumnKind.WHOLE, ColumnKind.NUMBER)]
    return tuple(images[:1] or texts or numbers)


def _purpose(kinds: Mapping[str, ColumnKind], features: Sequence[str], labels: Sequence[str]) -> str:
    """What a model with these inputs and labels is for."""
    if not labels:
        if kinds[features[0]] is not ColumnKind.TEXT:
            return "classification"
        template = "No label column found among {columns}. Choose the label column, or the purpose."
        raise TaskError("table.purpose", template, columns=", ".join(kinds))
    numbers = all(kinds[name] is ColumnKind.NUMBER for name in labels) or len(labels) > 1
    if not numbers:
        return "classification"
    return "similarity" if kinds[features[0]] is ColumnKind.TEXT and len(features) == 2 else "regression"


def _texts(kinds: Mapping[str, ColumnKind], names: Sequence[str], count: int) -> tuple[str, ...]:
    """Exactly so many columns of text among some."""
    found = tuple(name for name in names if kinds[name] is ColumnKind.TEXT)
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
