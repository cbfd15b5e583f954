"""`secateur run`: do again what a recipe recorded, on the same model or on its next version."""

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..session.matching import Mode
from ..session.paths import absolute_to, change_model
from ..session.points import user_cache
from ..session.recipe import code_in, vouched, with_model
from ..session.replay import Replay, beside, replay
from ..session.session import Session
from ..session.states import StateKind
from ..session.steps import Export, Open, OpenIntent, Recipe
from ..sharing.recipes import recipe_at
from ..sources.consent import FULL_CONSENT, by_hand
from ..sources.protocol import ModelSpec
from .output import Outcome, Reporter
from .prune import check_export, check_save
from .report import comparison, costs_of, export_of, metrics_of, verification_of, verified, wrote
from .saving import saved
from .specs import task_spec
from .threads import use_device, use_threads


def run(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Run a recipe as the arguments say."""
    path, mode = arguments.recipe, Mode(arguments.mode) if arguments.mode else None
    recorded = recipe_at(path.absolute())
    recipe = with_model(recorded, lambda model: _model(model, arguments))
    task = task_spec(arguments)
    consent = FULL_CONSENT if arguments.trust_code else vouched(recorded) | by_hand(arguments.model, task)
    consent.require(code_in(recipe), path)
    destination = replace(beside(path.absolute()), folder=arguments.out, overwrite=arguments.overwrite)
    for step in recipe.steps:
        if isinstance(step, Export) and mode is None:
            check_export(str(destination.path(step)), arguments.overwrite)
    if arguments.save:
        check_save(arguments.save, "", arguments.overwrite)
    first = _first(recipe)
    use_threads(arguments.threads or first.threads)
    with closing(Session(cache=user_cache())) as session:
        use_device(session, arguments, first.device)
        done = reporter.finish(replay(recipe, session, arguments.trust_pickle, None, mode, consent, destination))
        project = saved(session, arguments.save, done.states[-1].id, reporter)
    return _outcome(done, path, project)


def _model(recorded: ModelSpec, arguments: argparse.Namespace) -> ModelSpec:
    given = {
        "source": arguments.model,
        "weights": arguments.weights,
        "input_shape": arguments.input,
        "task": task_spec(arguments),
        "outputs": tuple(arguments.output) if arguments.output else None,
        "trust_code": arguments.trust_code,
        "download": arguments.download,
        "own_class": arguments.own_class or None,
    }
    if arguments.model:
        given["weights"] = arguments.weights or ""
    changed = {key: value for key, value in given.items() if value is not None}
    return change_model(replace(recorded, **changed), absolute_to(Path.cwd()))


def _first(recipe: Recipe) -> OpenIntent:
    """What the recipe opens, with what its numbers depend on."""
    first = recipe.steps[0]
    assert isinstance(first, Open)
    return first.intent


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
        "notes": [str(note) for note in (*done.opened.notes, *done.notes)],
    }
    lines = [done.opened.name, comparison(original, result), *(verified(state.verification) for state in cuts)]
    lines += [wrote(one) for one in done.exported]
    lines += [*map(str, done.notes), *(f"not in this model: {name}" for name in done.missing)]
    shortfall = "" if done.complete else "Not all of the recipe could be done again; the notes say what was left out."
    return Outcome(content, "\n".join(lines), shortfall)
