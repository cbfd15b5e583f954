"""The sample's task on the bundled networks."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from torch import nn

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, Task
from secateur.engine.tracing.tree import tensors_of
from secateur.resources import fashion_mnist, models, samples

from ...few_images import SIZES, few_images
from .makers import rows_of, spec


@pytest.fixture(scope="module")
def task() -> Task:
    return open_task(spec("bundled"))


def bundled(net: str) -> nn.Module:
    model = models.FACTORIES[net]()
    model.load_state_dict(load_file(samples.weights(net)))
    return model


@pytest.mark.parametrize("net", samples.NETS)
def test_the_bundled_networks_score_what_was_recorded(task: Task, net: str) -> None:
    metric = finish(task.evaluate(bundled(net), Split.TEST, NeverCancelled()))
    recorded = samples.summary()[net]
    assert metric.count == recorded["shipped_test"]["n"] == 2_000
    assert metric.value == pytest.approx(recorded["shipped_test"]["accuracy"], abs=2 / 2_000)
    assert abs(metric.value - recorded["shipped_test"]["accuracy"]) < 4 * metric.error  # a part speaks for the whole


def test_splits_have_no_image_in_common(task: Task) -> None:
    train, val, test = (rows_of(task, split) for split in Split)
    assert not train & val
    assert not test & (train | val)


def test_samples_show_five_classes_as_the_model_sees_them(task: Task) -> None:
    info = task.info(bundled("resnet"))
    assert info.sizes == {"train": 10_000, "val": 2_000, "test": 2_000}
    assert info.classes == fashion_mnist.CLASSES
    assert len({sample.label for sample in info.samples}) == 5
    lowest = (0 - fashion_mnist.MEAN) / fashion_mnist.STD
    highest = (1 - fashion_mnist.MEAN) / fashion_mnist.STD
    for sample in info.samples:
        assert sample.shape == (1, 28, 28)
        assert sample.image is not None
        assert (sample.image.shape, sample.image.dtype) == ((28, 28), np.uint8)
        assert sample.low == pytest.approx(lowest)
        assert sample.low < sample.high <= highest + 1e-6
        assert sample.predicted in fashion_mnist.CLASSES
    assert sum(sample.label == sample.predicted for sample in info.samples) >= 3


def test_examples_are_what_the_networks_take(task: Task) -> None:
    (x,) = tensors_of(task.example_inputs())
    assert x.shape == (2, 1, 28, 28)
    assert bundled("vit")(x).shape == (2, 10)


def test_a_few_images_take_the_place_of_all_where_a_test_asks_for_them(task: Task, tmp_path: Path) -> None:
    """Also in a process that has opened all of them: else each course of a test trains on all."""
    with few_images(tmp_path):
        assert open_task(spec("bundled")).info(None).sizes == SIZES
