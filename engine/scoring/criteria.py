"""The table of criteria, and the one function that scores a model by any of them."""

from collections.abc import Generator
from contextlib import contextmanager
from traceback import format_exc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SecateurError, TaskError
from ..jobs import CancelToken, Job, NeverCancelled
from ..structures.analysis import Analysis, Mask
from ..tasks.protocol import Task
from .aggregate import Kept, consumers, fill_blocks, producers
from .l1 import L1
from .l2 import L2
from .protocol import Criterion, Subject
from .taylor import TAYLOR
from .weights import parameters_of

CRITERIA: dict[str, Criterion] = {one.name: one for one in (L1, L2, TAYLOR)}
"""To add a criterion: a file beside `l1.py`, and its value here."""


def score(
    model: Any,
    analysis: Analysis,
    removed: Mask,
    criterion: str,
    task: Task | None = None,
    token: CancelToken | None = None,
    kept_before: Kept | None = None,
) -> Job[NDArray[np.float64]]:
    """Rate all structures of a model; the model is left exactly as it was, also when cancelled or when it raises.

    Args:
        model: A `torch.nn.Module` from which `removed` is already cut.
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        criterion: A key of `CRITERIA`.
        task: Gives the data and the loss for criteria that need them.
        token: Cancels.
        kept_before: `analysis.kept_indices(removed)`, where the caller has it.

    Returns:
        [S] scores in original coordinates, higher is more important. NaN for what is removed, and for what has no
        weights that count; a block gets the mean of what it holds.
    """
    rule = _criterion(criterion, task)
    kept = analysis.kept_indices(removed) if kept_before is None else kept_before
    parameters = parameters_of(model, analysis, kept)
    places = (producers(analysis, kept), consumers(analysis, kept))
    with _undisturbed(model), np.errstate(invalid="ignore"):
        try:
            scores = yield from rule.rate(
                Subject(model, analysis, parameters, *places, task), token or NeverCancelled()
            )
        except (SecateurError, GeneratorExit):
            raise
        except Exception as error:
            raise _failed(error) from error
    scores = np.where(removed, np.nan, scores)
    return np.where(removed, np.nan, fill_blocks(analysis, scores))


def _criterion(name: str, task: Task | None) -> Criterion:
    rule = CRITERIA.get(name)
    if rule is None:
        known = ", ".join(CRITERIA)
        raise TaskError(
            "scoring.unknown", "There is no criterion {name}; choose one of {known}.", name=name, known=known
        )
    if rule.needs_data and task is None:
        raise TaskError(
            "scoring.no_task", "{title} needs data: attach a task first, or choose L1 or L2.", title=rule.title
        )
    return rule


def _failed(error: Exception) -> TaskError:
    return TaskError(
        "scoring.failed",
        "The model could not be run on the calibrate data: {error}",
        details=format_exc(),
        error=f"{type(error).__name__}: {error}",
    )


@contextmanager
def _undisturbed(model: Any) -> Generator[None]:
    """Eval mode and gradients for all parameters inside; every flag as it was afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
