"""Trains the language models that benchmarks prune, from random weights."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.atomic_files import staged_write
from secateur.engine.tasks.protocol import Split

from . import harness

RATE = 3e-3
TEMPERATURE = 2.0
"""Of the teacher in all results of benchmarks with such models; the default is 1 now, see the page of benchmarks."""


def trained_language_model(spec: ModelSpec, make: Callable[[], nn.Module], file: Path, epochs: int) -> ModelSpec:
    """The specification with trained weights.

    Args:
        spec: With the task to train on.
        make: Gives the model with random weights.
        file: Where the weights lie; trained where there are none.
        epochs: Passes over the train split.
    """
    if not file.exists():
        _train(spec, make, file, epochs)
    return replace(spec, weights=str(file))


def _train(spec: ModelSpec, make: Callable[[], nn.Module], file: Path, epochs: int) -> None:
    """Train it; it is kept after every pass, and gone on with."""
    torch.manual_seed(0)
    model = make().train()
    begun = file.with_suffix(".begun.pt")
    with closing(Session()) as session:
        finish(session.open(spec, evaluate=False), harness.say)
        task: Any = session.task
        optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.1)
        total = epochs * task.batch_count(Split.TRAIN)
        course = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total, pct_start=0.1)
        parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "course": course}
        found: dict[str, Any] = torch.load(begun) if begun.exists() else {"done": 0}
        for name, one in parts.items() if found["done"] else ():
            one.load_state_dict(found[name])
        for epoch in range(found["done"], epochs):
            for batch in task.batches(Split.TRAIN, seed=epoch):
                optimizer.zero_grad()
                task.loss(model, batch).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                course.step()
            with staged_write(begun) as staged:
                torch.save({"done": epoch + 1} | {name: one.state_dict() for name, one in parts.items()}, staged)
    with staged_write(file) as staged:
        torch.save(model.state_dict(), staged)
