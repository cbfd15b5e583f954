"""Whether a device has the memory that a model or a job needs: said before anything is loaded or moved there."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import Message, OpenError, OutOfMemory
from ..jobs import Job, Progress
from ..machine.device_list import CPU, Device, device_facts
from ..machine.operating_system import swap_space
from ..recovery.protocol import RecoverySettings
from ..sources.protocol import ModelSpec
from ..sources.weight_size import weight_bytes
from ..structures.analysis import Analysis, Mask
from ..structures.costs import costs
from ..structures.memory import gathered_parameters, sample_memory, training_bytes
from ..text.format import byte_size


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes that a step of a training takes in one process.

    Attributes:
        held: Weights, gradients and moments of the optimiser.
        sample: Activations of one sample.
        samples: That the process has of a batch.
    """

    held: int
    sample: int
    samples: int

    @property
    def activations(self) -> int:
        """Activations of all its samples."""
        return self.samples * self.sample


def training_memory(
    analysis: Analysis,
    removed: Mask,
    batch: int,
    settings: RecoverySettings,
    processes: int = 1,
    taught: bool = True,
) -> TrainingMemory:
    """What a training needs, counted as `structures/memory.py` says.

    Args:
        analysis: Of the original, which teaches.
        removed: [S] what the student does not have.
        batch: Samples in a batch.
        settings: Of the training.
        processes: That train together, on a device each.
        taught: The teacher has a part in the loss.
    """
    sample = sample_memory(analysis, removed).saved + (sample_memory(analysis).peak if taught else 0)
    teacher, student = costs(analysis).parameters if taught else 0, costs(analysis, removed).parameters
    parts = processes if settings.shard else 1
    gathered = gathered_parameters(analysis, removed) if parts > 1 else 0
    deals = settings.accumulate >= processes  # whole batches, see `Portion`
    collects = settings.accumulate > (processes if deals else 1)
    held = training_bytes(teacher, student, processes=parts, gathered=gathered, collects=collects)
    own = batch if deals else -(-batch // processes)
    return TrainingMemory(held, sample, own)


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


def room_to_train(
    analysis: Analysis,
    removed: Mask,
    batch: int,
    device: str,
    settings: RecoverySettings,
    processes: int = 1,
    taught: bool = True,
) -> Job[None]:
    """Tell where a training needs more memory than its device has free.

    Args:
        analysis: Of the original, which teaches.
        removed: [S] what the student does not have.
        batch: Samples in a step.
        device: Where both run.
        settings: Of the training.
        processes: That train together, on a device each.
        taught: The teacher has a part in the loss, and goes to the device.

    Raises:
        OutOfMemory: The device is too small for a step of one sample.
    """
    need = training_memory(analysis, removed, batch, settings, processes, taught)
    least, usual = need.held + need.sample, need.held + need.activations
    facts = device_facts(device)
    if facts.total and least > facts.total:
        template = (
            "Training needs about {need} of memory, and {device} has {total}. Choose another device, or prune more "
            "before recovery."
        )
        fields = _named(facts, least) | {"total": byte_size(facts.total)}
        raise OutOfMemory("memory.training", template, **fields)
    if facts.free and usual > facts.free:
        template = "Training needs about {need} of memory, and {device} has {free} free: batches may be divided"
        yield Progress(Message("memory.scarce", template, _named(facts, usual)))


def _named(one: Device, need: int) -> dict[str, str]:
    return {"device": one.name, "need": byte_size(need), "free": byte_size(one.free)}
