"""Where a model will run, as plain data, and what a measurement of it says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..inputs import Inputs


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target.

    Attributes:
        runtime: "onnxruntime" or "torch".
        threads: Intra-op threads.
        batch: Batch size.
        multiple: Kept widths are multiples of this: what the runtime likes (16 for onnxruntime on a CPU).
        seconds: About how long one model is measured.
    """

    runtime: str = "onnxruntime"
    threads: int = 1
    batch: int = 1
    multiple: int = 16
    seconds: float = 1.5


@dataclass(frozen=True, slots=True)
class Timing:
    """A measured latency, from a process of its own.

    Attributes:
        target: What it was measured on.
        median: Milliseconds a batch, median.
        low: 10th percentile in milliseconds.
        high: 90th percentile in milliseconds.
        runs: How many runs.
        machine: Processor, cores and runtime version in words.
    """

    target: TargetSpec
    median: float
    low: float
    high: float
    runs: int
    machine: str


Run: TypeAlias = Callable[[], object]
"""Runs one batch and waits until it is done; nothing else happens in it, because it is timed."""


class Loaded(Protocol):
    """A loaded model."""

    def __call__(self, inputs: Inputs) -> Run:
        """Take arrays [N, ...], positional or by name as the model takes them, in the runtime's own form."""
        ...


class Target(Protocol):
    """A runtime. One file each, and a line in `table.TARGETS`; the runtime is imported only when a model is loaded.

    Attributes:
        title: For a person ("ONNX Runtime").
        takes: What it runs: "onnx" (a file) or "parcel" (a folder that `export.parcel` packed).
    """

    title: str
    takes: str

    def version(self) -> str:
        """The runtime with its version."""
        ...

    def load(self, path: str, threads: int) -> Loaded:
        """Load a model onto `threads` intra-op threads and one inter-op thread."""
        ...
