"""What does not leave the house: paths become names of files, and nothing says who or where one is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ..baselines.protocol import Baseline, change_baseline
from ..errors import Message
from ..export.protocol import Exported
from ..recipes.steps import Attach, Compare, Export, Open, Recipe, Step
from ..session.state_history import StateHistory
from ..session.states import State
from ..sources.protocol import ModelSpec, change_model
from ..storage.paths import Change, base_name, without_paths
from ..surgery.cut.edits import Verification
from ..targets.protocol import without_addresses
from ..tasks.protocol import change_task


def strip_recipe(recipe: Recipe) -> Recipe:
    """A recipe whose paths are names of files, and which leads to no other machine."""
    return Recipe(recipe.schema, tuple(_strip_step(step) for step in without_addresses(recipe).steps))


def strip_history(history: StateHistory) -> StateHistory:
    """A history in memory whose paths are names of files; consent and seals are left out."""
    bare = StateHistory(Path())
    spec = history.spec
    bare.spec = None if spec is None else _spec(spec)
    bare.task = None if history.task is None else change_task(history.task, base_name)
    bare.states = {key: _state(one) for key, one in history.states.items()}
    bare.baselines = {key: _baseline(one) for key, one in history.baselines.items()}
    bare.versions = dict(history.versions)
    return bare


def _strip_step(step: Step) -> Step:
    change: Change = base_name
    replaced = msgspec.structs.replace
    verified = step.outcome.verification
    if verified is not None:
        step = replaced(step, outcome=replaced(step.outcome, verification=_verification(verified)))
    match step:
        case Open():
            return replaced(step, intent=replaced(step.intent, model=_spec(step.intent.model)))
        case Attach():
            return replaced(step, intent=replaced(step.intent, weights=base_name(step.intent.weights)))
        case Compare():
            return replaced(step, intent=change_baseline(step.intent, change))
        case Export():
            intent, outcome = replaced(step.intent, path=base_name(step.intent.path)), step.outcome
            if outcome.exported is not None:
                outcome = replaced(outcome, exported=bare_export(outcome.exported))
            return replaced(step, intent=intent, outcome=outcome)
        case _:
            return step


def _spec(spec: ModelSpec) -> ModelSpec:
    arguments = {key: without_paths(one) if isinstance(one, str) else one for key, one in spec.arguments.items()}
    return change_model(replace(spec.without_consent, arguments=arguments), base_name)


def bare_export(exported: Exported) -> Exported:
    """An export whose files are names, and whose remarks name no place."""
    notes = tuple(map(_said, exported.notes))
    return replace(exported, files=tuple(map(base_name, exported.files)), notes=notes)


def _state(one: State) -> State:
    verification = None if one.verification is None else _verification(one.verification)
    exports = tuple(bare_export(exported) for exported in one.exports)
    stopped = None if one.stopped is None else _message(one.stopped)
    searched = None if one.searched is None else _message(one.searched)
    repairs, repaired, rated = (tuple(map(_message, said)) for said in (one.repairs, one.repaired, one.rated))
    one = without_addresses(one)
    return replace(
        one,
        verification=verification,
        exports=exports,
        repairs=repairs,
        stopped=stopped,
        repaired=repaired,
        searched=searched,
        rated=rated,
    )


def _baseline(one: Baseline) -> Baseline:
    source = None if one.source is None else _spec(one.source)
    asked, notes = change_baseline(one.asked, base_name), tuple(map(_message, one.notes))
    return replace(one, asked=asked, source=source, seal="", notes=notes)


def _verification(one: Verification) -> Verification:
    checks = tuple(replace(check, detail=_said(check.detail)) for check in one.checks)
    skipped, covered, unvaried = (tuple(map(_said, said)) for said in (one.skipped, one.covered, one.unvaried))
    return replace(one, checks=checks, skipped=skipped, covered=covered, unvaried=unvaried)


def _message(one: Message) -> Message:
    return replace(one, arguments={key: _said(value) for key, value in one.arguments.items()})


def _said(value: Any) -> Any:
    """What a field of a sentence holds, without paths: a text, or a sentence within the sentence."""
    if isinstance(value, Message):
        return _message(value)
    return without_paths(value) if isinstance(value, str) else value
