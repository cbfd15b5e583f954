"""Measures the latency of models in a separate process, where nothing else of Secateur runs.

All models of one call are measured in turns, so that a machine that slows down slows all of them down.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..devices import CPU, check_threads, device_named, kind_of
from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, NeverCancelled
from ..messages import all_of
from ..model_inputs import Inputs, at_size, write
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from .machine_name import machine_of
from .over_ssh import measured_over_ssh
from .protocol import RUNTIME, Latency, TargetSpec, Timing
from .remote import check_bench, machine_words, timing_of_bench
from .table import target_named


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
        results = yield from measured_over_ssh(models, inputs, target, token or NeverCancelled())
        kept, words = replace(target, address=""), machine_words(results.machine)
        return tuple(replace(timing_of_bench(one, kept, words), when=_now()) for one in results.models)
    given = [at_size(inputs, target.lengths)] * len(models)
    rows = yield from _times(models, given, target, token or NeverCancelled(), step=False)
    machine = machine_of(target)
    return tuple(_timing(target, times, own, machine) for times, own in rows)


def measure_steps(
    models: Sequence[str | Path], inputs: Sequence[Inputs], target: TargetSpec, token: CancelToken
) -> Job[tuple[Latency, ...]]:
    """Latency of one further token of each model behind the target's prompt, interleaved.

    Args:
        models: As of `measure`; files are those of `targets.token_step.Decoding`.
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
        result = yield from run_killable("secateur.engine.targets.worker:main", job, token, what, target.threads)
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


def _timing(target: TargetSpec, times: list[float], own: list[float], machine: str) -> Timing:
    """From seconds a run, and of the processor, to milliseconds."""
    one = _latency(times)
    median = float(np.median(own)) * 1e3
    return Timing(target, one.median, one.low, one.high, one.runs, machine, own=median, when=_now())


def _now() -> float:
    return round(time.time())
