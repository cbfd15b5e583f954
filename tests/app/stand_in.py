"""A document for tests of the panels: the real one without an engine, whose jobs are only written down."""

from typing import Any

import numpy as np

from secateur.app.document.aspects import Aspect
from secateur.app.document.document import ALL, Document
from secateur.app.jobs.workbench import Workbench
from secateur.engine.export.protocol import Exported
from secateur.engine.session.states import OpenedModel, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Mask, identities
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, Sample, Split, TaskInfo

from .demo_analysis import scores_of, small_resnet

SPEC = ModelSpec("bundled:resnet")


class StandIn(Document):
    """A document whose jobs do nothing but end up in `calls`.

    Attributes:
        workbench: With those jobs.
        calls: (method, arguments) of every job that was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.workbench = Workbench(None, self)
        self.plan.enter = self._enter
        self._note(self.workbench.states, "evaluate", "measure", "cut", "recover", "export", "find_refusals")
        self._note(self.workbench.runner, "cancel")
        self._note(self.workbench.plan, "suggest")
        self._note(self.workbench.model, "attach_task")

    def _note(self, jobs: Any, *methods: str) -> None:
        """Have these methods only write down that they were called."""
        for method in methods:
            setattr(jobs, method, lambda *arguments, method=method: self.calls.append((method, arguments)))

    def announce(self, *aspects: Aspect) -> None:
        """Views show it at once: a test of a panel is not about turns of the event loop."""
        super().announce(*aspects)
        self.dispatcher.settle()

    @property
    def busy(self) -> bool:
        return False

    def _enter(self, state_id: str, text: str) -> None:
        scores = self.scores
        self.contents.go_to(state_id)
        if scores is not None:
            self.contents.scores[state_id, self.criterion] = np.where(self.removed, np.nan, scores)
        self.announce(*ALL)


def opened(analysis: Analysis | None = None, task: bool = True, scored: bool = True) -> StandIn:
    """A document with an opened model, and perhaps a task and scores."""
    analysis = small_resnet() if analysis is None else analysis
    document = StandIn()
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914 if task else 0.0, 0.76)
    document.adopt(OpenedModel(analysis.model, analysis, state, (), task_info() if task else None, SPEC), SPEC)
    if scored:
        document.take_scores("s0", document.criterion, scores_of(analysis))
    return document


def adopt_small(document: Document) -> None:
    """A small model has been opened, by no engine."""
    analysis = small_resnet()
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914)
    document.adopt(OpenedModel("net", analysis, state, (), task_info()), ModelSpec("net.py:make"))


def travelled(analysis: Analysis | None = None) -> StandIn:
    """A document with a cut and a recovered state behind it, the recovered one present, and its file written."""
    document = opened(analysis)
    analysis = document.analysis
    assert analysis is not None and document.scores is not None
    removed = weak(analysis, document.scores, 0.25)
    cut = state_of(analysis, "s1", "s0", StateKind.CUT, removed, 0.812, 0.44)
    recovered = state_of(analysis, "s2", "s1", StateKind.RECOVERED, removed, 0.909, 0.44)
    for state in (cut, recovered):
        document.contents.states[state.id] = state
    document.plan.enter("s2", "recover")
    return document


def weak(analysis: Analysis, scores: np.ndarray, threshold: float) -> Mask:
    """What scores below a threshold, blocks left alone."""
    mask = scores < threshold
    for one in analysis.sets:
        if one.dim < 0:
            mask[one.structures] = False
    return mask


def state_of(
    analysis: Analysis,
    name: str,
    parent: str,
    kind: StateKind,
    removed: Mask,
    accuracy: float = 0.0,
    latency: float = 0.0,
) -> State:
    """A state with exact costs and invented measurements (none where 0)."""
    cost = costs(analysis, removed)
    error = (accuracy * (1 - accuracy) / 2000) ** 0.5
    metrics = (Metric("top-1", accuracy, 2000, error, Split.VAL),) if accuracy else ()
    timings = (Timing(TargetSpec(), latency, latency * 0.97, latency * 1.06, 400, "2 cores"),) if latency else ()
    return State(
        name,
        parent,
        kind,
        identities(analysis, removed),
        Edits(),
        "",
        cost.parameters,
        cost.macs,
        None,
        None,
        metrics,
        timings,
    )


def exported() -> Exported:
    """A file that was written and measured."""
    return Exported("onnx", ("small.onnx",), 3e-7, Metric("top-1", 0.909, 2000, 0.0064, Split.VAL), 1_530_000)


def task_info() -> TaskInfo:
    """Fashion images with labels."""
    draw = np.random.default_rng(1)
    classes = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    samples = tuple(
        Sample(
            (draw.random((28, 28)) * 255).astype(np.uint8), classes[n], classes[n + (n == 3)], (1, 28, 28), -0.81, 2.02
        )
        for n in (0, 3, 5, 6, 9)
    )
    return TaskInfo("Fashion-MNIST subset", {"train": 6000, "val": 2000, "test": 10000}, classes, "top-1", samples)
