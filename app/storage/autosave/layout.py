"""Which structures the bits of a stored mask stand for, so that they are found again in another analysis of the model.

Numbers of structures are the solver's own and mean nothing elsewhere: a layout keeps what each set is known by, how
many structures it has, and their original indices.
"""

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Mask, matching_keys

INDEX = np.dtype("<i4")


@dataclass(frozen=True, slots=True)
class Layout:
    """The structures of an analysis, in its order.

    Attributes:
        keys: Of each set.
        counts: Structures of each set.
        index: [S] int32, original index of each structure in its set.
    """

    keys: tuple[str, ...]
    counts: tuple[int, ...]
    index: NDArray[np.int32]

    @classmethod
    def of(cls, analysis: Analysis) -> "Layout":
        """That of an analysis."""
        return cls(tuple(s.key for s in analysis.sets), tuple(s.count for s in analysis.sets), analysis.index)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Layout":
        """Read back what `plain` gave; raises ValueError, KeyError or TypeError for anything else."""
        index = np.cumsum(np.frombuffer(unpack(plain["index"]), INDEX), dtype=np.int32)
        layout = cls(tuple(map(str, plain["keys"])), tuple(map(int, plain["counts"])), index)
        if len(layout.keys) != len(layout.counts) or sum(layout.counts) != len(index):
            raise ValueError("the layout contradicts itself")
        return layout

    def plain(self) -> dict[str, Any]:
        """For JSON; the indices, mostly steps of one, are compressed."""
        steps = np.diff(self.index, prepend=np.int32(0)).astype(INDEX)
        return {"keys": list(self.keys), "counts": list(self.counts), "index": pack(steps.tobytes())}

    @property
    def count(self) -> int:
        """S, the number of structures."""
        return len(self.index)

    def onto(self, other: "Layout") -> Callable[[Mask], Mask]:
        """What makes a mask of this layout one of another: structures that are not in both stay False."""
        if self.keys == other.keys and self.counts == other.counts and np.array_equal(self.index, other.index):
            return lambda mask: mask
        source = np.full(other.count, -1, dtype=np.int64)
        now = matching_keys(self.keys, other.keys)
        firsts = {now.get(key, key): place for key, place in zip(self.keys, zip(_firsts(self.counts), self.counts))}
        for key, first, count in zip(other.keys, _firsts(other.counts), other.counts):
            if key in firsts:
                begin, length = firsts[key]
                known = self.index[begin : begin + length]
                order = np.argsort(known, kind="stable")
                wanted = other.index[first : first + count]
                at = np.minimum(np.searchsorted(known, wanted, sorter=order), max(length - 1, 0))
                found = order[at] if length else at
                same = (known[found] == wanted) if length else np.zeros(count, bool)
                source[first : first + count] = np.where(same, begin + found, -1)

        def move(mask: Mask) -> Mask:
            return (
                np.where(source >= 0, mask[np.maximum(source, 0)], False) if self.count else np.zeros(len(source), bool)
            )

        return move


def difference(before: Mask, after: Mask) -> str:
    """What changed between two masks: short where little did."""
    return pack(np.packbits(before ^ after).tobytes())


def changed(before: Mask, stored: str) -> Mask:
    """The mask after a stored change; raises ValueError for what is none."""
    bits = np.frombuffer(unpack(stored), np.uint8)
    if len(bits) != (len(before) + 7) // 8:
        raise ValueError("a mask has another length than its model")
    return before ^ np.unpackbits(bits, count=len(before)).astype(np.bool_)


def pack(data: bytes) -> str:
    """Bytes for JSON, compressed."""
    return base64.b64encode(zlib.compress(data, 1)).decode()


def unpack(text: str) -> bytes:
    """Bytes back; raises ValueError for what `packed` did not make."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except (zlib.error, TypeError) as error:
        raise ValueError(str(error)) from error


def _firsts(counts: tuple[int, ...]) -> list[int]:
    """Where each set begins."""
    return [0, *np.cumsum(counts, dtype=np.int64).tolist()][: len(counts)]
