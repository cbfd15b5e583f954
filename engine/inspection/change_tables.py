"""Changes as tables: names of columns with their values, for command line, report, window and files alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from .changes import Changes, GroupTable

SAMPLE = "sample"
"""What a table is called that has a row for each sample."""
OUTCOMES = {-1: "lost", 1: "gained", 0: ""}
"""What `SampleTable.outcomes` say, in words."""

Column: TypeAlias = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class PlainTable:
    """Columns by name with their values, numbers as numbers.

    Attributes:
        names: Of the columns.
        columns: Values of each, all of one length.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, values as Python's own."""
        plain = [
            cast("list[Any]", column.tolist()) if isinstance(column, np.ndarray) else column for column in self.columns
        ]
        return zip(*plain, strict=True)


def group_table(group: GroupTable) -> PlainTable:
    """A row for each group; p is corrected for their number."""
    names = (group.by, "n", "before", "after", "difference", "standard_error", "p", "worse")
    numbers = (group.counts, group.before, group.after, group.differences, group.errors, group.p, group.worse)
    return PlainTable(names, (group.names, *numbers))


def confusion_table(changes: Changes) -> PlainTable:
    """A row for each right class and what it is taken for."""
    found = changes.confusions
    names = ("class", "taken_for", "before", "after")
    if found is None:
        return PlainTable(names, ((),) * len(names))
    words = [[changes.class_name(int(number)) for number in column] for column in (found.right, found.predicted)]
    return PlainTable(names, (*words, found.before, found.after))


def sample_table(changes: Changes, changed: bool = False) -> PlainTable:
    """A row for each sample, or only for those that were lost or gained."""
    found = changes.samples
    classes, values = ("outcome", "class", "predicted_before", "predicted_after"), _value_names(changes)
    confidences = ("confidence_before", "confidence_after")
    names = (SAMPLE, *((*classes, *confidences) if changes.mcnemar is not None else ()), *values)
    if found is None:
        return PlainTable(names, ((),) * len(names))
    taken = np.flatnonzero(found.outcomes) if changed else np.arange(len(found.rows))
    columns: list[Column] = [found.rows[taken]]
    if changes.mcnemar is not None:
        columns.append([OUTCOMES[int(one)] for one in found.outcomes[taken]])
        for numbers in (found.targets, found.predicted[:, 0], found.predicted[:, 1]):
            columns.append([changes.class_name(int(number)) for number in numbers[taken]])
        columns += [found.confidences[taken, 0], found.confidences[taken, 1]]
    return PlainTable(names, (*columns, found.values[taken, 0], found.values[taken, 1]))


def _value_names(changes: Changes) -> tuple[str, str]:
    """What `SampleTable.values` are called."""
    value = "confidence_in_class" if changes.mcnemar is not None else changes.measure.replace(" ", "_")
    return f"{value}_before", f"{value}_after"
