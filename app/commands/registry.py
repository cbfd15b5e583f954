"""The table of all commands, and which one comes next. To add a command is to add a record to one of its files."""

from secateur.engine.session.states import StateKind

from ..document.document import Document
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


def next_step(document: Document) -> Command:
    """The command that the primary button runs now."""
    state = document.state
    if state is None:
        name = "file.open"
    elif document.marked.any():
        name = "run.cut"
    elif state.kind in (StateKind.ORIGINAL, StateKind.MASKED):
        name = "edit.suggest"
    elif document.untrained:
        name = "file.checkpoint"
    else:
        verdict = document.goal_verdict
        met = verdict is not None and verdict.met
        recovers = state.kind is StateKind.CUT and document.task is not None and not met
        name = "run.recover" if recovers else "file.export_onnx"
    return command_named(name)
