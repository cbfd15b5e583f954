"""`secateur prune`: the whole road from a model to a smaller one that is verified, recovered and exported."""

import argparse
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from ..errors import ExportError, Message, SecateurError, TaskError
from ..export.hugging_face import is_own_folder
from ..export.protocol import Exported
from ..export.staged_output import check_destination, require_free
from ..export.table import EXPORTERS, format_of, require, samples_refusal
from ..jobs import NeverCancelled
from ..planning.goal import reached
from ..planning.goal_verdict import goal_verdict
from ..planning.infeasibility import goal_text
from ..planning.protocol import Cost, Limit, Reached
from ..recovery.budget import Unit
from ..recovery.expected_result import cut_model, expectation
from ..recovery.protocol import RecoverySettings, Repair, require_mixable, require_tokens
from ..scoring.criteria import DEFAULTS
from ..session.measurement_cache import user_cache
from ..session.session import Session
from ..session.state_history import is_project
from ..session.states import OpenedModel, State, StateKind
from ..sharing.project_files import in_the_way
from ..storage.serialization import to_plain
from ..workflows.budget_search import SearchResult, brief_limit, search_budget
from ..workflows.export import BROKEN_PROMISE, export_usual
from ..workflows.latency_limit import LatencyOutcome, latency_in
from ..workflows.prune import PruneRequest, decide_request, plan_prune, prune_state
from ..workflows.shape_answer import ShapePlan
from ..workflows.shape_plan import configuration_notes, shape_plan
from .autosave import run_with_autosave, save_result, save_when_stopped
from .flag_hints import with_hint
from .latency_text import flat_note, latency_content, latency_lines, loss_lines, multiple_for, no_budget_error
from .model_args import model_spec, require_preprocessing, use_device, use_threads
from .output import Outcome, Reporter, Verdict
from .project_request import LOSSES, options_of, own_files, request_of, resume_arguments, start_of
from .prune_request import request_as_json, request_from
from .settings import read_settings
from .tables import (
    asked_and_got,
    comparison,
    costs_of,
    domains_of_states,
    export_line,
    export_of,
    goal_of,
    layer_repairs_of,
    metrics_of,
    outputs_lines,
    outputs_of,
    repairs_of,
    searches_of,
    shape_content,
    shape_lines,
    stops_of,
    verification_of,
    verification_text,
)


@dataclass(frozen=True, slots=True)
class PruneOutcome:
    """What a pruning gave: the last cut and the result, the criterion that was used, and remarks in words.

    Attributes:
        opened: The model.
        states: Those that were made, in order.
        cut: The last cut.
        result: The last state.
        criterion: What structures were rated by.
        reached: Asked and got of every limited cost.
        notes: Remarks.
        expected: What was said of the recovery before it ran, None where nothing was.
        latency: What became of a limit of the latency.
        found: What became of a limit of the loss.
        shape: What became of the shape, None where none was asked for and layers may differ.
    """

    opened: OpenedModel
    states: tuple[State, ...]
    cut: State
    result: State
    criterion: str
    reached: tuple[Reached, ...]
    notes: tuple[str, ...]
    expected: Message | None = None
    latency: LatencyOutcome | None = None
    found: SearchResult | None = None
    shape: ShapePlan | None = None


def prune(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Prune as the arguments say."""
    # The model may become the project that an earlier run left; what is asked of the pruning stays as typed.
    typed, arguments = arguments, resume_arguments(arguments)
    asked = request_from(arguments)
    # A run that was stopped may replace the files that it had begun to write.
    files, overwrite = (), arguments.overwrite
    if arguments.export:
        files = (str(Path(arguments.export).expanduser().absolute()),)
        overwrite = overwrite or files[0] in own_files(arguments.model, arguments.command, options_of(arguments))
        check_export(arguments.export, overwrite)
    if arguments.save:
        check_save(arguments.save, arguments.model, arguments.overwrite)
    use_threads(arguments.threads)
    with closing(Session(cache=user_cache())) as session:
        use_device(session, arguments)
        reserve_folder(session, arguments.save, arguments.model, reporter, arguments.overwrite)
        opened = reporter.finish(session.open(model_spec(arguments), same_weights=arguments.model != typed.model))
        require_data(session, opened, arguments)
        # Everything that can be refused is refused before the first minute of work, from here down to the request.
        start = start_of(session, arguments)
        notes = list[str]()
        for note in opened.notes:
            reporter.note(with_hint(note))
        decided = complete_request(session, opened, start, asked, reporter, notes)
        with save_when_stopped(session, arguments.save, reporter):
            request = request_of(arguments, start, files)
            # Kept before the work: a killed run is known by it when it is started once more.
            session.history.ask(request)
            done = run_prune(session, opened, start, decided, reporter, notes, arguments.save)
            exported = write_export(session, done.result, arguments.export, reporter, overwrite)
            session.history.ask(replace(request, result=done.result.id))
        project = save_result(session, arguments.save, done.result.id, reporter)
        # Read again, as the export has been added to it.
        result = session.history.state(done.result.id)
    return _outcome(arguments, done, result, asked, decided, exported, project)


def complete_request(
    session: Session,
    opened: OpenedModel,
    start: State,
    asked: PruneRequest,
    reporter: Reporter,
    notes: list[str],
) -> PruneRequest:
    """The request with all that it leaves open decided; what cannot be is refused before any work.

    Args:
        session: With the model.
        opened: The model.
        start: Where to start.
        asked: What the arguments ask for.
        reporter: Gets remarks on earlier cuts.
        notes: Gets what the data does not allow.
    """
    data, best = opened.task is not None, DEFAULTS[0]
    possible = asked
    if not data:
        # The best criterion rates by data, and a recovery trains on it: without any, what comes next is done.
        possible = replace(asked, recovery=None, criterion="" if asked.criterion == best else asked.criterion)
    if asked.lose:
        # A search of shares in each trial multiplies the time: only where it was asked for.
        possible = replace(possible, search=asked.search or 0)
    request = decide_request(session, start.id, possible)
    criterion = request.criterion
    if not possible.criterion:
        template = "No data, so structures were scored by {criterion}. Add --task to score by what the data shows."
        if asked.criterion:
            template = "No data, so structures were scored by {criterion} instead of {best}. Add --task to use {best}."
        if data:
            template = "The task has no loss, so structures were scored by {criterion} instead of {best}."
        notes += [template.format(criterion=criterion, best=best)] if criterion == DEFAULTS[-1] else []
        plans = [one.plan for one in session.states() if one.parent == start.id and one.plan is not None]
        known = {plan.criterion for plan in plans if plan.criterion}
        if known and criterion not in known:
            other = sorted(known)[0]
            reporter.note(
                f"Earlier cuts of {start.id} were chosen by {other}; this run chooses by {criterion}, the default "
                f"here. Add --criterion {other} to choose as before."
            )
    if not data and asked.recovery is not None and asked.recovery.trains:
        notes.append("No data, so nothing was recovered. Add --task to recover.")
    target = request.goal.target
    if not request.goal.finer or target is None:
        return request
    # Which multiple saves time on the target takes minutes to measure, so it comes after all refusals.
    goal = replace(request.goal, multiple=multiple_for(session, target, reporter), finer=False)
    return replace(request, goal=goal)


def run_prune(
    session: Session,
    opened: OpenedModel,
    start: State,
    request: PruneRequest,
    reporter: Reporter,
    notes: list[str],
    folder: str | None = None,
) -> PruneOutcome:
    """Score, plan, cut, recover and evaluate from a state of a session.

    Each state gets into the folder; one that was made before is not made again.
    """
    plan = expected = found = None
    spec, original = session.prepared.spec, session.prepared.opened.model
    goal = request.goal
    if start is not session.present:
        words = "What it finished with the same settings is not repeated."
        reporter.note(f"Resuming an earlier run from {start.id}. {words}")
    elif not request.lose:
        plan = reporter.finish(plan_prune(session, start.id, request))
        notes += [] if plan.note is None else [str(plan.note)]
        recovery = request.recovery
        if recovery is not None and opened.task is not None:
            # What our benchmarks saw of such a cut and its recovery, if any, and which configurations describe it.
            model = cut_model(opened.analysis, plan.removed, opened.task.metric, len(opened.task.classes))
            expected = expectation(model, recovery)
            if expected is not None:
                reporter.note(str(expected))
            if not spec.uniform:
                for note in configuration_notes(original, opened.analysis, plan.removed):
                    reporter.note(with_hint(note))
    if request.lose:
        limit = brief_limit(request.lose, request.lowered, request.recovery)
        scores = reporter.finish(session.score(start.id, request.criterion, request.choices, request.seed))
        search = search_budget(session, start.id, request, limit, scores)
        found = run_with_autosave(session, folder, reporter, search)
        if not found.states:
            raise no_budget_error(found, limit.loss)
        made = found.states
        # The share that was found takes the place of the searched cost's limit, so that what follows reports on it.
        others = tuple(one for one in goal.limits if one.cost is not limit.cost)
        goal = replace(goal, limits=(Limit(limit.cost, found.trials[-1].share), *others))
    else:
        made = run_with_autosave(session, folder, reporter, prune_state(session, start.id, request, plan=plan))
    if not made:
        template = "The model already meets the goal ({asked}). Nothing was removed."
        raise SecateurError("cli.nothing_to_do", template, asked=goal_text(request.goal))
    cut = [state for state in made if state.kind is StateKind.CUT][-1]
    latency = reporter.finish(latency_in(session, made, goal, NeverCancelled()))
    table = None if latency is None else latency.table
    notes += flat_note(opened.analysis, table, cut) if table else ()
    for note in notes:
        reporter.note(note)
    got = reached(opened.analysis, goal, session.removed(made[-1].id), table)
    shape = None
    if goal.shape or spec.uniform:
        gone, before = session.removed(made[-1].id), session.removed(start.id)
        shape = shape_plan(opened.name, original, opened.analysis, gone, spec.uniform, request.goal, before)
    return PruneOutcome(
        opened, made, cut, made[-1], request.criterion, got, tuple(notes), expected, latency, found, shape
    )


def check_export(path: str, overwrite: bool) -> None:
    """Refuse a destination that cannot be written, or holds what may not be replaced, before the work, not after it."""
    kind = EXPORTERS[format_of(path)]
    for place in kind.places(Path(path).expanduser().absolute()):
        check_destination(place, 0, not kind.suffix, overwrite, None if kind.suffix else is_own_folder)


def check_save(folder: str, model: str, overwrite: bool = False) -> None:
    """Refuse a project folder that cannot be written, or holds something else, before the work, not after it.

    The project that is worked on, if any, is `model`; "" for none.
    """
    path = Path(folder).expanduser().absolute()
    if is_project(str(path)) and not (model and Path(model).expanduser().resolve() == path.resolve()):
        template = "{folder} already holds a project. Pass it as MODEL to continue it, or save to another folder."
        raise ExportError("cli.project_there", template, folder=folder)
    for file in in_the_way(path):
        require_free(file, overwrite)
    # Saving makes the folders above it too.
    while not path.parent.exists():
        path = path.parent
    check_destination(path, 0, folder=True)


def write_export(
    session: Session, state: State, path: str | None, reporter: Reporter, overwrite: bool = False
) -> Exported | None:
    """Export a state, when a path was given; what came to lie there during the work is not replaced either."""
    if not path:
        return None
    check_export(path, overwrite)
    return reporter.finish(export_usual(session, state, path))


def reserve_folder(session: Session, folder: str | None, model: str, reporter: Reporter, overwrite: bool) -> None:
    """Let no other process write to the project until this one is done; refuse one that may not be written to."""
    if folder:
        reporter.finish(session.location.hold(folder))
        # Another process may have written to it until now.
        check_save(folder, model, overwrite)


def require_data(session: Session, opened: OpenedModel, arguments: argparse.Namespace) -> None:
    """Refuse before the work what the data does not allow: a recovery, a loss, an export that is calibrated on it."""
    data = opened.task is not None
    limited = next((name for name in LOSSES if getattr(arguments, name, None) is not None), "")
    if not data and limited:
        raise TaskError("cli.no_data", "{what} needs data. Add --task.", what=f"--{limited.replace('_', '-')}")
    trains = any(getattr(arguments, unit) for unit in Unit) or arguments.repair not in (Repair.AUTO, Repair.NONE)
    if not data and trains:
        given = ", ".join(f"--{unit}" for unit in Unit)
        template = "Recovery needs data. Add --task, or leave out {given} and --repair."
        raise TaskError("cli.recovery_no_data", template, given=given)
    if opened.task is not None:
        recovery = read_settings(RecoverySettings, arguments, epochs=0)
        require_tokens(recovery, opened.task.tokens)
        require_mixable(recovery, session.task)
    if path := getattr(arguments, "export", None):
        require(samples_refusal(format_of(path), data))
    require_preprocessing(opened, arguments)


def _outcome(
    arguments: argparse.Namespace,
    done: PruneOutcome,
    result: State,
    asked: PruneRequest,
    decided: PruneRequest,
    exported: Exported | None,
    saved: str,
) -> Outcome:
    original = done.opened.state
    got = result.macs / max(original.macs, 1)
    removed = {key: len(indices) for key, indices in result.removed.items()}
    # The verdict on the goal, with the latency as measured.
    # A prediction made the plan, but what was measured decides whether the goal is met.
    costs = done.reached
    if done.latency is not None:
        measured = ceil(done.latency.measured.undisturbed * 1e6)
        costs = tuple(replace(one, got=measured) if one.cost is Cost.LATENCY else one for one in costs)
    judged = goal_verdict(costs, done.opened.state.test_metric, result.test_metric, asked.lose, quality=asked.quality)
    lost = f"{judged.sentence}." if judged is not None and judged.has_regressed else ""
    content = {
        "command": arguments.command,
        "model": done.opened.name,
        "goal": goal_of(judged),
        **outputs_of(done.opened.analysis),
        "before": costs_of(original),
        "after": costs_of(result),
        "asked": request_as_json(arguments, asked, decided),
        "got": {"keep_macs": got, "criterion": done.criterion, "removed": removed, "costs": to_plain(done.reached)},
        "verification": verification_of(done.cut.verification),
        "repairs": repairs_of(done.cut.repairs),
        "metrics": metrics_of((("original", original), ("result", result))),
        "rounds": [costs_of(state) for state in done.states if state.kind is StateKind.CUT],
        "expected": None if done.expected is None else {"code": done.expected.code, "text": str(done.expected)},
        "recovery": to_plain(result.recovery),
        "domains": domains_of_states(done.states),
        "latency": latency_content(done.latency),
        "search": [to_plain(one) | {"note": str(one.note or "")} for one in done.found.trials] if done.found else None,
        "shape": shape_content(done.shape) if done.shape else None,
        "export": export_of(exported),
        "files": list(exported.files if exported else ()) + ([saved] if saved else []),
        "unused": list(done.opened.analysis.unused),
        "notes": [
            *map(str, done.opened.notes),
            *done.notes,
            *searches_of(done.states),
            *layer_repairs_of(done.states),
            *stops_of(done.states),
        ],
    }
    missed = [one for one in done.reached if one.got > one.asked and one.cost is not Cost.LATENCY]
    short = [
        lost or (f"Goal missed: {'; '.join(asked_and_got(missed))}." if missed else ""),
        ("" if done.latency is None else str(done.latency.shortfall or "")),
        *stops_of(done.states),
    ]
    notes = exported.notes if exported else ()
    short += [str(one) for one in notes if isinstance(one, Message) and one.code == BROKEN_PROMISE]
    exact = [one for one in done.reached if one.cost is not Cost.LATENCY]
    lines = [done.opened.name, comparison(done.opened.state, result), *asked_and_got(exact)]
    lines += shape_lines(done.shape) if done.shape else []
    lines += latency_lines(done.latency) if done.latency else []
    lines += loss_lines(done.found) if done.found else []
    lines += [verification_text(done.cut.verification), *(f"  {line}" for line in outputs_lines(done.opened.analysis))]
    lines += [f"  repaired: {repair}" for repair in done.cut.repairs]
    lines += searches_of(done.states)
    lines += layer_repairs_of(done.states)
    lines += [export_line(exported)] if exported else []
    lines += [f"saved {saved}"] if saved else []
    text = "\n".join(lines)
    return Outcome(content, text, " ".join(filter(None, short)), Verdict.REGRESSION if lost else None)
