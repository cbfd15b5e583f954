"""How a recipe fits a model that may be the next version of the one it was made for: by names, never by position.

A coupled set is known by its kind, the name of its first parameter and the dimension there; where an analysis calls it
otherwise than before, by the others (`matching_keys`). Where every name has got, or lost, the same prefix (a wrapper
around the model), that is followed. Loads no torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

from ..errors import Message
from ..messages import Phrase, listed, of_kind
from ..session.state_history import versions
from ..session.states import OpenedModel, PlanIntent
from ..structures.analysis import Analysis, matching_keys
from ..tasks.protocol import Metric, metric_words
from ..text.format import thousands
from .steps import LearnMasks, Open, Plan, Recipe

SHOWN = 6
"""Names that a sentence lists at most."""


class Mode(StrEnum):
    """What is done again on another version of a model.

    SAME_INDICES: The same structures go.
    SAME_SHAPE: Every coupled set keeps as many as before; which ones, scores on the new weights say.
    SAME_GOAL: The same goals are planned for again.
    """

    SAME_INDICES = "same-indices"
    SAME_SHAPE = "same-shape"
    SAME_GOAL = "same-goal"


@dataclass(frozen=True, slots=True)
class Fit:
    """What of a recipe matches a model.

    Attributes:
        recipe: With the names as the model has them.
        gone: Keys of sets that plans mark and the model has not.
        sizes: By key of a set that plans mark: structures then and now, where they differ.
        sentences: What does not match, in words; () where all does.
        refused: Modes that cannot be done, and why.
    """

    recipe: Recipe
    gone: tuple[str, ...] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    sentences: tuple[Message, ...] = ()
    refused: Mapping[Mode, Message] = field(default_factory=dict[Mode, Message])


def fit(recipe: Recipe, opened: OpenedModel, data: str = "") -> Fit:
    """Hold a recipe against an opened model.

    Args:
        recipe: What was recorded.
        opened: The model.
        data: `points.listing` of its data, "" where it has none.
    """
    analysis, said = opened.analysis, list[Message]()
    # Prefixes first: keys are matched by names, and a wrapper around the model changes all of them alike.
    added, taken = _prefixes(recipe, analysis)
    if added or taken:
        recipe = _renamed(recipe, lambda key: _moved(key, added, taken))
        template = "All layer names have a new prefix ({now} instead of {then}). Layers are matched without it."
        none = Message("fit.nothing", "nothing")
        said.append(Message("fit.prefix", template, {"then": taken or none, "now": added or none}))
    first = recipe.steps[0]
    assert isinstance(first, Open)
    now = {one.key: one.count for one in analysis.sets}
    # Then keys: another analysis may call the same coupled set by another of its parameters.
    called = matching_keys(_named(recipe), now)
    for key in _marked(recipe):
        if (other := called.get(key, key)) != key:
            template = "{layer} is now listed as {other}. The same indices are marked."
            said.append(Message("fit.called", template, {"layer": shown(key), "other": shown(other)}))
    recipe = _renamed(recipe, lambda key: called.get(key, key))
    marked = _marked(recipe)
    gone = tuple(key for key in marked if key not in now)
    # Of marked sets the structures then and now, as far as the recipe says.
    widths = recipe.steps[0].outcome.widths
    both = [key for key in marked if key in widths and key in now]
    sizes = {key: (widths[key], now[key]) for key in both if widths[key] != now[key]}
    said += _layers(first, gone, sizes, marked, now)
    if changed := changed_versions(first.intent.versions):
        said.append(Message("fit.versions", "Package versions differ: {changed}.", {"changed": changed}))
    if first.outcome.weights and first.outcome.weights != opened.state.weights:
        said.append(Message("fit.weights", "The model's weights differ from those that the recipe was made with."))
    # A metric of the original is the cheapest witness of its data: other data gives another number.
    before, here = (next(iter(metrics), None) for metrics in (first.outcome.metrics, opened.state.metrics))
    if before is not None and here is None:
        template = "No data is attached; the recipe was made with {then}."
        said.append(Message("fit.no_data", template, {"then": metric_words(before)}))
    elif before is not None and here is not None and _measured_as(before) != _measured_as(here):
        template = "The data has changed: the original scores {now} here and {then} when the recipe was made."
        said.append(Message("fit.data", template, {"now": metric_words(here), "then": metric_words(before)}))
    elif first.outcome.data and data and first.outcome.data != data:
        said.append(Message("fit.files", "The data files have changed: names or sizes differ."))
    return Fit(recipe, gone, sizes, tuple(said), dict(_refusals(recipe, gone, sizes, marked)))


def _layers(
    first: Open,
    gone: tuple[str, ...],
    sizes: Mapping[str, tuple[int, int]],
    marked: Mapping[str, set[int]],
    now: Mapping[str, int],
) -> Iterator[Message]:
    """Sentences about layers that are gone, of other sizes, or new."""
    others = {key.split("|", 1)[1]: key for key in now}
    for key in gone:
        words = {"layer": shown(key), "count": thousands(len(marked[key]))}
        other = others.get(key.split("|", 1)[1])
        if other is not None:
            template = "{layer} is now coupled differently: {other}. {count} of its marks do not match."
            yield Message("fit.coupled", template, words | {"other": shown(other)})
        else:
            yield Message("fit.gone", "{layer} no longer exists. {count} of its marks do not match.", words)
    for key, (was, is_now) in sizes.items():
        template = "{layer} now has {now} structures instead of {was}."
        yield Message("fit.size", template, {"layer": shown(key), "now": thousands(is_now), "was": thousands(was)})
    known = first.outcome.widths
    unmarked = [key for key in known if key not in now and key not in marked]
    if unmarked:
        template = "Layers without marks that no longer exist: {layers}."
        yield Message("fit.unmarked", template, {"layers": listed(map(shown, unmarked), SHOWN)})
    new = [key for key in now if key not in known] if known else []
    if new:
        template = "New layers, kept as they are unless a goal is planned for: {layers}."
        yield Message("fit.new", template, {"layers": listed(map(shown, new), SHOWN)})


def _refusals(
    recipe: Recipe, gone: tuple[str, ...], sizes: Mapping[str, tuple[int, int]], marked: Mapping[str, set[int]]
) -> Iterator[tuple[Mode, Message]]:
    """Modes that would do something else than they say."""
    # A model that lacks some of the sets may still take the others; one that lacks all is another model.
    if marked and len(gone) == len(marked):
        nothing = Message("recipe.no_match", "The recipe's plans name no structure of this model.")
        yield from ((mode, nothing) for mode in (Mode.SAME_INDICES, Mode.SAME_SHAPE))
    elif sizes:
        template = (
            "Layer sizes differ, so the same indices mean other structures: {layers}. Keep the same shape, or plan "
            "for the same goal."
        )
        layers = listed(
            (
                Message("fit.sized", "{layer} ({was} > {now})", {"layer": shown(key), "was": was, "now": now})
                for key, (was, now) in sizes.items()
            ),
            SHOWN,
        )
        yield Mode.SAME_INDICES, Message("recipe.sizes", template, {"layers": layers})
    if not any(isinstance(step, Plan) for step in recipe.steps):
        nothing = Message("recipe.no_cut", "The recipe has no cut, so there is nothing to plan again.")
        yield from ((mode, nothing) for mode in (Mode.SAME_SHAPE, Mode.SAME_GOAL))


def changed_versions(recorded: Mapping[str, str]) -> Phrase | None:
    """Versions that are others than recorded, in words; None where none is."""
    now = versions()
    others = list[Phrase]()
    for name, was in recorded.items():
        if name not in now:
            words = {"name": name, "was": was}
            others.append(Message("fit.not_installed", "{name} {was}, not installed here", words))
        elif now[name] != was:
            others.append(f"{name} {was} -> {now[name]}")
    return listed(others) if others else None


def shown(key: str) -> Message:
    """A set's key for a person: layer1.0.conv1 (filter)."""
    kind, _, rest = key.partition("|")
    return of_kind(rest.split("|")[0].removesuffix(".weight"), kind)


def _measured_as(metric: Metric) -> tuple[object, ...]:
    return metric.name, metric.count, metric.split


def _marked(recipe: Recipe) -> dict[str, set[int]]:
    """Original indices that plans remove, by set key."""
    found: dict[str, set[int]] = {}
    for step in recipe.steps:
        for key, indices in step.outcome.removed.items() if isinstance(step, Plan) else ():
            found.setdefault(key, set()).update(indices)
    return found


def _named(recipe: Recipe) -> set[str]:
    """Keys of all sets that the model had, or that plans remove."""
    return {*recipe.steps[0].outcome.widths, *_marked(recipe)}


def _prefixes(recipe: Recipe, analysis: Analysis) -> tuple[str, str]:
    """The prefix that every name has now, and the one that it had: (added, taken away); ("", "") for no difference."""
    named = _named(recipe)
    now = {one.key for one in analysis.sets}
    if not named or named & now:
        return "", ""
    kind, name, *rest = min(named, key=len).split("|")
    for key in now:
        other_kind, other, *others = key.split("|")
        if (kind, rest) != (other_kind, others):
            continue
        if other.endswith(f".{name}"):
            added, taken = other[: -len(name)], ""
        elif name.endswith(f".{other}"):
            added, taken = "", name[: -len(other)]
        else:
            continue
        if all(_moved(one, added, taken) in now for one in _marked(recipe)):
            return added, taken
    return "", ""


def _moved(key: str, added: str, taken: str) -> str:
    kind, _, name = key.partition("|")
    return f"{kind}|{added}{name.removeprefix(taken)}"


def _renamed(recipe: Recipe, moved: Callable[[str], str]) -> Recipe:
    """The recipe with every set's name as the model has it."""

    def move(named: Mapping[str, list[int]]) -> dict[str, list[int]]:
        return {moved(key): indices for key, indices in named.items()}

    steps = list(recipe.steps)
    for number, step in enumerate(steps):
        outcome = msgspec.structs.replace(step.outcome, removed=move(step.outcome.removed))
        if isinstance(step, Open):
            widths = {moved(key): count for key, count in outcome.widths.items()}
            steps[number] = msgspec.structs.replace(step, outcome=msgspec.structs.replace(outcome, widths=widths))
        elif isinstance(step, Plan):
            steps[number] = msgspec.structs.replace(step, outcome=outcome, intent=_moved_plan(step.intent, move))
        elif isinstance(step, LearnMasks):
            intent = replace(step.intent, plan=_moved_plan(step.intent.plan, move))
            steps[number] = msgspec.structs.replace(step, outcome=outcome, intent=intent)
    return Recipe(recipe.schema, tuple(steps))


def _moved_plan(told: PlanIntent, move: Callable[[Mapping[str, list[int]]], dict[str, list[int]]]) -> PlanIntent:
    choices = replace(told.choices, selection=move(told.choices.selection))
    return replace(told, locked=move(told.locked), marked=move(told.marked), choices=choices)
