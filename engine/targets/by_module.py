"""How long each module of a model takes in a forward, with all modules in it, measured in PyTorch by hooks.

A runtime that fuses layers spends its time otherwise; the shares say where a forward in PyTorch spends it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any, cast

import torch
from torch import nn

from ..inputs import Inputs, call
from ..jobs import CancelToken, Job, Progress, check

RUNS, WARM, SECONDS = 25, 2, 10.0
"""Forwards that are measured and that warm up, and seconds after which no further one begins."""


class _Clock:
    """Adds up the seconds of a forward by module path; a module that calls itself counts once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun: dict[str, list[float]] = {}

    def begin(self, path: str) -> None:
        self._begun.setdefault(path, []).append(time.perf_counter())

    def end(self, path: str) -> None:
        begun = self._begun.get(path)
        if begun:
            took = time.perf_counter() - begun.pop()
            if not begun:
                self.seconds[path] = self.seconds.get(path, 0.0) + took


def module_times(model: nn.Module, inputs: Inputs, threads: int, token: CancelToken) -> Job[dict[str, float]]:
    """Share of a forward's time in each module, with all modules in it; the model itself, "", has 1.

    Args:
        model: In eval mode; left as it was.
        inputs: What it is called with.
        threads: Intra-op threads while it is measured.
        token: Cancels.

    Returns:
        Medians over the runs by module path, as shares; modules that were not called are missing.
    """
    handles, before, clock = list[Any](), torch.get_num_threads(), _Clock()
    seen: dict[str, list[float]] = {}
    try:
        torch.set_num_threads(threads)
        for path, module in cast("Iterable[tuple[str, nn.Module]]", model.named_modules()):
            handles.append(module.register_forward_pre_hook(_before(clock, path)))
            handles.append(module.register_forward_hook(_after(clock, path), always_call=True))
        started = time.perf_counter()
        for run in range(WARM + RUNS):
            check(token)
            if run > WARM and time.perf_counter() - started > SECONDS:
                break
            yield Progress(f"Forward {run + 1} of {WARM + RUNS}", run, WARM + RUNS)
            clock.seconds.clear()
            with torch.inference_mode():
                call(model, inputs)
            if run >= WARM:
                for path, took in clock.seconds.items():
                    seen.setdefault(path, []).append(took)
    finally:
        for handle in handles:
            handle.remove()
        torch.set_num_threads(before)
    return _shares({path: median(times) for path, times in seen.items()})


def _before(clock: _Clock, path: str) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        clock.begin(path)

    return hook


def _after(clock: _Clock, path: str) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        clock.end(path)

    return hook


def _shares(seconds: Mapping[str, float]) -> dict[str, float]:
    whole = max(seconds.get("", 0.0), 1e-12)
    return {path: took / whole for path, took in seconds.items()}
