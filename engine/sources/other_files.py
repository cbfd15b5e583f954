"""Files that hold a model and still cannot be opened: for each kind what it is, why not, and what to do instead."""

import pickletools
import zipfile
from pathlib import Path

from ..errors import OpenError
from ..storage.file_limits import ARCHIVE_ERRORS, check_archive, check_special

COMPILED = {
    ".tflite": "TensorFlow Lite",
    ".pb": "TensorFlow",
    ".h5": "Keras",
    ".keras": "Keras",
    ".mlmodel": "Core ML",
    ".mlpackage": "Core ML",
    ".engine": "TensorRT",
    ".plan": "TensorRT",
    ".xml": "OpenVINO",
    ".pte": "ExecuTorch",
    ".ort": "ONNX Runtime's own format",
}
"""Endings of files of other frameworks and of runtimes."""
HARMLESS = ("collections", "torch._utils", "torch._tensor", "torch.storage", "torch.serialization", "_codecs", "numpy")
"""Modules that a pickled state dict names; `torch` alone is one too."""
PICKLE_BYTES = 64 << 20
"""Bytes of a pickle that are looked through."""


def refused_file(path: Path) -> OpenError:
    """Why a file that no source opens is not opened."""
    check_special(path)
    kind = COMPILED.get(path.suffix.lower())
    if kind is not None:
        template = (
            "{path} is a model for {kind}, which holds no layers that can be trained or cut here. Export the original "
            "model to ONNX, and open that."
        )
        return OpenError("source.compiled", template, path=str(path), kind=kind)
    if _is_script(path):
        template = (
            "{path} is a TorchScript archive: its code is compiled and has no Python layers to cut. Open the Python "
            "class that it was made from, with a checkpoint of its state_dict()."
        )
        return OpenError("source.script_file", template, path=str(path))
    if name := pickled_class(path):
        template = (
            "{path} holds a whole pickled model ({name}): loading it runs code, and does not tell how the model is "
            "made. Name the code that builds it (path/to/file.py:callable), and use its saved state_dict() as the "
            "checkpoint."
        )
        return OpenError("source.pickled", template, path=str(path), name=name)
    return OpenError(
        "source.file",
        "{source} holds weights, not the model's code. Name the code that builds the model "
        "(path/to/file.py:callable), and use this file as its weights.",
        source=str(path),
    )


def _is_script(path: Path) -> bool:
    return any(name.endswith("/constants.pkl") for name in _members(path))


def _members(path: Path) -> list[str]:
    """Names in a zip file, [] for any other."""
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive)
            return archive.namelist()
    except ARCHIVE_ERRORS:
        return []


def pickled_class(path: Path, most: int = PICKLE_BYTES) -> str:
    """The first class in a file of `torch.save` that is no part of a state dict, "" for none; nothing is unpickled.

    Args:
        path: The file.
        most: Bytes of the pickle that are looked through.
    """
    try:
        member = next((name for name in _members(path) if name.endswith("/data.pkl")), None)
        if member is None:
            return ""
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            data = file.read(most)
        strings = list[str]()
        for code, argument, _ in pickletools.genops(data):
            if code.name == "GLOBAL":
                module, name = str(argument).split(" ", 1)
            elif code.name == "STACK_GLOBAL" and len(strings) > 1:
                module, name = strings[-2:]
            else:
                strings += [argument] if isinstance(argument, str) else []
                continue
            if module != "torch" and not module.startswith(HARMLESS):
                return f"{module}.{name}"[:120]
    except (*ARCHIVE_ERRORS, UnicodeDecodeError):
        return ""
    return ""
