"""How long a heavy step will take and how much memory it needs, about, before it is started.

Time comes from the machine that the engine is on: from the last step of the same kind, scaled by how much there is to
do, in this session or else in an earlier one, or from how long judging the original took. Memory is counted from
shapes. Both are said with "about", and refuse nothing.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QCoreApplication

from secateur.engine.machine.device_list import CPU
from secateur.engine.machine.operating_system import free_memory
from secateur.engine.planning.budget_schedule import rounds_to
from secateur.engine.planning.protocol import Choose, Goal
from secateur.engine.recovery.budget import Unit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.criteria import CRITERIA, context_of
from secateur.engine.sensitivity.protocol import SHARES, removals, sets_of, trials
from secateur.engine.session.states import State
from secateur.engine.structures.analysis import Analysis, Mask, from_identities
from secateur.engine.structures.memory import SINGLE, Memory, sample_memory, training_bytes
from secateur.engine.targets.protocol import WRITING
from secateur.engine.workflows.prune import PruneRequest
from secateur.engine.workflows.sweep import at_share

from ..document.document import Document
from ..storage import settings
from ..text.format import about, size
from ..text.metrics import timing_of

UNKNOWN = math.nan
BACKWARD = 2.0
"""A backward pass in forward passes."""
COMPARED = 2
"""Samples that a verification runs at a time."""
COMPUTING = ("evaluate", "recover", "score")
"""Steps whose work is multiply-accumulates; a session that was restored is not evaluated again, but scored."""
TIMES = "times"
"""What steps took is kept among the settings by that name."""
NEAR = 1
"""Of magnitudes, how far apart models may be for the time of one to say something of the other's."""
Took = tuple[float, float]
"""(work, seconds) of a step."""
SHORTEST = 0.05
"""Seconds below which a finished step teaches nothing about the next."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a step will take; NaN where that is not known.

    Attributes:
        work: How much it is, in multiply-accumulates or another unit of its own.
        seconds: Of time.
        bytes: Of memory, beyond what the program uses anyway.
    """

    work: float = UNKNOWN
    seconds: float = UNKNOWN
    bytes: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class SensitivityCost:
    """What a sensitivity analysis will cost.

    Attributes:
        trials: How many cuts are tried.
        samples: On how many samples each is evaluated, 0 unknown.
        seconds: About how long all of it takes, NaN unknown.
    """

    trials: int
    samples: int
    seconds: float


ON_DEVICE = frozenset({"evaluate", "score", "recover", "sensitivity", "sweep"})
"""What runs on the chosen device."""


class CostEstimator:
    """What steps of this session took, and what the next ones will.

    Attributes:
        free_of: Bytes of memory that are free on a device of the engine's machine, NaN where unknown.
    """

    def __init__(self, document: Document) -> None:
        """Nothing is known at first."""
        self._document = document
        self._took: dict[str, Took] = {}
        self._model: Analysis | None = None
        # What steps took in earlier sessions, by method and machine, and the model's size.
        kept: dict[str, dict[str, list[float]]] = settings.value(TIMES, {})
        found: dict[str, dict[int, Took]] = {}
        for name, sizes in kept.items():
            # Another version may have written it, or a hand changed it.
            with suppress(ValueError, TypeError, AttributeError):
                found[name] = {int(size): (float(work), float(took)) for size, (work, took) in sizes.items()}
        self._earlier: dict[str, dict[int, Took]] = {
            name: {size: took for size, took in by.items() if min(took) > 0} for name, by in found.items()
        }
        self._memory: dict[str, tuple[Analysis, Memory]] = {}
        self.free_of: Callable[[str], float] = lambda _device: UNKNOWN
        self._trials: tuple[object, object, int] = (None, None, 0)
        self._kinds: dict[str, Callable[..., Estimate]] = {
            "evaluate": self._evaluate,
            "score": self._score,
            "cut": self._cut,
            "recover": self._recover,
            "export": self._export,
            "measure": self._measure,
            "sensitivity": self._sensitivity,
            "sweep": self._sweep,
        }

    def take(self, method: str, estimate: Callable[..., Estimate]) -> None:
        """Have calls of a method estimated by who makes them; it is given the arguments of the call."""
        self._kinds[method] = estimate

    def learn(self, method: str, work: float, seconds: float) -> None:
        """A step of that much work took so long."""
        if work > 0 and seconds > SHORTEST:
            self._forget_another_model()
            self._took[method] = work, seconds
            # Computing differs in speed from model to model, so it teaches nothing about the next one.
            if method not in COMPUTING:
                self._earlier.setdefault(self._name(method), {})[self._magnitude()] = work, seconds
                kept = {
                    name: {str(size): list(took) for size, took in by.items()} for name, by in self._earlier.items()
                }
                settings.store(TIMES, kept)

    def _forget_another_model(self) -> None:
        """What steps took is of one model."""
        if self._model is not self._document.analysis:
            self._model = self._document.analysis
            self._took.clear()

    def _magnitude(self) -> int:
        """Of the model: how often the least cost doubles up to its MACs and parameters."""
        original = self._document.original
        return round(math.log2(max(original.macs + original.parameters, 1))) if original is not None else 0

    def _name(self, method: str) -> str:
        """Of what a step took where the engine is: another machine is not as fast as this one."""
        place = self._document.engine.place
        return f"{method} on {place}" if place else method

    def _last_time(self, method: str) -> Took | None:
        """What the last step of that kind took: of this model, else in an earlier session of one of about its size."""
        self._forget_another_model()
        if (took := self._took.get(method)) is not None:
            return took
        size = self._magnitude()
        near = {abs(other - size): took for other, took in self._earlier.get(self._name(method), {}).items()}
        return next((near[apart] for apart in sorted(near) if apart <= NEAR), None)

    def estimate(self, method: str, *arguments: Any) -> Estimate:
        """What a call of the session will take; the arguments are those of the call."""
        kind = self._kinds.get(method)
        if kind is None or self._document.analysis is None:
            return Estimate()
        found = kind(*arguments)
        known = self._last_time(method)
        if found.work == found.work and known and (method in self._took or found.seconds != found.seconds):
            return Estimate(found.work, self._time(method, found.work), found.bytes)
        return found

    def words(self, method: str, *arguments: Any) -> str:
        """The estimate as a sentence, "" where nothing is known."""
        return self.estimate_text(self.estimate(method, *arguments), method in ON_DEVICE)

    def estimate_text(self, estimate: Estimate, on_device: bool = False) -> str:
        """An estimate as a sentence; free memory is left out for a device that was not looked at yet.

        Args:
            estimate: What a step takes.
            on_device: It runs on the chosen device, not on the CPU whichever that is.
        """
        device = self._document.contents.device if on_device else CPU
        here = device == CPU and not self._document.engine.place
        return estimate_words(estimate, None if here else self.free_of(device))

    def training_seconds(self, epochs: float, share: float) -> float:
        """Seconds of a recovery with the original as teacher; 0 where that cannot be known.

        Args:
            epochs: Passes over the train split.
            share: MACs of what is trained, as a share of the original's.
        """
        original = self._document.original
        return self._time("recover", self._lessons(epochs, share * original.macs)) if original is not None else 0.0

    def recovery_seconds(self, settings: RecoverySettings, share: float) -> float:
        """The same of a recovery with these settings: its minutes, or the time of its epochs."""
        settings = self._trained_settings(settings)
        return 60 * settings.minutes or self.training_seconds(self._passes(settings), share)

    def rounds_seconds(self, settings: RecoverySettings, share: float, rounds: int) -> float:
        """The same of the recoveries after each of so many cuts by equal factors, down to a share of the MACs."""
        return sum(self.recovery_seconds(settings, share ** (number / rounds)) for number in range(1, rounds + 1))

    def _trained_settings(self, settings: RecoverySettings) -> RecoverySettings:
        """What is trained with these settings: a repair by distillation trains too."""
        settings = self._document.contents.suited(settings)
        return settings.distilling or settings

    def _passes(self, settings: RecoverySettings) -> float:
        """Passes over the train split that a recovery's budget comes to; of minutes that is unknown."""
        task, samples, budget = self._document.task, max(self._samples("train"), 1), settings.budget
        if budget.unit is Unit.STEPS:
            return budget.amount * settings.accumulate * self._batch() / samples
        if budget.unit is Unit.TOKENS:
            return budget.amount / (max(task.tokens if task is not None else 0, 1) * samples)
        return settings.epochs

    def evaluation_seconds(self, split: str, share: float) -> float:
        """Seconds to evaluate a model of that share of the original's MACs on a split; 0 where that cannot be known."""
        original = self._document.original
        return self._time("evaluate", self._samples(split) * share * original.macs) if original is not None else 0.0

    def sensitivity(self) -> SensitivityCost:
        """What measuring the sensitivity of the current state would cost, before it is started."""
        document, task = self._document, self._document.task
        if document.analysis is None or task is None:
            return SensitivityCost(0, 0, UNKNOWN)
        analysis, removed = document.analysis, document.removed
        # Counted once for a state: views ask whenever they are shown, and a large model has thousands of trials.
        if self._trials[0] is not analysis or self._trials[1] is not removed:
            numbers = sets_of(analysis, removed, Goal(()))
            self._trials = (analysis, removed, len(trials(removals(analysis, removed, numbers, SHARES), numbers)))
        count = self._trials[2]
        samples = task.sizes.get("val", 0)
        share = document.state.macs / max(document.original.macs, 1) if document.state and document.original else 1.0
        seconds = count * self.evaluation_seconds("val", share)
        return SensitivityCost(count, samples, seconds if seconds else UNKNOWN)

    def _time(self, method: str, work: float) -> float:
        """Seconds of that much work, as the last step of its kind took; 0 where that cannot be known."""
        done, took = self._last_time(method) or (UNKNOWN, UNKNOWN)
        found = took * work / done if took == took else self._seconds(work)
        return found if found == found else 0.0

    def _lessons(self, epochs: float, macs: float) -> float:
        """Multiply-accumulates of a recovery: the teacher runs, the student steps, each epoch is evaluated."""
        original = self._document.original
        step = (original.macs if original is not None else 0) + (1 + BACKWARD) * macs
        return float(epochs * (self._samples("train") * step + self._samples("val") * macs))

    def _tuning(self, settings: RecoverySettings) -> float:
        """Multiply-accumulates of tuning the teacher, where no recovery of this session has done that."""
        original, tuning, task = self._document.original, settings.tuning, self._document.task
        recoveries = (one.recovery for one in self._document.contents.states.values())
        known = any(one is not None and one.tuning == tuning for one in recoveries)
        if original is None or tuning is None or known or task is None or not task.loss:
            return 0.0
        each = self._samples("train") * (1 + BACKWARD) + self._samples("val")
        return float(self._passes(tuning) * each * original.macs)

    # Kinds of steps. Times that are not learned come from how long judging the original took.

    def _state(self, name: str) -> State | None:
        return self._document.contents.states.get(name)

    def _seconds(self, macs: float) -> float:
        """Of that many multiply-accumulates, at the speed at which the original was evaluated, or anything since."""
        task, original = self._document.task, self._document.original
        if task is not None and task.seconds > 0 and original is not None and original.macs > 0:
            return macs * task.seconds / original.macs
        work, took = next((self._took[one] for one in COMPUTING if one in self._took), (UNKNOWN, UNKNOWN))
        return macs * took / work

    def _samples(self, split: str) -> int:
        return self._document.task.sizes.get(split, 0) if self._document.task is not None else 0

    def _batch(self) -> int:
        return self._document.task.batch if self._document.task is not None else 1

    def _activations(self, state: State) -> Memory:
        """Of one sample in a state; counted once for each."""
        analysis = self._document.analysis
        assert analysis is not None
        known = self._memory.get(state.id)
        if known is None or known[0] is not analysis:
            removed: Mask = from_identities(analysis, state.removed)[0]
            known = self._memory[state.id] = (analysis, sample_memory(analysis, removed))
        return known[1]

    def _evaluate(self, name: str, split: str) -> Estimate:
        state = self._state(name)
        if state is None:
            return Estimate()
        work = float(self._samples(str(split)) * state.macs)
        need = SINGLE * state.parameters + self._batch() * self._activations(state).peak
        return Estimate(work or UNKNOWN, self._seconds(work) if work else UNKNOWN, need)

    def _score(self, name: str, criterion: str, choices: Any) -> Estimate:
        state, document = self._state(name), self._document
        if state is None or document.analysis is None:
            return Estimate()
        removed = from_identities(document.analysis, state.removed)[0]
        cost = CRITERIA[criterion].cost(context_of(document.analysis, removed, document.task), choices)
        each = 1 if cost.samples else self._batch()
        work = float((cost.forwards + BACKWARD * cost.backwards) * each * state.macs)
        held = self._activations(state)
        need = SINGLE * state.parameters + each * (held.saved if cost.backwards else held.peak)
        need += SINGLE * state.parameters if cost.backwards else 0
        return Estimate(work or UNKNOWN, self._seconds(work) if work else UNKNOWN, need)

    def _cut(self, name: str, *_rest: Any) -> Estimate:
        state, original = self._state(name), self._document.original
        if state is None or original is None:
            return Estimate()
        # A verification holds a part of both models' parameters in another form.
        both = original.parameters + state.parameters
        need = SINGLE * (state.parameters + both // 3) + 2 * COMPARED * self._activations(original).peak
        return Estimate(float(original.macs + original.parameters), UNKNOWN, need)

    def _recover(self, name: str, settings: RecoverySettings) -> Estimate:
        state, original = self._state(name), self._document.original
        if state is None or original is None:
            return Estimate()
        asked = self._trained_settings(settings)
        work = self._lessons(self._passes(asked) if asked.trains else 1, state.macs) + self._tuning(settings)
        task = self._document.task
        taught = asked.teaches or task is None or not task.loss
        sample = self._activations(state).saved + (self._activations(original).peak if taught else 0)
        need = training_bytes(original.parameters if taught else 0, state.parameters) + self._batch() * sample
        if settings.minutes:
            return Estimate(UNKNOWN, 60 * settings.minutes, need)
        return Estimate(work or UNKNOWN, self._seconds(work) if work else UNKNOWN, need)

    def _export(self, name: str, *_rest: Any) -> Estimate:
        state = self._state(name)
        if state is None:
            return Estimate()
        return Estimate(float(state.macs + state.parameters), UNKNOWN, 3 * SINGLE * state.parameters)

    def _measure(self, names: tuple[str, ...], target: Any) -> Estimate:
        states = [state for name in names if (state := self._state(name)) is not None]
        need = sum(SINGLE * one.parameters + target.batch * self._activations(one).peak for one in states)
        # The files of the other states have been written already.
        fresh = [one for one in states if timing_of(one, target) is None]
        work = len(states) + WRITING * len(fresh)
        return Estimate(work, UNKNOWN if self._last_time("measure") else target.seconds * work, need)

    def _sweep(self, name: str, prune_settings: PruneRequest, shares: tuple[float, ...], *_rest: Any) -> Estimate:
        """Its work is not said: what was made before is not made again, so that its time would teach nothing."""
        settings = prune_settings.recovery
        seconds = sum(self.evaluation_seconds("test", one) for one in shares)
        if settings is None or not self._trained_settings(settings).trains:
            return Estimate(UNKNOWN, seconds or UNKNOWN, self._cut(name).bytes)
        for share, count in zip(shares, self.rounds(name, prune_settings, shares), strict=True):
            seconds += self.rounds_seconds(settings, share, count)
        need = self._recover(name, settings).bytes
        return Estimate(UNKNOWN, seconds or UNKNOWN, need)

    def rounds(self, name: str, prune_settings: PruneRequest, shares: tuple[float, ...]) -> tuple[int, ...]:
        """In how many cuts a sweep from a state gets to each share; the settings are those of the sweep."""
        analysis, state = self._document.analysis, self._state(name)
        if prune_settings.choose is not Choose.ROUNDS or analysis is None or state is None:
            return (1,) * len(shares)
        gone = from_identities(analysis, state.removed)[0] | from_identities(analysis, prune_settings.marked)[0]
        return tuple(rounds_to(analysis, at_share(prune_settings, share).goal, gone) for share in shares)

    def _sensitivity(self, *_rest: Any) -> Estimate:
        cost, state, known = self.sensitivity(), self._document.state, self._document.curves
        if state is None or not cost.trials:
            return Estimate()
        # Points that were measured are not measured again.
        left = 1.0 if known is None else 1 - known.tried / cost.trials
        need = 2 * SINGLE * state.parameters + self._batch() * self._activations(state).peak
        return Estimate(cost.trials * left, cost.seconds * left, need)


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate("CostEstimator", text)


def estimate_words(estimate: Estimate, free: float | None = None) -> str:
    """Time and memory in a sentence; memory that is not there is said, never refused.

    Args:
        estimate: What a step takes.
        free: Bytes that can be had now; None asks the system.
    """
    known, need = estimate.seconds == estimate.seconds, estimate.bytes == estimate.bytes
    parts = [say("about {0}").format(about(estimate.seconds))] if known else []
    parts += [say("about {0} of memory").format(_size(estimate.bytes))] if need else []
    if not parts:
        return ""
    words = say("Takes {0}.").format(say(" and ").join(parts))
    free = free_memory() if free is None else free
    if need and free == free and estimate.bytes > free:
        words += " " + say("Only {0} of memory is free now.").format(_size(free))
    return words


def _size(amount: float) -> str:
    """Bytes with two digits: an estimate has no more."""
    number, unit = size(float(f"{amount:.2g}")).split(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"
