"""Baseline: the next smaller stock model of the family, or one that the user names. Loads torch.

It is opened as any model, with the original's number of classes, and trained with the state's own recovery, the
original as its teacher. Where its weights are random, it has to learn everything in those epochs, and a note says so.

The family of a name: a name is read as words and numbers (resnet50 is resnet, 50; regnet_y_8gf is regnet, y, 8, gf).
The family are the models that the same file of the library defines and whose names begin with the same word; the
nearest differ in the fewest parts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from ..structures.costs import Costs, costs
from ..tasks.model_outputs import evaluating, main_output, run_model
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train

PART = re.compile(r"[a-z]+|[0-9]+", re.IGNORECASE)
"""A word or a number of a name."""
RANDOM_WEIGHTS = "source.random"
"""The note of a source whose weights are random."""
TRIED = 12
"""Models of a family that are tried at most."""


def relatives(source: str) -> tuple[str, ...]:
    """Sources of the same family, nearest names first; () where the source names none."""
    prefix, colon, name = source.partition(":")
    # Models that the same file of the library defines.
    known: list[str] = []
    if prefix + colon == torchvision_models.PREFIX:
        from torchvision import models

        home = models.get_model_builder(name).__module__
        known = [one for one in models.list_models() if models.get_model_builder(one).__module__ == home]
    elif prefix + colon == timm_models.PREFIX:
        import timm

        home = timm.model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]
        known = timm.list_models(module=home)
    others = [one for one in known if one != name and PART.findall(one)[:1] == PART.findall(name)[:1]]
    return tuple(f"{prefix}:{one}" for one in sorted(others, key=lambda one: (distance(name, one), one)))


def distance(one: str, other: str) -> int:
    """In how many parts two names differ."""
    first, second = PART.findall(one), PART.findall(other)
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def make(compared: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Open and train a stock model."""
    if asked.source:
        yield Progress(Message("progress.opening", "Opening {source}", {"source": asked.source}))
        opened, its = _open(_spec(compared, asked.source, asked.weights), compared, token)
    else:
        opened, its = yield from nearest(compared, token)
    settings = replace(compared.recovery(asked), features=0.0)
    shapes = [_output_shape(one, compared) for one in (opened.model, compared.original)]
    if shapes[0] != shapes[1]:
        template = "The stock model's output is {its}, the original's {own}. Name a stock model for the same task."
        raise SecateurError("baselines.stock_outputs", template, its=shapes[0], own=shapes[1])
    messages = yield from train(opened.model, compared, settings, token)
    notes = [*opened.notes, *messages]
    if any(note.code == RANDOM_WEIGHTS for note in notes):
        template = "Trained from random weights (epochs: {epochs}). It may do better with its published weights."
        notes = [note for note in notes if note.code != RANDOM_WEIGHTS]
        notes.append(Message("baselines.stock_random", template, {"epochs": settings.epochs}))
    return BaselineModel(
        opened.model.eval(),
        opened.name,
        parameters=its.parameters,
        macs=its.macs,
        epochs=settings.epochs,
        source=opened.spec,
        notes=tuple(notes),
    )


def nearest(compared: ComparedState, token: CancelToken) -> Job[tuple[SourceModel, Costs]]:
    """Find the stock model with MACs next to the state's, among the nearest names of smaller models of the family.

    Raises:
        SecateurError: The family has none, or there is no family.
    """
    source = compared.spec.source
    family, whole = relatives(source)[:TRIED], costs(compared.analysis)
    for _, alike in groupby(family, lambda one: distance(source, one)):
        best: tuple[SourceModel, Costs] | None = None
        for one in alike:
            check(token)
            yield Progress(Message("progress.looking", "Checking {name}", {"name": one}))
            try:
                candidate, its = _open(_spec(compared, one, ""), compared, token)
            except SecateurError:  # it takes other inputs, or needs a package that is missing
                continue
            smaller = its.macs < whole.macs and its.parameters < whole.parameters
            if smaller and (best is None or abs(its.macs - compared.macs) < abs(best[1].macs - compared.macs)):
                best = candidate, its
        if best is not None:
            return best
    raise SecateurError(
        "baselines.no_family",
        "No smaller model of the same family as {source} is known. Name one: path/to/file.py:callable or "
        "torchvision:NAME.",
        source=source,
    )


def _spec(compared: ComparedState, source: str, weights: str) -> ModelSpec:
    """A stock model to open; of the same library, with the arguments that the original was opened with."""
    library, own = source.partition(":")[0], compared.spec.source.partition(":")[0]
    arguments = compared.spec.arguments if library == own and not library.endswith(".py") else {}
    original = compared.spec
    spec = ModelSpec(source, weights, original.input_shape, dict(arguments), outputs=original.outputs)
    return replace(spec, download=original.download, inputs=original.inputs)


def _open(spec: ModelSpec, compared: ComparedState, token: CancelToken) -> tuple[SourceModel, Costs]:
    opened = open_model(spec, token, compared.consent)
    return opened, costs(analyse(opened.model, compared.inputs, opened.name, token=token, outputs=spec.outputs))


def _output_shape(model: Any, compared: ComparedState) -> list[int]:
    """The shape of the main output; [] for detections, whose number is no part of the task."""
    with evaluating(model), torch.no_grad():
        found = run_model(model, compared.inputs)
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
