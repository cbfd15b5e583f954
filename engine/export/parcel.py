"""A model packed as files, so that another process can rebuild it: for timing, and as an export.

The other process opens the same source, brings the module to the recorded shapes and loads the weights. A module that
came without a source is pickled instead; such a parcel never leaves this machine.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from ..errors import ExportError
from ..jobs import NeverCancelled
from ..sources.exported import SHAPES, WEIGHTS, read_shapes, recorded_source
from ..sources.open import source_of
from ..sources.protocol import ModelSpec
from ..sources.python_file import PATTERN, parse
from ..surgery.protocol import Edits

MODULE = "module.pt"


def pack(
    folder: Path, model: nn.Module, edits: Edits, spec: ModelSpec | None, input_shape: tuple[int, ...] = ()
) -> None:
    """Write a model into an existing folder.

    Args:
        folder: Where `shapes.json` and `weights.safetensors`, or `module.pt`, are written.
        model: The live module, on the CPU.
        edits: The repairs of its cut.
        spec: Where the original came from; None pickles the module.
        input_shape: Example input shape with batch.
    """
    if spec is None:
        _pickle(folder / MODULE, model)
        return
    write_weights(folder / WEIGHTS, model)
    text = json.dumps(_document(model, edits, spec, input_shape), indent=1)
    (folder / SHAPES).write_text(text + "\n", encoding="utf-8")


def unpack(folder: str | Path) -> nn.Module:
    """The module of a parcel, in eval mode, weights loaded."""
    folder = Path(folder)
    if (folder / MODULE).is_file():
        return torch.load(folder / MODULE, weights_only=False).eval()  # written by `pack` on this machine
    from ..surgery import runtime

    spec = recorded_source(read_shapes(str(folder)), folder)
    factory = source_of(spec.source).open(spec, NeverCancelled()).factory
    return runtime.load_pruned(factory, str(folder / SHAPES), str(folder / WEIGHTS)).eval()


def write_weights(path: Path, model: nn.Module) -> None:
    """Write all parameters and buffers as safetensors; tied ones under each of their names."""
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in model.state_dict().items() if isinstance(t, Tensor)}
    save_file(tensors, path)


def _document(model: nn.Module, edits: Edits, spec: ModelSpec, input_shape: tuple[int, ...]) -> dict[str, Any]:
    shapes = {name: list(t.shape) for name, t in model.state_dict().items() if isinstance(t, Tensor)}
    source = asdict(_portable(spec))
    return {"schema": 1, "source": source, "input_shape": list(input_shape), "edits": asdict(edits), "shapes": shapes}


def _portable(spec: ModelSpec) -> ModelSpec:
    """The source alone, found from any working folder; the weights stand beside it."""
    source = spec.source
    if PATTERN.fullmatch(source):
        file, name = parse(source)
        source = f"{file.absolute()}:{name}"
    elif Path(source).exists():
        source = str(Path(source).absolute())
    return replace(spec, source=source, weights="", trust_pickle=False, task=None)


def _pickle(path: Path, model: nn.Module) -> None:
    try:
        torch.save(model, path)
    except Exception as error:  # pickling runs the user's code
        raise ExportError(
            "export.not_picklable",
            "The model cannot be handed to another process ({error}). Open it by file and callable, not as an object.",
            error=str(error),
        ) from error
