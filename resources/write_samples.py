"""Writes what `resources/data` holds: the images that ship, the weights, and samples.json that says what they are.

Every file appears whole or not at all. The images are a part of the official ones: 10,000 of the 55,000 that the
networks were trained on (train), 2,000 of the 5,000 validation images (val), 2,000 of the test images (test).
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from . import fashion_mnist

DATA = Path(__file__).parent / "data"
ARRAYS = "fashion_mnist.npz"
SUMMARY = "samples.json"
TRAIN_ROWS = np.arange(10_000)
VAL_ROWS = np.arange(2_000)
TEST_ROWS = np.sort(np.random.default_rng(fashion_mnist.SPLIT_SEED).permutation(10_000)[:2_000])


def write_arrays(folder: Path) -> None:
    """Write the images that ship; the same bytes every time."""
    fit, validation = fashion_mnist.read_train(folder)
    parts = {
        "train": fit.take(TRAIN_ROWS),
        "val": validation.take(VAL_ROWS),
        "test": fashion_mnist.read_test(folder).take(TEST_ROWS),
    }
    arrays: dict[str, NDArray[Any]] = {"classes": np.array(fashion_mnist.CLASSES)}
    for split, images in parts.items():
        arrays[f"x_{split}"], arrays[f"y_{split}"] = images.x, images.y.astype(np.uint8)
    write(ARRAYS, _npz(arrays))
    source = {"source": "Fashion-MNIST, Zalando SE, MIT", "split_seed": fashion_mnist.SPLIT_SEED}
    write_entry("images", source | {name: len(images.y) for name, images in parts.items()})


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz with the strongest deflate and no dates; `np.savez_compressed` would be a tenth larger."""
    whole = io.BytesIO()
    with ZipFile(whole, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            one = io.BytesIO()
            np.save(one, array, allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), one.getvalue(), ZIP_DEFLATED, 9)
    return whole.getvalue()


def write_weights(name: str, state_dict: Mapping[str, Any]) -> None:
    """Write a network's parameters and buffers."""
    from safetensors.torch import save

    write(f"{name}.safetensors", save(dict(state_dict)))


def write_entry(name: str, entry: Mapping[str, Any]) -> None:
    """Put `entry` under `name` in samples.json, beside what stands there, with the sums of all files."""
    path = DATA / SUMMARY
    summary = json.loads(path.read_text()) if path.exists() else {}
    summary[name] = dict(entry)
    files = sorted((*DATA.glob("*.safetensors"), *DATA.glob("*.npz")))
    summary["sha256"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    write(SUMMARY, (json.dumps(summary, indent=2, sort_keys=True) + "\n").encode())


def write(name: str, content: bytes) -> None:
    """Write a file of `data` so that no half of it can ever be seen."""
    DATA.mkdir(exist_ok=True)
    partial = DATA / f".{name}.{os.getpid()}"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, DATA / name)
    finally:
        partial.unlink(missing_ok=True)
