"""`secateur sensitivity`: how the metric falls as each layer loses a share of its structures."""

import argparse
from contextlib import closing

from ..errors import TaskError
from ..planning.protocol import Goal
from ..scoring.criteria import default_criterion
from ..scoring.score_options import Choices
from ..session.measurement_cache import user_cache
from ..session.session import Session
from ..workflows.sensitivity import measure_sensitivity
from .flag_hints import with_hint
from .model_args import model_spec, refuse_preprocessing, use_device, use_threads
from .output import Outcome, Reporter
from .prune_request import kinds_of
from .settings import read_settings
from .tables import columns, metric_of, metric_value, percent


def sensitivity(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Measure as the arguments say; what a stopped run measured is there for the next one."""
    use_threads(arguments.threads)
    goal = read_settings(Goal, arguments, limits=(), kinds=kinds_of(arguments))
    with closing(Session(cache=arguments.cache or user_cache())) as session:
        use_device(session, arguments)
        opened = reporter.finish(session.open(model_spec(arguments), evaluate=False))
        for note in opened.notes:
            reporter.note(with_hint(note))
        if not session.has_task:
            raise TaskError("cli.no_data", "{what} needs data. Add --task.", what="sensitivity")
        hint = None if arguments.accept_preprocessing else reporter.finish(session.better_preprocessing())
        if hint is not None:
            refuse_preprocessing(hint.message, hint.spec, arguments)
        present = session.present
        usual = default_criterion(opened.analysis, session.removed(present.id), opened.task)
        criterion, state = arguments.criterion or usual, present.id
        job = measure_sensitivity(
            session, state, criterion, tuple(arguments.shares), goal, choices=read_settings(Choices, arguments)
        )
        found = reporter.finish(job)
    sets = {one.key: one for one in opened.analysis.sets}
    content = {
        "command": "sensitivity",
        "model": opened.name,
        "state": state,
        "criterion": criterion,
        "metric": metric_of(found.metric),
        "shares": found.shares.tolist(),
        "sets": [
            {
                "key": key,
                "kind": str(sets[key].kind),
                "module": sets[key].module,
                "count": sets[key].count,
                "removed": found.removed[row].tolist(),
                "values": found.values[row].tolist(),
                "errors": found.errors[row].tolist(),
            }
            for row, key in enumerate(found.keys)
        ],
        "notes": [str(note) for note in (*opened.notes, *found.notes)],
    }
    # A row for each set, in the order of the model.
    metric = found.metric
    head = f"{metric.name} on the {metric.split} split (n = {metric.count}): {metric_value(metric)}"
    rows = [[f"removed, by {found.criterion}", "", *(percent(share) for share in found.shares)]]
    for key, values in zip(found.keys, found.values.tolist(), strict=True):
        one = sets[key]
        words = (f"{100 * value:.1f}" if metric.percent else f"{value:.4g}" for value in values)
        rows.append([one.module or "(model)", f"{one.count} {one.kind}", *words])
    return Outcome(content, "\n".join([opened.name, f"{head}\n\n{columns(rows, left=2)}", *map(str, found.notes)]))
