"""The entry of the command line: parse, run one command, print what came out, return the exit code."""

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TypeVar

from ..distributed import LEADER, joined, launched
from ..errors import DataError, OpenError, SecateurError
from ..machine.out_of_memory import lack_of_memory
from ..storage.file_limits import unusable
from ..storage.serialization import to_json
from .arguments import WrongUsage, given, parser
from .commands import COMMANDS
from .flag_hints import with_hint
from .output import Outcome, Reporter, check_names, error_as_json, keep_standard_output, one_line, printable

PARALLEL = frozenset({"prune", "shear", "sweep", "run"})
"""Commands that score or train, which several processes do together; every other one runs in one process."""
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
NOTHING = "What was finished before stays; no file is half written."
"""What stays of a command that knows of nothing in particular."""
SHOWN, WIDEST = 2, 300
"""Lines of details that are shown unasked, and their characters."""
TRACEBACK = re.compile(r'^ *File ".*", line \d+', re.MULTILINE)
"""What only a traceback has, also one without its first lines."""
Command = Callable[[argparse.Namespace, Reporter], Outcome]
Result = TypeVar("Result")


def led(arguments: argparse.Namespace, command: Callable[[], Result]) -> Result | None:
    """Run a command in the process that leads; the others compute with it, or leave where it has nothing for them.

    Returns:
        What the command gives, None in the others.
    """
    place = launched()
    if place.size == 1:
        return command()
    if arguments.command not in PARALLEL:
        if place.rank == 0:
            return command()
        sys.stderr.write(f"{arguments.command} runs in one process: process {place.rank} has nothing to do.\n")
        return None
    with joined() as group:
        if group.is_writer:
            return command()
        from ..session.parallel import Follower  # brings torch
        from .model_args import use_threads

        use_threads(arguments.threads)
        # The others have no output of their own: they compute what the leading process orders.
        Follower(group).follow()
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 only when what was asked was done, 1 when not, 2 where the arguments or the files that they name cannot be
        used, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        # Before parsing, as argparse would print the name, and fail at that.
        check_names(argv)
        arguments = parser().parse_args(argv)
        arguments.given = given(argv, arguments)
    except SystemExit as stop:
        if isinstance(stop, WrongUsage) and "--json" in argv:
            _print_error(SecateurError("cli.usage", "{message}", message=stop.message))
        return stop.code if isinstance(stop.code, int) else USAGE
    except SecateurError as error:
        sys.stderr.write(f"{one_line(str(error))}\n")
        if "--json" in argv:
            _print_error(error)
        return USAGE
    # Of several processes one has the result.
    arguments.json = arguments.json and launched().rank == LEADER
    reporter = Reporter()
    try:
        with keep_standard_output():
            # Loaded now: `--help` and wrong usage need no torch.
            name = COMMANDS[arguments.command]
            command: Command = getattr(import_module(f".{name}", __package__), name)
            outcome = led(arguments, lambda: command(arguments, reporter))
    except KeyboardInterrupt:
        reporter.clear()
        sys.stderr.write(f"Stopped. {reporter.stays or NOTHING}\n")
        return INTERRUPTED
    except SecateurError as error:
        return _print_failure(lack_of_memory(error) or error, arguments)
    except (Exception, SystemExit) as error:  # A model's forward may exit, too.
        words = (str(error).strip().splitlines() or [""])[0]
        template = "Unexpected error: {error}. Run again with --verbose for details."
        text = f"{type(error).__name__}: {words}".rstrip(": .")
        unexpected = SecateurError("cli.unexpected", template, traceback.format_exc(), error=text)
        return _print_failure(lack_of_memory(error) or unusable(error) or unexpected, arguments)
    shortfall = ""
    # Of several processes one has the result.
    if outcome is not None:
        shortfall = printable(outcome.shortfall)
        text = to_json(outcome.as_json()).decode() if arguments.json else printable(outcome.text)
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()
    if shortfall:
        sys.stderr.write(shortfall + "\n")
    return FAILED if shortfall else DONE


def _print_failure(error: SecateurError, arguments: argparse.Namespace) -> int:
    sys.stderr.write(f"{one_line(with_hint(error.message))}\n")
    lines = [one_line(line) for line in error.details.splitlines()]
    # Three lines are a refusal that people read; what a library says has any number.
    if not arguments.verbose:
        traced = TRACEBACK.search(error.details) is not None
        more = ["... --verbose shows the rest."] if len(lines) > SHOWN else []
        lines = [] if traced else [one[:WIDEST] for one in lines[: SHOWN - len(more)]] + more
    sys.stderr.write("".join(f"  {line}\n" for line in lines))
    if arguments.json:
        _print_error(error)
    return USAGE if isinstance(error, OpenError | DataError) else FAILED


def _print_error(error: SecateurError) -> None:
    content = error_as_json(error.message, one_line(with_hint(error.message)), error.details)
    sys.stdout.write(to_json(content).decode() + "\n")


if __name__ == "__main__":
    sys.exit(main())
