"""Where the bundled files are: works from a clone and from a wheel alike, and imports no torch."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

NETS = ("resnet", "vit")
PACKAGE = __name__.rpartition(".")[0]


def path(name: str) -> Path:
    """A file of the data folder: `resnet.safetensors`, `vit.safetensors`, `fashion_mnist.npz`, `samples.json`."""
    return Path(str(files(PACKAGE) / "data" / name))


def weights(net: str) -> Path:
    """The weights of one of `NETS`."""
    if net not in NETS:
        raise ValueError(f"There is no bundled network {net!r}, only {' and '.join(NETS)}.")
    return path(f"{net}.safetensors")


def model_source() -> str:
    """The file that defines the networks; `FILE:resnet` and `FILE:vit` open them like anyone's own."""
    return str(files(PACKAGE) / "models.py")


def arrays() -> Path:
    """The images that ship, an .npz with `x_` and `y_` of each split and the names of the classes."""
    return path("fashion_mnist.npz")


def summary() -> dict[str, Any]:
    """What was measured when the networks were trained: accuracies with n, settings, sums of the files."""
    return json.loads(path("samples.json").read_text(encoding="utf-8"))
