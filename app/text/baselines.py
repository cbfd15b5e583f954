"""Baselines in words: what each asks, what it needs, what it scored and cost, and what that says of the state."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.baselines.protocol import Baseline, BaselineKind
from secateur.engine.baselines.verdict import Verdict
from secateur.engine.session.states import State
from secateur.engine.targets.protocol import TargetSpec

from .format import percent, scaled
from .metrics import latency_text, metric_text, timing_of
from .translate import counted, sentence

say = QCoreApplication.translate


def title_of(kind: BaselineKind) -> str:
    """A kind of baseline in two or three words."""
    return {
        BaselineKind.RANDOM: say("baselines", "random removal"),
        BaselineKind.SCRATCH: say("baselines", "same shape, from scratch"),
        BaselineKind.STOCK: say("baselines", "smaller stock model"),
        BaselineKind.MAGNITUDE: say("baselines", "unstructured magnitude"),
        BaselineKind.UNCUT: say("baselines", "uncut, same recovery"),
    }[kind]


def question_of(kind: BaselineKind) -> str:
    """What it answers, a sentence."""
    return {
        BaselineKind.RANDOM: say("baselines", "Is the criterion better than chance at the same budget?"),
        BaselineKind.SCRATCH: say("baselines", "Do the kept weights help, or does the shape alone explain the result?"),
        BaselineKind.STOCK: say("baselines", "Would a smaller model of the same family do as well?"),
        BaselineKind.MAGNITUDE: say(
            "baselines", "How good is unstructured pruning at the same number of parameters, and is it faster?"
        ),
        BaselineKind.UNCUT: say(
            "baselines", "How much of the change comes from training on, and how much from the cut?"
        ),
    }[kind]


def needs_of(kind: BaselineKind) -> str:
    """What it is made of and needs, a sentence."""
    return {
        BaselineKind.RANDOM: say("baselines", "Cut by random scores and recovered like the state."),
        BaselineKind.SCRATCH: say("baselines", "New weights, trained with the state's recovery settings."),
        BaselineKind.STOCK: say("baselines", "Trained like the state, best from its published weights."),
        BaselineKind.MAGNITUDE: say(
            "baselines",
            "The original with its smallest weights set to zero, trained with the state's recovery settings.",
        ),
        BaselineKind.UNCUT: say("baselines", "The original, trained with the state's recovery settings."),
    }[kind]


def name_of(one: Baseline) -> str:
    """Its name for a plot: the stock model by its own."""
    return one.title if one.asked.kind is BaselineKind.STOCK else title_of(one.asked.kind)


def facts_of(one: Baseline, original: State | None, target: TargetSpec) -> list[str]:
    """Metric, costs, latency on the target and training, each in a few words."""
    share = f" ({percent(one.macs / original.macs)})" if original is not None and original.macs else ""
    timing = timing_of(one, target)
    return [
        metric_text(one.metric),
        say("baselines", "{0} MACs{1}").format(scaled(one.macs), share),
        say("baselines", "{0} nonzero parameters").format(scaled(one.parameters))
        if one.asked.kind is BaselineKind.MAGNITUDE
        else say("baselines", "{0} parameters").format(scaled(one.parameters)),
        say("baselines", "latency not measured on this target") if timing is None else latency_text(timing),
        counted(one.epochs, say("baselines", "{count} epoch"), say("baselines", "{count} epochs")),
        say("baselines", "seed {0}").format(one.asked.seed),
    ]


def role_of(verdict: Verdict) -> str:
    """How a verdict is shown: a role of labels."""
    return {True: "good", False: "marked", None: "strong"}[verdict.worth]


def verdict_text(verdict: Verdict | None) -> str:
    """What the baselines say of the current state, "" where there are none."""
    return "" if verdict is None else " ".join(sentence(one) for one in verdict.sentences)
