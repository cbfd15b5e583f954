"""Run a recipe, on the model that it was made for or on its next version.

Without a mode: the same indices where the model still has them, the same goal planned again where it does not. What no
longer matches is listed, never passed over in silence (`compatibility.py`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, OpenError, PlanError
from ..export.protocol import Exported
from ..export.staged_output import require_free
from ..foreign_code.consent import FULL_CONSENT, Consent
from ..jobs import CancelToken, Job, NeverCancelled, Progress, part_of
from ..planning.goal import plan_goal
from ..planning.infeasibility import goal_text
from ..planning.marks import check_plan
from ..planning.protocol import Cost, Goal, Limit, PlanStart
from ..planning.target_shape import reshape_plan
from ..recovery.protocol import require_whole
from ..session.measurement_cache import listing
from ..session.session import Session
from ..session.states import OpenedModel, PlanIntent, State
from ..sources.named_code import by_hand, code_of
from ..sources.protocol import ModelSpec
from ..storage.paths import absolute_to, inside
from ..structures.analysis import Kind, Mask, from_identities
from ..targets.protocol import without_addresses
from ..tasks.protocol import Split
from ..workflows.baselines import make_baseline
from ..workflows.export import export_state
from ..workflows.latency_limit import table_for
from ..workflows.plan import masked_state, search_plan, start_from
from ..workflows.prune import made_before
from .compatibility import Fit, Mode, fit, shown
from .recipe import baselines_in, code_in, consent_at, is_own, read_recipe, recipe_at, sealed_consent, with_model
from .steps import Attach, Compare, Cut, Export, LearnMasks, Open, Plan, Recipe, Recover, Replay, Step


def require_here(recipe: Recipe, mode: Mode | None) -> None:
    """Refuse steps that certainly measure on another machine. Raises OpenError."""
    for step in recipe.steps:
        if isinstance(step, Plan) and mode is Mode.SAME_GOAL:
            require_goal_here(step.intent.goal)
        elif isinstance(step, LearnMasks) and (mode is None or mode is Mode.SAME_GOAL):
            require_goal_here(step.intent.plan.goal)


def require_goal_here(goal: Goal | None) -> None:
    """Refuse a goal that is planned for by measuring on another machine. Raises OpenError."""
    if goal is not None and goal.timed and goal.target is not None and goal.target.address:
        template = (
            "The recipe was made elsewhere. Planning for its goal sends models to {address} and measures them there. "
            "Allow that only if you trust the recipe."
        )
        raise OpenError("source.machine", template, address=goal.target.address)


NEVER = NeverCancelled()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the exports of a recipe may go: a recipe is somebody's file, and what it names may be anywhere.

    Attributes:
        inside: Folders that its own paths may lie in.
        folder: The user's: each export gets its name there, wherever the recipe has it; None to take its own paths.
        overwrite: The user allows what is there to be replaced.
        own: What the same run has written before, absolute: it may be replaced.
    """

    inside: tuple[Path, ...] = ()
    folder: Path | None = None
    overwrite: bool = False
    own: frozenset[str] = frozenset()

    def place(self, step: Export) -> Path:
        """Where an export goes; raises SecateurError where that is outside."""
        path = Path(step.intent.path)
        if self.folder is None:
            return inside(path, self.inside or (Path.cwd(),))
        return inside(self.folder / path.name, (self.folder,))

    def path(self, step: Export) -> Path:
        """Where an export goes; raises SecateurError where that is outside, or something is there already."""
        path = self.place(step)
        require_free(path, self.overwrite or str(path) in self.own)
        return path


def default_destination(recipe: Path) -> Destination:
    """The folder that a recipe lies in, or is, and the current one."""
    return Destination((recipe if recipe.is_dir() else recipe.parent, Path.cwd()))


@dataclass(slots=True)
class _Run:
    """How far a replay is."""

    session: Session
    opened: OpenedModel
    consent: Consent
    destination: Destination
    fit: Fit
    mode: Mode | None
    made: list[str]
    marks: Mask
    resumed: bool  # States that are there are those of a run that was stopped.
    trusted: bool  # Machines that the recipe names may be connected to.
    plan: PlanIntent = field(default_factory=PlanIntent)
    exported: list[Exported] = field(default_factory=list[Exported])
    missing: list[str] = field(default_factory=list[str])
    notes: list[Message] = field(default_factory=list[Message])
    complete: bool = True
    again: bool = False  # A plan was made again: what later ones marked was chosen for another model.
    gone: Counter[str] = field(default_factory=Counter[str])  # Structures that plans so far removed, by set key.

    @property
    def state(self) -> str:
        return self.made[-1]

    def known(self, alike: Callable[[State], bool]) -> State | None:
        """What the run that was stopped had made of the present state."""
        return made_before(self.session, self.session.history.state(self.state), alike) if self.resumed else None


def run_recipe(
    path: Path,
    session: Session,
    trust_pickle: bool = False,
    token: CancelToken | None = None,
    mode: Mode | None = None,
    weights: str = "",
    trust_code: bool = False,
) -> Job[Replay]:
    """Run the recipe in a file on a session.

    Args:
        path: The recipe; its paths are relative to its folder.
        session: Gets the states.
        trust_pickle: Consent to run a checkpoint's pickle; a recipe cannot give it.
        token: Cancels.
        mode: What is done again on another version of the model; None for what matches best.
        weights: A new checkpoint of the same model, "" for the recorded one.
        trust_code: Consent to run the Python files that it names, where this user did not write it.
    """
    recipe = read_recipe(path)
    consent = FULL_CONSENT if trust_code else consent_at(path, recipe)
    consent.require(code_in(recipe), path)
    if weights:
        recipe = with_model(recipe, lambda model: replace(model, weights=str(Path(weights).absolute())))
    return (yield from replay(recipe, session, trust_pickle, token, mode, consent, default_destination(path)))


def replay(
    recipe: Recipe,
    session: Session,
    trust_pickle: bool = False,
    token: CancelToken | None = None,
    mode: Mode | None = None,
    consent: Consent | None = None,
    destination: Destination | None = None,
    project: str = "",
    check: Callable[[OpenedModel], None] | None = None,
) -> Job[Replay]:
    """Open what a recipe names, then run its steps.

    Args:
        recipe: What to do.
        session: Gets the states.
        trust_pickle: Consent to run a checkpoint's pickle; a recipe cannot give it.
        token: Cancels.
        mode: What is done again on another version of the model; None for what matches best.
        consent: What of foreign code may run; None for what the recipe's seal vouches for.
        destination: Where exports may go, None for the current folder.
        project: Folder of a project that an earlier run of the same recipe left behind: what it has is not made again.
            Refused where the model has other weights by now.
        check: Gets what was opened, and may refuse it by an error before any step runs.
    """
    first, token = recipe.steps[0], token or NeverCancelled()
    assert isinstance(first, Open)
    consent, destination = sealed_consent(recipe) if consent is None else consent, destination or Destination()
    consent.require(code_in(recipe), Message("replay.recipe", "The recipe"))
    if mode is None:
        for step in recipe.steps:
            if isinstance(step, Export):
                # A destination is refused before the work, not after it.
                destination.path(step)
    model = first.intent.model
    spec = ModelSpec(project, trust_code=model.trust_code, download=model.download) if project else model
    spec = replace(spec, trust_pickle=trust_pickle)
    opening = session.open(spec, token=token, consent=consent, same_weights=bool(project))
    opened = yield from part_of(_step_progress(1, recipe), opening)
    if check is not None:
        check(opened)
    return (yield from steps_again(recipe, session, opened, mode, token, consent, destination, bool(project)))


def fit_of(recipe: Recipe, session: Session, opened: OpenedModel) -> Fit:
    """How a recipe fits what a session has opened."""
    task = session.history.task
    return fit(recipe, opened, listing(task.path) if task is not None else "")


def steps_again(
    recipe: Recipe,
    session: Session,
    opened: OpenedModel,
    mode: Mode | None,
    token: CancelToken,
    consent: Consent,
    destination: Destination,
    resumed: bool = False,
) -> Job[Replay]:
    """Run the steps behind the first on an opened model, from its original on; where it is resumed, those not done yet.

    Raises:
        PlanError: The mode would do something else than it says; nothing was done.
        OpenError: It would measure on another machine, and this user did not write it.
    """
    # A recipe of somebody else may name machines: it runs here alone, whatever it measured on.
    trusted = consent.everything or is_own(recipe)
    if not trusted:
        require_here(recipe, mode)
    found = fit_of(recipe, session, opened)
    # Without a mode each plan falls back to its goal by itself; one that is named must be what is done.
    if mode is not None and (why := found.refused.get(mode)) is not None:
        raise PlanError.saying(why)
    made, marks = [opened.state.id], opened.analysis.empty()
    run = _Run(session, opened, consent, destination, found, mode, made, marks, resumed, trusted)
    run.notes += found.sentences
    first = recipe.steps[0]
    assert isinstance(first, Open)
    trained, there = any(isinstance(step, Recover | LearnMasks) for step in recipe.steps), first.intent.device
    # The same seed gives the same weights only on the same kind of device.
    if mode is None and trained and there != session.device:
        template = "Recovery ran on {there} when it was recorded and on {here} now. Weights may differ by rounding."
        run.notes.append(Message("replay.device", template, {"there": there, "here": session.device}))
    for number, step in enumerate(found.recipe.steps[1:], 2):
        yield (shown := _step_progress(number, recipe))
        # Why a step means nothing on another version of the model.
        why = None
        if isinstance(step, Recover | Compare | LearnMasks) and not session.has_task:
            why = Message("replay.needs_data", "it needs data. Attach it, then recover.")
        elif isinstance(step, Attach):
            template = "its weights were trained for the previous version. Train this version, then attach its weights."
            why = Message("replay.other_weights", template)
        if why is not None and mode is not None:
            run.complete = False
            template = "Step {number} and the steps after it were left out: {why}"
            run.notes.append(Message("replay.left_out", template, {"number": number, "why": why}))
            break
        yield from part_of(shown, _apply(step, run, token))
    states = tuple(session.history.state(one) for one in run.made)
    return Replay(opened, states, tuple(run.exported), tuple(run.missing), tuple(run.notes), run.complete)


def _step_progress(number: int, recipe: Recipe) -> Progress:
    """Which step of a recipe is being done."""
    count = len(recipe.steps)
    return Progress(
        Message("progress.step", "Step {number} of {count}", {"number": number, "count": count}), number, count
    )


def _apply(step: Step, run: _Run, token: CancelToken) -> Job[None]:
    session = run.session
    match step:
        case Plan():
            run.marks = yield from _marks(step, run, token)
            run.plan = step.intent if run.trusted else without_addresses(step.intent)
        case LearnMasks() if run.mode is Mode.SAME_INDICES:
            template = "Masks were not learned again, because the same structures are to go."
            run.notes.append(Message("replay.no_masks", template))
        case LearnMasks():
            masked = run.known(lambda one: one.masks == step.intent)
            yield from _add_state(run, masked or (yield from _learn_masks(step, run, token)))
        case Cut() if not (run.marks & ~session.removed(run.state)).any():
            template = "The model already meets the goal of a plan, so nothing was cut for it."
            run.notes.append(Message("replay.met", template))
        case Cut():
            # A resumed run takes only a cut that leaves out exactly the same: a plan may be the same and its result
            # not.
            asked = run.marks | session.removed(run.state)
            cut = run.known(lambda one: one.plan == run.plan and bool((session.removed(one.id) == asked).all()))
            cut = cut or (yield from session.cut(run.state, run.marks, run.plan, token))
            run.notes += cut.rated
            yield from _add_state(run, cut)
        case Recover():
            recovered = run.known(
                lambda one: one.recovery is not None and one.recovery.as_asked == step.intent.as_asked
            )
            recovered = recovered or (yield from session.recover(run.state, step.intent, token))
            # A state that was made before says the same as when it was made.
            run.notes += [*recovered.repaired, *([] if recovered.stopped is None else [recovered.stopped])]
            yield from _add_state(run, recovered)
            yield from (session.evaluate_once if run.resumed else session.evaluate)(run.state, Split.TEST, token)
            yield Progress("Evaluated", made=session.history.state(run.state))
        case Attach():
            yield from _add_state(run, (yield from session.attach(run.state, step.intent.weights, token=token)))
        case Compare():
            yield from make_baseline(session, run.state, step.intent, token, run.consent)
        case Export() if run.mode is None:
            path = str(run.destination.path(step))
            run.exported.append((yield from export_state(session, run.state, step.intent.format, path, token)))
            run.destination = replace(run.destination, own=run.destination.own | {path})
        case Export():
            template = "{path} was not written: it holds the previous version. Export this version."
            run.notes.append(Message("replay.not_written", template, {"path": step.intent.path}))
        case _:  # Scores are made when a plan needs them; a second model is not opened.
            pass


def _learn_masks(step: LearnMasks, run: _Run, token: CancelToken) -> Job[State]:
    """Masks learned again, for the recorded goal or for the shape that it gave."""
    intent, session = step.intent if run.trusted else without_addresses(step.intent), run.session
    # Recorded in one process, it may run in several now, which cannot divide a model whose masks are learned.
    require_whole(intent.recovery, session.processes)
    run.gone.update({key: len(indices) for key, indices in step.outcome.removed.items()})
    if run.mode is Mode.SAME_SHAPE:
        plan = yield from _same_shape(Plan(intent.plan, step.outcome), run, token)
        start = start_from(session, run.state, intent.plan, (yield from _scores(intent.plan, run, token)))
        return (yield from session.learn_masks(run.state, start, plan, intent, token))
    for named in (intent.plan.locked, intent.plan.marked):
        run.missing += from_identities(run.opened.analysis, named)[1]
    return (yield from masked_state(session, run.state, intent, token=token))


def _add_state(run: _Run, state: State) -> Job[None]:
    run.made.append(state.id)
    yield Progress("Made", made=state)


def _marks(step: Plan, run: _Run, token: CancelToken) -> Job[Mask]:
    """What the plan removes, by the mode."""
    # Masks that were learned on this model have chosen already.
    if chosen := run.session.history.state(run.state).chosen:
        return from_identities(run.opened.analysis, chosen)[0]
    run.gone.update({key: len(indices) for key, indices in step.outcome.removed.items()})
    match run.mode:
        case Mode.SAME_SHAPE:
            return (yield from _same_shape(step, run, token))
        case Mode.SAME_GOAL:
            if (goal := step.intent.asked) is None:
                # Marks by hand have no goal: the share of the MACs that they left, of the kinds that went.
                before = run.fit.recipe.steps[0].outcome.macs
                if not before or not step.outcome.macs:
                    template = "A plan of this recipe was marked by hand and does not record what it kept. Keep the "
                    template += "same shape."
                    raise PlanError("recipe.no_goal", template)
                kinds = {key.partition("|")[0] for key in step.outcome.removed} & set(Kind)
                limit = Limit(Cost.MACS, step.outcome.macs / before)
                goal = Goal((limit,), kinds=tuple(sorted(map(Kind, kinds))))
                template = "A plan that was marked by hand was replaced by a goal with the same result: {goal}."
                run.notes.append(Message("replay.goal", template, {"goal": goal_text(goal)}))
            return (yield from _plan_again(step.intent, goal, run, token))
        case Mode.SAME_INDICES:
            marks = _same_indices(step, run)
            check_plan(run.opened.analysis, marks | run.session.removed(run.state))
            return marks
        case None:  # the recorded indices, or the recorded goal planned again where they do not match
            recorded, missing = from_identities(run.opened.analysis, step.outcome.removed)
            goal = step.intent.asked
            # Indices hold only while every plan before them was taken as recorded: after one that was planned again
            # they would mean structures that are left by chance.
            if goal is None or (recorded.any() and not missing and not run.again):
                return _same_indices(step, run)
            run.missing += missing
            run.again = True
            template = "Planned again ({goal}), because the recorded structures do not match."
            run.notes.append(Message("replay.again", template, {"goal": goal_text(goal)}))
            return (yield from _plan_again(step.intent, goal, run, token))


def _same_indices(step: Plan, run: _Run) -> Mask:
    recorded, missing = from_identities(run.opened.analysis, step.outcome.removed)
    run.missing += missing
    if not recorded.any():
        template = "The recipe's plan names no structure of this model and has no goal to plan for."
        raise PlanError("recipe.no_structures", template, details="\n".join(missing))
    if missing:
        run.complete = False
        template = "{count} of the marked structures are not in this model and were left out."
        run.notes.append(Message("replay.missing", template, {"count": len(missing)}))
    return recorded


def _same_shape(step: Plan, run: _Run, token: CancelToken) -> Job[Mask]:
    """As many of each set as before, chosen by scores on these weights."""
    analysis, session, kept = run.opened.analysis, run.session, dict[int, int]()
    widths, numbers = run.fit.recipe.steps[0].outcome.widths, {one.key: n for n, one in enumerate(analysis.sets)}
    for key in step.outcome.removed:
        number = numbers.get(key)
        if number is None:
            run.complete = False
            run.missing += [f"{key}[{index}]" for index in step.outcome.removed[key]]
            continue
        have = analysis.sets[number].count
        # What all plans so far removed counts: each plan records only what it added.
        kept[number] = widths.get(key, have) - run.gone[key]
        if kept[number] >= have:
            template = "{layer} already has {count} or fewer, so it loses nothing."
            run.notes.append(Message("replay.small", template, {"layer": shown(key), "count": kept[number]}))
    scores = yield from _scores(step.intent, run, token)
    locked, missing = from_identities(analysis, step.intent.locked)
    run.missing += missing
    plan = reshape_plan(PlanStart(analysis, scores, session.removed(run.state), locked), kept)
    for number, count in kept.items():
        one = analysis.sets[number]
        # Sets that lose structures in step may keep the recorded numbers together or not at all.
        left = one.count - int(plan[one.structures].sum())
        if left != min(count, one.count):
            template = "{layer} keeps {left}, not {count}, because it is cut in step with others."
            words = {"layer": shown(one.key), "left": left, "count": count}
            run.notes.append(Message("replay.in_step", template, words))
    return plan


def _scores(intent: PlanIntent, run: _Run, token: CancelToken) -> Job[NDArray[np.float64]]:
    return (yield from run.session.score(run.state, intent.criterion or "l1", intent.choices, intent.seed, token))


def _plan_again(intent: PlanIntent, goal: Goal, run: _Run, token: CancelToken) -> Job[Mask]:
    session = run.session
    if not run.trusted:
        require_goal_here(goal)
    scores = yield from _scores(intent, run, token)
    for named in (intent.locked, intent.marked):
        run.missing += from_identities(session.analysis, named)[1]
    # Latencies of this version of the model, on this machine: those of the record are of another one.
    table = yield from table_for(session, goal, token)
    start = start_from(session, run.state, intent, scores, table)
    plan, outcome = yield from search_plan(session, run.state, intent, plan_goal(start, goal), token)
    run.notes += [] if outcome is None else [outcome]
    return plan


def open_recipe(
    session: Session,
    recipe: str,
    weights: str = "",
    source: str = "",
    trust_pickle: bool = False,
    trust_code: bool = False,
    download: bool = False,
    token: CancelToken = NEVER,
) -> Job[OpenedModel]:
    """Open the model of a recipe, with a new checkpoint or from another source where they are named.

    Args:
        session: Opens it.
        recipe: A file, a project or a bundle.
        weights: A new checkpoint, "" for the recorded one.
        source: Where another version of the model comes from, "" for the recorded one.
        trust_pickle: Consent to run the checkpoint's pickle.
        trust_code: Consent to run the Python files that the recipe names.
        download: Allows what builds the model to fetch weights.
        token: Cancels.
    """
    path = Path(absolute_to(Path.cwd())(recipe))
    recorded = recipe_at(path)
    named = {"weights": weights} if weights else {}
    # A checkpoint of the recorded source means nothing for another one.
    named |= {"source": source, "weights": weights} if source else {}
    allowed = {"trust_pickle": trust_pickle, "trust_code": trust_code, "download": download}
    asked = with_model(recorded, lambda model: replace(model, **allowed, **named))
    consent = FULL_CONSENT if trust_code else consent_at(path, recorded) | by_hand(source)
    consent.require(code_in(asked), path)
    first = asked.steps[0]
    assert isinstance(first, Open)
    return (yield from session.open(first.intent.model, token=token, consent=consent))


def recipe_fit(session: Session, recipe: str) -> Fit:
    """How the recipe of a file, a project or a bundle fits the model that is open."""
    return fit_of(recipe_at(Path(absolute_to(Path.cwd())(recipe))), session, session.opened())


def apply_recipe(
    session: Session, recipe: str, mode: Mode | None = None, trust_code: bool = False, token: CancelToken = NEVER
) -> Job[Replay]:
    """Do a recipe's steps again on the original of the open model; each state that is made stays.

    Args:
        session: Gets the states.
        recipe: A file, a project or a bundle.
        mode: What is done again on another version of the model; None for what matches best.
        trust_code: Consent to the code of its baselines.
        token: Cancels.
    """
    path = Path(absolute_to(Path.cwd())(recipe))
    read = recipe_at(path)
    consent = FULL_CONSENT if trust_code else session.loaded.consent | consent_at(path, read)
    consent.require(code_of(*baselines_in(read)), path)
    return (yield from steps_again(read, session, session.opened(), mode, token, consent, default_destination(path)))
