"""The history as plain data: states with what leads back to them, what was measured of them, and what was asked for."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ..errors import Message
from ..export.protocol import Exported
from ..export.table import EXPORTERS
from ..machine.devices import CPU
from ..planning.protocol import Cost, Goal, Limit, QualityLimits
from ..recovery.protocol import RecoverySettings
from ..scoring.score_options import Choices
from ..sources.pretrained import PretrainedWeights
from ..sources.protocol import ModelSpec
from ..structures.analysis import Analysis, Kind
from ..surgery.cut.edits import Edits, Verification
from ..targets.protocol import TargetSpec, Timing
from ..targets.table import target_named
from ..tasks.protocol import Metric, Split, TaskInfo

EXPORT_MARK = ":"
"""Between the id of a state and a format, in the name of an export."""


def export_name(state: str, format: str) -> str:
    """What the last file of a format that was written of a state is called where it is measured."""
    return f"{state}{EXPORT_MARK}{format}"


def state_of(name: str) -> str:
    """The id of the state, where a name is that of an export; else the name."""
    return name.partition(EXPORT_MARK)[0]


IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""What a state or a baseline may be called: it becomes part of the names of files."""


class StateKind(StrEnum):
    """How a state came about."""

    ORIGINAL = "original"
    CUT = "cut"
    RECOVERED = "recovered"
    ATTACHED = "attached"
    MASKED = "masked"


@dataclass(frozen=True, slots=True)
class PlanIntent:
    """What a plan was made for, so that a recipe can make it again; the defaults mean: marked by hand.

    Attributes:
        criterion: Scores it was ranked by, "" for none.
        keep_macs: Share of the original's MACs to keep at most, 0 without such a goal; as recipes had it before `goal`.
        multiple: Kept widths are multiples of this; as before `goal`.
        locked: What must not be removed, by set key, original indices: locks, and what a hand has spared.
        kinds: Kinds of structures that might go, () for all; as before `goal`.
        seed: Of what is random in the scores.
        goal: What the plan was to reach.
        marked: What a hand has marked, by set key, original indices.
        choices: About the scores.
        lose: What of the metric may be lost, as `LossLimit.loss` counts; None where it was not said. Plans are equal
            whatever it is: a state that was made for a plan is taken up again under another loss.
        quality: What is limited besides the metric, of which the same holds.
        search: Plans that were measured at most to move shares between layers, 0 for as many as fit into the time of
            one recovery epoch; None for no search.
    """

    criterion: str = ""
    keep_macs: float = 0.0
    multiple: int = 1
    locked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    kinds: tuple[str, ...] = ()
    seed: int = 0
    goal: Goal | None = None
    marked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    choices: Choices = field(default_factory=Choices)
    lose: float | None = field(default=None, compare=False)
    quality: QualityLimits = field(default_factory=QualityLimits, compare=False)
    search: int | None = None

    @property
    def asked(self) -> Goal | None:
        """The goal, whichever version wrote it; None for marks by hand."""
        if self.goal is None and self.keep_macs:
            kinds = tuple(Kind(kind) for kind in self.kinds)
            return Goal((Limit(Cost.MACS, self.keep_macs),), multiple=self.multiple, kinds=kinds, steps=2)
        return self.goal


@dataclass(frozen=True, slots=True)
class MaskIntent:
    """What masks were learned for, so that a recipe can learn them again.

    Attributes:
        plan: How many structures of each set stay, and by which scores that was planned.
        recovery: How weights and masks are trained; of it epochs and repairs count for nothing.
        steps: Updates.
    """

    plan: PlanIntent
    recovery: RecoverySettings
    steps: int


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
        plan: What the cut's plan was made for, None for states that are no cut.
        exports: Files written from this state.
        repairs: What the cut changed besides the tensors since the original, in words.
        curve: The course of its recovery: {"step", "loss"} and {"step", "metric"}.
        device: Where it was recovered.
        stopped: Why its recovery ended before its time, None where it did not.
        repaired: How the original was tuned before it taught; which layers were repaired, which were not and why.
        stale: What `metrics` were measured on, or by, has changed since.
        masks: What its masks were learned for, None where none were.
        chosen: What they say should go, by set key, original indices; the cut that follows takes it.
        searched: What came of the search for its plan's shares, of cuts by `prune_state`; None for all others.
        rated: What a person should know of the scores that its plan is by.
        former: It was made on data that the task no longer has: it stays, but is no step of what is made now.
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
    plan: PlanIntent | None = None
    exports: tuple[Exported, ...] = ()
    repairs: tuple[Message, ...] = ()
    curve: tuple[dict[str, float], ...] = ()
    device: str = CPU
    stopped: Message | None = None
    repaired: tuple[Message, ...] = ()
    stale: bool = False
    former: bool = False
    masks: MaskIntent | None = None
    chosen: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    searched: Message | None = None
    rated: tuple[Message, ...] = ()

    @property
    def test_metric(self) -> Metric | None:
        """Its metric on the test split, None where that was not measured: only results are evaluated there."""
        return next((metric for metric in self.metrics if metric.split is Split.TEST), None)

    def export_in(self, format: str) -> Exported | None:
        """The last file of a format that was written of it."""
        return next((one for one in reversed(self.exports) if one.format == format), None)

    @property
    def lower_precision(self) -> tuple[Exported, ...]:
        """The last file of each format that computes in another precision than the model does."""
        found = (self.export_in(name) for name, one in EXPORTERS.items() if one.precision)
        return tuple(one for one in found if one is not None)

    def with_export_timing(self, format: str, timing: Timing) -> "State":
        """With a latency of the last file of a format; an earlier one at the same place is replaced."""
        last = self.export_in(format)
        if last is None:
            return self
        others = tuple(one for one in last.timings if one.target.place != timing.target.place)
        timed = replace(last, timings=(*others, timing))
        return replace(self, exports=tuple(timed if one is last else one for one in self.exports))

    def with_metric(self, metric: Metric) -> "State":
        """With a metric that was measured now: it replaces one of the same name and split, and all that are stale."""
        others = () if self.stale else self.metrics
        kept = tuple(one for one in others if not one.like(metric))
        return replace(self, metrics=(*kept, metric), stale=False)


def measurable_exports(state: State, target: TargetSpec) -> tuple[str, ...]:
    """Names of a state's exports in lower precision, where a target runs them: as they are, at their own size."""
    runs = target_named(target.runtime).takes == "onnx" and target.precision == "fp32" and not target.lengths
    return tuple(export_name(state.id, one.format) for one in state.lower_precision) if runs else ()


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """What opening a model gives to the window: all plain data.

    Attributes:
        name: For a person.
        analysis: What can be removed.
        state: The original.
        notes: Remarks in words.
        task: What the attached task shows, None without one.
        spec: As it was opened, with its task.
        absent: Why it can only be looked at, None where it can be worked on.
        devices: Where models can be trained and judged, the CPU first.
        folder: Of the session that it is open in.
        changed: What is not as it was when this was left or saved, in words.
        untrained: The original's weights are random.
        offered: Weights that the library of the model offers, None where there is none.
        has_history: It came with states and baselines of its own: from a project or a bundle.
    """

    name: str
    analysis: Analysis
    state: State
    notes: tuple[Message, ...]
    task: TaskInfo | None
    spec: ModelSpec | None = None
    absent: Message | None = None
    devices: tuple[str, ...] = (CPU,)
    folder: str = ""
    changed: tuple[Message, ...] = ()
    untrained: bool = False
    offered: PretrainedWeights | None = None
    has_history: bool = False


OVER_SSH = "over_ssh"
"""The option that holds an address of a machine to measure on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One run of a command.

    Attributes:
        command: Its name: "prune", "sweep" or "run".
        options: What decides about its result, by the names of the command's options; plain JSON.
        state: Id of the state that it started from.
        result: Id of the state that it ended with, "" while it has not ended.
        left: Somebody else, a person in the window say, has made further states since.
        files: Where it exports to, absolute; they were free, or might be replaced, when it was asked. The same request
            replaces them unasked when it goes on.
        elsewhere: Address of the machine that somebody else's request measured on; no option, it is only told.
    """

    command: str
    options: dict[str, Any]
    state: str
    result: str = ""
    left: bool = False
    files: tuple[str, ...] = field(default=(), compare=False)
    elsewhere: str = field(default="", compare=False)

    @property
    def reach(self) -> list[str]:
        """What it leads to outside of its project: a machine, files that it may replace."""
        return [str(address) for address in (self.options.get(OVER_SSH),) if address] + list(self.files)

    @property
    def confined(self) -> "Request":
        """The same of a stranger: it leads to no machine, and replaces nothing."""
        options = {name: value for name, value in self.options.items() if name != OVER_SSH}
        return replace(self, options=options, files=(), elsewhere=str(self.options.get(OVER_SSH) or self.elsewhere))
