"""Divides data without named splits: 80 % to calibrate and fit, 10 % to choose, 10 % to report, by a seed.

Where only `train` and `val` are named, `val` is halved: the model was trained on `train`, which would flatter the
original.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .protocol import Split, TaskSpec, option

ALIASES: Mapping[str, Split] = {
    "calibrate": Split.CALIBRATE,
    "train": Split.CALIBRATE,
    "training": Split.CALIBRATE,
    "choose": Split.CHOOSE,
    "dev": Split.CHOOSE,
    "val": Split.CHOOSE,
    "valid": Split.CHOOSE,
    "validation": Split.CHOOSE,
    "report": Split.REPORT,
    "test": Split.REPORT,
}
"""What people call their splits."""

SHARES = {Split.CALIBRATE: 0.8, Split.CHOOSE: 0.1, Split.REPORT: 0.1}


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
            template = "{path} has {first} and {second}, which mean the same split. Rename one of them."
            raise DataError("task.folder.splits", template, path=str(root), first=found[split].name, second=folder.name)
        found[split] = folder
    return found


def divide(given: Mapping[Split, int], seed: int) -> dict[Split, tuple[Split, NDArray[np.int64]]]:
    """Rows of every split.

    Args:
        given: Number of samples of each split that the data names; CALIBRATE alone when it names none.
        seed: Of the shuffle.

    Returns:
        For each split, which given split its rows lie in, and the rows. A split that is given is taken whole, except
        that the missing ones are drawn from CALIBRATE, and REPORT is half of CHOOSE where both others are given; no
        sample is in two splits.
    """
    missing = [split for split in Split if split not in given]
    if missing == [Split.REPORT] and given[Split.CHOOSE] > 1:
        return _halved(given, seed)
    source = Split.CALIBRATE if Split.CALIBRATE in given else next(iter(given))
    pool = np.arange(given[source])
    if missing:
        pool = np.random.default_rng(seed).permutation(pool)
    rows = {split: (split, np.arange(count)) for split, count in given.items()}
    for split in missing:
        count = max(1, round(SHARES[split] * given[source])) if split is not Split.CALIBRATE else len(pool) // 2
        rows[split], pool = (source, np.sort(pool[:count])), pool[count:]
    rows[source] = (source, np.sort(pool))
    for split, (_, taken) in rows.items():
        if not len(taken):
            raise DataError(
                "task.too_few", "There are too few samples: none is left for the split {split}.", split=split.value
            )
    return rows


def _halved(given: Mapping[Split, int], seed: int) -> dict[Split, tuple[Split, NDArray[np.int64]]]:
    """REPORT and CHOOSE as the halves of what was given to choose by."""
    held_out = np.random.default_rng(seed).permutation(given[Split.CHOOSE])
    half = len(held_out) // 2
    return {
        Split.CALIBRATE: (Split.CALIBRATE, np.arange(given[Split.CALIBRATE])),
        Split.CHOOSE: (Split.CHOOSE, np.sort(held_out[half:])),
        Split.REPORT: (Split.CHOOSE, np.sort(held_out[:half])),
    }
