"""`secateur prune`: the whole road from a model to a smaller one that is verified, recovered and exported."""

import argparse
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import SecateurError, TaskError
from ..export.destination import check_destination
from ..export.table import EXPORTERS, format_of
from ..planning.goal import suggest
from ..recovery.protocol import RecoverySettings
from ..scoring.choices import Choices
from ..session.plain import to_plain
from ..session.session import Session
from ..session.states import Exported, OpenedModel, PlanIntent, State
from ..structures.analysis import Mask, from_identities
from ..tasks.protocol import Split
from .arguments import choices_of, model_spec
from .output import Outcome, Reporter
from .report import comparison, costs_of, export_of, metrics_of, repairs_of, verification_of, verified, wrote
from .threads import use_threads


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a pruning.

    Attributes:
        keep_macs: Share of the original's MACs to keep at most.
        criterion: What rates structures, "" for the best that is possible.
        multiple: Kept widths are multiples of this.
        epochs: Of fine-tuning; None for the default where there is data; 0 for none.
        seed: Of what is random.
        threads: Of fine-tuning, 0 for the default.
        choices: About the scores and the ranking by them.
    """

    keep_macs: float = 0.5
    criterion: str = ""
    multiple: int = 16
    epochs: int | None = None
    seed: int = 0
    threads: int = 0
    choices: Choices = field(default_factory=Choices)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning gave: the states in order, the criterion that was used, and remarks in words."""

    opened: OpenedModel
    start: State
    cut: State
    result: State
    criterion: str
    notes: tuple[str, ...]


def prune(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Prune as the arguments say."""
    goal = goal_of(arguments)
    if arguments.export:
        check_export(arguments.export)
    if arguments.save:
        check_save(arguments.save)
    use_threads(arguments.threads)
    with closing(Session()) as session:
        opened = reporter.finish(session.open(model_spec(arguments)))
        _require_data(opened, arguments)
        done = pruned(session, opened, goal, reporter)
        exported = write_export(session, done.result, arguments.export, reporter)
        saved = session.save(arguments.save, done.result.id) if arguments.save else ""
        result = session.history.state(done.result.id)
    return _outcome(done, result, goal, exported, saved)


def goal_of(arguments: argparse.Namespace) -> Goal:
    """The goal that the arguments name."""
    epochs = 0 if arguments.no_recover else arguments.epochs
    criterion, threads = arguments.criterion or "", arguments.threads or 0
    about = (arguments.keep_macs, criterion, arguments.multiple, epochs, arguments.seed, threads)
    return Goal(*about, choices_of(arguments))


def pruned(session: Session, opened: OpenedModel, goal: Goal, reporter: Reporter) -> Pruned:
    """Score, plan, cut, recover and evaluate from the last state of a session."""
    start, notes = session.states()[-1], list[str]()
    scores, criterion = _scores(session, start, goal, opened.task is not None, reporter, notes)
    marked = _plan(opened, start, scores, goal)
    plan = PlanIntent(criterion, goal.keep_macs, goal.multiple, seed=goal.seed, choices=goal.choices)
    cut = reporter.finish(session.cut(start.id, marked, plan))
    result = _recovered(session, cut, goal, opened.task is not None, reporter, notes)
    if opened.task is not None:
        reporter.finish(session.evaluate(result.id, Split.REPORT))
    for note in notes:
        reporter.note(note)
    return Pruned(opened, start, cut, session.history.state(result.id), criterion, tuple(notes))


def check_export(path: str) -> None:
    """Refuse a destination that cannot be written before the work, not after it."""
    check_destination(Path(path).expanduser().absolute(), 0, folder=not EXPORTERS[format_of(path)].suffix)


def check_save(folder: str) -> None:
    """Refuse a project folder that cannot be written before the work, not after it."""
    path = Path(folder).expanduser().absolute()
    while not path.parent.exists():  # saving makes the folders above it too
        path = path.parent
    check_destination(path, 0, folder=True)


def write_export(session: Session, state: State, path: str | None, reporter: Reporter) -> Exported | None:
    """Export a state, when a path was given."""
    return reporter.finish(session.export(state.id, format_of(path), path)) if path else None


def _require_data(opened: OpenedModel, arguments: argparse.Namespace) -> None:
    if opened.task is None and arguments.epochs:
        template = "Recovery needs data: say which with --task, or leave --epochs away."
        raise TaskError("cli.no_data", template)


def _scores(
    session: Session, start: State, goal: Goal, data: bool, reporter: Reporter, notes: list[str]
) -> tuple[NDArray[Any], str]:
    """Scores and the criterion they are by: Taylor where the data allows it, L1 otherwise, with a note."""
    criterion = goal.criterion or "taylor"
    if criterion == "taylor" and not data:
        notes.append(
            "There is no data, so structures were rated by the size of their weights (l1) instead of by taylor."
        )
        criterion = "l1"
    try:
        return reporter.finish(session.score(start.id, criterion, choices=goal.choices, seed=goal.seed)), criterion
    except TaskError as error:
        if goal.criterion or error.message.code != "scoring.no_loss":
            raise
    notes.append(
        "The task has no loss, so structures were rated by the size of their weights (l1) instead of by taylor."
    )
    return reporter.finish(session.score(start.id, "l1", choices=goal.choices)), "l1"


def _plan(opened: OpenedModel, start: State, scores: NDArray[Any], goal: Goal) -> Mask:
    analysis = opened.analysis
    gone, _ = from_identities(analysis, start.removed)
    ranking = goal.choices.ranking
    marked = suggest(analysis, scores, goal.keep_macs, gone, analysis.empty(), goal.multiple, None, ranking)
    if (marked == gone).all():
        template = (
            "The model already keeps no more than {share:.1%} of the original's MACs; there is nothing to remove."
        )
        raise SecateurError("cli.nothing_to_do", template, share=goal.keep_macs)
    return marked


def _recovered(session: Session, cut: State, goal: Goal, data: bool, reporter: Reporter, notes: list[str]) -> State:
    default = RecoverySettings()
    epochs = default.epochs if goal.epochs is None else goal.epochs
    if not epochs:
        return cut
    if not data:
        notes.append("There is no data, so nothing was recovered; give it with --task.")
        return cut
    settings = RecoverySettings(epochs=epochs, seed=goal.seed, threads=goal.threads)
    return reporter.finish(session.recover(cut.id, settings))


def _outcome(done: Pruned, result: State, goal: Goal, exported: Exported | None, saved: str) -> Outcome:
    original = done.opened.state
    got = result.macs / max(original.macs, 1)
    removed = {key: len(indices) for key, indices in result.removed.items()}
    content = {
        "command": "prune",
        "model": done.opened.name,
        "before": costs_of(original),
        "after": costs_of(result),
        "asked": to_plain(goal),
        "got": {"keep_macs": got, "criterion": done.criterion, "removed": removed},
        "verification": verification_of(done.cut.verification),
        "repairs": repairs_of(done.cut.repairs),
        "metrics": metrics_of((("original", original), ("result", result))),
        "recovery": to_plain(result.recovery),
        "export": export_of(exported),
        "files": list(exported.files if exported else ()) + ([saved] if saved else []),
        "notes": [*done.opened.notes, *done.notes],
    }
    return Outcome(content, _text(done, result, exported, saved), _shortfall(got, goal))


def _text(done: Pruned, result: State, exported: Exported | None, saved: str) -> str:
    lines = [done.opened.name, comparison(done.opened.state, result), verified(done.cut.verification)]
    lines += [f"  repaired: {repair}" for repair in done.cut.repairs]
    lines += [wrote(exported)] if exported else []
    lines += [f"saved {saved}"] if saved else []
    return "\n".join(lines)


def _shortfall(got: float, goal: Goal) -> str:
    if got <= goal.keep_macs + 1e-6:
        return ""
    return f"The result keeps {got:.1%} of the MACs, more than the {goal.keep_macs:.1%} that were asked for."
