"""Converts columns to a model's inputs: images, texts or numbers."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import TaskError
from ..image_samples import standardise
from ..images import ImageReader
from ..protocol import TaskSpec
from ..tokens import length_of, tokens_of
from .protocol import Cells, Column, ColumnKind

Encode: TypeAlias = Callable[[Sequence[Cells]], Any]
"""Some rows of the feature columns as a tensor [n, ...] or tensors by name."""


def encoder(kind: ColumnKind, spec: TaskSpec) -> Encode:
    """What makes inputs of columns of a kind."""
    return {ColumnKind.IMAGE: _images, ColumnKind.TEXT: _texts}.get(kind, _numbers)(spec)


def _images(spec: TaskSpec) -> Encode:
    reader = ImageReader(spec)
    return lambda columns: reader.read(list(columns[0]), "An image of the table")


def _texts(spec: TaskSpec) -> Encode:
    """The texts of the first column, then those of the second one where there are two."""
    tokens, length = tokens_of(spec), length_of(spec)
    return lambda columns: tokens.padded([text for column in columns for text in column], length)


def _numbers(spec: TaskSpec) -> Encode:
    def encode(columns: Sequence[Cells]) -> torch.Tensor:
        table = np.concatenate([np.reshape(column, (len(column), -1)) for column in columns], 1)
        return standardise(torch.from_numpy(table.astype(np.float32)), spec)

    return encode


def check_numbers(names: Sequence[str], columns: Sequence[Column]) -> None:
    """Refuse features with cells that are no numbers; goes through all of them, some at a time."""
    before = 0
    for pieces in zip(*(one.pieces() for one in columns), strict=True):  # together: a row is read once
        for name, piece in zip(names, pieces, strict=True):
            values: NDArray[Any] = np.asarray(piece)
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
            if bad.any():
                template = "Column {name} contains NaN or infinity, first in row {row}. Correct it."
                raise TaskError("table.not_finite", template, name=name, row=before + int(np.argmax(bad)) + 1)
        before += len(pieces[0])
