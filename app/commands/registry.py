"""The table of all commands. To add one is to add a record to one of its files."""

from .command import Command
from .edit import EDIT
from .file import FILE
from .mark import MARK
from .run import RUN
from .view import VIEW

COMMANDS: tuple[Command, ...] = FILE + EDIT + MARK + RUN + VIEW

MENUS: tuple[str, ...] = tuple(dict.fromkeys(one.menu for one in COMMANDS))


def command_named(name: str) -> Command:
    """The command of that id."""
    return next(one for one in COMMANDS if one.id == name)
