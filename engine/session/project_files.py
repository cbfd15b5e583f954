"""What a project's folder is made of, beside its weights; and what of somebody else's a save would replace there."""

from pathlib import Path

from ..recipes.recipe import RECIPE
from ..recipes.script import SCRIPT
from ..sharing.structures import STRUCTURES
from .project_file import PROJECT, WINDOW
from .state_history import LOG, is_project

FILES = (RECIPE, SCRIPT, STRUCTURES, PROJECT, WINDOW, LOG)
"""In the order that they are written: the log comes last."""


def in_the_way(folder: Path) -> list[Path]:
    """Files in a folder that is no project, which saving one there would replace."""
    return [] if is_project(str(folder)) else [folder / name for name in FILES if (folder / name).exists()]
