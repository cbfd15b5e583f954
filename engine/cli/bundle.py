"""`secateur bundle`: hand a project on as one small file, or look into one that came from elsewhere."""

import argparse
from contextlib import closing

from ..errors import SecateurError
from ..export.staged_output import check_destination
from ..recipes.recipe import recipe_in
from ..session.bundle_file import is_bundle, read_bundle
from ..session.session import Session
from ..session.state_history import is_project
from ..session.state_text import metric_of
from ..session.structures_file import analysis_to_json
from ..sharing.bundle import write_bundle
from ..sharing.read_shared import handed
from ..sources.protocol import ModelSpec
from ..tasks.protocol import metric_value
from ..text.format import byte_size, percent, size, thousands
from .output import Outcome, Reporter
from .tables import columns, costs_of
from .tables import metric_of as metric_content


def bundle(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Write a bundle of a project, or say what is in one."""
    path = arguments.project.absolute()
    if is_bundle(path) and not arguments.out:
        found = read_bundle(path)
        # One that cannot be run is refused here already.
        recipe_in(found)
        made, states = found.manifest, tuple(found.history.states.values())
        original = states[0]
        rows = [["", "", "parameters", "MACs", "", "metric", "n"]]
        for one in states:
            metric = metric_of(one)
            cells = [size(one.parameters), size(one.macs), percent(one.macs / max(original.macs, 1))]
            words = [f"{metric_value(metric)} {metric.name}", thousands(metric.count)] if metric else ["", ""]
            rows.append([one.id, str(one.kind) + (", result" if one.id == made.state else ""), *cells, *words])
        lines = [made.title, columns(rows, left=2), f"{made.written}, {made.machine}"]
        lines += [str(found.absent or "It contains the weights of all states.")]
        content = {
            "command": "bundle",
            "title": made.title,
            "state": made.state,
            "written": made.written,
            "machine": made.machine,
            "versions": made.versions,
            "weights": found.absent is None,
            "states": [
                {"id": one.id, "kind": str(one.kind), "parent": one.parent}
                | costs_of(one)
                | {"metrics": [metric_content(metric) for metric in one.metrics]}
                for one in states
            ],
        }
        return Outcome(content, "\n".join(lines))
    if not arguments.out and not is_project(str(path)):
        # It is neither a project nor a bundle: this raises the error that says so.
        handed(path)
    if not arguments.out:
        raise SecateurError("cli.no_out", "Output file needed. Add --out FILE.zip.")
    out = arguments.out.absolute()
    check_destination(out, 0, overwrite=arguments.overwrite)
    found = handed(path, arguments.state or "")
    if arguments.with_weights and found.weights is None:
        raise SecateurError(
            "cli.no_weights", "A bundle made from a bundle cannot hold weights. Make it from the project."
        )
    structures = found.structures
    if not structures and is_bundle(path):
        known = read_bundle(path).analysis
        structures = b"" if known is None else analysis_to_json(known)
    elif not structures:
        # The project was saved before projects kept them: its model is opened.
        with closing(Session()) as session:
            trust = {name: getattr(arguments, name) for name in ("trust_pickle", "trust_code", "download")}
            spec = ModelSpec(str(path), **trust)
            structures = analysis_to_json(reporter.finish(session.open(spec, evaluate=False)).analysis)
    weights = found.weights if arguments.with_weights else None
    reporter.finish(write_bundle(out, found.history, found.recipe, found.state, structures, weights))
    bytes_ = out.stat().st_size
    content = {"command": "bundle", "files": [str(out)], "state": found.state, "weights": bool(weights)}
    held = "with weights" if weights else "without weights"
    return Outcome(content | {"bytes": bytes_}, f"wrote {out} ({byte_size(bytes_)}, {held}, no data)")
