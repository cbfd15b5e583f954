"""A runtime in which a model takes a time for each of its weights, in place of one that measures."""

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from secateur.engine.session.session import Session
from secateur.engine.session.states import State
from secateur.engine.targets.measure import Profile
from secateur.engine.targets.protocol import Kernel, TargetSpec, Timing
from secateur.engine.targets.table import machine_of
from secateur.engine.workflows import latency_table, measure

BASE, EACH = 1e-4, 1e-7
"""Seconds of a run, and more for each weight."""
TORCH = TargetSpec("torch")
"""Takes what needs no export."""


class Weighed:
    """Replaces what profiles and what measures; takes packed models alone.

    Attributes:
        slower: When a whole cut is measured, it takes so many times what its profile says.
        measured: The states that were measured in turns.
        profiled: How many models were profiled.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slower, self.measured, self.profiled = 1.0, list[tuple[str, ...]](), 0
        monkeypatch.setattr(latency_table, "profile", self._profile)
        monkeypatch.setattr(measure, "measure_states", self._measure)

    def _profile(self, original: Path, model: Path, inputs, target, token, usual=0.0):
        self.profiled += 1
        tensors, others = (load_file(folder / "weights.safetensors") for folder in (model, original))
        kernels = tuple(Kernel(name, "Weight", (one.shape,), EACH * one.size) for name, one in tensors.items())
        size, whole = (sum(one.size for one in some.values()) for some in (tensors, others))
        return Profile(BASE + EACH * size, BASE + EACH * whole, 1.0, 1.0, kernels)
        yield

    def seconds(self, state: State) -> float:
        """Of a run, when it is measured."""
        return (BASE + EACH * state.parameters) * (self.slower if state.parent else 1.0)

    def _measure(self, session: Session, states: tuple[str, ...], target: TargetSpec, token):
        self.measured.append(states)
        timings: list[Timing] = []
        before = 1e3 * self.seconds(session.history.state("s0")) if "s0" in states else 0.0
        for one in map(session.history.state, states):
            timings.append(Timing(target, 1e3 * self.seconds(one), 0, 0, 5, machine_of(target), beside=before))
            session.history.put(replace(one, timings=(timings[-1],)))
        return tuple(timings)
        yield
