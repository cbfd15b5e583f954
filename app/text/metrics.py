"""Which measurement of a state is shown, and what the verification of its cut found: the same words everywhere."""

import time
from collections.abc import Iterable, Sequence

from PySide6.QtCore import QCoreApplication

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.machine.devices import CPU
from secateur.engine.session.states import State, StateKind
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, Split

from .format import PLUS_MINUS, difference, milliseconds, percent, rough, signed, three_digits
from .translate import engine_words, sentence

say = QCoreApplication.translate
NO_BREAK = "\u00a0"


def metric_of(state: State | None, split: Split | None = None) -> Metric | None:
    """The metric that is compared: on the test split as the original, else on any (or on `split` only)."""
    if state is None:
        return None
    by_split = {m.split: m for m in state.metrics}
    order = (Split.TEST, Split.VAL, Split.TRAIN) if split is None else (split,)
    return next((by_split[s] for s in order if s in by_split), None)


def timing_of(state: State | Baseline | None, target: TargetSpec) -> Timing | None:
    """The latency of a state or a baseline on a target, None when it was not measured there."""
    if state is None:
        return None
    return timing_in(state.timings, target)


def timing_in(timings: Sequence[Timing], target: TargetSpec) -> Timing | None:
    """The latency on a target among several, None when it was not measured there."""
    return next((one for one in timings if one.target.place == target.place), None)


def latency_text(timing: Timing) -> str:
    """1.2 ms, or 1.2 ms + 0.3 ms a token, where a further token was measured apart from its prompt."""
    whole = milliseconds(timing.median)
    if timing.step is None:
        return whole
    return say("states", "{0} + {1} per token").format(whole, milliseconds(timing.step.median))


def value_text(metric: Metric) -> str:
    """87.4 %, or the bare number."""
    return percent(metric.value) if metric.percent else three_digits(metric.value)


def error_text(metric: Metric) -> str:
    """\u00b1 0.33 (points for per cents), "" when unknown."""
    if not metric.error:
        return ""
    return f"{PLUS_MINUS} {100 * metric.error:.2f}" if metric.percent else f"{PLUS_MINUS} {three_digits(metric.error)}"


def difference_text(value: float, in_percent: bool, short: bool = True) -> str:
    """What a metric changes by: +0.3 pt for a fraction (points in a sentence), else a bare number with its sign."""
    if not in_percent:
        return difference(value)
    return (say("states", "{0} pt") if short else say("states", "{0} points")).format(signed(100 * value, 1))


def metric_text(metric: Metric) -> str:
    """87.4 % \u00b1 0.33, n = 10,000; without n where it is unknown."""
    whole = f"{value_text(metric)} {error_text(metric)}".strip().replace(" ", NO_BREAK)
    return f"{whole}, n{NO_BREAK}={NO_BREAK}{metric.count:,}" if metric.count else whole


def when_text(seconds: float) -> str:
    """A moment in this place's time: 2026-11-28 17:03; "" where it is unknown."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""


def metric_tip(metric: Metric) -> str:
    """What a metric is: value, error, n, split, and when it was measured."""
    words = say("states", "{0} {1}, measured on the {2} split").format(metric.name, metric_text(metric), metric.split)
    error = say("states", "{0} is one standard error").format(PLUS_MINUS) if metric.error else ""
    return "; ".join(filter(None, (words, when_text(metric.when), error)))


def timing_tip(timing: Timing) -> str:
    """What a latency is: target, spread, runs, machine, and when it was measured."""
    spread = say("states", "10th to 90th percentile {0} to {1} ms, {2} runs, {3}")
    words = spread.format(three_digits(timing.low), three_digits(timing.high), f"{timing.runs:,}", timing.machine)
    return "; ".join(filter(None, (target_text(timing.target), words, when_text(timing.when))))


def elsewhere_tip(state: State | None, split: Split) -> str:
    """Metrics of a state on other splits: they are not compared with those on this one. "" for none."""
    others = [metric for metric in (state.metrics if state is not None else ()) if metric.split is not split]
    words = say("states", "Not compared: {0}")
    return "\n".join(words.format(metric_tip(metric)) for metric in others)


def measured_tip(state: State, metric: Metric | None, timing: Timing | None, split: Split) -> str:
    """How what is shown of a state is known, a line each, and what of it is not compared on this split. "" for none."""
    lines = ("" if metric is None else metric_tip(metric), "" if timing is None else timing_tip(timing))
    return "\n".join(filter(None, (*lines, elsewhere_tip(state, split))))


def replaced(before: State, metrics: Iterable[Metric], timings: Iterable[Timing]) -> list[str]:
    """What newer measurements replace of a state, a sentence each; what came out the same is not mentioned.

    The first value on the test split takes the place of none on another split, and says which that was.
    """
    sentences = list[str]()
    for metric in metrics:
        old = next((one for one in before.metrics if one.like(metric)), None)
        if old is not None and old != metric:
            words = say("states", "{0} on the {1} split is {2}; it replaces {3}.")
            sentences.append(words.format(metric.name, metric.split, metric_text(metric), metric_text(old)))
        elif old is None and metric.split is Split.TEST and (picked := metric_of(before, Split.VAL)) is not None:
            words = say("states", "{0} on the test split is {1}. On val, which chose the weights, it was {2}.")
            sentences.append(words.format(metric.name, metric_text(metric), metric_text(picked)))
    for timing in timings:
        last = timing_of(before, timing.target)
        if last is not None and last != timing:
            words = say("states", "the latency is {0}; it replaces {1}.")
            sentences.append(words.format(latency_text(timing), latency_text(last)))
    return sentences


def kind_text(kind: StateKind) -> str:
    """A kind of state in a word."""
    return {
        StateKind.ORIGINAL: say("states", "original"),
        StateKind.CUT: say("states", "cut"),
        StateKind.RECOVERED: say("states", "recovered"),
        StateKind.ATTACHED: say("states", "attached"),
        StateKind.MASKED: say("states", "masked"),
    }[kind]


def target_text(target: TargetSpec) -> str:
    """onnxruntime, batch 1, 1 thread."""
    threads = say("states", "1 thread") if target.threads == 1 else say("states", "{0} threads").format(target.threads)
    return ", ".join(
        [say("states", "{0}, batch {1}, {2}").format(target.runtime, target.batch, threads), *details(target)]
    )


def details(target: TargetSpec) -> list[str]:
    """What is not as usual: precision, sizes, a prompt, a device, another machine."""
    precision = "" if target.precision == "fp32" else target.precision
    prompt = say("states", "prompt of {0} tokens").format(target.tokens) if target.tokens else ""
    sizes = "" if prompt else "x".join(map(str, target.size))
    device = "" if target.device == CPU else target.device
    machine = say("states", "on {0}").format(target.machine) if target.machine else ""
    return [one for one in (precision, sizes, prompt, device, machine) if one]


def path_to(states: tuple[State, ...], present: State) -> list[State]:
    """From the original to a state."""
    by_id = {s.id: s for s in states}
    path = [present]
    while path[0].parent in by_id:
        path.insert(0, by_id[path[0].parent])
    return path


def path_through(states: tuple[State, ...], present: State) -> list[State]:
    """The path to the current state and on along the latest of what was made from it, up to the next cut."""
    rank = {StateKind.ORIGINAL: 0, StateKind.MASKED: 1, StateKind.CUT: 2, StateKind.RECOVERED: 3, StateKind.ATTACHED: 3}
    path = path_to(states, present)
    while True:
        after = [s for s in states if s.parent == path[-1].id and rank[s.kind] > rank[path[-1].kind]]
        if not after:
            return path
        path.append(after[-1])


def cut_of(states: tuple[State, ...], present: State | None) -> State | None:
    """The cut that a state is or came from, None where nothing was cut."""
    way = [] if present is None else path_to(states, present)
    return next((s for s in reversed(way) if s.kind is StateKind.CUT and s.verification is not None), None)


def verified_text(states: tuple[State, ...], present: State | None) -> str:
    """In a few words: cut verified: equals the masked original, 3e-7; "" where there is no state."""
    if present is None:
        return ""
    cut = cut_of(states, present)
    if cut is None or cut.verification is None:
        return say("verified", "nothing cut yet")
    if not cut.verification.passed:
        return say("verified", "cut not verified (see tooltip)")
    return say("verified", "cut verified: equals the masked original, {0}").format(rough(cut.verification.difference))


def verified_tip(states: tuple[State, ...], present: State | None) -> str:
    """Every comparison that was made, those that could not be made, and what they do not say."""
    cut = cut_of(states, present)
    if cut is None or cut.verification is None:
        return say("verified", "Every cut is compared with the original in which the removed structures are masked.")
    repairs = [say("verified", "Repaired: {0}").format(sentence(one)) for one in cut.repairs]
    title = say("verified", "Cut {0}, largest relative difference of the outputs:").format(cut.id)
    words = say("verified", "{0}: {1}, below {2} ({3})")
    lines = [
        words.format(engine_words(c.name), rough(c.difference), rough(c.tolerance), c.dtype)
        for c in cut.verification.checks
    ]
    lines += [sentence(line) for line in cut.verification.scope]
    lines += [say("verified", "skipped: {0}").format(sentence(reason)) for reason in cut.verification.skipped]
    return "\n".join((title, *lines, say("verified", "This says nothing about accuracy."), *repairs))
