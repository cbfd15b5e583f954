"""The sample's task: the part of Fashion-MNIST that ships, opened like any other .npz."""

from dataclasses import replace

from secateur.resources import fashion_mnist, samples

from .arrays import read_arrays
from .data_task import DataTask
from .protocol import TaskSpec
from .purposes.classification import PURPOSE as CLASSIFICATION


def open_bundled(spec: TaskSpec) -> DataTask:
    """The bundled images with the normalisation that the bundled networks were trained with."""
    spec = replace(spec, mean=spec.mean or (fashion_mnist.MEAN,), std=spec.std or (fashion_mnist.STD,))
    return DataTask(spec, read_arrays(samples.arrays(), spec, title="Fashion-MNIST (part)"), CLASSIFICATION)
