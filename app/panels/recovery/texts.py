"""What the recovery panel says: what to expect, where it stands, what was best."""

import math

from PySide6.QtCore import QCoreApplication

from secateur.engine.recovery.budget import Unit
from secateur.engine.recovery.expected_result import CutModel, expectation, family_of
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.tasks.protocol import Split

from ...document.document import Document
from ...document.job_state import TRAINS, CurvePoint, JobView
from ...text.format import duration, percent, three_digits
from ...text.metrics import metric_of
from ...text.titles import kept_words, state_called
from ...text.translate import sentence

say = QCoreApplication.translate


def recovery_job(document: Document) -> JobView | None:
    """The job that recovers, or that cuts and recovers by turns; None when none does."""
    return next((j for j in document.jobs if j.method in TRAINS), None)


def expect_text(document: Document, settings: RecoverySettings) -> str:
    """What is kept of a cancelled run, or what to expect of one with these settings.

    Figures are those of a benchmark of the same kind of model and data; where none is, there are none.
    """
    kept, trains = document.kept, settings.trains
    if trains and kept is not None and kept.state == document.contents.present:
        return kept_words(kept.done, kept.budget) + say("recovery", " The length may be another one.")
    if not trains and settings.repair is Repair.NONE:
        return say("recovery", "What to expect: only the BatchNorm statistics are recalibrated.")
    settings = document.contents.suited(settings)
    if settings.distilling is not None:
        return say("recovery", "What to expect: no label is read; the steps take about as long as 160 of training.")
    seen = _benchmark_words(document, settings)
    if trains:
        kept_run = say("recovery", "A cancelled run is kept, and Recover continues from there.")
        general = say("recovery", "What to expect: the first epochs usually recover most of the loss.")
        if settings.budget.unit is not Unit.EPOCHS:
            general = say("recovery", "What to expect: the first part of training usually recovers most of the loss.")
        return f"{seen or general} {kept_run}"
    return seen or say("recovery", "What to expect: this takes seconds and works without training and labels.")


def _benchmark_words(document: Document, settings: RecoverySettings) -> str:
    """What our nearest benchmark saw, "" where none is of the same kind of model, data and cut."""
    analysis, task, state, original = document.analysis, document.task, document.state, document.original
    if analysis is None or task is None or state is None or original is None or state.macs == original.macs:
        return ""
    family, kept = family_of(analysis, task.metric), state.macs / max(original.macs, 1)
    model = CutModel(family, kept, original.parameters, task.metric, len(task.classes))
    found = expectation(model, settings)
    return "" if found is None else sentence(found)


def progress_text(job: JobView, points: tuple[CurvePoint, ...]) -> str:
    """Epoch, step and time left."""
    parts = [job.text] if job.text else [say("recovery", "waiting for the engine")]
    if points:
        parts.append(say("recovery", "step {0}").format(f"{points[-1].step:,}"))
    if job.left >= 0:
        parts.append(say("recovery", "{0} left").format(duration(job.left)))
    return ", ".join(parts)


def best_text(document: Document) -> str:
    """The best metric so far, which is measured on the val split, at which step and of which state's recovery.

    "" before the first.
    """
    points, original, recovered = document.curve, document.metric(document.original), document.training.state
    known = [p for p in points if not math.isnan(p.metric)]
    if not known:
        return ""
    higher = original is None or original.higher_is_better
    best = max(known, key=lambda p: p.metric if higher else -p.metric)
    value = percent(best.metric) if original is None or original.percent else three_digits(best.metric)
    text = say("recovery", "best on the val split: {0} at step {1}").format(value, f"{best.step:,}")
    if recovered:
        text = say("recovery", "Recovery of {0}: {1}").format(state_called(document.states, recovered), text)
    level = metric_of(document.original, Split.VAL)
    if level is None:
        return text
    before = percent(level.value) if level.percent else three_digits(level.value)
    return text + say("recovery", "; dashed: original on the {0} split, {1}").format(level.split, before)
