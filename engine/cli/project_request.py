"""What a command is asked to do with a project: where it starts, and which settings a sweep began with."""

import argparse
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ..errors import OpenError
from ..options import setting_of
from ..recovery.budget import Unit
from ..recovery.protocol import RecoverySettings
from ..recovery.reference_losses import write_references
from ..session.open_model import asks_for
from ..session.session import Session
from ..session.state_history import StateHistory, is_project
from ..session.states import OVER_SSH, Request, State
from ..sources.protocol import change_model
from ..storage.paths import absolute_to
from ..storage.serialization import to_json
from .arguments import WrongUsage, parse_kept
from .model_args import model_spec
from .options import about_choice, about_recovery, about_run, about_target
from .output import Reporter

LOSSES = ("max_loss", "max_class_loss", "max_calibration_error")
"""Options that say what may be lost."""
GOALS = frozenset({"budgets", "cost", "keep_macs", "keep_params", "max_size", "max_memory", "max_latency", *LOSSES})
"""Options that say how much goes."""
RECOVERING = (frozenset({*Unit, "no_recover"}),)
"""Options of which one alone may be given."""


def request_of(arguments: argparse.Namespace, start: State, files: tuple[str, ...] = ()) -> Request:
    """What a command is asked for, from a state on, exporting to files."""
    return Request(arguments.command, options_of(arguments), start.id, files=files)


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What of a command's arguments decides about its result, as plain JSON."""
    names = GOALS | _names()
    found = {name: value for name, value in vars(arguments).items() if name in names}
    if references := found.get("references"):
        # Kept as it is typed, so that it can be read as if it were typed again.
        found["references"] = write_references(references)
    return msgspec.json.decode(to_json(found))


def own_files(folder: str, command: str, options: dict[str, Any]) -> frozenset[str]:
    """Files that the same request has written, or was about to write when it was stopped: its own to replace.

    Args:
        folder: Of the project that it is kept in; anything else holds none.
        command: Its name.
        options: What decides about its result, see `Request`.
    """
    history = _history(folder)
    known = None if history is None else _request(history)
    if history is None or known is None or known.left or (known.command, known.options) != (command, options):
        return frozenset()
    return frozenset(known.files)


def start_of(session: Session, arguments: argparse.Namespace) -> State:
    """Where a pruning starts: the state that is present; where the same was done or stopped before, where that began.

    A run that was stopped, by a kill, an error or a hand, has no result to go on from. One that ended is gone on with
    from its result, unless it is asked for once more, or the loss that it tolerated is too much now.
    """
    known, present = _request(session.history), session.present
    # Where somebody has worked on, what they made is where a new pruning starts.
    if known is None or known.left or known.command != arguments.command or known.state not in session.history.states:
        return present
    began = session.history.state(known.state)
    if not known.result:
        return began
    asked = request_of(arguments, began).options
    before = dict(known.options)
    losses = [(asked.pop(name, None), before.pop(name, None)) for name in LOSSES]
    # Under stricter limits the result of the earlier search is no start: it may have lost too much already.
    same = asked == before and all(
        now == then or (now is not None and (then is None or now < then)) for now, then in losses
    )
    return began if same and present.id == known.result else present


def is_left_behind(asked: Request, folder: str | None) -> bool:
    """Whether a project is what the same request of this user has left behind, and nobody has worked on since."""
    history = _history(folder)
    known = None if history is None else _own_request(history)
    return known is not None and replace(known, result="") == asked


def resume_arguments(arguments: argparse.Namespace) -> argparse.Namespace:
    """Arguments that name the project in the model's place, where the same command of this user left it.

    The command was on a model of the same name; whether that has the same weights is seen when the project is opened.
    """
    history = None if is_project(arguments.model) else _history(arguments.save)
    known = None if history is None else _own_request(history)
    if history is None or known is None or history.spec is None:
        return arguments
    spec = change_model(model_spec(arguments), absolute_to(Path.cwd()))
    same_model = (spec.source, spec.weights) == (history.spec.source, history.spec.weights)
    same_data = history.task is None if spec.task is None else asks_for(spec.task, history.task)
    same = replace(known, result="") == request_of(arguments, history.state(known.state))
    if not (same and same_model and same_data and known.state == next(iter(history.states))):
        return arguments
    found = copy(arguments)
    found.model, found.weights = arguments.save, None
    return found


def continue_sweep(arguments: argparse.Namespace, reporter: Reporter) -> argparse.Namespace:
    """Arguments of a sweep on a project: it is written to, and what is not given now is as when the sweep began."""
    history = _history(arguments.model)
    if history is None:
        return arguments
    found = copy(arguments)
    found.save = arguments.save or arguments.model
    known = _request(history)
    if known is None or known.command != arguments.command:
        return found
    # A default that is typed counts as given, which the parsed values cannot show.
    said = set[str](arguments.given)
    for together in RECOVERING:
        said |= together if said & together else set()
    kept = {name: value for name, value in known.options.items() if name in GOALS | _names() and name not in said}
    if known.elsewhere and OVER_SSH not in said:
        template = (
            "{folder} was made elsewhere, and its sweep sends models to {address}. Add --over-ssh with that machine to "
            "allow it."
        )
        raise OpenError("cli.machine", template, folder=arguments.model, address=known.elsewhere)
    try:
        # Read as if typed, with all checks: a project may come from anybody.
        again = parse_kept(arguments.command, kept)
    except WrongUsage as error:
        template = "{folder} holds invalid sweep settings ({reason}). Restore it from a backup."
        raise OpenError("cli.settings", template, folder=arguments.model, reason=error.message) from error
    for name, value in again.items():
        setattr(found, name, value)
    # The settings that count most.
    words = [f"{found.cost} {', '.join(f'{share:.0%}' for share in found.budgets)}"]
    if found.no_recover:
        words.append("no recovery")
    for unit in Unit:
        if value := getattr(found, unit, None):
            words.append(f"{setting_of(RecoverySettings, unit).words(value)} {unit} each")
    reporter.note(f"Resuming the sweep of {arguments.model} with its first settings: {', '.join(words)}.")
    return found


def _history(folder: str | None) -> StateHistory | None:
    """What a project's folder tells; None for anything else."""
    if not folder or not is_project(folder):
        return None
    history = StateHistory(Path(folder).absolute())
    history.read()
    return history


def _request(history: StateHistory) -> Request | None:
    """What a project was asked for; options that are newer than it have their defaults, as they had when it was."""
    known = history.request
    # A recipe that runs has none of these options.
    if known is None or GOALS.isdisjoint(known.options):
        return known
    usual = argparse.Namespace(**parse_kept(known.command, dict.fromkeys(GOALS | _names())))
    return replace(known, options=options_of(usual) | known.options)


def _own_request(history: StateHistory) -> Request | None:
    """What this user asked for last, None where somebody else did, or has worked on the project since."""
    known = _request(history)
    return known if known is not None and history.owns_request and not known.left else None


def _names() -> frozenset[str]:
    """Options that decide how a goal is reached; those about the model and its data are kept by the project itself."""
    parser = argparse.ArgumentParser(add_help=False)
    for about in (about_target, about_choice, about_recovery, about_run):
        about(parser)
    return frozenset[Any](vars(parser.parse_args([]))) - {"json", "verbose"}
