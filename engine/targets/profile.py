"""Profiles a model in a separate process: its time beside the original's, and that of each fused block."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..devices import CPU
from ..errors import Message
from ..jobs import CancelToken, Job
from ..model_inputs import Inputs, at_size, write
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from .measure import check_target, require_inputs
from .noise import PATIENCE
from .over_ssh import measured_over_ssh
from .protocol import Kernel, TargetSpec
from .remote import BenchedModel, machine_words
from .table import target_named


@dataclass(frozen=True, slots=True)
class Profile:
    """What was seen of a model.

    Attributes:
        seconds: One run, as if nobody else had wanted the processor (`clocked.undisturbed`).
        original: The same of the original, in turns with it.
        wall: One run as the clock on the wall says, in the median.
        original_wall: The same of the original.
        kernels: Its fused blocks.
        machine: Another one that measured, in words; "" for this one.
    """

    seconds: float
    original: float
    wall: float
    original_wall: float
    kernels: tuple[Kernel, ...]
    machine: str = ""


def profile(
    original: str | Path,
    model: str | Path,
    inputs: Inputs,
    target: TargetSpec,
    token: CancelToken,
    usual: float = 0.0,
    blocks: bool = True,
    patience: float = PATIENCE,
) -> Job[Profile]:
    """Time a model in turns with the original, then each of its fused blocks; again where the machine was slower.

    Args:
        original: What the target's runtime takes.
        model: The same; the original itself shows how much its own time spreads.
        inputs: Example inputs of both.
        target: Where, and how many seconds each; at this precision, batch and size.
        token: Kills the process within a tenth of a second.
        usual: Seconds that the original usually takes here (`usual_speed`); 0 where that is not known.
        blocks: Also time fused blocks.
        patience: Seconds that a machine which is slower than usual is waited for, with either of the two.
    """
    require_inputs(inputs)
    check_target((original, model), target)
    with temporary_folder() as folder:
        path = folder / "inputs.npz"
        write(path, at_size(inputs, target.lengths))
        files = [str(Path(one).absolute()) for one in (original, model)]
        job = {"models": files, "inputs": str(path), "target": asdict(target)}
        job |= {"usual": usual, "blocks": blocks, "patience": patience}
        what = Message(
            "process.measuring", "The measurement with {title}", {"title": target_named(target.runtime).title}
        )
        result = yield from run_killable(
            "secateur.engine.targets.profile_worker:main", job, token, what, target.threads
        )
    numbers = {name: result[name] for name in ("seconds", "original", "wall", "original_wall")}
    return Profile(**numbers, kernels=tuple(map(_kernel, result["kernels"])))


def profiles_over_ssh(
    original: str | Path, models: Sequence[str | Path], inputs: Inputs, target: TargetSpec, token: CancelToken
) -> Job[list[Profile]]:
    """The same of several models on another machine, in one connection.

    Fused blocks are timed on the CPU there. Where something else computes, each gets the part of the model's time that
    it takes of the CPU's: most providers run a whole model as one block, or do not wait for each.

    Args:
        original: An ONNX file.
        models: Others.
        inputs: Example inputs of all.
        target: Has an address; at this batch and size, and how many seconds each.
        token: Ends the connection.
    """
    require_inputs(inputs)
    check_target((original, *models), target)
    results = yield from measured_over_ssh([original, *models], inputs, target, token, blocks=True)
    first, *others = results.models
    words, on_cpu = machine_words(results.machine), target.device == CPU
    return [_benched(one, first, words, on_cpu) for one in others]


def _benched(one: BenchedModel, first: BenchedModel, machine: str, on_cpu: bool) -> Profile:
    """What another machine measured of a model and, in the same turns, of the original."""
    seconds = _undisturbed(one)
    whole = sum(block[3] for block in one.blocks)
    part = 1.0 if on_cpu or not whole else seconds / whole
    kernels = tuple(Kernel(name, kind, sizes, part * taken) for name, kind, sizes, taken in one.blocks)
    return Profile(seconds, _undisturbed(first), one.median / 1e3, first.median / 1e3, kernels, machine)


def _undisturbed(one: BenchedModel) -> float:
    """Seconds of a run if nobody else had wanted the processor."""
    return (min(one.median, one.own) if one.own else one.median) / 1e3


def usual_speed(known: Iterable[Profile]) -> float:
    """Seconds that the original took in the median of what was measured; 0 where nothing was."""
    seen = [one.original_wall for one in known]
    return float(np.median(seen)) if seen else 0.0


def _kernel(told: Sequence[Any]) -> Kernel:
    name, kind, sizes, seconds = told
    return Kernel(name, kind, tuple(tuple(one) for one in sizes), seconds)
