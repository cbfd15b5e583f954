"""`secateur run`: do again what a recipe recorded, on the same model or on its next version."""

import argparse
import hashlib
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import ExportError
from ..foreign_code.consent import FULL_CONSENT
from ..recipes.compatibility import Mode
from ..recipes.recipe import code_in, consent_at, recipe_at, recipe_bytes, with_model
from ..recipes.replay import default_destination, replay
from ..recipes.steps import Export, Open
from ..session.measurement_cache import user_cache
from ..session.project_file import followed
from ..session.session import Session
from ..session.state_history import is_project
from ..session.states import Request, StateKind
from ..sources.named_code import by_hand
from ..sources.protocol import ModelSpec, change_model
from ..storage.paths import absolute_to
from .autosave import run_with_autosave, save_result, save_when_stopped
from .flag_hints import with_hint
from .model_args import inputs_of, require_preprocessing, task_spec, use_device, use_threads
from .output import Outcome, Reporter
from .project_request import is_left_behind, own_files
from .prune import check_export, check_save, reserve_folder
from .settings import given_settings
from .tables import comparison, costs_of, export_line, export_of, metrics_of, verification_of, verification_text


def run(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Run a recipe as the arguments say."""
    path, mode = arguments.recipe, Mode(arguments.mode) if arguments.mode else None
    recorded = recipe_at(path.absolute())
    recipe = with_model(recorded, partial(_model_to_open, arguments))
    task = task_spec(arguments)
    consent = (
        FULL_CONSENT if arguments.trust_code else consent_at(path.absolute(), recorded) | by_hand(arguments.model, task)
    )
    consent.require(code_in(recipe), path)
    destination = replace(default_destination(path.absolute()), folder=arguments.out, overwrite=arguments.overwrite)
    content = hashlib.sha256(recipe_bytes(recipe)).hexdigest()
    exports = [step for step in recipe.steps if isinstance(step, Export) and mode is None]
    files = tuple(str(destination.place(step)) for step in exports)
    asked = Request("run", {"recipe": content, "mode": str(mode or "")}, "s0", files=files)
    destination = replace(destination, own=own_files(arguments.save, asked.command, asked.options))
    for step in exports:
        check_export(str(destination.path(step)), overwrite=True)
    # What the same run left behind is continued, not refused.
    there = arguments.save if is_left_behind(asked, arguments.save) else ""
    if arguments.save:
        if not there and is_project(arguments.save):
            template = "{folder} already holds a project, and not your own run of this recipe. Save to another folder."
            raise ExportError("cli.other_run", template, folder=arguments.save)
        check_save(arguments.save, there, arguments.overwrite)
    # What the recipe opens, with what its numbers depend on.
    opening = recipe.steps[0]
    assert isinstance(opening, Open)
    first = opening.intent
    use_threads(arguments.threads or first.threads)
    with closing(Session(cache=user_cache())) as session:
        use_device(session, arguments, first.device)
        reserve_folder(session, arguments.save, there, reporter, arguments.overwrite)
        with save_when_stopped(session, arguments.save, reporter):
            check = partial(require_preprocessing, arguments=arguments)
            job = replay(recipe, session, arguments.trust_pickle, None, mode, consent, destination, there, check)
            done = run_with_autosave(session, arguments.save, reporter, job, asked)
        session.history.ask(replace(asked, result=done.states[-1].id))
        project = save_result(session, arguments.save, done.states[-1].id, reporter)
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
        "files": [file for one in done.exported for file in one.files] + ([project] if project else []),
        "notes": [str(note) for note in (*done.opened.notes, *done.notes)],
    }
    lines = [done.opened.name, comparison(original, result), *(verification_text(state.verification) for state in cuts)]
    lines += [export_line(one) for one in done.exported]
    lines += [with_hint(note) for note in (*done.opened.notes, *done.notes)]
    lines += [f"not in this model: {name}" for name in done.missing]
    shortfall = "" if done.complete else "Part of the recipe was left out. The notes say which steps."
    return Outcome(content, "\n".join(lines), shortfall)


def _model_to_open(arguments: argparse.Namespace, recorded: ModelSpec) -> ModelSpec:
    """What is opened in the place of the recorded model: the same at another place, its next version, other data."""
    recorded = change_model(recorded, followed(arguments.moved or ()))
    given = given_settings(ModelSpec, arguments, apart=("trust_pickle", "moved", "inputs"))
    changed = {name: value for name, value in given.items() if value is not False}
    changed |= {"trust_code": arguments.trust_code, "download": arguments.download}
    if arguments.model:
        changed["weights"] = arguments.weights or ""
    if (task := task_spec(arguments)) is not None:
        changed["task"] = task
    spec = replace(recorded, **changed)
    return change_model(spec.with_inputs(inputs_of(arguments)) if arguments.input else spec, absolute_to(Path.cwd()))
