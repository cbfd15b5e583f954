"""Run a recipe: the same indices where the model still has them, the same goal planned again where it does not.

What no longer matches is listed, never passed over in silence.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import PlanError
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..planning.goal import solve
from ..planning.obstacles import asked_in_words
from ..planning.protocol import Goal
from ..structures.analysis import Mask, from_identities
from ..tasks.protocol import Split
from .history import versions
from .recipe import read_recipe
from .session import Session
from .states import Exported, OpenedModel, PlanIntent, State
from .steps import Attach, Compare, Cut, Export, Open, Plan, Recipe, Recover, Step
from .timed import table_for


@dataclass(frozen=True, slots=True)
class Replay:
    """What running a recipe gave.

    Attributes:
        opened: The model.
        states: The original and the states that the steps made, in order.
        exported: Files that were written.
        missing: Structures that the recipe names and the model no longer has, "key[index]".
        notes: What differs from when the recipe was made, in words.
        complete: False when marks that a hand made could not be made again.
    """

    opened: OpenedModel
    states: tuple[State, ...]
    exported: tuple[Exported, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    complete: bool = True


@dataclass(slots=True)
class _Run:
    """Where a replay stands."""

    session: Session
    opened: OpenedModel
    made: list[str]
    marks: Mask
    plan: PlanIntent = field(default_factory=PlanIntent)
    exported: list[Exported] = field(default_factory=list[Exported])
    missing: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    complete: bool = True
    again: bool = False  # A plan was made again: what later ones marked was chosen for another model.

    @property
    def state(self) -> str:
        return self.made[-1]


def run_recipe(
    path: Path, session: Session, trust_pickle: bool = False, token: CancelToken | None = None
) -> Job[Replay]:
    """Run the recipe in a file on a session.

    Args:
        path: The recipe; its paths are relative to its folder.
        session: Gets the states.
        trust_pickle: Consent to run a checkpoint's pickle; a recipe cannot give it.
        token: Cancels.
    """
    return (yield from replay(read_recipe(path), session, trust_pickle, token))


def replay(
    recipe: Recipe, session: Session, trust_pickle: bool = False, token: CancelToken | None = None
) -> Job[Replay]:
    """Run a recipe's steps on a session."""
    first, token = recipe.steps[0], token or NeverCancelled()
    assert isinstance(first, Open)
    opened = yield from session.open(replace(first.intent.model, trust_pickle=trust_pickle), token=token)
    run = _Run(session, opened, [opened.state.id], opened.analysis.empty(), notes=_differences(first, opened))
    for number, step in enumerate(recipe.steps[1:], 2):
        yield Progress(f"Step {number} of {len(recipe.steps)}", number, len(recipe.steps))
        yield from _apply(step, run, token)
    states = tuple(session.history.state(one) for one in run.made)
    return Replay(opened, states, tuple(run.exported), tuple(run.missing), tuple(run.notes), run.complete)


def _apply(step: Step, run: _Run, token: CancelToken) -> Job[None]:
    session = run.session
    match step:
        case Plan():
            run.marks, run.plan = (yield from _marks(step, run, token)), step.intent
        case Cut() if not (run.marks & ~session.removed(run.state)).any():
            run.notes.append("The model meets the goal of a plan already; nothing was cut for it.")
        case Cut():
            run.made.append((yield from session.cut(run.state, run.marks, run.plan, token)).id)
        case Recover():
            run.made.append((yield from session.recover(run.state, step.intent, token)).id)
            yield from session.evaluate(run.state, Split.REPORT, token)
        case Attach():
            run.made.append((yield from session.attach(run.state, step.intent.weights, token=token)).id)
        case Compare():
            yield from session.baseline(run.state, step.intent, token)
        case Export():
            run.exported.append((yield from session.export(run.state, step.intent.format, step.intent.path, token)))
        case _:  # Scores are made when a plan needs them; a second model is not opened.
            pass


def _marks(step: Plan, run: _Run, token: CancelToken) -> Job[Mask]:
    """The recorded indices, or the recorded goal planned again."""
    analysis = run.opened.analysis
    recorded, missing = from_identities(analysis, step.outcome.removed)
    run.missing += missing
    goal = step.intent.asked
    if recorded.any() and not missing and not (run.again and goal):
        return recorded
    if goal is not None:
        words, run.again = asked_in_words(goal), True
        run.notes.append(f"Planned again ({words}): the recorded structures do not match.")
        return (yield from _planned_again(step.intent, goal, run, token))
    if not recorded.any():
        template = "The recipe's plan names no structure that this model has, and no goal to plan for."
        raise PlanError("recipe.no_plan", template, details="\n".join(missing))
    run.complete = False
    run.notes.append(
        f"{len(missing)} of the structures that were marked by hand are not in this model; they were left out."
    )
    return recorded


def _planned_again(intent: PlanIntent, goal: Goal, run: _Run, token: CancelToken) -> Job[Mask]:
    analysis, session = run.opened.analysis, run.session
    scores = yield from session.score(run.state, intent.criterion or "l1", intent.choices, intent.seed, token)
    removed, _ = from_identities(analysis, session.history.state(run.state).removed)
    locked, missing = from_identities(analysis, intent.locked)
    marked, missing_too = from_identities(analysis, intent.marked)
    run.missing += missing + missing_too
    table = yield from table_for(session, goal, token)
    return solve(analysis, scores, goal, removed | marked, locked, table).removed


def _differences(step: Open, opened: OpenedModel) -> list[str]:
    notes: list[str] = []
    now, recorded = versions(), step.intent.versions
    changed = [f"{name} {was} -> {now.get(name, 'none')}" for name, was in recorded.items() if now.get(name) != was]
    if changed:
        notes.append(f"Made with other versions: {', '.join(changed)}.")
    if step.outcome.weights and step.outcome.weights != opened.state.weights:
        notes.append("The model's weights are others than when the recipe was made.")
    return notes
