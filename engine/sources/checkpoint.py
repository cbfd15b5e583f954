"""Reads a checkpoint without running code from it: safetensors, or torch's format with `weights_only`.

A pickle that needs more than tensors is refused until the user consents; a file that is none says so in a sentence.
"""

import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from ..errors import OpenError
from ..storage.file_limits import ARCHIVE_ERRORS, check_archive, check_special, check_unpacked

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
TABLE = 4 << 20
"""Bytes that the names and shapes of tensors may take, where the tensors themselves take no more than that."""
BYTEARRAY, ENCODE, ENCODED = b"bytearray\n", b"_codecs\nencode\n", 1 << 16
"""What torch's `weights_only` calls that makes bytes, and the bytes up to which a pickle may call the second one."""
LEGACY_MAGIC, LEGACY_PICKLES = 0x1950A86A20F9469CFC6C, 5
"""torch's format before archives: a magic number, versions, the content and the storages' keys, a pickle each."""


def read_checkpoint(path: str | Path, trust_pickle: bool = False) -> Any:
    """The content of a checkpoint file, tensors on the CPU.

    Args:
        path: A safetensors file or what `torch.save` wrote.
        trust_pickle: The user consented to run what the file's pickle asks for.

    Raises:
        OpenError: A sentence for each kind of file that is no checkpoint; `checkpoint.pickle` when it needs consent.
    """
    path = Path(path)
    check_special(path)
    if path.is_dir():
        raise OpenError("checkpoint.folder", "{path} is a folder. Name a checkpoint file in it.", path=str(path))
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise OpenError("checkpoint.missing", "File {path} does not exist. Check the path.", path=str(path)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OpenError(
            "checkpoint.unreadable", "Cannot read {path}: {error}.", path=str(path), error=reason
        ) from error
    if not start:
        raise OpenError("checkpoint.empty", "{path} is empty. Copy or download it again.", path=str(path))
    if start.startswith(ZIP):
        return _read_zip(path, trust_pickle)
    if start.startswith(PICKLE):
        return _read_pickle(path, trust_pickle)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(path)
    raise OpenError(
        "checkpoint.unknown",
        "{path} is not a checkpoint: it is neither a safetensors file nor one that torch.save wrote.",
        path=str(path),
    )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    check_unpacked(path, path.stat().st_size)
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    # A header that is longer than all tensors together describes what is not there; parsing it costs memory.
    if header > max(TABLE, path.stat().st_size - header):
        raise _only_table(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _read_zip(path: Path, trust_pickle: bool) -> Any:
    try:
        if not zipfile.is_zipfile(path):
            raise _damaged(path)
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive)
            names = archive.namelist()
            pickles = [one for one in archive.infolist() if one.filename.endswith("data.pkl")]
            for one in pickles:
                if one.file_size > max(TABLE, sum(each.file_size for each in archive.infolist()) - one.file_size):
                    raise _only_table(path)
                if not trust_pickle:
                    _check_makes_tensors(path, archive.read(one))
    except ARCHIVE_ERRORS as error:
        raise _damaged(path, error) from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise OpenError(
            "checkpoint.script",
            "{path} is a TorchScript archive, not a checkpoint. Save the state_dict() of the model that it was made "
            "from.",
            path=str(path),
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise OpenError(
            "checkpoint.zip",
            "{path} is a zip archive that torch.save did not write. Choose another file.",
            path=str(path),
        )
    return _torch_load(path, trust_pickle)


def _read_pickle(path: Path, trust_pickle: bool) -> Any:
    """In the format before archives; whether its pickles are there to their ends is seen before any is loaded."""
    check_unpacked(path, size := path.stat().st_size)
    with path.open("rb") as file:
        try:
            count = LEGACY_PICKLES if _ends_pickle(file, TABLE) else 1
            for _ in range(count - 1):
                _ends_pickle(file, max(TABLE, size // 2))
        except OverflowError as error:
            raise _only_table(path) from error
        except (ValueError, EOFError, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error
        end = file.tell()
        file.seek(0)
        if not trust_pickle:
            _check_makes_tensors(path, file.read(end))
    return _torch_load(path, trust_pickle)


def _ends_pickle(file: IO[bytes], most: int) -> bool:
    """Go to the end of a pickle, nothing is executed; whether it holds the magic number of the format before archives.

    Raises:
        OverflowError: It is longer than `most` bytes.
        ValueError: It has no end.
    """
    found, begin = False, file.tell()
    for _, argument, _ in pickletools.genops(file):
        found = found or (type(argument) is int and argument == LEGACY_MAGIC)
        if file.tell() - begin > most:
            raise OverflowError
    return found


def _check_makes_tensors(path: Path, data: bytes) -> None:
    """Refuse, without consent, a pickle whose calls make as many bytes as it likes: `bytearray(1 << 40)`."""
    if BYTEARRAY in data or (ENCODE in data and len(data) > ENCODED):
        raise _needs_consent(path, ValueError("WeightsUnpickler error: it makes bytes, not tensors"))


def _torch_load(path: Path, trust_pickle: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol; nothing a user could do
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as error:
        raise (_damaged(path, error) if trust_pickle else _needs_consent(path, error)) from error
    except (EOFError, OSError, RuntimeError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    except Exception as error:  # a trusted pickle runs anything, so anything can be raised
        if not trust_pickle:
            raise _damaged(path, error) from error
        raise OpenError(
            "checkpoint.pickle_failed",
            "{path} could not be loaded: {kind}: {error}. It may need the code it was saved with.",
            path=str(path),
            kind=type(error).__name__,
            error=str(error),
        ) from error


def _needs_consent(path: Path, error: Exception) -> OpenError:
    return OpenError(
        "checkpoint.pickle",
        "{path} holds more than tensors, so loading it can run code from the file. Allow that only if you trust its "
        "source; otherwise save only the state_dict().",
        details=str(error).rpartition("WeightsUnpickler error:")[2].strip(),
        path=str(path),
    )


def _only_table(path: Path) -> OpenError:
    template = "{path} describes far more data than it holds. Get it from another source."
    return OpenError("checkpoint.table", template, path=str(path))


def _damaged(path: Path, error: Exception | None = None) -> OpenError:
    return OpenError(
        "checkpoint.damaged",
        "{path} is damaged or incomplete. Copy or download it again.",
        details=str(error or ""),
        path=str(path),
    )
