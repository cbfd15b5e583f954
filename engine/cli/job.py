"""`secateur job`: write the folder in which another machine recovers a state of a project, or read its results."""

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..errors import SecateurError
from ..export.staged_output import require_free
from ..recipes.steps import Open
from ..recovery.protocol import RecoverySettings, require_possible
from ..session.session import Session
from ..sharing.job_folder import SLURM, START, write_job
from ..sharing.job_results import take_job
from ..sharing.read_shared import handed
from .model_args import project_folder, project_spec
from .output import Outcome, Reporter
from .settings import read_settings
from .tables import costs_of, metrics_of


def job(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Write the folder, or read what the job made into the project."""
    folder = project_folder(arguments)
    if arguments.results:
        with closing(Session(folder)) as session:
            reporter.finish(session.open(project_spec(arguments), evaluate=False))
            made = reporter.finish(take_job(session, str(arguments.results)))
        content = {
            "command": "job",
            "folder": str(folder),
            "states": [{"id": one.id, "parent": one.parent} | costs_of(one) for one in made],
            "metrics": metrics_of(tuple((one.id, one) for one in made)),
        }
        lines = [f"{one.id}: recovered from {one.parent} on {one.device}" for one in made]
        return Outcome(content, "\n".join(lines))
    if not arguments.out:
        raise SecateurError("cli.no_job_folder", "Folder needed. Add --out FOLDER.")
    place, device = Path(arguments.out).absolute(), arguments.device or "cuda"
    require_free(place, arguments.overwrite)
    found = handed(folder, arguments.state or "")
    opening = found.recipe.steps[0]
    assert isinstance(opening, Open) and found.weights is not None
    settings = read_settings(RecoverySettings, arguments)
    require_possible(settings)
    # A repair alone is left.
    if arguments.no_recover:
        settings = replace(settings, epochs=0)
    written = write_job(found.history, opening, found.state, place, settings, device, found.weights)
    out, left = reporter.finish(written)
    content = {"command": "job", "folder": out, "state": found.state, "needs": list(left)}
    lines = [f"wrote {out}", *(f"needed there, at the same path or with --moved: {path}" for path in left)]
    lines += [f"copy it to the other machine and run there: sh {START}, or sbatch {SLURM}"]
    return Outcome(content, "\n".join([*lines, "then copy it back, and read it with --results"]))
