"""The recipe: the recorded steps from the original to a state, each with what was wanted and what came out.

One JSON format for the recorder, for a project's `recipe.json` and for the command line; `recipe_at` finds it in a
project, a bundle or a file of its own. Indices are in the original's coordinates, paths are relative to the recipe's
folder. Loads no torch.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from ..baselines.protocol import Baseline, change_baseline
from ..errors import OpenError, SecateurError
from ..export.table import EXPORTERS
from ..foreign_code.consent import NO_CONSENT, Consent, consent_by, seal_of
from ..machine.devices import CPU, check_threads
from ..recovery.protocol import RecoverySettings, as_recorded, require_possible
from ..session.bundle_file import Bundle, is_bundle, read_bundle
from ..session.measurement_cache import listing
from ..session.state_history import StateHistory, is_project, versions
from ..session.states import PlanIntent, State, StateKind
from ..sources.named_code import code_of
from ..sources.named_code import sealed_consent as consent_of_source
from ..sources.protocol import ModelSpec, change_model
from ..storage.atomic_files import write
from ..storage.file_limits import read_whole
from ..storage.paths import Change, absolute_to, relative_to
from ..storage.serialization import decoded, from_plain, to_json
from ..structures.analysis import Analysis
from ..targets.protocol import addresses_in
from .steps import (
    Attach,
    AttachIntent,
    Compare,
    Cut,
    Export,
    ExportIntent,
    LearnMasks,
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
LARGEST = (1 << 31) - 1
"""Index of a structure at most."""
RECIPE = "recipe.json"
TRAINED = (StateKind.RECOVERED, StateKind.MASKED)
"""States that were trained here, on a device."""


class RecipeContext(NamedTuple):
    """What a recipe's next version is held against: structures of each coupled set, and a hash of the data's files."""

    widths: Mapping[str, int] = MappingProxyType({})
    data: str = ""


NOTHING = RecipeContext()
replaced = msgspec.structs.replace


def recipe_of(
    history: StateHistory, state: str, analysis: Analysis, threads: int = 1, consent: Consent = NO_CONSENT
) -> Recipe:
    """The steps from the original to a state; sealed where all code that it names is consented to."""
    assert history.spec is not None
    path, task = history.path_to(state), history.task
    intent = OpenIntent(replace(history.spec, task=task), threads, versions=history.versions or versions())
    found = RecipeContext({one.key: one.count for one in analysis.sets}, "" if task is None else listing(task.path))
    return sealed(recorded(path, intent, history.folder, tuple(history.baselines.values()), found), history, consent)


def sealed(recipe: Recipe, history: StateHistory, consent: Consent) -> Recipe:
    """A recipe with this user's seal, where consent, or seals in its history, cover all code that it names."""
    for one in history.baselines.values():
        if one.source is not None and (own := consent_of_source(one.seal, replace(one.source, task=None))):
            consent |= own
    code = code_in(recipe)
    # A seal vouches for the content of code: what this user never allowed, or what has changed since, gets none.
    if not all(map(consent.covers, code)) or consent.changed(code):
        return recipe
    return replaced(recipe, seal=seal_of(_named_by(recipe), code))


def recorded(
    path: Sequence[State],
    opening: OpenIntent,
    folder: Path,
    baselines: Sequence[Baseline] = (),
    found: RecipeContext = NOTHING,
) -> Recipe:
    """The steps along states; needs no model.

    Args:
        path: From the original on.
        opening: What was opened; consent is left out of it, and where it was trained is told by the states.
        folder: The session's, where attached weights lie.
        baselines: Those beside a state of the path become steps.
        found: Of the original, for its next version.
    """
    original, *others = path
    model = opening.model.without_consent
    opened = replaced(_numbers(original), widths=dict(found.widths), data=found.data)
    # Of several trainings the last one made the weights that a repetition is compared with.
    device = next((one.device for one in reversed(path) if one.kind in TRAINED), CPU)
    steps: list[Step] = [Open(replaced(opening, model=model, device=device), opened), *_exports(original)]
    before = original
    for one in others:
        steps += [*_steps(before, one, folder), *_exports(one)]
        own = [baseline for baseline in baselines if baseline.against == one.id]
        steps += [Compare(b.asked, Numbers(b.parameters, b.macs, b.weights, (b.metric,))) for b in own]
        before = one
    return Recipe(SCHEMA, tuple(steps))


def baselines_in(recipe: Recipe) -> list[str]:
    """The sources of the stock models that a recipe names."""
    return [step.intent.source for step in recipe.steps if isinstance(step, Compare) and step.intent.source]


def code_in(recipe: Recipe) -> list[str]:
    """The Python files that running a recipe imports, absolute."""
    first = recipe.steps[0]
    assert isinstance(first, Open)
    return code_of(first.intent.model, *baselines_in(recipe))


def is_own(recipe: Recipe) -> bool:
    """Whether this user has written a recipe, and it lies where it did."""
    return consent_by(recipe.seal, _named_by(recipe), code_in(recipe)) is not None


def sealed_consent(recipe: Recipe) -> Consent:
    """Consent to what a recipe names, as it was when this user has written it, where it lies where it did."""
    return consent_by(recipe.seal, _named_by(recipe), code_in(recipe)) or NO_CONSENT


def _named_by(recipe: Recipe) -> list[Any]:
    """What a recipe runs, paths absolute: the model with its arguments, the task, stock models, other machines."""
    first = recipe.steps[0]
    assert isinstance(first, Open)
    model = first.intent.model
    machines = [found] if (found := addresses_in(recipe)) else []
    code = [*code_in(recipe), baselines_in(recipe)]
    return ["recipe", model.source, sorted(model.arguments.items()), *code, *machines]


def with_model(recipe: Recipe, change: Callable[[ModelSpec], ModelSpec]) -> Recipe:
    """A recipe that opens another model, or another version of it."""
    first, *others = recipe.steps
    assert isinstance(first, Open)
    intent = replaced(first.intent, model=change(first.intent.model))
    return replaced(recipe, steps=(replaced(first, intent=intent), *others))


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe atomically, paths relative to its folder."""
    write(path, recipe_bytes(with_paths(recipe, relative_to(path.parent))))


def recipe_bytes(recipe: Recipe) -> bytes:
    """A recipe as JSON, its paths as they are."""
    return to_json(recipe, indent=2) + b"\n"


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, paths made absolute; raises OpenError with a sentence that says what is wrong with it."""
    try:
        return recipe_from(read_whole(path), path)
    except OSError as error:
        template = "Cannot read {path}: {error}."
        raise OpenError("recipe.unreadable", template, path=str(path), error=error.strerror or str(error)) from error


def recipe_from(data: bytes, path: Path) -> Recipe:
    """The recipe that was read from a path, which its own paths are relative to."""
    try:
        content = decoded(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        template = "{path} is not a recipe: it is not valid JSON ({error}). Choose another file."
        raise OpenError("recipe.json", template, path=str(path), error=str(error)) from error
    # Read before anything else: a later version may have changed every other field.
    schema = content.get("schema") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(schema, int):
        raise OpenError(
            "recipe.no_schema", "{path} is not a recipe: it has no schema version. Choose another file.", path=str(path)
        )
    if schema > SCHEMA:
        template = "{path} was written by a newer version of Secateur (schema {schema}). Update Secateur to run it."
        raise OpenError("recipe.later", template, path=str(path), schema=schema)
    try:
        recipe = from_plain(as_recorded(content), Recipe)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        template = "{path} is not a recipe that this version can read: {error}."
        raise OpenError("recipe.shape", template, path=str(path), error=str(error)) from error
    if not recipe.steps or not isinstance(recipe.steps[0], Open):
        raise OpenError(
            "recipe.no_open",
            "{path} does not begin with a step that opens a model. Restore it from a backup.",
            path=str(path),
        )
    before = None
    for step in recipe.steps:
        plan = step.intent if isinstance(step, Plan) else step.intent.plan if isinstance(step, LearnMasks) else None
        # An index that no model has would else make an array of that size.
        marks = () if plan is None else (step.outcome.removed, plan.locked, plan.marked)
        if any(not 0 <= index <= LARGEST for sets in marks for indices in sets.values() for index in indices):
            raise OpenError(
                "recipe.indices",
                "{path} marks structures by invalid indices. Restore it from a backup.",
                path=str(path),
            )
        # A replay and a script keep the last plan at hand and take a cut to be of it.
        if isinstance(step, Cut) and not isinstance(before, Plan):
            raise OpenError(
                "recipe.no_plan", "{path} has a cut without a plan before it. Restore it from a backup.", path=str(path)
            )
        before = step
    try:
        # Settings are refused as it is read, not after hours of the steps before them.
        check_threads(recipe.steps[0].intent.threads)
        for step in recipe.steps:
            if isinstance(step, Recover):
                require_possible(step.intent)
            if isinstance(step, LearnMasks):
                require_possible(step.intent.recovery)
    except SecateurError as error:
        template = "{path} cannot be run: {error}"
        raise OpenError("recipe.threads", template, path=str(path), error=error.message) from error
    return with_paths(recipe, absolute_to(path.parent))


def taken(before: Mapping[str, list[int]], after: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """What is removed in one state and not in an earlier one: by set key, original indices."""
    gone = {key: set(indices) for key, indices in before.items()}
    left = {
        key: [index for index in indices if index not in gone[key]] if key in gone else list(indices)
        for key, indices in after.items()
    }
    return {key: indices for key, indices in left.items() if indices}


def _steps(before: State, one: State, folder: Path) -> list[Step]:
    numbers = _numbers(one)
    match one.kind:
        case StateKind.CUT:
            intent = one.plan or PlanIntent()
            plan = Plan(intent, Numbers(one.parameters, one.macs, removed=taken(before.removed, one.removed)))
            score = [Score(ScoreIntent(intent.criterion, intent.seed, intent.choices))] if intent.criterion else []
            return [*score, plan, Cut(outcome=numbers)]
        case StateKind.RECOVERED:
            return [Recover(one.recovery or RecoverySettings(), numbers)]
        case StateKind.MASKED:
            assert one.masks is not None
            return [LearnMasks(one.masks, replaced(numbers, removed=one.chosen))]
        case StateKind.ATTACHED:
            return [Attach(AttachIntent(str(folder / "weights" / f"{one.weights}.safetensors")), numbers)]
        case StateKind.ORIGINAL:
            return []


def _exports(state: State) -> list[Step]:
    steps = list[Step]()
    for one in state.exports:
        is_file = EXPORTERS[one.format].suffix if one.format in EXPORTERS else len(one.files) == 1
        path = one.files[0] if is_file else os.path.commonpath(one.files)
        steps.append(Export(ExportIntent(one.format, path), Numbers(exported=one)))
    return steps


def _numbers(state: State) -> Numbers:
    return Numbers(state.parameters, state.macs, state.weights, state.metrics, state.verification)


def with_paths(recipe: Recipe, change: Change) -> Recipe:
    """A recipe with all its paths changed."""
    steps = list[Step]()
    for step in recipe.steps:
        match step:
            case Open():
                model = change_model(step.intent.model.without_consent, change)
                changed = replaced(step, intent=replaced(step.intent, model=model))
            case Attach():
                changed = replaced(step, intent=replaced(step.intent, weights=change(step.intent.weights)))
            case Compare():
                changed = replaced(step, intent=change_baseline(step.intent, change))
            case Export():
                outcome, exported = step.outcome, step.outcome.exported
                if exported is not None:
                    files = tuple(change(file) for file in exported.files)
                    outcome = replaced(outcome, exported=replace(exported, files=files))
                changed = replaced(step, intent=replaced(step.intent, path=change(step.intent.path)), outcome=outcome)
            case _:
                changed = step
        steps.append(changed)
    return replaced(recipe, steps=tuple(steps))


def recipe_at(path: Path) -> Recipe:
    """The recipe of a file, a project folder or a bundle, its paths absolute; raises OpenError with a sentence."""
    if is_bundle(path):
        return recipe_in(read_bundle(path))
    return read_recipe(path / RECIPE if path.is_dir() else path)


def consent_at(path: Path, recipe: Recipe) -> Consent:
    """What this user's seals consent to of the recipe at a path: its own, and that of the project that it lies in.

    The one of the project counts for the model that the project is of: it is newer where code was allowed again since.
    """
    consent, folder = sealed_consent(recipe), path if path.is_dir() else path.parent
    if not is_project(str(folder)):
        return consent
    history, first = StateHistory(folder), recipe.steps[0]
    history.read()
    assert isinstance(first, Open) and history.spec is not None
    named, known = first.intent.model, history.spec
    same = (named.source, named.arguments, named.task) == (known.source, known.arguments, history.task)
    return consent | (history.consent or NO_CONSENT) if same else consent


def recipe_in(bundle: Bundle) -> Recipe:
    """The recipe of a bundle, paths as if its files lay beside it; raises OpenError for one that cannot be run.

    Where the data is not at hand, it opens the model with an input of the shape that it had.
    """
    spec = bundle.history.spec
    assert spec is not None
    recipe = recipe_from(bundle.recipe, bundle.path)
    return with_model(recipe, lambda model: replace(model, task=bundle.history.task, input_shape=spec.input_shape))
