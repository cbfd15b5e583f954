"""The model card of a state: Markdown for people, under a header that the Hugging Face Hub reads."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from ..export.hugging_face import auto_class
from ..export.model_card import MARK
from ..session.state_history import StateHistory, versions
from ..session.state_text import data_words, metric_pair, model_name, sample_size, step_told, where
from ..session.states import State
from ..sources.hugging_face import origin_of
from ..storage.paths import without_paths
from ..surgery.repair.config_fit import is_transformers
from ..tasks.metric_text import metric_value
from ..text.format import change, size


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
    lines += [_summary(path[0], state), ""]
    if is_transformers(model):
        lines += ["```python", "import transformers", ""]
        lines += [f'model = transformers.{auto_class(model)}.from_pretrained("path/to/this/folder")', "```", ""]
    lines += ["## Before and after", "", *_table(path[0], state), "", "## Recipe", ""]
    for before, one in pairwise(path):
        told = step_told(before, one, path[0])
        lines += [f"{told.title}:", "", *(f"- {title}: {words}" for title, words in told.lines), ""]
    lines += ["## Verification", "", *_verified(path), ""]
    lines += ["## Data", "", _sentence(data_words(history.task)), "", "## Licence", "", _licence(origin), ""]
    made = ", ".join(f"{library} {version}" for library, version in (history.versions or versions()).items())
    return "\n".join([*lines, f"Made with Secateur ({made}).", ""])


def _summary(original: State, state: State) -> str:
    if state is original:
        return "The original, of which nothing was removed."
    kept = change(original.parameters, state.parameters), change(original.macs, state.macs)
    return f"A smaller dense model, by structured pruning: {kept[0]} parameters, {kept[1]} multiply-accumulates."


def _table(original: State, state: State) -> list[str]:
    rows = [
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
    return ["| | original | pruned |", "|---|---|---|", *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _verified(path: Sequence[State]) -> list[str]:
    lines: list[str] = []
    for one in path:
        if one.verification is not None:
            count = len(one.verification.checks)
            words = f"equals the masked original in {count} comparisons, largest difference"
            lines.append(f"- Cut {one.id} {words} {one.verification.difference:.0e}. This does not measure accuracy.")
            lines += [f"- {_sentence(without_paths(str(line)))}" for line in one.verification.scope]
            lines += [f"- Not checked: {without_paths(str(reason))}" for reason in one.verification.skipped]
    return lines or ["Nothing was cut."]


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _licence(origin: dict[str, Any]) -> str:
    if "license" not in origin:
        return "The licence of the original is not known. It holds for this model too."
    named = origin.get("license_name", origin["license"])
    link = f" ({origin['license_link']})" if "license_link" in origin else ""
    return f"That of the original: {named}{link}."
