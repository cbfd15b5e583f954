"""Write a state of a session as a file of a format, compared with the model and measured."""

import json
import os
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from torch import nn

from ..errors import ExportError, Message
from ..export.hugging_face import auto_class
from ..export.model_card import MARK
from ..export.original_trial import export_or_compare
from ..export.protocol import Exported, ExportRequest
from ..export.table import EXPORTERS, exporter_named, format_of, require, samples_refusal
from ..export.usage import opset_of, sample_inputs
from ..inference.model_inputs import Inputs, batch_size
from ..jobs import CancelToken, Job, NeverCancelled, spanning
from ..recovery.budget import Budget, Unit
from ..recovery.expected_result import cut_model, expectation
from ..session.open_model import run_evaluation
from ..session.session import Session
from ..session.state_history import StateHistory, versions
from ..session.state_text import data_words, metric_pair, model_name, sample_size, step_told, where
from ..session.states import State, StateKind
from ..sources.hugging_face import folder_of, origin_of
from ..storage.atomic_files import removed_unless_finished
from ..storage.paths import absolute_to, without_paths
from ..surgery.repair.config_fit import is_transformers
from ..surgery.repair.keep_uniform import nearest_uniform
from ..tasks.protocol import Split, metric_value
from ..text.format import change, size

NEVER = NeverCancelled()
HUGGING_FACE = "hugging-face"
REFUSED = ("export.hf_config", "export.hf_nearest")
"""Codes of the errors that say that no configuration describes a state."""
BROKEN_PROMISE = "export.hf_promised"
"""Code of the note that another format than the promised one was written, which is no result to accept."""
WRITTEN = 0.85
"""About what share of the time it takes to write and check a file; the rest measures its metric."""
SAMPLES = 256
"""Samples of the train split on which a quantised file is calibrated, about."""


def model_card(history: StateHistory, state: State, model: nn.Module) -> str:
    """The card.

    Args:
        history: Of the session.
        state: What the card is of.
        model: Its module.
    """
    path = history.path_to(state.id)
    origin = origin_of(history.spec, model) if history.spec is not None else {}
    name = model_name(history)
    fields = {"library_name": "transformers" if is_transformers(model) else "pytorch"} | origin
    header = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    lines = ["---", *header, "tags:", f"- {MARK}", "- pruning", "---", "", f"# {name}, pruned", ""]
    original = path[0]
    if state is original:
        summary = "The original, of which nothing was removed."
    else:
        kept = change(original.parameters, state.parameters), change(original.macs, state.macs)
        summary = f"A smaller dense model, by structured pruning: {kept[0]} parameters, {kept[1]} multiply-accumulates."
    lines += [summary, ""]
    if is_transformers(model):
        lines += ["```python", "import transformers", ""]
        lines += [f'model = transformers.{auto_class(model)}.from_pretrained("path/to/this/folder")', "```", ""]
    rows = [
        ("", "original", "pruned"),
        ("---", "---", "---"),
        ("Parameters", size(original.parameters), size(state.parameters)),
        ("MACs of one sample", size(original.macs), size(state.macs)),
    ]
    if (pair := metric_pair(original, state)) is not None:
        first, last = pair
        title = f"{first.name}, {first.split} split, {sample_size(last)}"
        rows.append((title, metric_value(first), metric_value(last)))
    for before in original.timings:
        for after in state.timings:
            if before.target.place == after.target.place:
                rows.append((f"Latency, {where(after)}", f"{before.median:.3g} ms", f"{after.median:.3g} ms"))
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines += ["## Before and after", "", *(f"| {' | '.join(row)} |" for row in escaped), "", "## Recipe", ""]
    for before, one in pairwise(path):
        step = step_told(before, one, path[0])
        lines += [f"{step.title}:", "", *(f"- {title}: {words}" for title, words in step.lines), ""]
    lines += ["## Verification", ""]
    checked = [(one.id, one.verification) for one in path if one.verification is not None]
    for cut, verification in checked:
        words = f"equals the masked original in {len(verification.checks)} comparisons, largest difference"
        lines.append(f"- Cut {cut} {words} {verification.difference:.0e}. This does not measure accuracy.")
        lines += [f"- {_sentence(without_paths(str(line)))}" for line in verification.scope]
        lines += [f"- Not checked: {without_paths(str(reason))}" for reason in verification.skipped]
    lines += [""] if checked else ["Nothing was cut.", ""]
    if "license" not in origin:
        licence = "The licence of the original is not known. It holds for this model too."
    else:
        named = origin.get("license_name", origin["license"])
        link = f" ({origin['license_link']})" if "license_link" in origin else ""
        licence = f"That of the original: {named}{link}."
    lines += ["## Data", "", _sentence(data_words(history.task)), "", "## Licence", "", licence, ""]
    made = ", ".join(f"{library} {version}" for library, version in (history.versions or versions()).items())
    return "\n".join([*lines, f"Made with Secateur ({made}).", ""])


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def export_usual(session: Session, state: State, path: str, token: CancelToken = NEVER) -> Job[Exported]:
    """Write a state as its ending says; a folder of a model that came from a Hugging Face folder is one again.

    Where no configuration describes the state, the folder is one for PyTorch, with a note that says why. If uniform
    layers were asked for, a stock folder was promised at this path: then the other one gets a name of its own.
    """
    format = format_of(path)
    if format != "pytorch" or folder_of(session.prepared.spec) is None:
        return (yield from export_state(session, state.id, format, path, token))
    try:
        return (yield from export_state(session, state.id, HUGGING_FACE, path, token))
    except ExportError as error:
        if error.message.code not in REFUSED:
            raise
        reason = error.message
    if session.prepared.spec.uniform:
        own = (f"{path}-pytorch", *(f"{path}-pytorch-{number}" for number in range(2, 100)))
        path = next(one for one in own if not os.path.lexists(one))
        template = "{reason} A folder for PyTorch was written to {path} instead, and loads with load_pruned.py."
        note = Message(BROKEN_PROMISE, template, {"reason": reason, "path": path})
    else:
        template = "{reason} The folder is for PyTorch instead, and loads with load_pruned.py."
        note = Message("export.hf_instead", template, {"reason": reason})
    exported = yield from export_state(session, state.id, format, path, token)
    return replace(exported, notes=(*exported.notes, note))


def export_refusals(session: Session, state: str) -> dict[str, Message]:
    """Why a state cannot be written in some formats, by the names of these; all others are possible."""
    one = session.history.state(state)
    request = session.artifacts().request(session.model(state), one, "")
    request = replace(request, samples=(request.inputs,) if session.has_task else ())
    found = {name: exporter_named(name).refusal(request) for name in EXPORTERS}
    why = {name: error.message for name, error in found.items() if error is not None}
    if (refusal := why.get(HUGGING_FACE)) is not None:
        why[HUGGING_FACE] = _with_nearest(session, one, refusal)
    return why


def export_state(session: Session, state: str, format: str, path: str, token: CancelToken = NEVER) -> Job[Exported]:
    """Write a state as a file, compare the file with the model, and measure the metric on the file.

    Args:
        session: Of the state; keeps where it was written.
        state: Which.
        format: A key of `export.table.EXPORTERS`.
        path: File, or folder, to write.
        token: Cancels; nothing is written then.

    Raises:
        ExportError: One of `REFUSED` for a Hugging Face folder that cannot be; it says what the nearest uniform plan
            costs, where there is one. What fails on a cut model says whether the original exports.
    """
    one, exporter = session.history.state(state), exporter_named(format)
    kind, path = EXPORTERS[format], absolute_to(Path.cwd())(path)
    with removed_unless_finished(*kind.places(Path(path))):
        request = yield from _request(session, one, format, path, token)
        try:
            original = None if one.kind is StateKind.ORIGINAL else partial(session.model, "s0")
            exported = yield from spanning(export_or_compare(exporter, request, original, token), 0.0, WRITTEN)
        except ExportError as error:
            if error.message.code != "export.hf_config":
                raise
            raise ExportError.saying(_with_nearest(session, one, error.message)) from error
        if format == HUGGING_FACE and exported.notes and (near := _nearest(session, one)) is not None:
            exported = replace(exported, notes=(*exported.notes, near))
        exported = replace(exported, opset=opset_of(path), inputs=sample_inputs(request.inputs))
        predict = exporter.predictor(path) if session.has_task else None
        if predict is not None:
            shown = Message("progress.on_file", "Measuring the metric on the file")
            evaluation = run_evaluation(session.task, predict, Split.TEST, token, shown)
            metric = session.keep_predictions((yield from spanning(evaluation, WRITTEN, 1.0)))
            exported = replace(exported, metric=metric)
        elif kind.precision:
            template = "No data, so the metric was not measured. Attach data to see what {precision} costs."
            note = Message("export.not_evaluated", template, {"precision": kind.precision})
            exported = replace(exported, notes=(*exported.notes, note))
        session.artifacts().remember(one, exported)
        session.history.put(replace(one, exports=(*one.exports, exported)))
    return exported


def _with_nearest(session: Session, state: State, refusal: Message) -> Message:
    """A refusal of a Hugging Face folder with what the nearest uniform plan costs, where there is one."""
    near = _nearest(session, state) if refusal.code == "export.hf_config" else None
    if near is None:
        return refusal
    return Message("export.hf_nearest", "{refusal} {nearest}", {"refusal": refusal, "nearest": near})


def _nearest(session: Session, state: State) -> Message | None:
    """What the uniform plan next to a state's costs, and what it is expected to score; None where there is none."""
    near = nearest_uniform(session.prepared.opened.model, session.analysis, session.removed(state.id))
    if near is None:
        return None
    expected = None
    if state.recovery is not None and session.has_task:
        name = state.metrics[-1].name if state.metrics else ""
        # The epochs that were begun count, not those that were asked for.
        done = state.recovery.within(Budget(Unit.EPOCHS, state.recovery.epochs))
        classes = len(session.task.info(None).classes)
        expected = expectation(cut_model(session.analysis, near.removed, name, classes), done)
    if expected is None:
        return near.message
    words = {"nearest": near.message, "expected": expected}
    return Message("export.uniform_expected", "{nearest} {expected}", words)


def kept_file(session: Session, state: str, format: str, token: CancelToken = NEVER) -> Job[Path]:
    """The copy of a state's export in lower precision, for runtimes; made again where it was removed for the room."""
    one = session.history.state(state)
    path = session.artifacts().kept(one, format)
    if not path.exists():
        yield from exporter_named(format).export((yield from _request(session, one, format, str(path), token)), token)
    return path


def _request(session: Session, state: State, format: str, path: str, token: CancelToken) -> Job[ExportRequest]:
    """What a format's exporter needs of a state."""
    artifacts, kind = session.artifacts(), EXPORTERS[format]
    model = session.model(state.id)
    request = replace(artifacts.request(model, state, path), card=model_card(session.history, state, model))
    if kind.needs_data:
        require(samples_refusal(format, session.has_task))
        # Batches of inputs of the train split, in an order that is the same each time.
        found, count = list[Inputs](), 0
        for batch in session.task.batches(Split.TRAIN, seed=0):
            found.append(session.task.inputs(batch))
            count += batch_size(found[-1])
            if count >= SAMPLES:
                break
        request = replace(request, samples=tuple(found))
    if kind.from_onnx:
        request = replace(request, onnx=str((yield from artifacts.onnx(request.model, state, token))))
    return request
