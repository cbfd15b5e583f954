"""Finds the files of each split: one file to divide, or a folder with `train`, `val` and `test` files."""

import re
from pathlib import Path

from ..errors import DataError
from .protocol import Split
from .splitting import ALIASES

PART = re.compile(r"\d+(-of-\d+)?")
"""Which part of a split a file is: train-00001-of-00002."""


def files_by_split(path: str, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Files of each split; TRAIN alone for a single file. Raises DataError where there is none."""
    where = Path(path)
    if where.is_file():
        return {Split.TRAIN: [where]}
    found = named_splits(where, suffixes) if where.is_dir() else {}
    if not found:
        template = (
            "{path} does not exist, or does not contain train{suffix}, val{suffix} and test{suffix}. Name another path."
        )
        raise DataError("splits.missing", template, path=path, suffix=suffixes[0])
    return found


def domain_of(file: Path) -> str:
    """The domain that a file of a split names (`train-wiki.txt`); "" for one of several parts, or for none."""
    name = file.stem.partition("-")[2]
    return "" if PART.fullmatch(name) else name


def named_splits(folder: Path, suffixes: tuple[str, ...]) -> dict[Split, list[Path]]:
    """Files such as `train.csv` and `test-00001-of-00002.csv` by the split that they name, in order."""
    found: dict[Split, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        split = ALIASES.get(file.stem.lower().partition("-")[0])
        if split is not None and file.suffix.lower() in suffixes and file.is_file():
            found.setdefault(split, []).append(file)
    return {split: found[split] for split in Split if split in found}
