"""One HTML file that says what was done and what came out: no network, no scripts, plots as SVG, light and dark."""

import os
import platform
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ..recipes.script import script_of
from ..recipes.steps import Open, Recipe
from ..session.state_history import StateHistory, versions
from ..session.state_text import data_words
from ..storage.atomic_files import write
from ..storage.paths import base_name
from ..storage.serialization import to_json
from .anonymise import stripped, stripped_history
from .report_data import facts_of
from .report_types import Facts

if TYPE_CHECKING:
    import jinja2

STYLE, TEMPLATE = "report.css", "report.j2"


def report_of(history: StateHistory, recipe: Recipe, state: str, machine: str = "") -> str:
    """The report of a state of a history; neither the model nor its data are opened.

    Args:
        history: Read.
        recipe: Of the state.
        state: Which.
        machine: Where the report's session ran, in words; this one where "".
    """
    bare, history = stripped(recipe), stripped_history(history)
    first = bare.steps[0]
    assert isinstance(first, Open)
    facts = facts_of(
        history,
        state,
        first.outcome.widths,
        environment(history, first, machine),
        to_json(bare, indent=2).decode(),
        script_of(bare),
    )
    return render(facts)


def write_report(path: Path, history: StateHistory, recipe: Recipe, state: str) -> Path:
    """Write a report atomically; returns the path."""
    write(path, report_of(history, recipe, state).encode())
    return path


def render(facts: Facts) -> str:
    """Facts as HTML; every word in them is escaped."""
    from markupsafe import Markup

    style = Markup(_text(STYLE))  # Ours, not a user's: it stands in the page as it is.
    return _environment().get_template(TEMPLATE).render(facts=facts, style=style).lstrip()


def environment(history: StateHistory, first: Open, machine: str = "") -> list[tuple[str, str]]:
    """What the numbers depend on, in words, without a path or a name of a person."""
    spec, made = history.spec, history.versions or versions()
    threads = f"{first.intent.threads} ({first.intent.dtype})"
    found = [
        ("Model", base_name(spec.source) if spec is not None else ""),
        ("Weights", base_name(spec.weights) if spec is not None and spec.weights else "default of the source"),
        ("Weights, sha256", first.outcome.weights),
        ("Data", data_words(history.task)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in made.items())),
        ("Threads", threads),
        ("Machine", machine or this_machine()),
    ]
    return [(name, words) for name, words in found if words]


def this_machine() -> str:
    """Processor, cores and system, without the machine's name."""
    from ..targets.bench import processor

    return f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


@cache
def _environment() -> "jinja2.Environment":
    import jinja2  # Slow to import, and a session rarely writes a report.

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def _text(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
