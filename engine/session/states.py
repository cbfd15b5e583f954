"""The history as plain data: states, each with what is needed to come back to it, and what was measured of it."""

from dataclasses import dataclass
from enum import StrEnum

from ..recovery.protocol import RecoverySettings
from ..structures.analysis import Analysis
from ..surgery.protocol import Edits, Verification
from ..targets.protocol import Timing
from ..tasks.protocol import Metric, TaskInfo


class StateKind(StrEnum):
    """How a state came about."""

    ORIGINAL = "original"
    CUT = "cut"
    RECOVERED = "recovered"
    ATTACHED = "attached"


@dataclass(frozen=True, slots=True)
class State:
    """A point in the history whose weights lie on disk.

    Attributes:
        id: Name in this session ("s0" is the original).
        parent: Id of the state before, "" for the original.
        kind: How it came about.
        removed: All removed structures by set key, original indices (cumulative).
        edits: All repairs (cumulative).
        weights: sha256 of the safetensors file in the store.
        parameters: Exact.
        macs: Exact, one sample.
        verification: Of the cut, None for the original.
        recovery: Settings it was recovered with.
        metrics: Measured metrics.
        timings: Measured latencies.
    """

    id: str
    parent: str
    kind: StateKind
    removed: dict[str, list[int]]
    edits: Edits
    weights: str
    parameters: int
    macs: int
    verification: Verification | None = None
    recovery: RecoverySettings | None = None
    metrics: tuple[Metric, ...] = ()
    timings: tuple[Timing, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """What opening a model gives to the window: all plain data.

    Attributes:
        name: For a person.
        analysis: What can be removed.
        state: The original.
        notes: Remarks in words.
        task: What the attached task shows, None without one.
    """

    name: str
    analysis: Analysis
    state: State
    notes: tuple[str, ...]
    task: TaskInfo | None


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, loaded again in a fresh process and compared.

    Attributes:
        format: "onnx" or "pytorch".
        files: What was written.
        difference: max|a - b| / max|a| of file against PyTorch model on real inputs.
        metric: The metric measured on the file itself, None without a task.
        bytes: Size of the files.
    """

    format: str
    files: tuple[str, ...]
    difference: float
    metric: Metric | None
    bytes: int
