"""Reads the result of the user's `evaluate(model)` as a metric, and makes the model stoppable."""

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ..errors import Message, TaskError
from ..jobs import CancelToken, check
from .protocol import Metric, Split
from .purposes.protocol import bootstrap, written_replicates

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
    value, words = numbers[name], _words(name)
    if value != value:
        raise TaskError(
            "task.metric_not_finite",
            "evaluate in {file} returned NaN or infinity as {name}. Check the model and the data.",
            file=file,
            name=name,
        )
    is_share = 0 <= value <= 1 and _any(words, PERCENT, PERCENT_AT_END)
    samples = np.empty(0)
    if "samples" in entries:
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
    smaller = _any(words, SMALLER_IS_BETTER, SMALLER_AT_END)
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


def _words(name: str) -> set[str]:
    """Words of a name in lower case, also those in camel case, with and without a plural or numbers at their ends."""
    parts = re.findall(r"[A-Za-z0-9]+", name.replace("IoU", "Iou"))
    inner = [word for part in parts for word in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*", part)]
    words = {word.lower() for word in (*parts, *inner)}
    words |= {word.rstrip("0123456789") for word in words}
    return words | {re.sub("ies$", "y", word).removesuffix("s") for word in words}


def _any(words: set[str], whole: set[str], ends: tuple[str, ...]) -> bool:
    """Whether one of the words is one of `whole`, or ends with one of `ends`."""
    return not words.isdisjoint(whole) or any(word.endswith(ends) for word in words)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
