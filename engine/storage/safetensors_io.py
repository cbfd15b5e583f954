"""Tensors into a safetensors file; what the disk refuses is told as Python's own files tell it. Loads torch."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

REFUSED = re.compile(r"\(os error (\d+)\)")
"""How the library's own error names what the system said."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors by name.

    Raises:
        OSError: The disk is full, or the file may not be written.
    """
    try:
        save_file(dict(tensors), path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        if said := REFUSED.search(str(error)):
            raise OSError(int(said[1]), os.strerror(int(said[1])), str(path)) from error
        raise
