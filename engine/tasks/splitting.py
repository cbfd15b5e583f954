"""Divides data without named splits: 80 % train, 10 % val, 10 % test, by a seed.

Where only `train` and `val` are named, `val` is halved: the model was trained on `train`, which would flatter the
original.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
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


PART = re.compile(r"\d+(-of-\d+)?")
"""Which part of a split a file is: train-00001-of-00002."""
TAIL = re.compile(r"(.+)[-_.]([a-z]+)")
"""A name with its split at the end: reviews_train."""
SAVED = (".arrow",)
"""Endings of files that lie in a folder for each split."""
CACHED = "cache-"
"""How the library `datasets` begins the names of what it computed from a saved dataset, and keeps beside it."""


def files_by_split(path: str, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Files of each split; TRAIN alone for a single file. Raises DataError where there is none."""
    where = Path(path)
    if where.is_file():
        return {Split.TRAIN: [where]}
    found = (named_splits(where, suffixes) or ending_splits(where, suffixes)) if where.is_dir() else {}
    if not found:
        template = (
            "{path} does not exist, or does not contain train{suffix}, val{suffix} and test{suffix}. Name another path."
        )
        raise DataError("splits.missing", template, path=path, suffix=suffixes[0])
    return found


def domain_of(file: Path, path: str) -> str:
    """The domain that a file of a split names (`train-wiki.txt`), or its folder (`wiki/train.txt`) below the task's.

    "" for one of several parts, or for none.
    """
    root = Path(path)
    folders = list(file.relative_to(root).parts[:-1]) if root.is_dir() else list[str]()
    saved = file.suffix.lower() in SAVED  # in a folder for each split
    if len(folders) == 1 + saved and folders[0].lower() not in ALIASES:
        return folders[0]
    stem = folders[0] if saved and folders else "" if folders else file.stem
    head, _, name = stem.partition("-")
    ends = head.lower() not in ALIASES and _split_at_end(file) is not None
    return "" if ends or PART.fullmatch(name) else name


def named_splits(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Files such as `train.csv` and `test-00001-of-00002.csv` by the split that they name, in order.

    Of a folder that has none, those in its folders, if each of them has some: they are domains.
    """
    if found := _splits_in(folder, suffixes):
        return found
    domains = list[dict[Split, list[Path]]]()
    for one in folders_in(folder):
        domains.append(_splits_in(one, suffixes))
        if not domains[-1]:  # so are the folders of images, of which there may be thousands
            return {}
    return {split: files for split in Split if (files := [file for one in domains for file in one.get(split, ())])}


def _splits_in(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Those of one folder."""
    found: dict[Split, list[Path]] = {}
    saved = tuple(one for one in suffixes if one in SAVED)
    named = [(file.stem, file) for file in _files(folder, [one for one in suffixes if one not in SAVED])]
    for one in folders_in(folder) if saved else ():
        if _split_at_start(one.name) is not None:  # others may hold a million images
            named += [(one.name, file) for file in _files(one, saved) if not file.name.startswith(CACHED)]
    for name, file in named:
        if (split := _split_at_start(name)) is not None:
            found.setdefault(split, []).append(file)
    return {split: found[split] for split in Split if split in found}


def ending_splits(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Files of the one data set of a folder whose names end in splits: `reviews_train.csv`, `reviews_test.csv`."""
    found: dict[str, dict[Split, list[Path]]] = {}
    for file in _files(folder, suffixes):
        if (end := _split_at_end(file)) is not None:
            found.setdefault(end[0], {}).setdefault(end[1], []).append(file)
    of_one = next(iter(found.values())) if len(found) == 1 else {}
    return {split: of_one[split] for split in Split if split in of_one}


def _split_at_start(name: str) -> Split | None:
    return ALIASES.get(name.lower().partition("-")[0])


def _split_at_end(file: Path) -> tuple[str, Split] | None:
    """What stands before the split at the end of a file's name, and that split; None for a name without one."""
    tail = TAIL.fullmatch(file.stem.lower())
    split = ALIASES.get(tail[2]) if tail is not None else None
    return None if tail is None or split is None else (tail[1], split)


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    return [one for one in sorted(folder.iterdir()) if one.suffix.lower() in suffixes and one.is_file()]


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder, hidden ones left out, in order."""
    with os.scandir(folder) as found:
        return sorted(Path(one.path) for one in found if one.is_dir() and not one.name.startswith("."))
