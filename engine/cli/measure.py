"""`secateur measure`: latency of a project's states on a target, here or, with a bench, on another machine."""

import argparse
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ..export.staged_output import require_free
from ..session.session import Session
from ..session.state_history import StateHistory
from ..session.states import measurable_exports
from ..storage.folder_lock import ENGINE, FolderLock
from ..storage.serialization import to_plain
from ..targets.protocol import Latency, Timing
from ..targets.remote import not_a_bench
from ..workflows.measure import measure_states
from ..workflows.remote_bench import take_results, write_remote_bench
from .latency_text import measured_target, speed, where
from .model_args import project_folder, project_spec, use_device
from .output import Outcome, Reporter
from .tables import columns


def measure(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Measure the original and the result, or write a bench, or read its results."""
    folder = project_folder(arguments)
    if arguments.results:
        # The model is not opened: another process must not write to the project meanwhile all the same.
        lock = FolderLock(folder, ENGINE)
        reporter.finish(lock.wait())
        try:
            history = StateHistory(folder)
            history.read()
            return _outcome({one.id: one.timings[-1] for one in take_results(history, arguments.results)})
        finally:
            lock.release()
    target = measured_target(arguments)
    for taken in not_a_bench(Path(arguments.bench)) if arguments.bench else ():
        require_free(taken, arguments.overwrite)
    with closing(Session(folder)) as session:
        use_device(session, arguments)
        spec = project_spec(arguments)
        reporter.finish(session.open(spec, evaluate=False))
        ids = tuple(dict.fromkeys((session.states()[0].id, session.present.id)))
        if arguments.bench:
            bench, command = reporter.finish(write_remote_bench(session, ids, arguments.bench, target))
            text = f"wrote {bench}\ncopy it to the other machine and run there: {command}\n"
            text += "then read its results with --results"
            return Outcome({"command": "measure", "folder": bench, "run": command}, text)
        exports = tuple(name for one in ids for name in measurable_exports(session.history.state(one), target))
        timings = reporter.finish(measure_states(session, (*ids, *exports), target))
        return _outcome(dict(zip((*ids, *exports), timings, strict=True)))


def _outcome(timings: Mapping[str, Timing]) -> Outcome:
    """The timings that were taken last by state or export, the original first."""
    first = next(iter(timings.values()))
    content = {"command": "measure", "timings": {state: to_plain(one) for state, one in timings.items()}}
    rows = [
        [state, *(["prompt"] if first.step is not None else []), *_cells(one, first)] for state, one in timings.items()
    ]
    for state, one in timings.items():
        if one.step is not None and first.step is not None:
            rows.append([state, "next token", *_cells(one.step, first.step)])
    return Outcome(content, "\n".join([columns(rows), f"{where(first.target)}; {first.machine}"]))


def _cells(timing: Timing | Latency, first: Timing | Latency) -> list[Any]:
    spread = f"{timing.low:.3g} to {timing.high:.3g} ms"
    return [f"{timing.median:.3g} ms", spread, speed(first.median, timing.median)]
