"""Marks as readable ranges of original indices for each coupled set, "0-3, 7, 9-12". Numpy only."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import PlanError
from .analysis import Analysis, Mask, from_identities

_ONE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
MOST = 10_000_000
"""Indices that one range may mean: no layer has more of a kind."""


def ranges_of(named: Mapping[str, Iterable[int]]) -> dict[str, str]:
    """What recipes store (set key to original indices) with the indices as ranges, in rising order."""
    found: dict[str, str] = {}
    for key, indices in named.items():
        runs = zip(*_runs(indices), strict=True)
        found[key] = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return found


def indices_of(ranges: Mapping[str, str]) -> dict[str, list[int]]:
    """Ranges back as indices; raises PlanError for what is no range."""
    found: dict[str, list[int]] = {}
    for key, text in ranges.items():
        indices = found[key] = list[int]()
        for part in text.split(",") if text.strip() else []:
            match = _ONE.fullmatch(part.strip())
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if last < first or len(indices) + last - first >= MOST:
                template = "{part} is not a range of indices of {key}. Write ranges like 0-3, 7."
                raise PlanError("plan.ranges", template, part=repr(part.strip()), key=key)
            indices += range(first, last + 1)
    return found


def marks_of(analysis: Analysis, ranges: Mapping[str, str]) -> Mask:
    """[S] the structures that ranges name; raises PlanError with those that the model has not."""
    marked, missing = from_identities(analysis, indices_of(ranges))
    if missing:
        template = "{count} of the named structures are not in this model; the first is {first}."
        details = "\n".join(missing)
        raise PlanError("plan.missing", template, details, count=len(missing), first=missing[0])
    return marked


def more_ranges_than(named: Mapping[str, Iterable[int]], limit: int) -> bool:
    """Whether `ranges_of` would write more ranges; looks no further than it has to."""
    count = 0
    for indices in named.values():
        count += len(_runs(indices)[0])
        if count > limit:
            return True
    return False


def _runs(indices: Iterable[int]) -> tuple[list[int], list[int]]:
    """First and last index of each run of neighbours."""
    rising = np.unique(np.array(list(indices), np.int64))
    breaks = np.flatnonzero(np.diff(rising) != 1)
    if not len(rising):
        return [], []
    return [int(rising[0]), *rising[breaks + 1].tolist()], [*rising[breaks].tolist(), int(rising[-1])]
