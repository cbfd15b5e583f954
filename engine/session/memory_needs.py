"""Whether a device has the memory that a model or a job needs: said before anything is loaded or moved there."""

from pathlib import Path

from ..device_list import CPU, Device, device_facts
from ..errors import Message, OpenError, OutOfMemory
from ..jobs import Job, Progress
from ..operating_system import swap_space
from ..sources.protocol import ModelSpec
from ..sources.weight_size import weight_bytes
from ..structures.analysis import Analysis, Mask
from ..structures.costs import costs
from ..structures.memory.peak import memory
from ..text.format import byte_size

SINGLE, OPTIMISER = 4, 4
"""Bytes of a float32; of a weight that is trained itself, its gradient and two moments."""


def room_to_open(spec: ModelSpec, device: str) -> Job[tuple[Message, ...]]:
    """Look at the sizes of a model's files; what will be scarce is told, and returned as notes on the model.

    Raises:
        OpenError: The weights are larger than all of the machine's memory, swap included.
    """
    need, machine = weight_bytes(spec), device_facts(CPU)
    if machine.total and need > machine.total + swap_space():
        template = (
            "{name} needs {need} of memory for its weights, and this machine has {total}. Cut it in its files with "
            "secateur shear, or open it on a larger machine."
        )
        name, total = Path(spec.source).name, byte_size(machine.total)
        raise OpenError("open.memory", template, name=name, need=byte_size(need), total=total)
    notes: list[Message] = []
    for one in (machine, device_facts(device))[: 1 if device == CPU else 2]:
        if one.free and need > one.free:
            template = (
                "The weights take {need} of memory, and {device} has {free} free. Close other programs, or use half "
                "precision, another device or secateur shear."
            )
            notes.append(Message("memory.weights", template, _named(one, need)))
            yield Progress(notes[-1])
    return tuple(notes)


def room_to_train(analysis: Analysis, removed: Mask, batch: int, device: str) -> Job[None]:
    """Tell where a training needs more memory than its device has free.

    Args:
        analysis: Of the original, which teaches.
        removed: [S] what the student does not have.
        batch: Samples in a step.
        device: Where both run.

    Raises:
        OutOfMemory: The device is too small for a step of one sample.
    """
    weights = SINGLE * (costs(analysis).parameters + OPTIMISER * costs(analysis, removed).parameters)
    samples = next((shape[0] for shape in analysis.input_shapes if shape), 1)  # of the run that was recorded
    sample = (memory(analysis, removed).saved + memory(analysis).peak) // max(samples, 1)
    facts = device_facts(device)
    if facts.total and weights + sample > facts.total:
        template = (
            "Training needs about {need} of memory, and {device} has {total}. Choose another device, or prune more "
            "before recovery."
        )
        fields = _named(facts, weights + sample) | {"total": byte_size(facts.total)}
        raise OutOfMemory("memory.training", template, **fields)
    if facts.free and weights + batch * sample > facts.free:
        template = "Training needs about {need} of memory, and {device} has {free} free: batches may be divided"
        yield Progress(Message("memory.scarce", template, _named(facts, weights + batch * sample)))


def _named(one: Device, need: int) -> dict[str, str]:
    return {"device": one.name, "need": byte_size(need), "free": byte_size(one.free)}
