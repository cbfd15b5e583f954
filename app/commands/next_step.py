"""What to do next: the one primary action, worded with what it will do."""

from secateur.engine.session.states import StateKind

from ..document.document import Document
from .command import Command
from .registry import command_named


def next_step(document: Document) -> Command:
    """The command that the primary button runs now."""
    return command_named(_name(document))


def _name(document: Document) -> str:
    state = document.state
    if state is None:
        return "file.open"
    if document.marked.any():
        return "run.cut"
    if state.kind in (StateKind.ORIGINAL, StateKind.MASKED):
        return "edit.suggest"
    if document.untrained:
        return "file.checkpoint"
    verdict = document.goal_verdict
    if state.kind is StateKind.CUT and document.task is not None and not (verdict is not None and verdict.met):
        return "run.recover"
    return "file.export_onnx"
