"""Plain data of tasks: specification, splits, samples and metrics, and the protocol of tasks (no torch)."""

import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, Job
from ..options import DataKind, Option
from ..storage.paths import Change
from ..text.format import thousands
from ..text.notation import COUNT, NUMBERS, SIDES

EMPTY: Final[Any] = ()
"""Stands for a batch of which nothing is this process's."""


@dataclass(frozen=True, slots=True)
class Portion:
    """A process's part of the batches.

    Attributes:
        rank: Of the process, from 0.
        size: Processes in all.
        turns: Batches of an update, which are dealt out whole; 0: the rows of every batch are.
        least: Rows of a batch that no process has fewer of: BatchNorm needs two. A batch of fewer is that of rank 0.
    """

    rank: int
    size: int
    turns: int = 0
    least: int = 1

    def of(self, rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        """Those rows of the batch with this number in its pass, from 0, that are the process's."""
        parts = 1 if self.turns or len(rows) < self.least else max(min(self.size, len(rows) // self.least), 1)
        first = number % self.turns % self.size if self.turns and len(rows) >= self.least else 0
        place = self.rank - first
        return np.array_split(rows, parts)[place] if 0 <= place < parts else rows[:0]


NOT_ASKED = -100
"""What torch's cross entropy leaves out."""


@dataclass(frozen=True, slots=True)
class DistillationBatch:
    """What both are asked, and which part of the answer counts.

    Attributes:
        inputs: The inputs that teacher and student get.
        counts: Tensor of bool [N, T], which positions of answers [N, T, values] count; None where all do, or where
            answers have no positions.
        logits: Whether answers [N, values] are logits, of which only the differences within a sample count; None where
            nobody has said what the model is for.
    """

    inputs: Inputs
    counts: Any = None
    logits: bool | None = None


class Split(StrEnum):
    """Splits of the data: training and calibration; validation (early stopping, trials); test, read once for a result.

    Version 0.1 called them "calibrate", "choose" and "report". `Split("calibrate")` is `Split.TRAIN`, so that what it
    wrote stays readable, and the members have their former names too, so that its scripts run.
    """

    TRAIN = "train"
    VAL = "val"
    TEST = "test"

    CALIBRATE = "train"
    CHOOSE = "val"
    REPORT = "test"

    @classmethod
    def _missing_(cls, value: object) -> "Split | None":
        """The split of a former name, None for what never was one."""
        return next((split for split, name in FORMER_NAMES.items() if name == value), None)


FORMER_NAMES = {Split.TRAIN: "calibrate", Split.VAL: "choose", Split.TEST: "report"}
"""What version 0.1 called the splits."""


RESIZE, INTERPOLATION = "resize", "interpolation"
"""Options of images that are resized before they are cropped: the shorter side ("256") or both ("256x256"), and how."""


class Interpolation(StrEnum):
    """How an image is resized."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def height_and_width(sides: tuple[int, ...]) -> tuple[int, int]:
    """One side of a square, or both sides, as both."""
    return sides[0], sides[-1]


def named_sides(name: str, sides: tuple[int, ...]) -> tuple[str, str]:
    """An option of a specification that is a size."""
    return name, SIDES.write(sides)


def named(name: str, value: object) -> tuple[str, str]:
    """An option of a specification with its value."""
    return name, str(value)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Where a task comes from; plain data for recipes.

    Attributes:
        kind: Form of the data, a key of `open.OPENERS`: "bundled" (the sample), "arrays" (.npz), "folder" (images, one
            sub-folder a class), "file" (task.py), "parquet", "csv", "text", "idx" (MNIST), "cifar", "masks"
            (images with masks), "coco" (images with boxes), "ultralytics" (their .yaml); "" for what the path is
            found to be where it lies (`open.with_kind`).
        path: File or folder, "" for the bundled one.
        mean: Per-channel mean subtracted from pixels scaled to 0..1.
        std: Per-channel standard deviation divided by.
        size: (height, width) images are cropped to in the middle, resized before so that they just cover it unless
            "resize" says how; None: as they are. For images that are decoded (folders, Parquet, masks, COCO).
        batch: Batch size for training and evaluation; 0, only without a kind, for the usual one of the kind.
        options: Further options: "purpose" (a key of `purposes.table.PURPOSES`; else it follows from the data),
            "seed" of the splits, "resize" (the shorter side, or height x width, before the crop) and "interpolation",
            "features" and "label" (names of columns, commas between them), "header" (of a table: "yes" or "no"),
            "tokenizer" (a tokenizer.json, its folder, or "bytes"), "length" (tokens of a sample),
            "grey" ("yes": images are read as greys, "no": in colour; found by itself by what the model takes),
            "classes" (names in the order of the model's outputs, as JSON; found by itself in its configuration),
            "packing" (the version of packing documents into sequences; found by itself).
    """

    kind: str
    path: Annotated[
        str,
        Option(
            title="Path to the data",
            help="a folder of images with one sub-folder for each class or COCO-style annotations, an .npz, .parquet, "
            ".csv, .tsv or .txt file, a .yaml of Ultralytics' form, or a task.py, or: bundled; folders may hold train, "
            "val and test",
            hint="file or folder; it may hold train, val and test",
            flag="--task",
            metavar="PATH",
        ),
    ] = ""
    mean: Annotated[
        tuple[float, ...],
        Option(
            title="Mean per channel",
            help="per channel or column, subtracted, from pixels of 0..1",
            notation=NUMBERS,
            hint="0.485, 0.456, 0.406; empty: pixels from 0 to 1",
        ),
    ] = ()
    std: Annotated[
        tuple[float, ...],
        Option(
            title="Standard deviation",
            help="per channel or column, divided by",
            notation=NUMBERS,
            hint="0.229, 0.224, 0.225; empty: 1",
            metavar="0.229,0.224,0.225",
        ),
    ] = ()
    size: Annotated[
        tuple[int, int] | None,
        Option(
            title="Crop to",
            help="side, or height and width, of the middle of each image that the model gets; unless another size "
            "is given for it, each image is resized before so that it just covers that",
            notation=SIDES,
            convert=height_and_width,
            hint="224 x 224; empty: unchanged",
            flag="--crop",
            metavar="224",
        ),
    ] = None
    batch: Annotated[
        int,
        Option(
            title="Batch size",
            help="samples a batch of training and evaluation",
            details="Smaller batches need less memory.",
            minimum=1,
            dialog_maximum=65536,
            automatic="64; 4 images with boxes, 16 of Ultralytics' form",
        ),
    ] = 64
    options: Annotated[
        tuple[tuple[str, str], ...],
        Option(
            title="Purpose",
            help="what the model is for, where it does not follow from the data",
            convert=partial(named, "purpose"),
            flag="--purpose",
        ),
        Option(
            title="Input columns",
            help="columns of a table that are the inputs",
            convert=partial(named, "features"),
            hint="column names; empty: automatic",
            flag="--features",
            metavar="A,B",
        ),
        Option(
            title="Label columns",
            help="column of a table that holds what is right; several where numbers are to be found",
            convert=partial(named, "label"),
            hint="column names; empty: automatic",
            flag="--label",
            metavar="C",
        ),
        Option(
            title="First line of a table",
            help="whether the first line of a CSV holds names, where it cannot be seen",
            choices=("yes", "no"),
            convert=partial(named, "header"),
            flag="--header",
        ),
        Option(
            title="Tokeniser",
            help="tokenizer.json of the model, or: bytes",
            convert=partial(named, "tokenizer"),
            automatic="the one beside the model",
            hint="tokenizer.json or bytes; empty: next to the model",
            flag="--tokenizer",
            metavar="PATH",
        ),
        Option(
            title="Tokens per sample",
            help="tokens of a sample of text",
            notation=COUNT,
            convert=partial(named, "length"),
            automatic="128",
            hint="128",
            flag="--length",
        ),
        Option(
            title="Resize to",
            help="shorter side, or height and width, that images are resized to before the crop",
            notation=SIDES,
            convert=partial(named_sides, RESIZE),
            flag="--resize",
        ),
        Option(
            title="Interpolation",
            help="how images are resized",
            choices=tuple(Interpolation),
            convert=partial(named, INTERPOLATION),
            automatic="bilinear",
            flag="--interpolation",
        ),
    ] = ()

    @property
    def code(self) -> tuple[str, ...]:
        """The Python files that opening it imports, absolute."""
        return (os.path.abspath(Path(self.path).expanduser()),) if self.kind == "file" else ()

    def same_data(self, other: "TaskSpec | None") -> bool:
        """Whether the other one reads the same, whatever the size of its batches."""
        if other is None or dict(other.options) != dict(self.options):
            return False
        return replace(other, batch=self.batch, options=self.options) == self


FOUND_PREPROCESSING = "found preprocessing"
"""The option that says which preparation of images was found by itself, and who said so (`preprocessing.py`)."""

GREY = "grey"
"""The option that images are read as greys, or in colour: not asked for, it follows from the model."""

CLASSES = "classes"
"""The option that numbers the classes of a table by their names: it follows from the model."""

PACKING, PACKED = "packing", "2"
"""The option that says by which version documents are packed into sequences, and the one of now: with the token that
ends a document behind each. Without the option nothing stands between them, for want of such a token, or because a
version before packed them so.
"""

DTYPE, BFLOAT16 = "dtype", "bfloat16"
"""The option that a model takes its inputs in another type than float32, and the one that it may be."""

BATCHES = {"coco": 4, "ultralytics": 16}
"""Samples of a batch by kind of data, where they are larger than others."""

BYTES = "bytes"
"""The option "tokenizer" of models that read text byte by byte."""

TOKENIZER, TOKENIZER_NOTES = "tokenizer.json", ("special_tokens_map.json", "tokenizer_config.json")
"""A tokenizer's file, and those beside it that name its special tokens."""


def option(spec: TaskSpec, name: str, default: str = "") -> str:
    """An option of a specification."""
    return dict(spec.options).get(name, default)


def one_mean(spec: TaskSpec) -> bool:
    """One number is given for all channels, and no more than one."""
    return max(len(spec.mean), len(spec.std)) == 1


@dataclass(frozen=True, slots=True)
class ClassLoss:
    """The class that lost most against the original, on the same split.

    Attributes:
        name: Of the class.
        loss: Of its accuracy or IoU, as a fraction; below 0 where even that class gains.
        count: Samples of the class.
    """

    name: str
    loss: float
    count: int


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured metric.

    Attributes:
        name: "top-1", or what the user's `evaluate` calls it.
        value: The value; a fraction 0..1 when `percent`.
        count: n, how many samples it was measured on.
        error: Standard error (binomial for accuracies, otherwise by bootstrap over the samples), 0 when unknown.
        split: Which split.
        percent: True when shown as per cent.
        higher_is_better: Direction.
        replicates: The metric on samples drawn again, by the same draws for every model; () where it has no such draws.
        when: Seconds since 1970 at which it was measured, 0 unknown; two metrics that differ in it alone are equal.
        predictions: sha256 of the predictions that it was computed from, in the session's store; "" for none.
        class_loss: The class that lost most; None where there are no classes, or it is not known.
        calibration_error: Expected calibration error, a fraction; None where there are no confidences, or unknown.
    """

    name: str
    value: float
    count: int
    error: float
    split: Split
    percent: bool = True
    higher_is_better: bool = True
    replicates: tuple[float, ...] = field(default=(), compare=False, repr=False)
    when: float = field(default=0.0, compare=False, repr=False)
    predictions: str = field(default="", compare=False, repr=False)
    class_loss: ClassLoss | None = field(default=None, compare=False, repr=False)
    calibration_error: float | None = field(default=None, compare=False, repr=False)

    @property
    def certain(self) -> bool:
        """Its standard error is known; that of a share is 0 at its ends."""
        return self.error > 0 or (self.percent and self.count > 0 and self.value in (0, 1))

    def difference_error(self, other: "Metric") -> float:
        """Standard error of the difference from another model's, of pairs where both were measured on the same samples.

        With the same draws for both, the deviation of the differences is the paired bootstrap's (Efron and Tibshirani
        1993); for shares of right answers it estimates what McNemar's test does.
        """
        if self.paired_with(other):
            return statistics.stdev(a - b for a, b in zip(self.replicates, other.replicates, strict=True))
        return math.hypot(self.error, other.error)

    def paired_with(self, other: "Metric") -> bool:
        """Whether the difference of two models was measured by pairs, on the same samples."""
        return self.like(other) and self.count == other.count and len(self.replicates) == len(other.replicates) > 1

    def measured_now(self) -> "Metric":
        """The same with the present time."""
        return replace(self, when=round(time.time()))

    def like(self, other: "Metric | None") -> bool:
        """The same was measured on the same split: the two values compare."""
        return other is not None and (self.name, self.split) == (other.name, other.split)


@dataclass(frozen=True, slots=True)
class Sample:
    """A preprocessed sample to look at.

    Attributes:
        image: [H, W] or [H, W, 3] uint8 as the model sees it, contrast-stretched for display; None when it is no image.
        label: Label in words.
        predicted: What the original says, "" before it was evaluated.
        shape: Shape of the preprocessed tensor.
        low: Smallest value after preprocessing.
        high: Largest value after preprocessing.
        text: What a person reads of it where it is no image: tokens as text, the first of some numbers.
    """

    image: NDArray[np.uint8] | None
    label: str
    predicted: str
    shape: tuple[int, ...]
    low: float
    high: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class DataHint:
    """That the same data, read in another way, suits the model clearly better.

    Attributes:
        message: In words.
        spec: The data, read so.
    """

    message: Message
    spec: TaskSpec


IMAGES = (3, 4)
"""Dimensions of a sample that is an image [C, H, W] or a clip [C, T, H, W]."""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What the window shows of a task.

    Attributes:
        title: For a person.
        sizes: Samples in each split, 0 when unknown.
        classes: Names of the classes, may be empty.
        metric: What the metric is called.
        samples: Five.
        labelled: Whether the metric is by labels, and no agreement with the original.
        loss: Whether it has a loss.
        batches: Batches in each split, where they are known.
        batch: Samples in a batch.
        tokens: Tokens in a sample, 0 where it is no text.
        domains: Names of its domains of text, () where it has none.
        seconds: That judging the original took for each sample, 0 unknown.
        notes: What to know of the data and the model, in words.
        better: The same data as it seems to have been prepared for the model's training, None where nothing else did.
        reordered: The same data with its classes in the order in which the model seems to number them; None where that
            is the order of the data.
        spec: Where it came from, with what was found on the way (a tokenizer).
    """

    title: str
    sizes: dict[str, int]
    classes: tuple[str, ...]
    metric: str
    samples: tuple[Sample, ...]
    labelled: bool = True
    loss: bool = True
    batches: dict[str, int] = field(default_factory=dict[str, int])
    batch: int = 1
    tokens: int = 0
    domains: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: tuple[Message, ...] = ()
    spec: TaskSpec | None = None
    better: TaskSpec | None = None
    reordered: TaskSpec | None = None

    @property
    def kinds(self) -> frozenset[DataKind]:
        """What the data has that settings are about; images too where no sample says what it is."""
        images = any(one.image is not None or len(one.shape) in IMAGES for one in self.samples) or not self.samples
        found = {DataKind.IMAGES: images, DataKind.TEXT: self.tokens > 0, DataKind.DOMAINS: bool(self.domains)}
        return frozenset(kind for kind, has in found.items() if has)

    @property
    def finding(self) -> Message:
        """In words, that the data seems to have been prepared in another way; for data that has a `better` one."""
        return next(note for note in self.notes if note.code == "task.preparation")


class Task(Protocol):
    """What evaluates and trains a model. Tensors: inputs [N, ...], targets as the loss takes them.

    Built-in tasks and the adapter over a user's `task.py` are the members.
    """

    spec: TaskSpec

    def info(self, model: Any | None) -> TaskInfo:
        """What to show; samples carry the model's predictions when a model is given."""
        ...

    def example_inputs(self) -> Inputs:
        """Example inputs of the model, positional or by name, batch of 2 or more."""
        ...

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        """Batches of a split, shuffled by `seed` where given: (inputs, targets) unless the task's file says else."""
        ...

    def batch_count(self, split: Split) -> int:
        """How many batches a pass has, 0 when unknown."""
        ...

    def inputs(self, batch: Any) -> Inputs:
        """The model's inputs in a batch, positional or by name."""
        ...

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """What a student is to learn from its teacher of a batch."""
        ...

    def loss(self, model: Any, batch: Any) -> Any | None:
        """Scalar loss tensor of the task, None where the task has none (then recovery distils only)."""
        ...

    def evaluate(self, predict: Any, split: Split, token: CancelToken) -> Job[Metric]:
        """Measure what is called and answers as the model does: a model, or a session of a file that was exported."""
        ...


@runtime_checkable
class SeekableTask(Protocol):
    """A task whose shuffled batches can be had from any of them on, without those before it."""

    def batches_from(self, split: Split, seed: int | None, start: int) -> Iterator[Any]:
        """What `Task.batches` gives, but for the first `start` batches, which are not read."""
        ...


@runtime_checkable
class PortionedTask(Protocol):
    """A task of whose batches a process reads no more than its own part, where several compute together."""

    def portion_batches(self, split: Split, seed: int | None, start: int, portion: Portion) -> Iterator[Any]:
        """That part of each of the task's batches from one on; `EMPTY` for one of which nothing is the process's."""
        ...


def change_task(spec: TaskSpec, change: Change) -> TaskSpec:
    """A task's specification with its paths changed."""
    options = tuple(
        (name, change(value) if name == "tokenizer" and value != BYTES else value) for name, value in spec.options
    )
    return replace(spec, path=change(spec.path) if spec.path else "", options=options)


def metric_value(metric: Metric | None) -> str:
    """A metric's value with its standard error."""
    if metric is None:
        return ""
    if not metric.percent:
        return f"{metric.value:.4g}" + (f" ± {metric.error:.2g}" if metric.error else "")
    error = f" ± {100 * metric.error:.1f}" if metric.error else ""
    return f"{100 * metric.value:.1f}{error} %"


def metric_words(metric: Metric) -> Message:
    """top-1 91.4 ± 0.6 % (test split, n = 2,000)."""
    words = {"name": metric.name, "value": metric_value(metric), "split": metric.split.value}
    template = "{name} {value} ({split} split, n = {count})"
    return Message("metric.on_split", template, words | {"count": thousands(metric.count)})


ROUNDING = 1e-9
"""What does not count of a loss."""


def lost(original: Metric, now: Metric) -> tuple[float, float]:
    """What of a metric is lost, and the standard error of that: in points of a fraction, else in shares of it."""
    loss = original.value - now.value if original.higher_is_better else now.value - original.value
    error = original.difference_error(now)
    unit = 1.0 if original.percent else max(abs(original.value), 1e-12)
    return loss / unit, error / unit
