"""Measuring on another machine: writes the folder to copy there, and reads the results.

A folder with `bench.py`, ONNX files, inputs and what these were made for is all that the other machine gets. Each file
is named by its state and the content of its weights, so that the results find their states again.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from ..devices import CPU
from ..errors import OpenError, SecateurError
from ..model_inputs import Inputs, at_batch, at_size, call
from ..storage.file_limits import read_whole
from ..storage.serialization import from_json
from . import bench
from .onnxruntime_target import feed_by
from .protocol import TargetSpec, Timing

RESULTS = "results.json"


class MachineFacts(msgspec.Struct, frozen=True):
    """The facts of a machine."""

    name: str
    processor: str
    cores: int
    onnxruntime: str


class BenchSettings(msgspec.Struct, frozen=True):
    """What was asked of the bench."""

    runtime: str
    threads: int
    batch: int
    size: tuple[int, ...] = ()
    provider: str = bench.CPU
    options: dict[str, str] = {}
    precision: str = bench.PRECISION

    @property
    def device(self) -> str:
        """What computed, as a device is called: "Tensorrt trt_fp16_enable=True"."""
        if self.provider == bench.CPU:
            return CPU
        given = (f"{name}={value}" for name, value in self.options.items())
        return " ".join([self.provider.removesuffix("ExecutionProvider"), *given])


class BenchedModel(msgspec.Struct, frozen=True):
    """What was measured of a file, in milliseconds."""

    file: str
    median: float
    low: float
    high: float
    runs: int


class BenchResults(msgspec.Struct, frozen=True):
    """What `bench.py` writes."""

    schema: int
    machine: MachineFacts
    target: BenchSettings
    models: tuple[BenchedModel, ...]


def write_bench(folder: Path, files: Mapping[str, Path], inputs: Inputs, target: TargetSpec) -> tuple[str, str]:
    """Write what another machine needs; returns the folder and the command to run there.

    Args:
        folder: Made, or written into; of the models in it those written now are measured.
        files: ONNX files by the names that they get.
        inputs: Example inputs of the models.
        target: Threads, batch and sizes to measure at.
    """
    import onnx

    check_bench(target)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bench.__file__, folder / "bench.py")
    for name, file in files.items():
        shutil.copyfile(file, folder / f"{name}.onnx")
    names = [one.name for one in onnx.load(str(next(iter(files.values()))), load_external_data=False).graph.input]
    feed = call(feed_by(names), at_batch(at_size(inputs, target.size), target.batch))
    np.savez(folder / bench.INPUTS, **feed)  # pyright: ignore[reportArgumentType] - numpy reads its own flags into **
    asked = {name: getattr(target, name) for name in ("threads", "batch", "size")}
    asked |= {"files": [f"{name}.onnx" for name in files]}
    (folder / bench.ASKED).write_bytes(msgspec.json.encode(asked))
    return str(folder), f"python bench.py --out {RESULTS}"


def not_a_bench(folder: Path) -> list[Path]:
    """A folder with files of another kind, among which a bench would replace some; nothing for a new or empty one."""
    there = folder.is_dir() and any(folder.iterdir()) and not (folder / bench.ASKED).is_file()
    return [folder] if there else []


def check_bench(target: TargetSpec) -> None:
    """Raise SecateurError for what `bench.py` cannot measure: it feeds arrays to files, and both stay as they are."""
    if target.tokens:
        template = "A prompt and its next token can be measured on this machine only. Give the size {tokens} instead."
        raise SecateurError("target.bench_tokens", template, tokens=target.tokens)
    if target.precision != bench.PRECISION:
        template = "bench.py measures only in {known}, not in {given}. Choose {known} for the target."
        raise SecateurError("target.bench_precision", template, known=bench.PRECISION, given=target.precision)


def read_bench(path: Path) -> dict[str, Timing]:
    """Timings by the names of the files; raises OpenError where they are no results of `bench.py`."""
    try:
        results = from_json(read_whole(path), BenchResults)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        template = "{path} cannot be read, or bench.py did not write it. Choose another file."
        raise OpenError("target.results", template, details=str(error), path=str(path)) from error
    if not results.machine.name or any(not model.median > 0 for model in results.models):
        template = "{path} names no machine or holds invalid times. Measure again."
        raise OpenError("target.no_times", template, path=str(path))
    if results.schema != bench.SCHEMA:
        template = "{path} was written by another version of bench.py ({given}, not {known}). Measure again."
        raise OpenError("target.schema", template, path=str(path), given=results.schema, known=bench.SCHEMA)
    asked, there = results.target, results.machine
    words = f"{there.processor}, {there.cores} cores, onnxruntime {there.onnxruntime}"
    target = TargetSpec(
        runtime=asked.runtime,
        threads=asked.threads,
        batch=asked.batch,
        precision=asked.precision,
        size=asked.size,
        machine=there.name,
        device=asked.device,
    )
    return {Path(m.file).stem: Timing(target, m.median, m.low, m.high, m.runs, words) for m in results.models}
