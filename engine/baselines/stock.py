"""Baseline: the next smaller stock model of the family, or one that the user names. Loads torch.

It is opened as any model, with the original's number of classes, and trained with the state's own recovery, the
original as its teacher. Where its weights are random, it has to learn everything in those epochs, and a note says so.

The family of a name: a name is read as words and numbers (resnet50 is resnet, 50; regnet_y_8gf is regnet, y, 8, gf).
The family are the models that the same file of the library defines and whose names begin with the same word; the
nearest differ in the fewest parts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from ..sources import timm_models, torchvision_models
from ..sources.open import open_model
from ..sources.protocol import ModelSpec, SourceModel
from ..structures.analyse import analyse
from ..structures.costs import costs
from ..tasks.model_outputs import evaluating, main_output, run_model
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train

PART = re.compile(r"[a-z]+|[0-9]+", re.IGNORECASE)


def relatives(source: str) -> tuple[str, ...]:
    """Sources of the same family, nearest names first; () where the source names none."""
    prefix, _, name = source.partition(":")
    known = _siblings(f"{prefix}:", name)
    others = sorted((distance(name, one), one) for one in known if one != name and _first(one) == _first(name))
    return tuple(f"{prefix}:{one}" for _, one in others)


def distance(one: str, other: str) -> int:
    """In how many parts two names differ."""
    first, second = PART.findall(one), PART.findall(other)
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def _first(name: str) -> str:
    return next(iter(PART.findall(name)), "")


def _siblings(prefix: str, name: str) -> list[str]:
    """Names of the models that the same file of a library defines."""
    if prefix == torchvision_models.PREFIX:
        from torchvision import models

        home = models.get_model_builder(name).__module__
        return [one for one in models.list_models() if models.get_model_builder(one).__module__ == home]
    if prefix == timm_models.PREFIX:
        import timm

        base = name.partition(".")[0]
        home = timm.model_entrypoint(base).__module__.rpartition(".")[2]
        return timm.list_models(module=home)
    return []


RANDOM_WEIGHTS = "source.random"
"""The note of a source whose weights are random."""
TRIED = 12
"""Models of a family that are looked at."""


@dataclass(frozen=True, slots=True)
class StockModel:
    """A model that was opened.

    Attributes:
        opened: The model.
        parameters: Exact.
        macs: Of one sample.
    """

    opened: SourceModel
    parameters: int
    macs: int


def make(standing: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Open it and train it."""
    if asked.source:
        yield Progress(Message("progress.opening", "Opening {source}", {"source": asked.source}))
        found = _opened(_spec(standing, asked.source, asked.weights), standing, token)
    else:
        found = yield from nearest(standing, token)
    opened, settings = found.opened, replace(standing.recovery(asked), features=0.0)
    _require_same_answer(opened.model, standing)
    told = yield from train(opened.model, standing, settings, token)
    notes = [*opened.notes, *told]
    if any(note.code == RANDOM_WEIGHTS for note in notes):
        template = "Trained from random weights (epochs: {epochs}). It may do better with its published weights."
        notes = [note for note in notes if note.code != RANDOM_WEIGHTS]
        notes.append(Message("baselines.stock_random", template, {"epochs": settings.epochs}))
    return BaselineModel(
        opened.model.eval(),
        opened.name,
        parameters=found.parameters,
        macs=found.macs,
        epochs=settings.epochs,
        source=opened.spec,
        notes=tuple(notes),
    )


def nearest(standing: ComparedState, token: CancelToken) -> Job[StockModel]:
    """Of the nearest names of the family with fewer MACs than the original, the one whose MACs are next to the state's.

    Raises:
        SecateurError: The family has none, or there is no family.
    """
    source = standing.spec.source
    family, whole = relatives(source)[:TRIED], costs(standing.analysis)
    for _, alike in groupby(family, lambda one: distance(source, one)):
        best: StockModel | None = None
        for one in alike:
            check(token)
            yield Progress(Message("progress.looking", "Checking {name}", {"name": one}))
            try:
                candidate = _opened(_spec(standing, one, ""), standing, token)
            except SecateurError:  # other inputs, or a package that is missing: not a stand-in for this model
                continue
            smaller = candidate.macs < whole.macs and candidate.parameters < whole.parameters
            if smaller and (best is None or abs(candidate.macs - standing.macs) < abs(best.macs - standing.macs)):
                best = candidate
        if best is not None:
            return best
    raise SecateurError(
        "baselines.no_family",
        "No smaller model of the same family as {source} is known. Name one: path/to/file.py:callable or "
        "torchvision:NAME.",
        source=source,
    )


def _spec(standing: ComparedState, source: str, weights: str) -> ModelSpec:
    """A stock model to open; of the same library, with the arguments that the original was opened with."""
    library, own = source.partition(":")[0], standing.spec.source.partition(":")[0]
    arguments = standing.spec.arguments if library == own and not library.endswith(".py") else {}
    original = standing.spec
    spec = ModelSpec(source, weights, original.input_shape, dict(arguments), outputs=original.outputs)
    return replace(spec, download=original.download, inputs=original.inputs)


def _opened(spec: ModelSpec, standing: ComparedState, token: CancelToken) -> StockModel:
    opened = open_model(spec, token, standing.consent)
    left = costs(analyse(opened.model, standing.inputs, opened.name, token=token, outputs=spec.outputs))
    return StockModel(opened, left.parameters, left.macs)


def _require_same_answer(model: Any, standing: ComparedState) -> None:
    """Refuse a model whose answer has another shape than the original's."""
    shapes = [_answer(one, standing) for one in (model, standing.original)]
    if shapes[0] != shapes[1]:
        template = "The stock model's output is {its}, the original's {own}. Name a stock model for the same task."
        raise SecateurError("baselines.stock_outputs", template, its=shapes[0], own=shapes[1])


def _answer(model: Any, standing: ComparedState) -> list[int]:
    """The shape of what counts of an answer; [] for detections, whose number is no part of the task."""
    with evaluating(model), torch.no_grad():
        found = run_model(model, standing.inputs)
    each = cast("Sequence[Any]", found if isinstance(found, list | tuple) else ())
    if each and all(isinstance(one, Mapping) for one in each):
        return []
    main = main_output(found)
    return list(main.shape) if isinstance(main, Tensor) else []


RULE = BaselineRule(
    BaselineKind.STOCK,
    "smaller stock model",
    "Would a smaller model of the same family do as well?",
    make,
)
