"""The weights of a session's states: safetensors files named by the sha256 of what is in them.

Equal weights are stored once, and what is read is held against its name: a disk, or a hand, may have changed it since.
Tied tensors are written once, with their other names.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from ..errors import Message, OpenError, SecateurError
from ..jobs import CancelToken, Job, Progress, part_of
from .atomic_files import copy, staged_write
from .file_limits import checked_weights, damaged_weights, take_as_sound
from .paths import DIGEST
from .safetensors_io import write_tensors

GIGABYTE = 1_000_000_000
_ALIASES = "secateur.aliases"
HELD = 3
"""State dicts that a `MemoryStore` holds besides the first: before a cut, after it, and recovered."""


class WeightStore:
    """A folder of weights.

    Attributes:
        folder: Of the files.
        bound: Bytes above which weights that no state needs are removed.
    """

    def __init__(self, folder: Path, bound: int = 4 * GIGABYTE) -> None:
        """Take a folder, which need not exist."""
        self.folder = folder
        self.bound = bound

    def put(self, state_dict: Mapping[str, torch.Tensor]) -> str:
        """Write a state dict; returns its sha256."""
        # Tied tensors are written once; what is no tensor is left out.
        tensors: dict[str, torch.Tensor] = {}
        aliases: dict[str, str] = {}
        seen: dict[tuple[object, ...], str] = {}
        for name, value in ((n, v) for n, v in state_dict.items() if torch.is_tensor(v)):
            identity = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride())
            if value.numel() and identity in seen:
                aliases[name] = seen[identity]
            else:
                seen[identity] = name
                tensors[name] = value
        self.folder.mkdir(parents=True, exist_ok=True)
        with staged_write(self.folder / "new") as temporary:
            # One entry only: safetensors writes several in random order, and equal weights would differ.
            write_tensors(temporary, tensors, {_ALIASES: json.dumps(aliases, sort_keys=True)})
            with temporary.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        (self.folder / "new").replace(self.path(digest))
        take_as_sound(self.path(digest))
        return digest

    def restore(self, digest: str, state_dict: Mapping[str, torch.Tensor]) -> bool:
        """Write a state dict whose file is missing or damaged; False where it is another one, or cannot be written."""
        was_there = {path.name for path in self.folder.glob("*.safetensors")}
        try:
            found = self.put(state_dict)
        except SecateurError:
            return False
        if found != digest and self.path(found).name not in was_there:
            self.path(found).unlink()
        return found == digest

    def get(self, digest: str, owner: str = "") -> dict[str, torch.Tensor]:
        """Read a state dict back, tied names included; raises OpenError as `checked_weights` does."""
        path = checked_weights(self.path(digest), owner)
        try:
            tensors = load_file(path)
            # What `put` left out: alias -> the name that has its tensor.
            opened: Any = safe_open(path, framework="pt")
            with opened as file:
                metadata = cast("dict[str, str] | None", file.metadata())
            aliases = json.loads((metadata or {}).get(_ALIASES, "{}"))
        except (OSError, SafetensorError) as error:
            raise damaged_weights(path, owner, str(error)) from error
        return tensors | {alias: tensors[name] for alias, name in aliases.items()}

    def path(self, digest: str) -> Path:
        """The file of a sha256; raises OpenError for what is none, as a name it could lead anywhere."""
        if not DIGEST.fullmatch(digest):
            template = (
                "{digest!r} does not name weights of this session: the history is damaged or was edited. Restore it "
                "from a backup."
            )
            raise OpenError("session.digest", template, digest=digest[:80])
        return self.folder / f"{digest}.safetensors"

    def take(self, digests: Collection[str], other: "WeightStore", token: CancelToken) -> Job[None]:
        """Copy weights from another store, those that are not here yet; what it lacks itself is left out."""
        missing = [one for one in digests if not self.path(one).exists() and other.path(one).exists()]
        for number, digest in enumerate(missing, 1):
            words = {"number": number, "count": len(missing)}
            shown = Message("progress.weights", "Weights {number} of {count}", words)
            yield Progress(shown, number, len(missing))
            job = copy(other.path(digest), self.path(digest), token)
            yield from part_of(Progress(shown, number, len(missing)), job, words=False)

    def collect(self, needed: set[str]) -> int:
        """While above the bound, remove the oldest weights that no state needs; returns the bytes that stay."""
        files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        size = sum(path.stat().st_size for path in files)
        for path in files:
            if size > self.bound and DIGEST.fullmatch(path.stem) and path.stem not in needed:
                size -= path.stat().st_size
                path.unlink()
        return size


class MemoryStore(WeightStore):
    """Weights that are never written: the tensors of the models themselves, without a copy.

    It holds the first state dict, the original's, and the last few. A pruning that only goes forward needs no others,
    and in many rounds all of them would fill the memory.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        super().__init__(Path())
        self._held: dict[str, dict[str, torch.Tensor]] = {}
        self._names = (f"{number:064x}" for number in count())

    def put(self, state_dict: Mapping[str, torch.Tensor]) -> str:
        """Hold a state dict; returns a name that looks like a sha256 and is not one."""
        name = next(self._names)
        self._held[name] = dict(state_dict)
        for old in [*self._held][1:-HELD]:
            del self._held[old]
        return name

    def get(self, digest: str, owner: str = "") -> dict[str, torch.Tensor]:
        """The tensors themselves; raises KeyError for those that are no longer held."""
        return self._held[digest]

    def collect(self, needed: set[str]) -> int:
        """Nothing is on disk."""
        return 0
