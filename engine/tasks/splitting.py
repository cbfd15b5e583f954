"""Divides data without named splits: 80 % train, 10 % val, 10 % test, by a seed.

Where only `train` and `val` are named, `val` is halved: the model was trained on `train`, which would flatter the
original.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .protocol import FORMER_NAMES, Split, TaskSpec, option

ALIASES: Mapping[str, Split] = {
    **{name: split for split, name in FORMER_NAMES.items()},
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "dev": Split.VAL,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "test": Split.TEST,
}
"""The split that a name of a file, folder or array means."""

SHARES = {Split.TRAIN: 0.8, Split.VAL: 0.1, Split.TEST: 0.1}


def seed_of(spec: TaskSpec) -> int:
    """The seed of the division: the option "seed", 0 by default."""
    given = option(spec, "seed", "0")
    if not given.isdigit():
        raise DataError("task.seed", "The seed of the splits must be a whole number, not {given}.", given=given)
    return int(given)


def split_folders(root: Path, folders: Iterable[Path]) -> dict[Split, Path]:
    """Folders that are called as splits are; raises DataError where two mean the same."""
    found: dict[Split, Path] = {}
    for folder in sorted(folders):
        split = ALIASES.get(folder.name.lower())
        if split is None:
            continue
        if split in found:
            template = "{path} contains {first} and {second}, which name the same split. Rename one of them."
            raise DataError("folder.splits", template, path=str(root), first=found[split].name, second=folder.name)
        found[split] = folder
    return found


def divide(given: Mapping[Split, int], seed: int) -> dict[Split, tuple[Split, NDArray[np.int64]]]:
    """Rows of every split.

    Args:
        given: Number of samples of each split that the data names; TRAIN alone when it names none.
        seed: Of the shuffle.

    Returns:
        For each split, which given split its rows lie in, and the rows. A split that is given is taken whole, except
        that the missing ones are drawn from TRAIN, and TEST is half of VAL where both others are given; no
        sample is in two splits.
    """
    missing = [split for split in Split if split not in given]
    if missing == [Split.TEST] and given[Split.VAL] > 1:
        return _halved(given, seed)
    source = Split.TRAIN if Split.TRAIN in given else next(iter(given))
    pool = np.arange(given[source])
    if missing:
        pool = np.random.default_rng(seed).permutation(pool)
    rows = {split: (split, np.arange(count)) for split, count in given.items()}
    for split in missing:
        count = max(1, round(SHARES[split] * given[source])) if split is not Split.TRAIN else len(pool) // 2
        rows[split], pool = (source, np.sort(pool[:count])), pool[count:]
    rows[source] = (source, np.sort(pool))
    for split, (_, taken) in rows.items():
        if not len(taken):
            raise DataError(
                "task.too_few", "Too few samples: none is left for the {split} split. Add samples.", split=split.value
            )
    return rows


def _halved(given: Mapping[Split, int], seed: int) -> dict[Split, tuple[Split, NDArray[np.int64]]]:
    """VAL and TEST as the halves of the validation samples that were given."""
    held_out = np.random.default_rng(seed).permutation(given[Split.VAL])
    half = len(held_out) // 2
    return {
        Split.TRAIN: (Split.TRAIN, np.arange(given[Split.TRAIN])),
        Split.VAL: (Split.VAL, np.sort(held_out[half:])),
        Split.TEST: (Split.VAL, np.sort(held_out[:half])),
    }
