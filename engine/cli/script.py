"""`secateur script`: the Python script that does again what a recipe recorded."""

import argparse

from ..export.destination import check_destination
from ..session.recipe import read_recipe
from ..session.script import script_of, write_script
from ..sharing.handed import handed
from .output import Outcome, Reporter


def script(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Print the script, or write it into a file; the model is not opened."""
    path = arguments.project.absolute()
    is_recipe = path.is_file() and path.suffix == ".json"
    recipe = read_recipe(path) if is_recipe else handed(path, arguments.state or "").recipe
    if arguments.out:
        check_destination(arguments.out.absolute(), 0, overwrite=arguments.overwrite)
        files = [str(file) for file in write_script(arguments.out.absolute(), recipe)]
        return Outcome({"command": "script", "files": files}, f"wrote {', '.join(files)}")
    text = script_of(recipe)
    return Outcome({"command": "script", "script": text}, text)
