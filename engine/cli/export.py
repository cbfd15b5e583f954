"""`secateur export`: write any state of a project in one or several formats, each checked in a fresh process."""

import argparse
from contextlib import closing
from pathlib import Path

from ..export.protocol import Exported
from ..export.staged_output import check_destination, require_free
from ..export.table import EXPORTERS, require, samples_refusal
from ..session.session import Session
from ..workflows.baselines import open_baseline
from ..workflows.export import export_refusals, export_state
from .flag_hints import with_hint
from .model_args import project_folder, project_spec, use_device, use_threads
from .output import Outcome, Reporter
from .tables import columns, export_line, export_of


def export(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Write a state of a project as the arguments say, or list what is possible."""
    folder = project_folder(arguments)
    formats = tuple(dict.fromkeys(arguments.to))
    use_threads(arguments.threads)
    with closing(Session(folder)) as session:
        use_device(session, arguments)
        reporter.finish(session.open(project_spec(arguments), evaluate=False))
        name = arguments.state or session.present.id
        state = None if name in session.history.baselines else session.history.state(name)
        # Named by project, state and format, so that files of several states can stand in one folder.
        parent, stem = (arguments.out or Path()).expanduser().absolute(), f"{folder.name}-{name}"
        places = {format: parent / f"{stem}{EXPORTERS[format].suffix or f'-{format}'}" for format in formats}
        for format, place in places.items():
            require(samples_refusal(format, session.has_task))
            for one in EXPORTERS[format].places(place):
                require_free(one, arguments.overwrite)
            check_destination(place, 0, not EXPORTERS[format].suffix)
        # A state is made of a baseline once it is known that it can be written.
        state = state or reporter.finish(open_baseline(session, name))
        if not formats:
            # All formats, with what stands against them.
            refused = export_refusals(session, state.id)
            content = {
                "command": "export",
                "state": state.id,
                "refused": {name: str(one) for name, one in refused.items()},
            }
            rows = [
                [name, one.title, with_hint(refused[name]) if name in refused else ""]
                for name, one in EXPORTERS.items()
            ]
            return Outcome(content | {"formats": [*EXPORTERS]}, columns(rows, left=3))
        done: list[Exported] = []
        for format, place in places.items():
            done.append(reporter.finish(export_state(session, state.id, format, str(place))))
    content = {
        "command": "export",
        "state": state.id,
        "exports": [export_of(one) for one in done],
        "files": [file for one in done for file in one.files],
    }
    return Outcome(content, "\n".join(map(export_line, done)))
