"""What a report says, as data and words; the template only lays it out."""

from dataclasses import dataclass

from ..session.state_text import StepTold
from .plots import Plot


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the original beside that of the result, and how it is known."""

    title: str
    before: str
    after: str
    change: str
    known: str
    note: str = ""
    good: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A state, or a baseline, in a table."""

    id: str
    name: str
    parameters: str
    macs: str
    share: str
    metric: str
    count: str
    latency: str
    note: str = ""
    present: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """A coupled set with what it has and keeps; `share` is kept of had."""

    name: str
    kind: str
    before: int
    after: int
    share: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A comparison of a verification."""

    cut: str
    name: str
    difference: str
    effect: str
    tolerance: str
    dtype: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The course of a recovery."""

    title: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """A latency."""

    name: str
    median: str
    spread: str
    runs: str
    where: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says.

    Attributes:
        title: The model.
        written: When the report was.
        summary: What came out, a sentence each.
        goal: The verdict on the goal, "" where there was none.
        goal_met: Whether it was met, None where that is open.
        figures: Original beside result.
        states: All states.
        baselines: Beside the result.
        verdict: Was it worth it, a sentence each.
        steps: The way to the result.
        layers: Widths before and after; () where the recipe does not say them.
        left_out: Layers that are not listed.
        tradeoffs: Metric against MACs, and against latency where it was measured.
        curves: Of the recoveries on the way.
        checks: Of the verifications on the way.
        skipped: Comparisons that could not be made, and repairs, in words.
        latencies: All that were measured.
        environment: (what, words).
        recipe: As JSON.
        script: As Python.
    """

    title: str
    written: str
    summary: tuple[str, ...]
    goal: str
    goal_met: bool | None
    figures: tuple[Figure, ...]
    states: tuple[Row, ...]
    baselines: tuple[Row, ...]
    verdict: tuple[str, ...]
    steps: tuple[StepTold, ...]
    layers: tuple[Layer, ...]
    left_out: int
    tradeoffs: tuple[Plot, ...]
    curves: tuple[Curve, ...]
    checks: tuple[Checked, ...]
    skipped: tuple[str, ...]
    latencies: tuple[Timed, ...]
    environment: tuple[tuple[str, str], ...]
    recipe: str
    script: str
