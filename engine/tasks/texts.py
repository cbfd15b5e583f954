"""Text for language models: cut into sequences of equal length, each position asked for the next or a hidden token.

A plain text file, a folder with `train`, `val` and `test` texts, or a column of texts in a table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import TaskError
from .data_task import DataTask
from .protocol import Split, TaskSpec, option
from .purposes.table import purpose_named
from .split_files import files_by_split
from .splitting import divide, seed_of
from .tokens import Tokens, length_of, tokens_of
from .unasked import NOT_ASKED

HIDDEN = 0.15
"""Share of the tokens that are hidden (Devlin et al. 2019)."""

LANGUAGE = ("causal", "masked")
"""Purposes that take text as it runs."""

BySplit = dict[Split, NDArray[np.int64]]


class Sequences:
    """Sequences of tokens (`Data`); the model takes them as one tensor [n, T], by position.

    Attributes:
        title: Name of the file.
        classes: None.
        labelled: Always: the text itself is right.
    """

    classes: tuple[str, ...] = ()
    labelled = True

    def __init__(self, title: str, inputs: BySplit, targets: BySplit) -> None:
        """Take tokens [N, T] of each split, and the right ones, `NOT_ASKED` where none is asked for."""
        self.title = title
        self._inputs = inputs
        self._targets = targets

    def size(self, split: Split) -> int:
        """How many sequences a split has."""
        return len(self._inputs[split])

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Tokens [n, T] int64."""
        return torch.from_numpy(self._inputs[split][rows])

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Right tokens [n, T]."""
        return self._targets[split][rows]


def open_text(spec: TaskSpec) -> DataTask:
    """Open plain text; the next token is asked for, unless the specification says else."""
    texts = {split: [_read(file) for file in files] for split, files in files_by_split(spec.path, (".txt",)).items()}
    purpose = option(spec, "purpose", "causal")
    if purpose not in LANGUAGE:
        template = "Plain text is for {purposes} only. For {given} give a table with columns, .csv or .parquet."
        raise TaskError("task.text.purpose", template, purposes=" and ".join(LANGUAGE), given=purpose)
    return language_task(spec, texts, purpose)


def language_task(spec: TaskSpec, texts: Mapping[Split, Sequence[str]], purpose: str) -> DataTask:
    """A task of language modelling over texts, divided where they are not divided yet."""
    tokens, length, seed = tokens_of(spec), length_of(spec), seed_of(spec)
    cut = {split: sequences(some, tokens, length) for split, some in texts.items()}
    ask = _next if purpose == "causal" else _Hiding(tokens, seed)
    asked = {split: ask(rows) for split, rows in cut.items()}
    rows = divide({split: len(some) for split, some in cut.items()}, seed)
    inputs = {split: asked[source][0][taken] for split, (source, taken) in rows.items()}
    targets = {split: asked[source][1][taken] for split, (source, taken) in rows.items()}
    return DataTask(spec, Sequences(Path(spec.path).name, inputs, targets), purpose_named(purpose))


def sequences(texts: Sequence[str], tokens: Tokens, length: int) -> NDArray[np.int64]:
    """Texts one behind the other, as rows [N, length] with the tokeniser's own tokens around each; the rest is left."""
    inner = length - len(tokens.before) - len(tokens.after)
    if inner < 2:
        template = "Sequences of {length} tokens leave no room for text. Make them longer."
        raise TaskError("task.text.length", template, length=length)
    numbers = np.array([number for text in texts for number in tokens.numbers(text)], np.int64)
    rows = numbers[: len(numbers) // inner * inner].reshape(-1, inner)
    around = [np.tile(np.array(some, np.int64), (len(rows), 1)) for some in (tokens.before, tokens.after)]
    return np.concatenate([around[0], rows, around[1]], 1)


def _next(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tokens, and at each position the one that follows."""
    last = np.full((len(rows), 1), NOT_ASKED)
    return rows, np.concatenate([rows[:, 1:], last], 1)


class _Hiding:
    """Hides some tokens of every sequence, always the same ones, at least one."""

    def __init__(self, tokens: Tokens, seed: int) -> None:
        if tokens.mask is None:
            template = "The tokeniser has no token that hides another, so the model is not for masked tokens."
            raise TaskError("task.text.mask", template)
        self._mask, self._tokens = tokens.mask, tokens
        self._random = np.random.default_rng(seed)

    def __call__(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The tokens with some hidden, and those at their positions."""
        draws: NDArray[Any] = self._random.random(rows.shape)
        end = rows.shape[1] - len(self._tokens.after)
        draws[:, : len(self._tokens.before)] = draws[:, end:] = 1.0
        hidden = draws <= np.maximum(draws.min(1, keepdims=True), HIDDEN)
        return np.where(hidden, self._mask, rows), np.where(hidden, rows, NOT_ASKED)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        template = "{path} is no text in UTF-8 that can be read."
        raise TaskError("task.text.damaged", template, details=str(error), path=str(file)) from error
