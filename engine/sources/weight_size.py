"""How much memory a model's weights will take, read off the headers of its files before anything is loaded."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import SecateurError
from ..storage.file_limits import check_special, parse_json, read_whole
from .hugging_face import INDEX, WEIGHTS, folder_of
from .protocol import ModelSpec

LARGEST_HEADER = 100_000_000
"""Bytes of a header that the format allows."""
SINGLE = 4
KEPT = {"BF16": 2}
"""Floating types that a model keeps, and the bytes of a number; all others become float32."""
WHOLE = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def weight_bytes(spec: ModelSpec) -> int:
    """Bytes of the weights once they are loaded, 0 where no file of the model says: why is told where it is opened."""
    try:
        return sum(_bytes_of(path, spec.float32) for path in _files(spec))
    except (OSError, RuntimeError, SecateurError):  # a name that no file can have, a folder of a user that is not there
        return 0


def _files(spec: ModelSpec) -> list[Path]:
    """The files that hold the weights: the checkpoint, the shards that an index names, or the model's own file."""
    if spec.weights:
        return [Path(spec.weights).expanduser()]
    folder = folder_of(spec)
    if folder is None:
        own = Path(spec.source).expanduser()
        return [own] if own.is_file() and own.suffix != ".py" else []
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        index: Any = parse_json(read_whole(folder / INDEX))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    return []


def _bytes_of(path: Path, float32: bool) -> int:
    """Of a safetensors file by its header, of any other as large as it is."""
    check_special(path)
    try:
        whole = path.stat().st_size
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if path.suffix != ".safetensors" or size > LARGEST_HEADER:
                return whole
            header: dict[str, Any] = parse_json(file.read(size))
        header.pop("__metadata__", None)
        said = sum(math.prod(one["shape"]) * _each(one["dtype"], float32) for one in header.values())
        return min(SINGLE * whole, said)  # a file holds no more numbers than it has bytes
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _each(kind: str, float32: bool) -> int:
    return WHOLE.get(kind, SINGLE if float32 else KEPT.get(kind, SINGLE))
