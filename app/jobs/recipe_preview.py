"""The script of the current state as the window shows it: written in this process, so that it grows with every step."""

from functools import cache
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.recipes.recipe import recorded
from secateur.engine.recipes.script import many_marks, script_of
from secateur.engine.recipes.steps import OpenIntent, Recipe
from secateur.engine.session.state_history import versions
from secateur.engine.structures.analysis import identities
from secateur.engine.structures.index_ranges import ranges_of

from ..document.document import Document
from ..text.metrics import path_to
from ..text.translate import counted

CONTEXT = "RecipePreview"
LISTED = 20_000
"""Marks up to which a plan is written out while it is made."""
LINES = 40
"""Lines of a plan that are shown before it is cut."""

_versions = cache(versions)


def current_recipe(document: Document) -> Recipe | None:
    """The recipe of the current state, None where it is not known what was opened."""
    state, origin = document.state, document.contents.origin
    if state is None or origin is None:
        return None
    intent = OpenIntent(origin, document.engine.threads or 1, versions=_versions())
    return recorded(path_to(document.states, state), intent, document.engine.folder or Path())


def script_text(recipe: Recipe | None) -> str:
    """Its script to look at; too many marks to be read go into a file of their own."""
    if recipe is None:
        return ""
    return script_of(recipe, outside="recipe.marks.json" if many_marks(recipe) else "")


def plan_text(document: Document) -> str:
    """The plan that is not cut yet, as comments; "" for none."""
    count = int(document.marked.sum())
    if not count or document.analysis is None:
        return ""
    say = QCoreApplication.translate
    words = counted(
        count,
        say(CONTEXT, "Plan, not cut yet: {count} structure. Cutting it adds a step."),
        say(CONTEXT, "Plan, not cut yet: {count} structures. Cutting it adds a step."),
    )
    lines = [words]
    if count <= LISTED:
        lines += [
            f"    {key}: {text}" for key, text in ranges_of(identities(document.analysis, document.marked)).items()
        ]
    left = len(lines) - LINES
    if left > 0:
        lines = [*lines[:LINES], say(CONTEXT, "and {count} more layers").format(count=left)]
    return "".join(f"# {line}\n" for line in lines)
