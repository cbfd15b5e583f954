"""What a path or a name on the command line, in the list of what was opened, or dropped on the window means."""

from collections.abc import Callable
from pathlib import Path

from secateur.engine.sources.other_files import pickled_class
from secateur.engine.sources.protocol import DESCRIPTION, ModelSpec

BUNDLE = ".zip"
GRAPHS = (".onnx", ".pt2", ".gguf")
"""Endings of files that hold a whole model."""
CHECKPOINT = ".pt"
BEGINNING = 4096
"""Bytes at the start of a checkpoint that name the class of a whole model."""
WEIGHTS = (".th", ".pt", ".pth", ".bin", ".ckpt", ".safetensors")
HUGGING_FACE = ("config.json", "model.safetensors", "model.safetensors.index.json")
"""Files of a Hugging Face folder, any of which means the folder."""


def is_hugging_face(folder: str) -> bool:
    """Whether a folder holds a Hugging Face model."""
    return (Path(folder) / HUGGING_FACE[0]).is_file()


def is_ultralytics(path: Path) -> bool:
    """Whether a file is a network's description or a checkpoint of Ultralytics; little of it is read."""
    if path.suffix.lower() in DESCRIPTION:
        return True
    return path.suffix.lower() == CHECKPOINT and pickled_class(path, BEGINNING).startswith("ultralytics.")


def is_file(text: str) -> bool:
    """Whether a text names a file; also of a text that nothing can be called by."""
    return _is(text, Path.is_file)


def is_folder(text: str) -> bool:
    """Whether a text names a folder; also of a text that nothing can be called by."""
    return _is(text, Path.is_dir)


def is_missing(text: str, place: str, kind: Callable[[Path], bool] = Path.exists) -> bool:
    """Whether it is known here that a path names nothing; an engine elsewhere reads its own disk, and says it itself.

    Args:
        text: The path as it was typed; an empty one is always missing.
        place: The machine of the engine, "" for this one.
        kind: What the path has to be.
    """
    return not text.strip() or (not place and not _is(text.strip(), kind))


def engine_path(text: str, place: str) -> str:
    """A path that was typed, for the engine: absolute, or as it was typed for an engine elsewhere."""
    return text.strip() if place else str(Path(text.strip()).expanduser().absolute())


def _is(text: str, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(Path(text).expanduser())
    except (OSError, RuntimeError, ValueError):
        # The name is too long, names an unknown user, or has a character that no name can have.
        return False


def source_of(source: str) -> ModelSpec | None:
    """The model to open, None where more must be asked: a Python file without a callable, bare weights."""
    path = Path(source)
    if path.is_dir():
        return ModelSpec(str(path))
    if path.is_file() and is_hugging_face(str(path.parent)) and path.name in HUGGING_FACE:
        return ModelSpec(str(path.parent))
    if path.suffix.lower() in WEIGHTS or path.suffix == ".py":
        return None
    return ModelSpec(source)
