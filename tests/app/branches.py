"""A document with two branches: a cut that was recovered, and another cut of the original with a plan on top."""

import numpy as np

from secateur.app.document.document import Document
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis

from .demo_analysis import scores_of, small_resnet
from .stand_in import state_of, task_info


def begun(analysis: Analysis | None = None) -> Document:
    """A document without an engine, with a rated original."""
    document = Document()
    begin(document, analysis)
    return document


def begin(document: Document, analysis: Analysis | None = None) -> None:
    """Open and rate an original: nothing is left of what was open before."""
    analysis = small_resnet() if analysis is None else analysis
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914, 0.76)
    document.adopt(OpenedModel(analysis.model, analysis, state, (), task_info()), ModelSpec("bundled:resnet"))
    document.contents.criterion = "l1"
    document.take_scores("s0", "l1", scores_of(analysis))
    document.dispatcher.settle()


def make(document: Document, name: str, parent: str, kind: StateKind, accuracy: float, latency: float) -> None:
    """What a job would have made of what is marked, or of the present state."""
    analysis, scores = document.analysis, document.scores
    assert analysis is not None and scores is not None
    removed = document.removed | document.marked
    text = "recover, 8 epochs" if kind is StateKind.RECOVERED else f"cut {int(document.marked.sum())} structures"
    document.add_state(state_of(analysis, name, parent, kind, removed, accuracy, latency), text)
    document.take_scores(name, "l1", np.where(removed, np.nan, scores))


def branched() -> Document:
    """States s0 > s1 (cut) > s2 (recovered), and s0 > s3 (cut with a whole block) with 30 marks on it."""
    document = begun()
    document.plan.mark(np.arange(80, 140), True)
    document.plan.keep(4, 20)
    make(document, "s1", "s0", StateKind.CUT, 0.812, 0.44)
    make(document, "s2", "s1", StateKind.RECOVERED, 0.905, 0.44)
    document.plan.go_to("s0")
    document.plan.mark(np.arange(200, 260), True)
    document.plan.undo()
    document.plan.mark(np.arange(300, 420), True)
    document.plan.mark([32], True)
    make(document, "s3", "s0", StateKind.CUT, 0.88, 0.5)
    document.plan.mark(np.arange(440, 470), True)
    document.dispatcher.settle()
    return document
