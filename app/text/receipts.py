"""What a receipt says of a file that was written: the same words in the bar, the history and the log."""

import os

from PySide6.QtCore import QCoreApplication

from secateur.engine.export.protocol import Exported
from secateur.engine.export.table import EXPORTERS
from secateur.engine.export.usage import place_of
from secateur.engine.session.states import State
from secateur.engine.targets.protocol import TargetSpec

from .format import rough, size
from .metrics import latency_text, metric_text, target_text, timing_in, timing_of
from .translate import engine_words, sentences

say = QCoreApplication.translate


def format_title(exported: Exported) -> str:
    """The format for a person; its key where this version does not know it."""
    known = EXPORTERS.get(exported.format)
    return exported.format if known is None else engine_words(known.title)


def receipt_lines(exported: Exported, state: State | None, target: TargetSpec) -> list[str]:
    """Difference, metric of the file, size, latency of the state on the target, opset: a sentence each."""
    lines = list[str]()
    if exported.difference is not None:
        lines.append(say("receipt", "Largest difference from the model: {0}").format(rough(exported.difference)))
    if exported.metric is not None:
        words = say("receipt", "Metric of the file on the {0} split: {1} {2}")
        lines.append(words.format(exported.metric.split, exported.metric.name, metric_text(exported.metric)))
    opset = say("receipt", "opset {0}").format(exported.opset) if exported.opset else ""
    lines.append(say("receipt", "Size: {0}").format(", ".join(one for one in (size(exported.bytes), opset) if one)))
    own = exported.format in EXPORTERS and EXPORTERS[exported.format].precision
    timing = timing_in(exported.timings, target) if own else timing_of(state, target)
    where = target_text(target)
    words = say("receipt", "Latency on {0}: {1}")
    lines.append(words.format(where, say("receipt", "not measured") if timing is None else latency_text(timing)))
    return lines


def receipt_facts(exported: Exported, state: State | None, target: TargetSpec) -> str:
    """The same in one line."""
    return "; ".join(receipt_lines(exported, state, target))


def receipt_notes(exported: Exported) -> str:
    """What the file does less than the model, and that it is gone where it is; "" for nothing."""
    gone = not os.path.exists(place_of(exported))
    return sentences((*exported.notes, *((say("receipt", "It is no longer where it was written."),) if gone else ())))
