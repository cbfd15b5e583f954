"""What a path or a name on the command line, in the list of what was opened, or dropped on the window means."""

from pathlib import Path

from secateur.engine.sources.protocol import ModelSpec

BUNDLE = ".zip"
WEIGHTS = (".th", ".pt", ".pth", ".bin", ".ckpt", ".safetensors")


def source_of(source: str) -> ModelSpec | None:
    """The model to open, None where more must be asked: a Python file without a callable, bare weights."""
    path = Path(source)
    if path.is_dir():
        return ModelSpec(str(path))
    if path.suffix.lower() in WEIGHTS or path.suffix == ".py":
        return None
    return ModelSpec(source)
