"""The recipe: the recorded steps from the original to a state, each with what was wanted and what came out.

One JSON format for the recorder, for a project's `recipe.json` and for the command line. Indices are in the original's
coordinates, paths are relative to the recipe's folder. Loads no torch.
"""

import os
from dataclasses import replace
from pathlib import Path

import msgspec

from ..errors import OpenError
from ..recovery.protocol import RecoverySettings
from ..structures.analysis import Analysis, Mask, from_identities, identities
from ..structures.costs import costs
from .files import write
from .history import History, versions
from .paths import Change, absolute_to, change_baseline, change_model, relative_to
from .plain import from_plain, to_json
from .states import Exported, PlanIntent, State, StateKind
from .steps import (
    Attach,
    AttachIntent,
    Compare,
    Cut,
    Export,
    ExportIntent,
    Numbers,
    Open,
    OpenIntent,
    Plan,
    Recipe,
    Recover,
    Score,
    ScoreIntent,
    Step,
)

SCHEMA = 1
RECIPE = "recipe.json"


def recipe_of(history: History, state: str, analysis: Analysis, threads: int = 1) -> Recipe:
    """The steps from the original to a state."""
    original, *others = history.path_to(state)
    assert history.spec is not None
    model = replace(history.spec, task=history.task, trust_pickle=False, trust_code=False)
    intent = OpenIntent(model, threads, versions=history.versions or versions())
    steps: list[Step] = [Open(intent, _numbers(original)), *_exports(original)]
    before = original
    for one in others:
        steps += [*_steps(before, one, analysis, history.folder), *_exports(one), *_baselines(history, one)]
        before = one
    return Recipe(SCHEMA, tuple(steps))


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe atomically, paths relative to its folder."""
    write(path, to_json(_with_paths(recipe, relative_to(path.parent)), indent=2) + b"\n")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, paths made absolute; raises OpenError with a sentence that says what is wrong with it."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        template = "{path} cannot be read: {error}."
        raise OpenError("recipe.unreadable", template, path=str(path), error=error.strerror or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        template = "{path} is no recipe: it is not JSON ({error})."
        raise OpenError("recipe.json", template, path=str(path), error=str(error)) from error
    _check_schema(content, path)
    try:
        recipe = from_plain(content, Recipe)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        template = "{path} is no recipe that this version knows: {error}."
        raise OpenError("recipe.shape", template, path=str(path), error=str(error)) from error
    if not recipe.steps or not isinstance(recipe.steps[0], Open):
        raise OpenError("recipe.no_open", "{path} does not begin with the step that opens a model.", path=str(path))
    return _with_paths(recipe, absolute_to(path.parent))


def planned(analysis: Analysis, before: State, after: State) -> Mask:
    """[S] what a cut took away."""
    gone, _ = from_identities(analysis, before.removed)
    return from_identities(analysis, after.removed)[0] & ~gone


def _steps(before: State, one: State, analysis: Analysis, folder: Path) -> list[Step]:
    numbers = _numbers(one)
    match one.kind:
        case StateKind.CUT:
            intent = one.plan or PlanIntent()
            marked = identities(analysis, planned(analysis, before, one))
            predicted = costs(analysis, from_identities(analysis, one.removed)[0])
            plan = Plan(intent, Numbers(predicted.parameters, predicted.macs, removed=marked))
            score = [Score(ScoreIntent(intent.criterion, intent.seed, intent.choices))] if intent.criterion else []
            return [*score, plan, Cut(outcome=numbers)]
        case StateKind.RECOVERED:
            return [Recover(one.recovery or RecoverySettings(), numbers)]
        case StateKind.ATTACHED:
            return [Attach(AttachIntent(str(folder / "weights" / f"{one.weights}.safetensors")), numbers)]
        case StateKind.ORIGINAL:
            return []


def _exports(state: State) -> list[Step]:
    return [Export(ExportIntent(e.format, _destination(e)), Numbers(exported=e)) for e in state.exports]


def _baselines(history: History, state: State) -> list[Step]:
    beside = (one for one in history.baselines.values() if one.against == state.id)
    return [Compare(b.asked, Numbers(b.parameters, b.macs, b.weights, (b.metric,))) for b in beside]


def _destination(exported: Exported) -> str:
    return exported.files[0] if len(exported.files) == 1 else os.path.commonpath(exported.files)


def _numbers(state: State) -> Numbers:
    return Numbers(state.parameters, state.macs, state.weights, state.metrics, state.verification)


def _check_schema(content: object, path: Path) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(schema, int):
        raise OpenError("recipe.no_schema", "{path} is no recipe: it does not say its schema version.", path=str(path))
    if schema > SCHEMA:
        template = "{path} was written by a later version of Secateur (schema {schema}). Update Secateur to run it."
        raise OpenError("recipe.later", template, path=str(path), schema=schema)


def _with_paths(recipe: Recipe, change: Change) -> Recipe:
    return Recipe(recipe.schema, tuple(_changed(step, change) for step in recipe.steps))


def _changed(step: Step, change: Change) -> Step:
    replaced = msgspec.structs.replace
    match step:
        case Open():
            return replaced(step, intent=replaced(step.intent, model=change_model(step.intent.model, change)))
        case Attach():
            return replaced(step, intent=replaced(step.intent, weights=change(step.intent.weights)))
        case Compare():
            return replaced(step, intent=change_baseline(step.intent, change))
        case Export():
            return replaced(
                step, intent=replaced(step.intent, path=change(step.intent.path)), outcome=_files(step, change)
            )
        case _:
            return step


def _files(step: Export, change: Change) -> Numbers:
    if step.outcome.exported is None:
        return step.outcome
    files = tuple(change(file) for file in step.outcome.exported.files)
    return msgspec.structs.replace(step.outcome, exported=replace(step.outcome.exported, files=files))
