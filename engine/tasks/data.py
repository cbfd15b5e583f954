"""The protocol of data: the samples and targets of three splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .protocol import Split


class Data(Protocol):
    """Samples of three splits; arrays, image folders, tables and texts are its members.

    Attributes:
        title: What the data is called.
        classes: Names of the classes, may be empty.
        labelled: Whether it is known what is right; otherwise the original says.
    """

    title: str
    classes: tuple[str, ...]
    labelled: bool

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        ...

    def read(self, split: Split, rows: NDArray[np.int64]) -> Any:
        """Preprocessed samples as the model takes them: a tensor [n, ...], or tensors by the names of the inputs."""
        ...

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """What is right, for each sample, as the purpose takes it; asked for labelled data only."""
        ...


@dataclass(frozen=True, slots=True)
class RowParts:
    """Which rows are read together, where the data is larger than memory.

    Attributes:
        numbers: [n] the part that each row lies in.
        held: How many parts are held at a time.
    """

    numbers: NDArray[np.int64]
    held: int


@runtime_checkable
class PartitionedData(Protocol):
    """Data of which a part at a time is read."""

    def parts(self, split: Split) -> RowParts | None:
        """The parts of a split's rows; None where all are as near."""
        ...


@runtime_checkable
class DomainData(Protocol):
    """Data that is of several named domains.

    Attributes:
        domains: Their names, () where the data names none.
    """

    domains: tuple[str, ...]

    def domain_rows(self, split: Split) -> tuple[NDArray[np.int64], ...]:
        """The rows of each domain in a split."""
        ...


@runtime_checkable
class SlicedData(Protocol):
    """Data that knows more of its samples than what is right: by that their predictions are compared in groups."""

    def slices(self, split: Split) -> Mapping[str, NDArray[np.str_]]:
        """By name, such as that of a column, the group [N] of each sample of a split, as words."""
        ...


def number_ranges(values: NDArray[Any], parts: int = 4) -> NDArray[np.str_]:
    """[N] the range that each number is in: as many ranges of about the same number of samples.

    Args:
        values: [N] numbers; what is not finite is a group of its own.
        parts: Ranges at most; few different numbers stand for themselves.
    """
    finite = np.isfinite(values)
    different = np.unique(values[finite])
    if len(different) <= parts:
        return np.array([f"{value:.6g}" for value in values.tolist()], np.str_)
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, parts + 1)[1:-1]))
    places = np.searchsorted(edges, values, side="left")
    low, high = float(different[0]), float(different[-1])
    ends = [low, *edges.tolist(), high]
    # With their number in front, so that they sort as the ranges do.
    names = [f"{n + 1}: {ends[n]:.4g} to {ends[n + 1]:.4g}" for n in range(len(edges) + 1)]
    return np.array([names[place] if known else "not finite" for place, known in zip(places, finite)], np.str_)


def shuffled_rows(data: Data, split: Split, seed: int) -> NDArray[np.int64]:
    """All rows in a random order that the seed gives.

    Where they lie in parts, parts are drawn and the rows of as many as are held at a time are mixed: every row comes
    once, and no part is read twice.
    """
    random, size = np.random.default_rng(seed), data.size(split)
    parts = data.parts(split) if isinstance(data, PartitionedData) else None
    if parts is None:
        return random.permutation(size)
    order = random.permutation(np.unique(parts.numbers))
    rank = np.empty(int(order.max()) + 1, np.int64)
    rank[order] = np.arange(len(order)) // parts.held
    window = rank[parts.numbers]
    rows = random.permutation(size)
    return rows[np.argsort(window[rows], kind="stable")]


def all_rows(data: Data, split: Split) -> NDArray[np.int64]:
    """All rows of a split."""
    return np.arange(data.size(split))
