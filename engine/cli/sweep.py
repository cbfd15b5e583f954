"""`secateur sweep`: prune one model to several budgets, unattended, and say what each costs and scores."""

import argparse
from contextlib import closing
from dataclasses import replace
from typing import Any

from ..planning.protocol import Cost, Limit
from ..session.measurement_cache import user_cache
from ..session.session import Session
from ..session.states import State
from ..workflows.sweep import MET, SweepPoint, sweep_budgets
from .autosave import run_with_autosave, save_result, save_when_stopped
from .flag_hints import with_hint
from .model_args import model_spec, use_device, use_threads
from .output import INFEASIBLE_CODES, Outcome, Reporter, Verdict
from .project_request import continue_sweep, request_of, resume_arguments
from .prune import check_save, complete_request, require_data, reserve_folder
from .prune_request import request_as_json, request_from
from .tables import (
    columns,
    costs_of,
    layer_repairs_of,
    metric_of,
    metric_value,
    percent,
    searches_of,
    size,
    stops_of,
)


def sweep(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Sweep as the arguments say; what is finished is saved also when the rest is stopped."""
    again = resume_arguments(arguments)
    same_weights, arguments = again.model != arguments.model, continue_sweep(again, reporter)
    asked = request_from(arguments, (Limit(Cost(arguments.cost), 1.0),))
    if arguments.save:
        check_save(arguments.save, arguments.model, arguments.overwrite)
    use_threads(arguments.threads)
    with closing(Session(cache=user_cache())) as session:
        use_device(session, arguments)
        reserve_folder(session, arguments.save, arguments.model, reporter, arguments.overwrite)
        opened = reporter.finish(session.open(model_spec(arguments), same_weights=same_weights))
        for note in opened.notes:
            reporter.note(with_hint(note))
        require_data(session, opened, arguments)
        start, notes = session.states()[0], list[str]()
        # Shares of layers are searched for each budget only where somebody asked for that.
        one = replace(asked, search=asked.search or 0)
        decided = complete_request(session, opened, start, one, reporter, notes)
        with save_when_stopped(session, arguments.save, reporter):
            scores = reporter.finish(session.score(start.id, decided.criterion, asked.choices, asked.seed))
            session.history.ask(request := request_of(arguments, start))
            job = sweep_budgets(session, start.id, decided, tuple(arguments.budgets), scores)
            done = run_with_autosave(session, arguments.save, reporter, job)
            last = done.states[-1] if done.states else start
            session.history.ask(replace(request, result=last.id))
        save_result(session, arguments.save, last.id, reporter)
        states = {one.id: one for one in session.states()}
    for one in states.values():
        told = (*searches_of([one]), *layer_repairs_of([one]), *stops_of([one]))
        notes += [f"{one.id}: {words}" for words in told]
    rows = [(point, states[point.states[-1]] if point.states else None) for point in done.points]
    content = {
        "command": "sweep",
        "model": opened.name,
        "cost": arguments.cost,
        "before": costs_of(states[start.id]) | _metric(states[start.id]),
        "asked": request_as_json(arguments, asked, decided)
        | {"budgets": list(arguments.budgets), "criterion": decided.criterion},
        "points": [
            {
                "keep": point.share,
                "verdict": str(_verdict_on(point)),
                "states": list(point.states),
                "note": str(point.note or ""),
            }
            | ({} if state is None else costs_of(state) | _metric(state))
            for point, state in rows
        ],
        "files": [arguments.save] if arguments.save else [],
        "notes": [*map(str, opened.notes), *notes],
    }
    original = states[start.id]
    first = original.test_metric
    lines = [["keep", "parameters", "MACs", first.name if first else "", ""]]
    for point, state in [(None, original), *rows]:
        keep = percent(1.0) if point is None else percent(point.share)
        if state is None:
            lines.append([keep, str(point.note or "") if point else ""])
        else:
            share = percent(state.macs / max(original.macs, 1))
            cells = [size(state.parameters), f"{size(state.macs)} ({share})", metric_value(state.test_metric)]
            lines.append([keep, *cells, str(point.note or "") if point else ""])
    text = "\n".join([opened.name, columns(lines), *notes])
    missed = [point for point in done.points if point.note is not None and point.note != MET]
    shortfall = f"{len(missed)} of {len(rows)} budgets were missed." if missed else ""
    none = all(_verdict_on(point) is Verdict.INFEASIBLE for point in done.points)
    return Outcome(content, text, shortfall, Verdict.INFEASIBLE if none else None)


def _verdict_on(point: SweepPoint) -> Verdict:
    """What became of one budget."""
    if point.note is None or point.note == MET:
        return Verdict.ACCEPT
    return Verdict.INFEASIBLE if point.note.code in INFEASIBLE_CODES else Verdict.GOAL_MISSED


def _metric(state: State) -> dict[str, Any]:
    metric = state.test_metric
    return {"metric": None if metric is None else metric_of(metric)}
