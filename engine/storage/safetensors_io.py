"""Safetensors files: written, and read as tensors that stay on disk until something computes with them. Loads torch.

A model can so be larger than the memory: the system reads the pages of a tensor where something computes with it, and
`kept_small` gives them back soon afterwards.
"""

import json
import math
import mmap
import os
import re
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from ..errors import OpenError
from .file_limits import check_special

REFUSED = re.compile(r"\(os error (\d+)\)")
"""How the library's own error names what the system said."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors by name, from where they are: a copy of all would take as much memory as the model.

    Only those are copied that share memory, which the library refuses, or that are not in order.

    Raises:
        OSError: The disk is full, or the file may not be written.
    """
    given, held = dict[str, Tensor](), set[int]()
    for name, one in tensors.items():
        own = one.detach().to("cpu")
        memory = own.untyped_storage()
        if not own.is_contiguous() or memory.nbytes() != own.nbytes or memory.data_ptr() in held:
            own = own.clone(memory_format=torch.contiguous_format)
        held.add(own.untyped_storage().data_ptr())
        given[name] = own
    try:
        save_file(given, path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        if said := REFUSED.search(str(error)):
            raise OSError(int(said[1]), os.strerror(int(said[1])), str(path)) from error
        raise


PAUSE = 0.05
"""Seconds after which pages that were read are given back."""
LARGEST_HEADER = 100 << 20
"""Bytes: the library takes no larger one either."""
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""As the files name them."""


class MappedCheckpoint:
    """The tensors of some safetensors files.

    Attributes:
        tensors: By name; they are read from the files where something reads them. They are read-only.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the headers.

        Raises:
            OpenError: A file is none, holds tensors of types that torch lacks, or one of a name that another has too.
        """
        self.tensors: dict[str, Tensor] = {}
        self._maps: list[mmap.mmap] = []
        self._places: dict[str, tuple[mmap.mmap, int, int]] = {}
        for path in files:
            check_special(path)
            try:
                checked: Any = safe_open(path, framework="pt")
                with checked, path.open("rb") as file:
                    size = int.from_bytes(file.read(8), "little")
                    header = json.loads(file.read(min(size, LARGEST_HEADER)))
                    found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except (OSError, ValueError, SafetensorError) as error:
                template = "{path} is not a whole safetensors file. Get it again."
                raise OpenError("checkpoint.mapped", template, details=str(error), path=str(path)) from error
            self._maps.append(found)
            header.pop("__metadata__", None)
            for name, one in header.items():
                if name in self.tensors:
                    template = "{name} is in {path} and in another of the model's files. Save the model again."
                    raise OpenError("checkpoint.mapped_twice", template, name=name, path=str(path))
                kind = TYPES.get(one["dtype"])
                if kind is None:
                    template = "{name} in {path} has the type {type}, which cannot be cut. Choose another checkpoint."
                    words = {"name": name, "path": str(path), "type": one["dtype"]}
                    raise OpenError("checkpoint.mapped_type", template, **words)
                start, end = (8 + size + offset for offset in one["data_offsets"])
                count = math.prod(one["shape"])
                flat = (
                    torch.frombuffer(found, dtype=kind, count=count, offset=start)
                    if count
                    else torch.empty(0, dtype=kind)
                )
                self.tensors[name] = flat.reshape(one["shape"])
                self._places[name] = found, start, end - start

    def expect(self, name: str) -> None:
        """Let the system read a tensor ahead, as far as it can."""
        found, start, size = self._places[name]
        if size and hasattr(found, "madvise"):
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            found.madvise(mmap.MADV_WILLNEED, first, start + size - first)

    def release(self) -> None:
        """Give back the memory of all that was read; what is read again comes from the files."""
        for one in self._maps:
            # Not on Windows, which gives pages back by itself.
            if hasattr(one, "madvise"):
                one.madvise(mmap.MADV_DONTNEED)

    @contextmanager
    def kept_small(self) -> Generator[None]:
        """Release again and again meanwhile."""
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(PAUSE):
                self.release()

        thread = threading.Thread(target=run, name="secateur-release", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def into(self, model: Any, names: Mapping[str, str] | None = None) -> None:
        """Let a model compute with the tensors, as its parameters and buffers.

        Args:
            model: Its parameters may be on the meta device; those that its class ties stay tied.
            names: What the tensors of the model are called in the files, where that is other than in the model.

        Raises:
            OpenError: The files lack some, or hold them in other shapes.
        """
        own = model.state_dict()
        stored = {name: (names or {}).get(name, name) for name in own}
        known = {name: self.tensors[one] for name, one in stored.items() if one in self.tensors}
        wrong = [name for name, one in known.items() if one.shape != own[name].shape]
        if not wrong:
            model.load_state_dict(known, strict=False, assign=True)
            model.tie_weights()
            wrong = [name for name, one in model.named_parameters() if one.is_meta]
        if wrong:
            template = "The files lack {name} in the shape that the configuration says. Open the model in memory."
            raise OpenError("checkpoint.mapped_names", template, name=wrong[0])


@contextmanager
def weights_on_meta() -> Generator[None]:
    """Parameters of modules that are made meanwhile are on the meta device; buffers have their values."""
    register = nn.Module.register_parameter

    def registered(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(module, name, param)
        if param is not None and not param.is_meta:
            vars(module)["_parameters"][name] = nn.Parameter(param.detach().to("meta"), param.requires_grad)

    kind: Any = nn.Module
    kind.register_parameter = registered
    try:
        yield
    finally:
        kind.register_parameter = register
