"""`secateur script`: the Python script that does again what a recipe recorded."""

import argparse

from ..export.staged_output import check_destination
from ..recipes.recipe import read_recipe
from ..recipes.script import script_of, write_script
from ..sharing.read_shared import handed
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
