"""`secateur run`: do again what a recipe recorded, on the same model or on its next version."""

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec

from ..session.paths import absolute_to, change_model
from ..session.points import user_cache
from ..session.recipe import RECIPE, read_recipe
from ..session.replay import Replay, replay
from ..session.session import Session
from ..session.states import StateKind
from ..session.steps import Export, Open, Recipe
from ..sources.protocol import ModelSpec
from .arguments import task_spec
from .output import Outcome, Reporter
from .prune import check_export, check_save
from .report import comparison, costs_of, export_of, metrics_of, verification_of, verified, wrote
from .threads import use_device, use_threads


def run(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Run a recipe as the arguments say."""
    path = arguments.recipe / RECIPE if arguments.recipe.is_dir() else arguments.recipe
    recipe = _changed(read_recipe(path.absolute()), arguments)
    for step in recipe.steps:
        if isinstance(step, Export):
            check_export(step.intent.path)
    if arguments.save:
        check_save(arguments.save)
    use_threads(arguments.threads or _threads(recipe))
    with closing(Session(cache=user_cache())) as session:
        use_device(session, arguments)
        done = reporter.finish(replay(recipe, session, arguments.trust_pickle))
        saved = session.save(arguments.save, done.states[-1].id) if arguments.save else ""
    return _outcome(done, path, saved)


def _changed(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with another version of the model, its weights or its task, where given."""
    first, *others = recipe.steps
    assert isinstance(first, Open)
    model = _model(first.intent.model, arguments)
    intent = msgspec.structs.replace(first.intent, model=model)
    return Recipe(recipe.schema, (msgspec.structs.replace(first, intent=intent), *others))


def _model(recorded: ModelSpec, arguments: argparse.Namespace) -> ModelSpec:
    given = {
        "source": arguments.model,
        "weights": arguments.weights,
        "input_shape": arguments.input,
        "task": task_spec(arguments),
        "outputs": tuple(arguments.output) if arguments.output else None,
        "trust_code": arguments.trust_code,
        "own_class": arguments.own_class or None,
    }
    if arguments.model:
        given["weights"] = arguments.weights or ""
    changed = {key: value for key, value in given.items() if value is not None}
    return change_model(replace(recorded, **changed), absolute_to(Path.cwd()))


def _threads(recipe: Recipe) -> int:
    first = recipe.steps[0]
    return first.intent.threads if isinstance(first, Open) else 0


def _outcome(done: Replay, path: Path, saved: str) -> Outcome:
    original, result = done.states[0], done.states[-1]
    cuts = [state for state in done.states if state.kind is StateKind.CUT]
    content = {
        "command": "run",
        "recipe": str(path),
        "model": done.opened.name,
        "before": costs_of(original),
        "after": costs_of(result),
        "got": {
            "keep_macs": result.macs / max(original.macs, 1),
            "missing": list(done.missing),
            "complete": done.complete,
        },
        "verification": [verification_of(state.verification) for state in cuts],
        "metrics": metrics_of((("original", original), ("result", result))),
        "exports": [export_of(one) for one in done.exported],
        "files": [file for one in done.exported for file in one.files] + ([saved] if saved else []),
        "notes": [*done.opened.notes, *done.notes],
    }
    lines = [done.opened.name, comparison(original, result), *(verified(state.verification) for state in cuts)]
    lines += [wrote(one) for one in done.exported]
    lines += [*done.notes, *(f"not in this model: {name}" for name in done.missing)]
    shortfall = (
        "" if done.complete else "The model lacks structures that the recipe removes by hand; the rest was done."
    )
    return Outcome(content, "\n".join(lines), shortfall)
