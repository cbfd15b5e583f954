"""A good model that numbers its classes otherwise than the data is noticed; a bad one, and a right one, are not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.data_hints import other_class_order
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, TaskSpec, option

from .makers import Brightest, bands

TRAINED = ("north", "south", "east", "west")
"""The classes in the order of the model's outputs, which is not that of the alphabet."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of each class, whose bright band has the number of the class in the model."""
    root = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(TRAINED):
        (root / name).mkdir()
        for place, pixels in enumerate(bands(np.full(40, number), 4)):
            Image.fromarray(pixels).save(root / name / f"{place:02}.png")
    return root


def spec_of(folder: Path, **options: str) -> TaskSpec:
    return TaskSpec("folder", str(folder), options=(("grey", "yes"), *options.items()))


def accuracy(spec: TaskSpec, model: nn.Module) -> float:
    """Of all splits, counted by hand."""
    task = open_task(spec)
    pairs = [(model(x).argmax(1) == y) for split in Split for x, y in task.batches(split)]
    return float(torch.cat(pairs).double().mean())


def test_the_order_of_the_model_is_found_and_makes_it_right(folder: Path) -> None:
    model, spec = Brightest(4).eval(), spec_of(folder)
    assert accuracy(spec, model) < 0.3
    found = finish(other_class_order(open_task(spec), model, tuple(sorted(TRAINED)), NeverCancelled()))
    assert found is not None and tuple(json.loads(option(found.spec, "classes"))) == TRAINED
    assert "in the order north, south, east, west it gets" in str(found.message)
    assert accuracy(found.spec, model) == 1.0
    task = open_task(found.spec)
    assert finish(other_class_order(task, model, TRAINED, NeverCancelled())) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_only_guesses_gets_no_order(folder: Path, seed: int) -> None:
    task = open_task(spec_of(folder))
    assert finish(other_class_order(task, Shuffled(seed), tuple(sorted(TRAINED)), NeverCancelled())) is None


class Shuffled(nn.Module):
    """Predicts at random, whatever it sees."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.rand((len(x), 4), generator=self.generator)


def test_nothing_is_predicted_where_too_few_samples_of_each_class_would_be_seen(folder: Path) -> None:
    model = nn.Module()  # fails when it is called
    names = tuple(f"{number:03}" for number in range(65))
    assert finish(other_class_order(open_task(spec_of(folder)), model, names, NeverCancelled())) is None
