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
        BaselineKind.STOCK: say("baselines", "stock smaller model"),
        BaselineKind.MAGNITUDE: say("baselines", "unstructured magnitude"),
    }[kind]


def question_of(kind: BaselineKind) -> str:
    """What it answers, a sentence."""
    return {
        BaselineKind.RANDOM: say("baselines", "Is the criterion better than chance, at the same budget?"),
        BaselineKind.SCRATCH: say("baselines", "Did the weights that were kept help, or is it the shape alone?"),
        BaselineKind.STOCK: say("baselines", "Would the smaller model of the same family have done?"),
        BaselineKind.MAGNITUDE: say(
            "baselines", "What do single weights keep at as many parameters, and is anything faster?"
        ),
    }[kind]


def needs_of(kind: BaselineKind) -> str:
    """What it is made of and needs, a sentence."""
    return {
        BaselineKind.RANDOM: say("baselines", "Cut by drawn scores and recovered as the state was."),
        BaselineKind.SCRATCH: say("baselines", "Fresh weights, trained with the state's recovery."),
        BaselineKind.STOCK: say("baselines", "Best with the weights that its publisher trained; trained as the state."),
        BaselineKind.MAGNITUDE: say("baselines", "The original with zeros, trained with the state's recovery."),
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
        say("baselines", "{0} parameters that are not zero").format(scaled(one.parameters))
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
    """What the baselines say of the present state, "" where there are none."""
    return "" if verdict is None else " ".join(sentence(one) for one in verdict.sentences)
