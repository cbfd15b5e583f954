"""`secateur baselines`: put a project's result beside what it has to be better than; was it worth it?"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..baselines.protocol import BaselineKind, BaselineSpec
from ..errors import SecateurError
from ..recipes.recipe import RECIPE, write_recipe
from ..recipes.script import SCRIPT, write_script
from ..session.session import Session
from ..session.states import State
from ..sharing.session_files import session_recipe
from ..sources.protocol import change_source
from ..storage.paths import absolute_to
from ..storage.serialization import to_plain
from ..targets.protocol import Timing
from ..workflows.baselines import compare_with_baselines
from .flag_hints import with_hint
from .latency_text import measured_target, where
from .model_args import project_folder, project_spec, use_device, use_threads
from .output import Outcome, Reporter, Verdict
from .settings import read_settings
from .tables import columns, costs_of, metric_of, metric_value, percent, size


def baselines(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Make and measure baselines; what is finished stays in the project also when the rest is stopped."""
    use_threads(arguments.threads)
    folder = project_folder(arguments)
    with closing(Session(folder)) as session:
        use_device(session, arguments)
        spec = project_spec(arguments)
        reporter.finish(session.open(spec, evaluate=False))
        state = arguments.state or session.present.id
        try:
            target = None if arguments.no_timing else measured_target(arguments)
            change = absolute_to(Path.cwd())
            kinds = [BaselineKind(kind) for kind in dict.fromkeys(arguments.kind or map(str, BaselineKind))]
            asked = read_settings(BaselineSpec, arguments, kind=BaselineKind.STOCK)
            stock = replace(
                asked,
                source=change_source(asked.source, change) if asked.source else "",
                weights=change(asked.weights) if asked.weights else "",
            )
            if (stock.source or stock.weights) and BaselineKind.STOCK not in kinds:
                raise SecateurError("cli.no_stock", "--stock needs the stock baseline. Add --kind stock.")
            others = replace(stock, source="", weights="")
            specs = [stock if kind is stock.kind else replace(others, kind=kind) for kind in kinds]
            done = reporter.finish(compare_with_baselines(session, state, specs, target))
        finally:
            write_recipe(folder / RECIPE, session_recipe(session, state))
            write_script(folder / SCRIPT, session_recipe(session, state))
        original = session.states()[0]
    said = done.verdict
    every = (*said.sentences, *done.classes)
    sentences = [{"code": m.code, "text": str(m), "arguments": dict(m.arguments)} for m in every]
    content = {
        "command": "baselines",
        "project": str(folder),
        "original": _state(original),
        "result": _state(done.state),
        "baselines": [
            {
                "id": one.id,
                "kind": str(one.asked.kind),
                "title": one.title,
                "parameters": one.parameters,
                "macs": one.macs,
                "epochs": one.epochs,
                "seed": one.asked.seed,
                "metric": metric_of(one.metric),
                "timings": [to_plain(timing) for timing in one.timings],
                "notes": [str(note) for note in one.notes],
            }
            for one in done.baselines
        ],
        "missed": [{"kind": str(one.asked.kind), "reason": with_hint(one.reason)} for one in done.missed],
        "comparison": {"worth": said.worth, "better": said.better, "as_good": said.as_good, "sentences": sentences},
        "recipe": str(folder / RECIPE),
    }
    shortfall = "\n".join(f"Baseline {one.asked.kind} not made: {with_hint(one.reason)}" for one in done.missed)
    beaten = Verdict.REGRESSION if done.verdict.worth is False else None
    metric = done.state.test_metric
    head = f"{metric.name} (n = {metric.count:,})" if metric else ""
    time = common_timing([original.timings, done.state.timings, *(one.timings for one in done.baselines)])
    rows = [["", "", "parameters", "MACs", "time" if time else "", "epochs", head]]
    for name, state in (("original", original), ("pruned", done.state)):
        cells = [size(state.parameters), _share(state.macs, original.macs), _time(state.timings, time), ""]
        rows.append([state.id, name, *cells, metric_value(state.test_metric)])
    for one in done.baselines:
        cells = [size(one.parameters), _share(one.macs, original.macs), _time(one.timings, time), str(one.epochs)]
        rows.append([one.id, one.title, *cells, metric_value(one.metric)])
    notes = [f"time: {where(time.target)}; {time.machine}"] if time else []
    notes += [f"{one.id}: {with_hint(note)}" for one in done.baselines for note in one.notes]
    text = "\n".join([columns(rows, left=2), *notes, *map(str, every)])
    return Outcome(content, text, shortfall, beaten)


def _state(state: State) -> dict[str, Any]:
    metric = state.test_metric
    timings = [to_plain(one) for one in state.timings]
    return {"id": state.id, "metric": None if metric is None else metric_of(metric), "timings": timings} | costs_of(
        state
    )


def _share(macs: int, original: int) -> str:
    return f"{size(macs)} ({percent(macs / max(original, 1))})"


def common_timing(rows: Sequence[tuple[Timing, ...]]) -> Timing | None:
    """The last of the result's latencies whose place and machine all rows have one of; None where there is none."""
    everywhere = set[object].intersection(*(set(map(_place, timings)) for timings in rows))
    return next((one for one in reversed(rows[1]) if _place(one) in everywhere), None)


def _place(one: Timing) -> object:
    return one.target.place, one.machine


def _time(timings: tuple[Timing, ...], like: Timing | None) -> str:
    """The latency at that place."""
    return next((f"{one.median:.3g} ms" for one in timings if like is not None and _place(one) == _place(like)), "")
