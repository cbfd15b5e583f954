"""The user's `task.py`: `model`, `example_inputs`, `batches(split)`, `loss(model, batch)`, `evaluate(model, split)`.

Any of them: what the file does not define has a default. Without a loss recovery distils; without `evaluate` the
metric is top-1 where batches are (inputs, class numbers), and otherwise agreement with the original. A further
`inputs(batch)` is for batches of another form, and `classes` may hold the names of the classes. Inputs are a tuple, or
a dict of names. A split is "train", "val" or "test", or has the names that the file knows (`split_names`).
"""

import ast
import hashlib
import inspect
import math
import re
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, suppress
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import Message, SecateurError, TaskError
from ..foreign_code.consent import Consent
from ..foreign_code.import_file import failing_line, import_file
from ..inference.model_inputs import Inputs, few, inputs_of, named_arrays
from ..jobs import CancelToken, Job, Progress, check
from ..tracing.isolated_forward import seeded
from .evaluate import measure
from .image_samples import sample
from .model_outputs import described_type, evaluating, logits, run_model
from .predictions import IDENTITY, Evaluation, PredictionKind, Predictions
from .protocol import FORMER_NAMES, NOT_ASKED, DistillationBatch, Metric, Sample, Split, TaskInfo, TaskSpec
from .purposes.classification import PURPOSE as CLASSIFICATION
from .purposes.protocol import Rows, bootstrap, written_replicates
from .tokens import in_words

FUNCTIONS = ("model", "example_inputs", "batches", "inputs", "loss", "evaluate")


class UserFile:
    """The functions that a task.py defines.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str, consent: Consent) -> None:
        """Execute the file, if consent covers it; raises TaskError with its line where that fails."""
        self.path = Path(path).expanduser().absolute()
        self._module = import_file(self.path, consent, TaskError)
        if not any(self.defines(name) for name in FUNCTIONS):
            template = "{file} defines none of {names}. Define those that your task needs; the others have defaults."
            names = ", ".join(f"{name}()" for name in FUNCTIONS)
            raise TaskError("task_file.nothing", template, file=path, names=names)

    def defines(self, name: str) -> bool:
        """True where the file has a function of this name."""
        return callable(getattr(self._module, name, None))

    def value(self, name: str, default: Any) -> Any:
        """A value that the file defines beside its functions."""
        return getattr(self._module, name, default)

    def accepts(self, name: str, argument: str) -> bool:
        """True where a function of the file takes an argument of this name."""
        return argument in inspect.signature(getattr(self._module, name)).parameters

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of the file."""
        if not self.defines(name):
            template = "{file} has no function {name}, which is needed here. Define it."
            raise TaskError("task_file.absent", template, file=str(self.path), name=name)
        with self._explain_errors():
            return getattr(self._module, name)(*arguments, **named)

    def iterate(self, name: str, *arguments: Any, **named: Any) -> Iterator[Any]:
        """Go through what a function of the file returns, lazily."""
        given = self.call(name, *arguments, **named)
        with self._explain_errors():
            items = iter(given)
        while True:
            with self._explain_errors():
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def _explain_errors(self) -> Generator[None]:
        """Turn an error inside the user's code into a sentence with its line."""
        try:
            yield
        except SecateurError:
            raise
        except (Exception, SystemExit) as error:
            file, line = failing_line(error, self.path.parent)
            template = "{file}, line {line}: {kind}: {reason}"
            details = "".join(traceback.format_exception(error))
            raise TaskError(
                "task_file.failed", template, details,
                file=file or str(self.path), line=line, kind=type(error).__name__, reason=str(error),
            ) from error  # fmt: skip


PRESENT_NAMES: Mapping[Split, str] = {split: split.value for split in Split}
UNMISTAKABLE = {FORMER_NAMES[Split.TRAIN], FORMER_NAMES[Split.VAL]}
"""Former names that hardly anything but a split is compared with."""


def split_names(file: UserFile) -> Mapping[Split, str]:
    """The name of each split that the functions of a file expect.

    Raises:
        TaskError: Its `SPLITS` are not three different names, or its strings do not say which names it expects.
    """
    declared = file.value("SPLITS", None)
    if declared is not None:
        names = cast("Sequence[Any]", declared) if isinstance(declared, list | tuple) else ()
        if len(names) != len(Split) or len(set(map(str, names))) != len(Split):
            template = "SPLITS in {file} is {given}. Use three different names: for training, validation and test."
            raise TaskError("task_file.declared_splits", template, file=str(file.path), given=f"{declared!r}")
        return {split: str(name) for split, name in zip(Split, names, strict=True)}
    said = set(_names_of_splits(file.path))
    if not said:
        said = {name for path in _imported_files(file.path) for name in _names_of_splits(path)}
    if said & UNMISTAKABLE:
        return FORMER_NAMES
    if FORMER_NAMES[Split.TEST] not in said:
        return PRESENT_NAMES
    if said.isdisjoint(PRESENT_NAMES.values()):
        return FORMER_NAMES
    template = (
        "{file} uses both '{former}' and '{present}', so the names of its splits are unclear. Add SPLITS = ('train', "
        "'val', 'test') into it, or SPLITS = ('calibrate', 'choose', 'report')."
    )
    present = next(name for name in PRESENT_NAMES.values() if name in said)
    raise TaskError(
        "task_file.split_names", template, file=str(file.path), former=FORMER_NAMES[Split.TEST], present=present
    )


def _names_of_splits(path: Path) -> Iterator[str]:
    """Names of splits among the strings that a file compares with, uses as keys or matches."""
    known = {*FORMER_NAMES.values(), *PRESENT_NAMES.values()}
    for node in ast.walk(_parse_file(path)):
        match node:
            case ast.Compare():
                parts = [node.left, *node.comparators]
            case ast.Dict():
                parts = node.keys
            case ast.Subscript():
                parts = [node.slice]
            case ast.MatchValue():
                parts = [node.value]
            case ast.Call(func=ast.Name(id="dict")):
                yield from (word.arg for word in node.keywords if word.arg in known)
                continue
            case _:
                continue
        for part in parts:
            members = part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part]
            for one in members:
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value in known:
                    yield one.value


def _imported_files(path: Path) -> Iterator[Path]:
    """Files in the folder of a file, or packages there, that it imports."""
    for node in ast.walk(_parse_file(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            place = path.parent.joinpath(*name.split("."))
            yield from (one for one in (place.with_suffix(".py"), place / "__init__.py") if name and one.is_file())


def _parse_file(path: Path) -> ast.AST:
    """The syntax tree of a file; an empty one where it cannot be read: the import of the file says why."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


SHOWN = 5
FIRST = (Split.TRAIN, Split.VAL)
"""Whose first batches tell data apart: what is kept was measured on these."""


def open_file(spec: TaskSpec, consent: Consent) -> "UserTask":
    """Load a task.py."""
    return UserTask(spec, UserFile(spec.path, consent))


class UserTask:
    """A `Task` over the functions of the user's file.

    Attributes:
        spec: Where it came from.
        file: The file's functions.
        remarks: What to know of its metric, once it was evaluated.
    """

    def __init__(self, spec: TaskSpec, file: UserFile) -> None:
        """Judge and train by the functions of `file`."""
        self.spec = spec
        self.file = file
        self.remarks: tuple[Message, ...] = ()
        self._names = split_names(file)
        self._original: Any = None
        self._counts: dict[Split, int] = {}

    @property
    def can_evaluate(self) -> bool:
        """Whether the file can evaluate a model; one that gives only example inputs cannot."""
        return self.file.defines("batches") or self.file.defines("evaluate")

    def info(self, model: Any | None) -> TaskInfo:
        """Title, sizes as far as they are known, and five samples; the first model shown is the original."""
        if model is not None and self._original is None:
            self._original = model
        samples = self._samples(model) if self.file.defines("batches") else ()
        names = self.file.value("classes", ())
        return TaskInfo(
            title=Path(self.spec.path).name,
            sizes=dict.fromkeys((split.value for split in Split), 0),
            classes=tuple(str(name) for name in names),
            metric="evaluate" if self.file.defines("evaluate") else "top-1" if self._has_labels() else "agreement",
            samples=samples,
            labelled=self.file.defines("evaluate") or self._has_labels(),
            loss=self.file.defines("loss"),
        )

    def example_inputs(self) -> Inputs:
        """What the file gives, or the inputs of its first training batch, two samples of each tensor."""
        if self.file.defines("example_inputs"):
            return inputs_of(self.file.call("example_inputs"))
        return few(self.inputs(self._first(Split.TRAIN)), 2)

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        """The file's batches; `seed` reaches it where its function takes one, otherwise the order is its own."""
        count = 0
        named = {"seed": seed} if seed is not None and self.file.accepts("batches", "seed") else {}
        for batch in self.file.iterate("batches", self._names[split], **named):
            count += 1
            yield batch
        self._counts[split] = count

    def batch_count(self, split: Split) -> int:
        """As many as the file's object says, or as there were in the last whole pass; 0 before."""
        if split not in self._counts and self.file.defines("batches"):
            given = self.file.call("batches", self._names[split])
            if isinstance(given, Sized):
                # A loader over a stream has a length, and refuses to say it.
                with suppress(TypeError):
                    self._counts[split] = len(given)
        return self._counts.get(split, 0)

    def given(self) -> str:
        """sha256 of what tells apart what the file reads: the Python files beside it, and its first batches.

        Batches that are others each time, as a loader with a random state of its own gives them, tell nothing.
        """
        digest = hashlib.sha256()
        for place in sorted(self.file.path.parent.glob("*.py")):
            with suppress(OSError):
                state = place.stat()
                digest.update(f"{place.name} {state.st_size} {state.st_mtime_ns}\n".encode())
        first, again = self._content(), self._content()
        digest.update(first if first == again else b"")
        return digest.hexdigest()

    def _content(self) -> bytes:
        """sha256 of the first batches of the splits that measurements are of, as far as there are any.

        It holds the former names of the splits, so that what version 0.1 has measured is still found.
        """
        digest = hashlib.sha256()
        for split in FIRST if self.file.defines("batches") else ():
            with seeded(), suppress(TaskError):
                for path, one in named_arrays(self._first(split)):
                    digest.update(f"{FORMER_NAMES[split]} {path}\n".encode() + _bytes_of(one))
        return digest.digest()

    def inputs(self, batch: Any) -> Inputs:
        """The model's inputs: the file's `inputs(batch)`, a bare tensor, or the first of a pair."""
        if self.file.defines("inputs"):
            return inputs_of(self.file.call("inputs", batch))
        if isinstance(batch, torch.Tensor):
            return (batch,)
        if isinstance(batch, list | tuple) and batch:
            return inputs_of(_several(batch)[0])
        template = (
            "{file} gives batches of type {kind}. Define inputs(batch) in it, which returns what the model takes."
        )
        raise TaskError("task_file.inputs", template, file=self.spec.path, kind=type(cast("Any", batch)).__name__)

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """The outputs for the inputs of a batch, at its tokens where inputs and what is right are [N, T] numbers.

        They are logits where the batch or the metric says so: by class numbers, tokens, or what the largest answer is.
        """
        inputs, right = self.inputs(batch), _whole_targets(batch)
        tokens = right is not None and right.ndim == 2 and _reads_tokens(inputs, right)
        chosen = tokens or (right is not None and right.ndim == 1) or not self.file.defines("evaluate")
        return DistillationBatch(inputs, right != NOT_ASKED if tokens else None, chosen or None)

    def loss(self, model: Any, batch: Any) -> Any | None:
        """The file's loss, a scalar; None where it has none."""
        if not self.file.defines("loss"):
            return None
        loss = self.file.call("loss", model, batch)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            template = "loss in {file} returned {given}. Return a tensor with one value."
            raise TaskError("task_file.loss", template, file=self.spec.path, given=described_type(loss))
        return loss.reshape(())

    def evaluate(self, predict: Any, split: Split, token: CancelToken) -> Job[Metric]:
        """The file's metric, or top-1, or agreement with the original."""
        return (yield from self._evaluate(predict, split, token, identify=False)).metric

    def evaluate_samples(
        self,
        predict: Any,
        split: Split,
        token: CancelToken,
        asked: bool = False,
        only: NDArray[np.int64] | None = None,
    ) -> Job[Evaluation]:
        """The same with the predictions: of a file with `evaluate` its "samples", or the classes of its batches."""
        found = yield from self._evaluate(predict, split, token, identify=True)
        if not self.file.defines("evaluate") or not self._has_labels():
            return found
        # A second pass, because the file's function says nothing of single samples; only where somebody asks for it.
        if not asked:
            return Evaluation(found.metric)
        with evaluating(predict):
            return Evaluation(
                found.metric, (yield from self._classify(predict, split, token, identify=True)).predictions
            )

    def _evaluate(self, predict: Any, split: Split, token: CancelToken, identify: bool) -> Job[Evaluation]:
        check(token)
        with evaluating(predict):
            if self.file.defines("evaluate"):
                yield Progress(
                    Message("progress.own_metric", "Evaluating by {file}", {"file": Path(self.spec.path).name})
                )
                takes_split, name = self.file.accepts("evaluate", "split"), Path(self.spec.path).name
                # The model looks at the token at every call, so that a long evaluation can be stopped.
                with torch.no_grad():
                    given = self.file.call(
                        "evaluate",
                        StoppableModel(predict, token),
                        **({"split": self._names[split]} if takes_split else {}),
                    )
                metric = to_metric(given, split, self.spec.path)
                self.remarks = assumed_direction(metric, given, name)
                if not takes_split:
                    template = (
                        "evaluate in {file} takes no split, so the reported samples also chose the weights, which "
                        "flatters them. Define evaluate(model, split), where split is 'val' or 'test'."
                    )
                    self.remarks += (Message("task_file.split", template, {"file": name}),)
                return Evaluation(metric, _sample_values(given, metric))
            with evaluating(self._original):
                return (yield from self._classify(predict, split, token, identify))

    def _classify(self, predict: Any, split: Split, token: CancelToken, identify: bool) -> Job[Evaluation]:
        """Top-1 or agreement; the inputs say which sample each prediction is of, as batches have no fixed order."""
        known = list[NDArray[np.uint64]]()
        rows, agreement = self._evaluate_batches(predict, split, known if identify else None), not self._has_labels()
        names = tuple(str(name) for name in self.file.value("classes", ()))
        found = yield from measure(rows, CLASSIFICATION, 0, split, agreement, token, names)
        if not known or found.predictions is None:
            return found
        identities = np.concatenate(known)
        if len(identities) != len(found.predictions):  # the model's outputs are no row for each row of the inputs
            return found
        columns = {**found.predictions.columns, IDENTITY: identities}
        return Evaluation(found.metric, replace(found.predictions, columns=columns))

    def _evaluate_batches(
        self, predict: Any, split: Split, known: list[NDArray[np.uint64]] | None = None
    ) -> Iterator[Rows]:
        """Rows of each batch, by its class numbers or by what the original says; identities are added to `known`."""
        labelled = self._has_labels()
        for batch in self.batches(split):
            inputs = self.inputs(batch)
            if known is not None:
                known.append(_identities(inputs))
            if not labelled and self._original is None:
                template = (
                    "{file} defines neither labels nor evaluate(model), and there is no original to compare with yet. "
                    "Define one of them."
                )
                raise TaskError("task_file.no_original", template, file=self.spec.path)
            answers = logits(run_model(predict, inputs))
            highest, outputs = int(batch[1].max()) if labelled and len(batch[1]) else 0, answers.shape[1]
            # The metric would silently count class numbers without an output as wrong.
            if labelled and highest >= outputs:
                template = (
                    "{file} has the label {label}, but the model has {outputs} outputs (0 to {last}). Open the data "
                    "of this model."
                )
                words: dict[str, Any] = {"file": self.spec.path, "label": highest}
                raise TaskError("task_file.classes", template, outputs=outputs, last=outputs - 1, **words)
            right = batch[1] if labelled else CLASSIFICATION.answer(run_model(self._original, inputs), inputs)
            yield CLASSIFICATION.rows(answers, inputs, right)

    def _has_labels(self) -> bool:
        """True where a batch is (inputs, class numbers [N])."""
        if not self.file.defines("batches"):
            return False
        return _class_numbers(self._first(Split.TRAIN)) is not None

    def _first(self, split: Split) -> Any:
        for batch in self.file.iterate("batches", self._names[split]):
            return batch
        raise TaskError(
            "task_file.no_batches",
            "batches({split!r}) in {file} returned no batches. Return at least one.",
            split=self._names[split],
            file=self.spec.path,
        )

    def _samples(self, model: Any | None) -> tuple[Sample, ...]:
        """The first samples of the first batch of the val split, with what the model says of them."""
        batch = self._first(Split.VAL)
        inputs, labels = self.inputs(batch), _class_numbers(batch)
        predicted: list[str] = []
        if model is not None:
            with evaluating(model):
                outputs = run_model(model, inputs)
            # Outputs that are no classification have no words.
            with suppress(TaskError):
                predicted = [str(int(number)) for number in logits(outputs).argmax(1)]
        x = next((x for _, x in named_arrays(inputs) if x.ndim), None)
        if x is None:
            return ()
        count = min(SHOWN, len(x))
        known = ["" if labels is None else str(int(labels[i])) for i in range(count)]
        said = [predicted[i] if i < len(predicted) else "" for i in range(count)]
        words = in_words([x[i : i + 1] for i in range(count)], self.spec)
        return tuple(sample(x[i], known[i], said[i], words[i]) for i in range(count))


def _bytes_of(one: Any) -> bytes:
    """What an array or tensor holds; what lies in no memory of numbers as it is written."""
    try:
        if isinstance(one, torch.Tensor):
            kind, array = one.dtype, one.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy()
        else:
            array = np.asarray(one)
            kind = array.dtype
        return repr(one).encode() if array.dtype.hasobject else f"{kind} {one.shape}\n".encode() + array.tobytes()
    except (TypeError, ValueError, RuntimeError):
        return repr(one).encode()


def _identities(inputs: Inputs) -> NDArray[np.uint64]:
    """[N] a number for each sample that its inputs give, the same wherever they come in the order."""
    arrays = [one for _, one in named_arrays(inputs) if len(one.shape)]
    count = len(arrays[0]) if arrays else 0
    arrays = [one for one in arrays if len(one) == count]  # others are of the batch as a whole
    digests = (
        hashlib.blake2b(b"".join(_bytes_of(one[row]) for one in arrays), digest_size=8).digest() for row in range(count)
    )
    return np.frombuffer(b"".join(digests), np.uint64)


def _sample_values(given: Any, metric: Metric) -> Predictions | None:
    """The "samples" that a file's `evaluate` returned, which `to_metric` has checked; None where there are none."""
    samples = cast("Mapping[str, Any]", given).get("samples") if isinstance(given, Mapping) else None
    if samples is None or _is_number(samples) or metric.count < 1:
        return None
    values = np.asarray(torch.as_tensor(samples).detach().cpu().double()).reshape(-1)
    return Predictions(PredictionKind.VALUES, {"value": values})


def _several(given: Any) -> tuple[Any, ...]:
    """The members of a list or tuple; anything else is one."""
    return tuple(cast("Sequence[Any]", given)) if isinstance(given, list | tuple) else (given,)


def _whole_targets(batch: Any) -> torch.Tensor | None:
    """Whole numbers of a batch (inputs, numbers), or under "labels" or "label" of its names; None for other batches."""
    if isinstance(batch, Mapping):
        named = cast("Mapping[Any, Any]", batch)
        right = named.get("labels", named.get("label"))
    else:
        members = _several(batch)
        right = members[1] if len(members) == 2 else None
    return right if isinstance(right, torch.Tensor) and not right.is_floating_point() else None


def _reads_tokens(inputs: Inputs, right: torch.Tensor) -> bool:
    """Whether inputs hold whole numbers of the shape of what is right: several classes [N, C] are no tokens."""
    given = (one for _, one in named_arrays(inputs) if isinstance(one, torch.Tensor) and one is not right)
    return any(one.shape == right.shape and not one.is_floating_point() for one in given)


def _class_numbers(batch: Any) -> torch.Tensor | None:
    """Class numbers [N] of a batch (inputs, class numbers), None for other batches."""
    right = None if isinstance(batch, Mapping) else _whole_targets(batch)
    return right if right is not None and right.ndim == 1 else None


SMALLER_IS_BETTER = {
    "logloss", "err", "ppl", "bce", "ce", "kl", "divergence", "bits", "bpb", "bpc", "bpd", "nmse", "nrmse", "msle",
    "rmsle", "mape", "smape", "wape", "mase", "medae", "crps", "brier", "ece", "chamfer", "hausdorff", "distortion",
    "wer", "cer", "ter", "der", "eer", "fpr", "fnr", "epe", "ade", "fde", "fid", "kid", "fvd", "lpips",
}  # fmt: skip
PERCENT = {
    "right", "correct", "top", "f1", "jaccard", "precision", "recall", "sensitivity", "specificity", "agreement",
    "auprc", "ap", "map",
}  # fmt: skip
"""Whole words of the names of metrics."""
SMALLER_AT_END = ("loss", "losses", "error", "errorrate", "perplexity", "nll", "entropy", "mae", "mse", "distance")
PERCENT_AT_END = ("acc", "accuracy", "auc", "auroc", "iou", "dice", "dicescore")
"""With what such words may end: "valloss", "rocauc". No usual word ends so, as "power" does in "wer"."""
OF_SAMPLES = re.compile(
    "(calibrate|train|choose|val|valid|validation|eval|report|test)?(top[0-9]+|(top1)?(acc|accuracy))"
)
"""Names, by their letters, of shares of samples each of which is right or wrong."""
DESCRIBING = ("n", "count", "standard_error", "higher_is_better", "percent", "samples")
"""Entries that say more about the first one instead of being a metric."""


class StoppableModel(nn.Module):
    """A module around a model or an exported file's session that raises `Cancelled` when the token is set.

    Attributes:
        anchor: Says on which device and in which type inputs are expected, as users ask `next(model.parameters())`.
    """

    def __init__(self, predict: Any, token: CancelToken) -> None:
        """Call `predict`, and check `token` before every call."""
        super().__init__()
        if isinstance(predict, nn.Module):
            self.model = predict
        else:
            self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)
        self._answer = predict
        self._token = token
        self.eval()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The outputs of `predict`."""
        check(self._token)
        return self._answer(*inputs, **named)


def to_metric(given: Any, split: Split, file: str) -> Metric:
    """The first number of the dict as a metric.

    "n", "standard_error", "higher_is_better" and "percent" say more about it; where they are absent, the last two are
    read off its name, and an accuracy on n samples has the standard error of a binomial share. "samples", [n] values of
    which the metric is the mean, give n, the standard error, and comparisons with other models by pairs.
    """
    if isinstance(given, Real | torch.Tensor):
        given = {"metric": given}
    if not isinstance(given, Mapping):
        template = "evaluate in {file} returned {kind}. Return a dict such as {{'accuracy': 0.91, 'n': 1000}}."
        raise TaskError("task_file.evaluate", template, file=file, kind=type(given).__name__)
    entries = {str(name): value for name, value in cast("Mapping[Any, Any]", given).items()}
    numbers = {name: float(value) for name, value in entries.items() if _is_number(value)}
    name = next((name for name in numbers if name not in DESCRIBING), None)
    if name is None:
        raise TaskError(
            "task_file.no_metric",
            "The dict that evaluate in {file} returned contains no number. Return a "
            "metric such as {{'accuracy': 0.91}}.",
            file=file,
        )
    value, words = numbers[name], _words_of(name)
    if value != value:
        raise TaskError(
            "task.metric_not_finite",
            "evaluate in {file} returned NaN or infinity as {name}. Check the model and the data.",
            file=file,
            name=name,
        )
    is_share = 0 <= value <= 1 and _has_any(words, PERCENT, PERCENT_AT_END)
    samples = np.empty(0)
    # A single number under this name is somebody's count.
    if "samples" in entries and not _is_number(entries["samples"]):
        with suppress(TypeError, ValueError, RuntimeError):
            samples = np.asarray(torch.as_tensor(entries["samples"]).detach().cpu().double()).reshape(-1)
        # A metric that is no mean of these values would be given the error of another one.
        if not len(samples) or not np.isfinite(samples).all() or not math.isclose(samples.mean(), value, rel_tol=1e-3):
            template = (
                "evaluate in {file} returned samples whose mean is not {name}. Return one number for each sample, so "
                "that their mean is the metric, or leave samples out."
            )
            raise TaskError("task_file.samples", template, file=file, name=name)
    count = len(samples) or int(numbers.get("n", numbers.get("count", 0)))
    counted = is_share and count > 0 and OF_SAMPLES.fullmatch(re.sub(r"[\W_]", "", name.lower()))
    error = math.sqrt(value * (1 - value) / count) if counted else 0.0
    if len(samples) > 1:
        error = float(samples.std(ddof=1)) / math.sqrt(count)
    smaller = _has_any(words, SMALLER_IS_BETTER, SMALLER_AT_END)
    return Metric(
        name=name,
        value=value,
        count=count,
        error=numbers.get("standard_error", error),
        split=split,
        percent=bool(entries.get("percent", is_share)),
        higher_is_better=bool(entries.get("higher_is_better", not smaller)),
        replicates=written_replicates(bootstrap(samples, lambda drawn: float(drawn.mean())))
        if len(samples) > 1
        else (),
    )


def assumed_direction(metric: Metric, given: Any, file: str) -> tuple[Message, ...]:
    """Which direction was read off the name of a metric; nothing where what was `given` says it."""
    if isinstance(given, Mapping) and "higher_is_better" in given:
        return ()
    words = {"name": metric.name, "file": file}
    if metric.higher_is_better:
        template = (
            "A higher {name} counts as better, because its name does not say otherwise. If that is wrong, return "
            "'higher_is_better': False from evaluate in {file}."
        )
        return (Message("task_file.higher_is_better", template, words),)
    template = (
        "A lower {name} counts as better, because that is usual for its name. If that is wrong, return "
        "'higher_is_better': True from evaluate in {file}."
    )
    return (Message("task_file.lower_is_better", template, words),)


def _words_of(name: str) -> set[str]:
    """Words of a name in lower case, also those in camel case, with and without a plural or numbers at their ends."""
    parts = re.findall(r"[A-Za-z0-9]+", name.replace("IoU", "Iou"))
    inner = [word for part in parts for word in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*", part)]
    words = {word.lower() for word in (*parts, *inner)}
    words |= {word.rstrip("0123456789") for word in words}
    return words | {re.sub("ies$", "y", word).removesuffix("s") for word in words}


def _has_any(words: set[str], whole: set[str], ends: tuple[str, ...]) -> bool:
    """Whether one of the words is one of `whole`, or ends with one of `ends`."""
    return not words.isdisjoint(whole) or any(word.endswith(ends) for word in words)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
