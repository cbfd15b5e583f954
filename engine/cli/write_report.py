"""`secateur report`: one HTML file about a project or a bundle; neither the model nor its data are opened."""

import argparse
from pathlib import Path

from ..export.staged_output import check_destination
from ..sharing.read_shared import handed
from ..sharing.report import report_of
from ..storage.atomic_files import write
from .output import Outcome, Reporter

NAME = "report.html"


def write_report(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Write the report."""
    out = (arguments.out or Path(NAME)).absolute()
    found = handed(arguments.project.absolute(), arguments.state or "")
    check_destination(out, 0, overwrite=arguments.overwrite)
    write(out, report_of(found.history, found.recipe, found.state, found.machine).encode())
    content = {"command": "report", "files": [str(out)], "state": found.state}
    return Outcome(content, f"wrote {out}, about {found.state}")
