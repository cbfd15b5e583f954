"""Writes the weights of a cut model from the files of the original, tensor by tensor. Loads torch.

Of each tensor only what stays is read, and no more than a file of the result is in memory.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..sources.hugging_face import INDEX, WEIGHTS
from ..storage.safetensors_io import MappedCheckpoint, write_tensors
from ..surgery.cut.slice_tensors import slice_tensor
from ..surgery.repair.weight_folding import multiply
from ..text.format import byte_size

LARGEST = 400 << 20
"""Bytes of a file, unless a single tensor has more."""


@dataclass(frozen=True, slots=True)
class StreamedTensor:
    """A tensor of the result, and where it comes from.

    Attributes:
        name: In the result.
        source: In the files of the original.
        keeps: For each dimension the indices that stay, None for all; () for all of all.
        rate: What it is multiplied with, None for nothing.
        size: Bytes of the result.
    """

    name: str
    source: str
    keeps: tuple[NDArray[np.int64] | None, ...]
    rate: torch.Tensor | None
    size: int


def write_shards(
    folder: Path, tensors: Sequence[StreamedTensor], checkpoint: MappedCheckpoint, token: CancelToken
) -> Job[tuple[Path, ...]]:
    """Write safetensors files, and their index where there are several.

    Args:
        folder: Gets them.
        tensors: What is written, in this order.
        checkpoint: The original's files.
        token: Looked at before every tensor.

    Returns:
        The files with tensors.

    Raises:
        OSError: The disk is full, or the folder may not be written.
        Cancelled: The token was set.
    """
    shards, done, total = list[list[StreamedTensor]](), 0, sum(one.size for one in tensors)
    for one in tensors:
        if not shards or sum(other.size for other in shards[-1]) + one.size > LARGEST:
            shards.append([])
        shards[-1].append(one)
    places, files = dict[str, str](), list[Path]()
    for number, shard in enumerate(shards, start=1):
        name = WEIGHTS if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        held = dict[str, torch.Tensor]()
        for one in shard:
            check(token)
            words = {"done": byte_size(done), "total": byte_size(total)}
            yield Progress(Message("progress.shards", "Cutting weights, {done} of {total}", words), done, total)
            checkpoint.expect(one.source)
            cut = slice_tensor(checkpoint.tensors[one.source], one.keeps)
            held[one.name] = cut if one.rate is None else multiply(cut, one.rate)
            places[one.name] = name
            done += one.size
        write_tensors(folder / name, held, {"format": "pt"})
        files.append(folder / name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return tuple(files)
