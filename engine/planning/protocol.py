"""Goals, limits and plans, as plain data that recipes hold. Loads neither torch nor the solver."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, SecateurError
from ..options import Option
from ..structures.analysis import Analysis, Kind, Mask
from ..targets.latency_table import LatencyTable
from ..targets.protocol import TargetSpec
from ..tasks.protocol import Metric
from ..text.notation import (
    SHARE,
    SHARE_OR_BYTES,
    SHARE_OR_COUNT,
    SHARE_OR_LATENCY,
    Notation,
    read_count,
    read_share_or_count,
)

GOAL, PLAN, SCORES = "goal", "plan", "scores"
"""Headings of `--help`."""
DEFAULT_KINDS = frozenset(
    {Kind.FILTER, Kind.NEURON, Kind.HEAD, Kind.KV_GROUP, Kind.CHANNEL, Kind.GROUP, Kind.UNIT, Kind.WIDTH}
)
"""Blocks and experts only when asked; head dimensions not beside heads, because both lie on the same weights."""
KINDS_WITH_BLOCKS = tuple(kind for kind in Kind if kind in DEFAULT_KINDS or kind is Kind.BLOCK)
"""The same with whole blocks; in an order that stays, as recipes compare them."""


class Cost(StrEnum):
    """What a goal may limit: exact for any plan, but for the latency, which a table predicts (`latency/`)."""

    PARAMETERS = "parameters"
    MACS = "macs"
    SIZE = "size"
    PEAK = "peak"
    LATENCY = "latency"


class Ranking(StrEnum):
    """What competes by its scores.

    AUTO: As the criterion's scores compare (`scoring.criteria.ranked`); where nobody has said by which, SHAPES.
    COST: All with each other, least score for most cost first: for scores that say what the outputs lose.
    SHAPES: Sets whose structures have equal shapes (isomorphic, Fang et al. 2024); each class loses the same share.
    SET: Each coupled set by itself; all lose the same share.
    MODEL: All but blocks with each other; only meaningful where scores of different shapes compare.
    """

    AUTO = "auto"
    COST = "cost"
    SHAPES = "shapes"
    SET = "set"
    MODEL = "model"


class Choose(StrEnum):
    """How it is chosen which structures stay.

    SCORES: By scores, once, or in as many rounds as are asked for.
    ROUNDS: By scores in rounds, with a recovery after each; without a number of rounds each takes at most a tenth.
    MASKS: As many as the plan by scores keeps of each set; which ones is learned with the weights (`masks/`).
    """

    SCORES = "scores"
    ROUNDS = "rounds"
    MASKS = "masks"


STEPS = 4
"""Widths that a coupled set can choose from, where it is so narrow that the multiple leaves it one."""
MASK_STEPS = 400
"""Training steps in which masks are learned, where nobody said how many."""
MULTIPLE = 16
"""The multiple of a goal where nobody has asked for one."""

BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Bytes of an element in a file of each type."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A cost to stay at or under.

    Attributes:
        cost: Which.
        share: Of the original's, above 0 and up to 1; 0 where an amount is given.
        amount: Parameters, multiply-accumulates of one sample, bytes, or nanoseconds of a batch.
    """

    cost: Cost
    share: float = 0.0
    amount: int = 0


def limit_of(cost: Cost, value: float | int) -> Limit:
    """The limit that a number means: a share of the original's cost as a float, an amount as an integer."""
    return Limit(cost, amount=value) if isinstance(value, int) else Limit(cost, value)


@dataclass(frozen=True, slots=True)
class KindLimit:
    """How many structures of a kind stay: at most in the whole model (`Goal.kept`), or in each layer (`Goal.shape`).

    Attributes:
        kind: Which.
        share: Of the original's structures of this kind, above 0 and up to 1; 0 where a count is given.
        count: So many structures.
    """

    kind: Kind
    share: float = 0.0
    count: int = 0


def kind_limit_of(pair: tuple[Kind, float | int]) -> KindLimit:
    """The count that a kind with a number means: a share as a float, structures as an integer."""
    kind, value = pair
    return KindLimit(kind, count=value) if isinstance(value, int) else KindLimit(kind, value)


SHORT_NAMES: dict[str, Kind] = {
    "kv": Kind.KV_GROUP,
    "kv group": Kind.KV_GROUP,
    "kv head": Kind.KV_GROUP,
    "width": Kind.WIDTH,
    "layer": Kind.BLOCK,
    "ffn": Kind.NEURON,
    "head dim": Kind.HEAD_DIM,
}
"""What people also call kinds of structures."""


def plural(kind: Kind) -> str:
    """What several structures of a kind are called: "heads"."""
    return "residual channels" if kind is Kind.WIDTH else f"{kind}s"


def read_kind(text: str, example: str = "heads") -> Kind:
    """The kind that a text names: "head", "heads", "key/value-groups", "kv-groups"; raises SecateurError.

    Its sentence gives the `example`.
    """
    plain = text.strip().lower().replace("-", " ").replace("_", " ")
    names = SHORT_NAMES | {str(kind): kind for kind in Kind}
    names |= {f"{name}s": kind for name, kind in names.items()} | {plural(kind): kind for kind in Kind}
    if plain not in names:
        template = "{text!r} does not name a kind of structure. Write one of {known}, like {example}."
        raise SecateurError("plan.kind", template, text=text, known=", ".join(map(str, Kind)), example=example)
    return names[plain]


def read_kind_multiple(text: str) -> tuple[str, int]:
    """head=2 as the kind and the number."""
    kind, _, number = text.rpartition("=")
    return str(read_kind(kind or text, "head=2")), read_count(number)


PRESETS: Mapping[str, tuple[KindLimit, ...]] = {
    f"sheared-llama-{name}": (
        KindLimit(Kind.BLOCK, count=layers),
        KindLimit(Kind.WIDTH, count=width),
        KindLimit(Kind.HEAD, count=heads),
        KindLimit(Kind.NEURON, count=neurons),
    )
    for name, layers, width, heads, neurons in (
        ("2.7b", 32, 2560, 20, 6912),
        ("1.3b", 24, 2048, 16, 5504),
        ("370m", 24, 1024, 8, 2816),
    )
}
"""Published target shapes by name: those that Xia et al. (2023) cut Llama-2-7B to."""


def read_kind_limit(text: str) -> tuple[Kind, float | int]:
    """heads=70% or blocks=10 as the kind and the share or number."""
    if text.strip() in PRESETS:
        template = "{name} names a published shape, not a kind of structure. Choose it as a preset."
        raise SecateurError("plan.kind_preset", template, name=text.strip())
    kind, _, number = text.rpartition("=")
    return read_kind(kind or text, "heads=70%"), read_share_or_count(number)


def write_kind_limit(pair: tuple[Kind, float | int]) -> str:
    """A kind with a share or number as heads=70%."""
    return f"{plural(pair[0]).replace(' ', '-')}={SHARE_OR_COUNT.write(pair[1])}"


def count_of_minimum(value: float | int) -> int:
    """The number that a minimum means; 1 where it is a share."""
    return value if isinstance(value, int) else 1


def share_of_minimum(value: float | int) -> float:
    """The share that a minimum means; 0 where it is a number."""
    return 0.0 if isinstance(value, int) else value


KIND_LIMIT = Notation(read_kind_limit, write_kind_limit, "heads=70%")
KIND_SIZE = replace(KIND_LIMIT, example="heads=16")
KIND_MULTIPLE = Notation(read_kind_multiple, lambda pair: "=".join(map(str, pair)), "KIND=N")
MINIMUM = Option(
    title="Minimum per layer",
    help="share or number that every layer keeps that stays",
    notation=SHARE_OR_COUNT,
    convert=count_of_minimum,
    group=PLAN,
    flag="--min-keep",
)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a plan.

    Attributes:
        limits: Costs to stay at or under, all of them.
        scope: Modules to choose in: paths (with everything below them) or patterns (`*.conv1`), () for everywhere.
            A coupled set belongs to the module that it is shown under.
        least: Structures that every coupled set keeps, unless it goes with its whole block.
        least_share: The same as a share of the original's structures.
        multiple: Kept widths are multiples of this (see `isomorphic_classes.step` for heads and small layers).
        multiples: The multiple of single kinds, where it is another one.
        kinds: Kinds of structures to choose from, () for `DEFAULT_KINDS`. With blocks among others, whole blocks
            compete with them (`block_pruning.py`).
        dtype: Type of the weights in the file whose size is limited, a key of `BYTES`.
        ranking: What competes by its scores.
        target: Where the latency is limited, None for the default target; its multiple is that of the goal.
        kept: How many structures of single kinds stay in the whole model; the other limits are met with other kinds.
        shape: How many structures of single kinds each layer keeps, exactly (`target_shape.py`); of blocks how many the
            model keeps. The other limits are met with other kinds.
        finer: Nobody has asked for the multiple: where it leaves less than nine tenths of what the limits allow, it is
            halved as often as it takes.
        steps: Widths that a narrow coupled set can choose from at least: where the multiple leaves it no two, it is
            halved until there are as many.
    """

    limits: Annotated[
        tuple[Limit, ...],
        Option(
            title="MACs",
            help="share of the multiply-accumulates to keep at most",
            notation=SHARE,
            convert=partial(limit_of, Cost.MACS),
            automatic="50%, unless another cost is limited",
            flag="--keep-macs",
        ),
        Option(
            title="Parameters",
            help="share of the parameters to keep at most",
            notation=SHARE,
            convert=partial(limit_of, Cost.PARAMETERS),
            flag="--keep-params",
            metavar="40%",
        ),
        Option(
            title="File size",
            help="size of the weights in the file at most, or a share",
            notation=SHARE_OR_BYTES,
            convert=partial(limit_of, Cost.SIZE),
            flag="--max-size",
        ),
        Option(
            title="Peak memory",
            help="peak of one sample's activations at most, or a share",
            notation=SHARE_OR_BYTES,
            convert=partial(limit_of, Cost.PEAK),
            flag="--max-memory",
            metavar="20MB",
        ),
        Option(
            title="Latency",
            help="of a batch on the target at most, or a share",
            notation=SHARE_OR_LATENCY,
            convert=partial(limit_of, Cost.LATENCY),
            flag="--max-latency",
        ),
    ]
    scope: Annotated[
        tuple[str, ...],
        Option(
            title="Scope",
            help="remove here alone: a module with all below it, or a pattern (*.conv1)",
            repeated=True,
            group=PLAN,
            metavar="MODULE",
        ),
    ] = ()
    least: Annotated[int, MINIMUM] = 1
    least_share: Annotated[float, replace(MINIMUM, convert=share_of_minimum)] = 0.0
    multiple: Annotated[
        int,
        Option(
            title="Widths in multiples of",
            help="kept widths are multiples of this",
            minimum=1,
            dialog_maximum=256,
            automatic="16, or less where that keeps less than nine tenths of what the limits allow; where latency is "
            "limited, what saves time there",
            group=PLAN,
        ),
    ] = 1
    multiples: Annotated[
        dict[str, int],
        Option(
            title="Multiples of single kinds",
            help="another multiple for one kind (head=2)",
            notation=KIND_MULTIPLE,
            repeated=True,
            group=PLAN,
            flag="--multiple-of",
        ),
    ] = field(default_factory=dict[str, int])
    kinds: Annotated[
        tuple[Kind, ...],
        Option(
            title="Whole blocks",
            help="whole blocks may go too, where they are worth less than filters",
            switch=True,
            convert=lambda blocks: KINDS_WITH_BLOCKS if blocks else (),
            group=PLAN,
            flag="--depth",
        ),
    ] = ()
    dtype: Annotated[
        str,
        Option(
            title="Type of the weights in the file",
            help="type of the weights whose size counts",
            choices=tuple(BYTES),
            group=PLAN,
            flag="--size-as",
        ),
    ] = "float32"
    ranking: Annotated[
        Ranking,
        Option(
            title="Ranked among",
            help=(
                "what competes: all by the cost that they save, sets of equal shapes, each set by itself, the whole "
                "model; auto: as the criterion's scores compare"
            ),
            titles={
                Ranking.AUTO: "as the criterion compares",
                Ranking.COST: "the whole model, by cost saved",
                Ranking.SHAPES: "layers of equal shape",
                Ranking.SET: "each layer by itself",
                Ranking.MODEL: "the whole model",
            },
            group=SCORES,
        ),
    ] = Ranking.AUTO
    target: TargetSpec | None = None
    finer: bool = False
    steps: int = STEPS
    shape: Annotated[
        tuple[KindLimit, ...],
        Option(
            title="Target shape",
            help=(
                "number, or share, of the structures of a kind that each layer keeps: layers=24 width=2048 heads=16 "
                "ffn=5504"
            ),
            notation=KIND_SIZE,
            convert=kind_limit_of,
            repeated=True,
            several=True,
            group=GOAL,
            flag="--shape",
        ),
        Option(
            title="Published shape",
            help="a target shape by its name",
            choices=tuple(PRESETS),
            convert=PRESETS.__getitem__,
            gives_several=True,
            group=GOAL,
            flag="--preset",
        ),
    ] = ()
    kept: Annotated[
        tuple[KindLimit, ...],
        Option(
            title="Keep by kind",
            help="share or number of the structures of a kind to keep in the whole model: heads=70% blocks=10",
            notation=KIND_LIMIT,
            convert=kind_limit_of,
            repeated=True,
            several=True,
            group=GOAL,
            flag="--keep",
        ),
    ] = ()

    @property
    def settled(self) -> frozenset[Kind]:
        """Kinds of which the goal says how many stay; a number of heads may be one of groups."""
        grouped = {Kind.KV_GROUP} if any(limit.kind is Kind.HEAD for limit in self.shape) else set[Kind]()
        return frozenset(grouped.union(limit.kind for limit in (*self.kept, *self.shape)))

    @property
    def timed(self) -> bool:
        """Whether the latency is limited: planning needs a table then."""
        return any(limit.cost is Cost.LATENCY for limit in self.limits)


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a result has to keep besides the metric as a whole; None for no limit.

    A mean hides who pays for a cut: these limits are judged, and hold in a search, together with the allowed loss.

    Attributes:
        class_loss: What of its accuracy, or IoU, each class may lose, as a fraction.
        calibration_error: What the expected calibration error may be, as a fraction.
    """

    class_loss: Annotated[
        float | None,
        Option(
            title="No class loses more than",
            help="points of accuracy, or IoU, that no class may lose more than",
            notation=SHARE,
            group=GOAL,
            flag="--max-class-loss",
            metavar="2%",
        ),
    ] = None
    calibration_error: Annotated[
        float | None,
        Option(
            title="Calibration error at most",
            help="what the expected calibration error may be at most",
            notation=SHARE,
            group=GOAL,
            flag="--max-calibration-error",
            metavar="3%",
        ),
    ] = None

    @property
    def given(self) -> bool:
        """Whether anything is limited."""
        return self != QualityLimits()

    def are_known(self, metric: Metric) -> bool:
        """Whether a metric says all that is limited."""
        return (self.class_loss is None or metric.class_loss is not None) and (
            self.calibration_error is None or metric.calibration_error is not None
        )


@dataclass(frozen=True, slots=True)
class Reached:
    """What a plan makes of one limit: asked and got in the unit of the cost, beside what the original costs.

    Of a kind that the goal counts, they are structures: of the whole model, or of a layer where a shape has a number.
    """

    cost: Cost | Kind
    original: int
    asked: int
    got: int

    @property
    def share(self) -> float:
        """Got, as a share of the original."""
        return self.got / max(self.original, 1)


@dataclass(frozen=True, slots=True)
class PlanStart:
    """Where a plan starts, and what it may choose by.

    Attributes:
        analysis: Of the original model.
        scores: [S] higher is more important, NaN where unknown (never marked).
        removed: [S] what the present state no longer has, and what a hand has marked; stays removed.
        locked: [S] what must not be marked: locks, and what a hand has spared.
        latencies: Of the target; None where no latency is limited.
    """

    analysis: Analysis
    scores: NDArray[np.float64]
    removed: Mask
    locked: Mask
    latencies: LatencyTable | None = None

    @classmethod
    def of(
        cls,
        analysis: Analysis,
        scores: NDArray[np.float64],
        removed: Mask | None = None,
        locked: Mask | None = None,
        latencies: LatencyTable | None = None,
    ) -> "PlanStart":
        """These masks; those that are left out are empty."""
        none = analysis.empty()
        return cls(
            analysis, scores, none if removed is None else removed, none if locked is None else locked, latencies
        )

    def without(self, removed: Mask) -> "PlanStart":
        """The same where this [S] is gone."""
        return replace(self, removed=removed)

    @property
    def rated(self) -> "PlanStart":
        """The same as if everything had a score."""
        return replace(self, scores=np.nan_to_num(self.scores))

    @property
    def unrated(self) -> int:
        """How many structures that are still there have no score, and can therefore not go."""
        return int((np.isnan(self.scores) & ~self.removed).sum())


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan for a goal, with what it was made from: all that a cut, or a search of its shares, has to know.

    Attributes:
        start: Where it starts, and what it was chosen by.
        goal: What it was made for.
        removed: [S] what was gone before, and the marks on top of it.
        reached: For each limit of the goal, asked and got; of the latency what is predicted.
        note: What another multiple would reach, where that of the goal leaves much less than the limits allow.
    """

    start: PlanStart
    goal: Goal
    removed: Mask
    reached: tuple[Reached, ...]
    note: Message | None = None
