"""Measuring on another machine: writes the folder to copy there, and reads the results.

A folder with `bench.py`, ONNX files, inputs and what these were made for is all that the other machine gets. Each file
is named by its state and the content of its weights, so that the results find their states again.
"""

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

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
SUFFIX = "ExecutionProvider"
"""How onnxruntime ends the name of what computes."""
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


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
        """What computed, as a device is called."""
        return provider_device(self.provider, [f"{name}={value}" for name, value in self.options.items()])


class BenchedModel(msgspec.Struct, frozen=True):
    """What was measured of a file.

    Attributes:
        file: Its name.
        median: Milliseconds a batch, as `low` and `high`, its 10th and 90th percentiles.
        runs: How many there were.
        own: Milliseconds of the processor, 0 where that is not known.
        blocks: Name, kind, shapes and seconds of its fused blocks on the CPU there, where they were asked for.
    """

    file: str
    median: float
    low: float
    high: float
    runs: int
    own: float = 0.0
    blocks: tuple[tuple[str, str, tuple[tuple[Size, ...], ...], float], ...] = ()


class BenchResults(msgspec.Struct, frozen=True):
    """What `bench.py` writes."""

    schema: int
    machine: MachineFacts
    target: BenchSettings
    models: tuple[BenchedModel, ...]


def provider_device(provider: str, options: Sequence[str] = ()) -> str:
    """A provider ("" for the CPU's) and its options as a device is called: "Tensorrt trt_fp16_enable=True"."""
    return CPU if provider in ("", bench.CPU) else " ".join([provider.removesuffix(SUFFIX), *options])


def provider_arguments(device: str) -> tuple[str, ...]:
    """What `bench.py` is told for a device that `provider_device` has named."""
    if device == CPU:
        return ()
    name, *options = re.split(r" (?=[^ =]+=)", device)
    return ("--provider", name + SUFFIX, *(word for one in options for word in ("--option", one)))


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
    results = read_results(path)
    asked, there = results.target, results.machine
    target = TargetSpec(
        runtime=asked.runtime,
        threads=asked.threads,
        batch=asked.batch,
        precision=asked.precision,
        size=asked.size,
        machine=there.name,
        device=asked.device,
    )
    words = machine_words(there)
    return {Path(m.file).stem: timing_of_bench(m, target, words) for m in results.models}


def machine_words(there: MachineFacts) -> str:
    """Processor, cores and runtime version of another machine in words."""
    return f"{there.processor}, {there.cores} cores, onnxruntime {there.onnxruntime}"


def timing_of_bench(one: BenchedModel, target: TargetSpec, machine: str) -> Timing:
    """What was measured of a file as a latency on a target."""
    return Timing(target, one.median, one.low, one.high, one.runs, machine, own=one.own)


def read_results(path: Path) -> BenchResults:
    """What `bench.py` wrote; raises OpenError where it did not."""
    try:
        results = from_json(read_whole(path), BenchResults)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        template = "{path} cannot be read, or bench.py did not write it. Choose another file."
        raise OpenError("target.results", template, details=str(error), path=str(path)) from error
    if not results.machine.name or not all(map(_is_possible, results.models)):
        template = "{path} names no machine or holds invalid times. Measure again."
        raise OpenError("target.no_times", template, path=str(path))
    if results.schema != bench.SCHEMA:
        template = "{path} was written by another version of bench.py ({given}, not {known}). Measure again."
        raise OpenError("target.schema", template, path=str(path), given=results.schema, known=bench.SCHEMA)
    return results


def _is_possible(one: BenchedModel) -> bool:
    """Whether times are times."""
    times = (one.low, one.high, one.own, *(seconds for *_, seconds in one.blocks))
    return 0 < one.median < math.inf and all(0 <= time < math.inf for time in times)
