"""Measures the latency of models, and of their fused blocks, in a separate process that does nothing else.

All models of one call are measured in turns, so that a machine that slows down slows all of them down.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from ..errors import Message, SecateurError
from ..inference.model_inputs import Inputs, at_size, write
from ..jobs import CancelToken, Job, NeverCancelled
from ..machine.devices import CPU, check_threads, device_named, kind_of
from ..messages import all_of
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from .protocol import RUNTIME, Kernel, Latency, TargetSpec, Timing
from .remote import check_bench, machine_words, measure_over_ssh, timing_of_bench
from .table import machine_of, target_named
from .timing import PATIENCE

WORKER = "secateur.engine.targets.worker"


@dataclass(frozen=True, slots=True)
class Profile:
    """What was seen of a model.

    Attributes:
        seconds: One run on a processor that nothing else uses (`timing.undisturbed_seconds`).
        original: The same of the original, in turns with it.
        wall: Wall time of one run, in the median.
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


def measure(
    models: Sequence[str | Path], inputs: Inputs, target: TargetSpec, *, token: CancelToken | None = None
) -> Job[tuple[Timing, ...]]:
    """Latency of each model on the target, interleaved; of the prompt where the target has one.

    Args:
        models: What `TARGETS[target.runtime].takes`: ONNX files, or folders that `export.model_package.pack` wrote.
        inputs: Example inputs of the models, positional or by name, arrays or tensors [N, ...]; repeated or cut to
            `target.batch`.
        target: Runtime, threads, batch and seconds a model; its machine is reached over `ssh` where it has an address.
        token: Kills the process within a tenth of a second.
    """
    require_inputs(inputs)
    if target.address:
        check_target(models, target)
        results = yield from measure_over_ssh(models, inputs, target, token or NeverCancelled())
        kept, words = replace(target, address=""), machine_words(results.machine)
        return tuple(replace(timing_of_bench(one, kept, words), when=round(time.time())) for one in results.models)
    given = [at_size(inputs, target.lengths)] * len(models)
    rows = yield from _times(models, given, target, token or NeverCancelled(), step=False)
    machine = machine_of(target)
    timings = list[Timing]()
    for times, own in rows:
        one, processor = _latency(times), float(np.median(own)) * 1e3
        timings.append(
            Timing(target, one.median, one.low, one.high, one.runs, machine, own=processor, when=round(time.time()))
        )
    return tuple(timings)


def measure_steps(
    models: Sequence[str | Path], inputs: Sequence[Inputs], target: TargetSpec, token: CancelToken
) -> Job[tuple[Latency, ...]]:
    """Latency of one further token of each model behind the target's prompt, interleaved.

    Args:
        models: As of `measure`; files take the inputs of `token_step.StepModel`.
        inputs: Of each model: the tokens of a prompt, or what its file takes.
        target: As of `measure`.
        token: Kills the process within a tenth of a second.
    """
    rows = yield from _times(models, inputs, target, token, step=True)
    return tuple(_latency(times) for times, _ in rows)


def _times(
    models: Sequence[str | Path], inputs: Sequence[Inputs], target: TargetSpec, token: CancelToken, step: bool
) -> Job[list[tuple[list[float], list[float]]]]:
    """Seconds of the runs of each model, and of the processor."""
    runtime = target_named(target.runtime)
    check_target(models, target)
    with temporary_folder() as folder:
        paths = [folder / f"inputs-{number}.npz" for number in range(len(models))]
        for path, given in zip(paths, inputs, strict=True):
            write(path, given)
        files = [str(Path(m).absolute()) for m in models]
        job = {"models": files, "inputs": list(map(str, paths)), "target": asdict(target), "step": step}
        what = Message("process.measuring", "The measurement with {title}", {"title": runtime.title})
        result = yield from run_killable(f"{WORKER}:main", job, token, what, target.threads)
    return list(zip(result["times"], result["own"], strict=True))


def require_inputs(inputs: Inputs) -> None:
    """Raise SecateurError where there are none."""
    if not inputs:
        raise SecateurError(
            "target.inputs",
            "The model has no example inputs, so it cannot be measured. Open it with an input shape or data.",
        )


def check_target(models: Sequence[str | Path], target: TargetSpec) -> None:
    """Raise SecateurError for what cannot be measured."""
    runtime = target_named(target.runtime)
    if not target.is_reachable:
        template = "{machine} is another machine. Write a bench for it, run it there, and read its results."
        raise SecateurError("target.elsewhere", template, machine=target.machine)
    if target.address:
        check_bench(target)
        if target.runtime != RUNTIME:
            template = "Another machine measures in {known} only, not in {given}. Choose {known} for the target."
            raise SecateurError("target.bench_runtime", template, known=RUNTIME, given=target.runtime)
    elif target.precision not in runtime.precisions:
        template = "{title} measures only in {known}, not in {given}. Choose {known}."
        known = all_of(runtime.precisions)
        raise SecateurError("target.precision", template, title=runtime.title, known=known, given=target.precision)
    if target.device != CPU and not target.address:
        if kind_of(target.device) not in runtime.devices:
            template = "{title} measures on the CPU here, not on {device}. Choose PyTorch to measure there."
            raise SecateurError("target.device", template, title=runtime.title, device=target.device)
        device_named(target.device)
    if min(target.threads, target.batch, *target.lengths) < 1:
        raise SecateurError("target.numbers", "Threads, batch and input sizes of a target must be at least 1.")
    if not target.address:
        check_threads(target.threads)
    for model in models:
        if not Path(model).exists():
            raise SecateurError("target.missing", "File {path} does not exist. Export it again.", path=str(model))


def _latency(times: list[float]) -> Latency:
    """From seconds a run to milliseconds."""
    low, median, high = (float(v) * 1e3 for v in np.percentile(times, [10, 50, 90]))
    return Latency(median, low, high, len(times))


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
        title = target_named(target.runtime).title
        what = Message("process.measuring", "The measurement with {title}", {"title": title})
        result = yield from run_killable(f"{WORKER}:profile_model", job, token, what, target.threads)
    return msgspec.convert(result, Profile)


def profiles_over_ssh(
    original: str | Path, models: Sequence[str | Path], inputs: Inputs, target: TargetSpec, token: CancelToken
) -> Job[list[Profile]]:
    """As `profile`, of several models on another machine, in one connection.

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
    results = yield from measure_over_ssh([original, *models], inputs, target, token, blocks=True)
    words = machine_words(results.machine)
    first, *timings = [timing_of_bench(one, target, words) for one in results.models]
    found = list[Profile]()
    for one, timing in zip(results.models[1:], timings, strict=True):
        seconds, whole = timing.undisturbed / 1e3, sum(block[3] for block in one.blocks)
        # Blocks are timed on the CPU alone: elsewhere each gets its part of the time that was measured there.
        part = 1.0 if target.device == CPU or not whole else seconds / whole
        kernels = tuple(Kernel(name, kind, sizes, part * taken) for name, kind, sizes, taken in one.blocks)
        found.append(
            Profile(
                seconds,
                original=first.undisturbed / 1e3,
                wall=one.median / 1e3,
                original_wall=first.median / 1e3,
                kernels=kernels,
                machine=words,
            )
        )
    return found


def usual_speed(known: Iterable[Profile]) -> float:
    """Seconds that the original took in the median of what was measured; 0 where nothing was."""
    seen = [one.original_wall for one in known]
    return float(np.median(seen)) if seen else 0.0
