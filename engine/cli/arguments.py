"""The arguments of the commands."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn, cast

from ..baselines.protocol import BaselineSpec
from ..export.table import EXPORTERS
from ..options import setting_of
from ..planning.protocol import GOAL, PLAN, Cost, Goal, QualityLimits
from ..planning.selection_rules import ranges
from ..recipes.compatibility import Mode
from ..sensitivity.protocol import SHARES
from ..sources.protocol import ModelSpec
from ..structures.analysis import Kind
from ..tasks.protocol import Split
from ..text.notation import SHARE
from ..text.notation import SHARES as LIST_OF_SHARES
from ..workflows.budget_search import LossLimit
from ..workflows.stages import Devices
from ..workflows.sweep import BUDGETS
from .options import (
    RUN,
    about_choice,
    about_log,
    about_measuring,
    about_model,
    about_output,
    about_place,
    about_recovery,
    about_run,
    about_scores,
    about_ssh,
    about_target,
    about_trust,
    about_writing,
)
from .settings import add_setting, add_settings, group, parsed_by

MODEL = setting_of(ModelSpec, "source")
HANDED = "a folder that --save wrote, or a bundle"
SHELLS = ("bash", "zsh", "fish")
"""Shells that commands and options are completed in."""


class WrongUsage(SystemExit):
    """The arguments are not those of a command; standard error has been told.

    Attributes:
        message: What is wrong with them.
    """

    def __init__(self, message: str) -> None:
        """Leave with argparse's own exit code, unless somebody listens."""
        super().__init__(2)
        self.message = message


class Parser(argparse.ArgumentParser):
    """Says what was wrong as it leaves, so that `--json` can answer with an object here too."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls."""
        try:
            super().error(message)
        except SystemExit:
            raise WrongUsage(message) from None


class CommandParser(Parser):
    """A command; its usage names what it needs, and leaves its many options to the headings below."""

    def format_usage(self) -> str:
        """One line."""
        return f"usage: {self._words()}\n"

    def format_help(self) -> str:
        """The usage, then all options under their headings."""
        self.usage = self._words().replace("%", "%%")
        return super().format_help()

    def _words(self) -> str:
        needed = (one for one in self._actions if not one.option_strings)
        return " ".join([self.prog, *(str(one.metavar or one.dest) for one in needed), "[OPTIONS]"])


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(prog="secateur", description="Structured pruning: smaller dense models, verified.")
    commands(top)
    return top


def commands(top: Parser) -> Any:
    """Add all commands to a parser; returns the action that has their parsers, by name, as its `choices`."""
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    command = commands.add_parser("inspect", help="what can be removed from a model, and what cannot")
    add_setting(command, MODEL)
    command.add_argument(
        "--latency", action="store_true", help="measure on the target what removal buys there (minutes, then kept)"
    )
    command.add_argument("--again", action="store_true", help="measure anew what was kept, on a quieter machine say")
    words = "measure the loss of each domain of the data, as --references of other commands takes it"
    command.add_argument("--losses", action="store_true", help=words)
    about_target(command)
    about_model(command)
    about_run(command)
    _prune(commands.add_parser("prune", help="make a model smaller: score, plan, cut, verify, recover, export"))
    _shear(commands.add_parser("shear", help="make a model smaller to a target shape: one number a kind in all layers"))
    _sensitivity(commands.add_parser("sensitivity", help="how the metric falls as each layer loses a share"))
    _sweep(commands.add_parser("sweep", help="prune to several budgets: what accuracy costs how much"))
    _measure(commands.add_parser("measure", help="how fast a project's original and last state are, here or elsewhere"))
    _baselines(
        commands.add_parser("baselines", help="was it worth pruning? random removal, from scratch, a stock model")
    )
    _changes(commands.add_parser("changes", help="what got worse: by class, by group and by sample"))
    _run(commands.add_parser("run", help="do again what a recipe recorded, also on the model's next version"))
    command = commands.add_parser("script", help="what a recipe recorded as a Python script")
    words = "write it here, with paths relative to it (default: print it)"
    _about_handed(command, f"{HANDED}, or a recipe.json", "what it leads to", words)
    about_output(command)
    command = commands.add_parser("report", help="what was done and what came out as one HTML file")
    _about_handed(command, HANDED, "what it is about", "where to write it (default: report.html)")
    about_output(command)
    _export(commands.add_parser("export", help="write any state of a project in one or several formats"))
    _job(commands.add_parser("job", help="recover a state of a project on another machine: by SSH, Slurm or by hand"))
    command = commands.add_parser("completion", help="complete commands and options in your shell")
    words = "bash, zsh or fish; prints what turns completion on, for example: source <(secateur completion bash)"
    command.add_argument("shell", metavar="SHELL", choices=SHELLS, help=words)
    about_output(command)
    about_output(commands.add_parser("schema", help="print the JSON Schema of what --json prints"))
    about_output(commands.add_parser("doctor", help="what is installed, and what brings what is missing"))
    command = commands.add_parser("bundle", help="hand a project on as one small file, or look into such a file")
    _about_handed(command, f"{HANDED}, which is shown without --out", "what is handed on", "the .zip to write")
    words = "the weights of all states too; data is never in it"
    command.add_argument("--with-weights", action="store_true", help=words)
    about_trust(command)
    about_output(command)
    return commands


def _about_handed(command: argparse.ArgumentParser, project: str, state: str, out: str) -> None:
    """What a command reads that takes projects and bundles without opening their models, and where it writes."""
    command.add_argument("project", metavar="PROJECT", type=Path, help=project)
    command.add_argument("--state", metavar="s2", help=f"{state} (default: the state that the project was saved at)")
    command.add_argument("--out", metavar="FILE", type=Path, help=out)
    about_writing(command)


class _Absent(list[object]):
    """Stands for an argument until it is given."""


def given(argv: Sequence[str], arguments: argparse.Namespace) -> frozenset[str]:
    """Names of the arguments that were given, also those with the value that they have by default.

    Args:
        argv: A command, and what follows it.
        arguments: What it was parsed to.
    """
    command, *rest = argv
    # argparse leaves alone what a namespace has already: what is no marker afterwards was given.
    marked = argparse.Namespace(**{name: _Absent() for name in vars(arguments)})
    commands(Parser()).choices[command].parse_args(rest, marked)
    return frozenset(name for name, value in vars(marked).items() if not isinstance(value, _Absent) or value)


def parse_kept(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that were kept as plain JSON, as if they were typed now: a project may come from anybody.

    Args:
        command: Its name.
        options: By the name that they have once parsed; None and False for those that were not given.

    Raises:
        WrongUsage: Nobody can type them; standard error is not told.
    """
    parser: argparse.ArgumentParser = commands(Parser()).choices[command]
    # The default is not typed: it may be one of several options of which one alone may be.
    given = {name: value for name, value in options.items() if value != parser.get_default(name)}
    with redirect_stderr(StringIO()):
        found = parser.parse_args(["MODEL", *(word for name, value in given.items() for word in _words(name, value))])
    return {name: value for name, value in vars(found).items() if name in options}


def _words(name: str, value: Any) -> list[str]:
    """What is typed for an option to have a value."""
    option = "--" + name.replace("_", "-")
    match value:
        case None | False:
            return []
        case True:
            return [option]
        case [int() | float(), *_]:  # shares
            return [f"{option}={','.join(map(str, value))}"]
        case list():  # given once for each; the parts of one have an equals sign between them
            several = cast("list[Any]", value)
            parts = [cast("list[Any]", one) if isinstance(one, list) else [one] for one in several]
            return [f"{option}={'='.join(map(str, one))}" for one in parts]
        case str() | int() | float():
            return [f"{option}={value}"]
        case _:
            raise WrongUsage(f"argument {option}: {value!r} cannot be typed")


def _prune(command: argparse.ArgumentParser) -> None:
    add_setting(command, MODEL)
    add_settings(command, Goal, GOAL, only=("limits",))
    add_settings(command, LossLimit, GOAL)
    add_settings(command, QualityLimits, GOAL)
    about_choice(command)
    about_recovery(command)
    about_log(command)
    about_target(command)
    add = group(command, RUN).add_argument
    add("--export", metavar="PATH", help="write the result: an .onnx file, a .pt2 program, or a folder for PyTorch")
    add("--save", metavar="FOLDER", help="keep all states and the recipe as a project")
    about_writing(command)
    about_model(command)
    about_run(command)


def _shear(command: argparse.ArgumentParser) -> None:
    _prune(command)
    words = "only say what the shape comes to, and what memory and compute each stage takes; reads the configuration "
    words += "alone, so that no weights are needed"
    group(command, RUN).add_argument("--plan", action="store_true", help=words)
    add_settings(command, Devices, RUN)
    words = "cut from file to file into the folder of --export, so that neither model has to fit into the memory; "
    words += "scored by magnitude, without data"
    group(command, RUN).add_argument("--stream", action="store_true", help=words)


def _sensitivity(command: argparse.ArgumentParser) -> None:
    add_setting(command, MODEL)
    add = group(command, GOAL).add_argument
    add(
        "--shares",
        type=parsed_by(LIST_OF_SHARES),
        metavar="25%,50%,75%",
        default=SHARES,
        help="shares of each layer to remove (default: 10%% to 90%%)",
    )
    about_scores(command)
    about_place(command)
    add_settings(command, Goal, PLAN, only=("kinds",))
    add = group(command, RUN).add_argument
    add("--cache", metavar="FOLDER", type=Path, help="where measured points are kept (default: your cache folder)")
    about_model(command)
    about_run(command)


def _sweep(command: argparse.ArgumentParser) -> None:
    add_setting(command, MODEL)
    add = group(command, GOAL).add_argument
    add(
        "--budgets",
        type=parsed_by(LIST_OF_SHARES),
        metavar="80%,50%,20%",
        default=BUDGETS,
        help="shares to keep at most, one result for each (default: " + ",".join(f"{b:.0%}%" for b in BUDGETS) + ")",
    )
    add("--cost", choices=[*map(str, Cost)], default=str(Cost.MACS), help="what they are shares of (default: macs)")
    about_choice(command)
    about_recovery(command)
    about_log(command)
    about_target(command)
    add = group(command, RUN).add_argument
    add("--save", metavar="FOLDER", help="keep all states as a project, also when stopped: sweep FOLDER goes on")
    about_writing(command)
    about_model(command)
    about_run(command)


def _measure(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote")
    about_measuring(command)
    where = command.add_mutually_exclusive_group()
    where.add_argument("--bench", metavar="FOLDER", help="write what another machine needs to measure, instead")
    about_ssh(command, where, "over ssh")
    where.add_argument("--results", metavar="FILE", type=Path, help="take the results of another machine, instead")
    about_writing(command)
    about_trust(command)
    about_run(command)


def _baselines(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote; it gets the baselines")
    heading = "baselines"
    add_setting(group(command, heading), setting_of(BaselineSpec, "kind"), repeated=True)
    add_settings(command, BaselineSpec, heading, apart=("kind",))
    add = group(command, heading).add_argument
    add("--state", metavar="s2", help="what they stand beside (default: the result)")
    add("--no-timing", action="store_true", help="do not measure latency")
    about_measuring(command)
    about_trust(command)
    about_run(command)


def _changes(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote; it keeps what is predicted")
    add = command.add_argument
    words = "states or baselines, before and after (default: the original and the result)"
    sides = command.add_mutually_exclusive_group()
    sides.add_argument("--state", nargs=2, metavar=("s0", "s2"), help=words)
    words = "instead try the result without structures of this layer, or pattern, on the val split; nothing is cut"
    sides.add_argument("--without", metavar="LAYER", help=words)
    add("--numbers", metavar="2,5-9", type=ranges, default=(), help="which of its structures (default: all)")
    words = "of which kind they are (default: all but blocks)"
    add("--kind", type=Kind, choices=[*Kind], metavar="KIND", help=words)
    words = "which samples (default: test where both were evaluated on it, else val)"
    add("--split", choices=[*map(str, Split)], help=words)
    add("--by", metavar="NAME", help="what is listed: class, a column, folder, domain, or sample (default: class)")
    add("--csv", metavar="FILE", type=Path, help="write the whole list to this file too")
    share = parsed_by(SHARE)
    words = "points that no class may lose more than; else the command fails"
    add("--max-class-loss", metavar="2%", type=share, help=words)
    words = "what the expected calibration error may be at most; else the command fails"
    add("--max-calibration-error", metavar="3%", type=share, help=words)
    about_writing(command)
    about_trust(command)
    about_run(command)


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote")
    add = command.add_argument
    words = "formats to write; without it those that are possible are listed, and why others are not"
    add("--to", nargs="+", default=[], choices=list(EXPORTERS), help=words)
    words = "what to write; a state is made of a baseline (b0) first (default: the state that the project was saved at)"
    add("--state", metavar="s2", help=words)
    add("--out", metavar="FOLDER", type=Path, help="where to write, under the project's name (default: here)")
    about_writing(command)
    about_trust(command)
    about_run(command)


def _job(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="FOLDER", type=Path, help="write the folder that is run there")
    words = "take what the job made: its folder, copied back"
    where.add_argument("--results", metavar="FOLDER", type=Path, help=words)
    command.add_argument("--state", metavar="s2", help="what to recover (default: the state that was saved at)")
    about_writing(command)
    about_recovery(command)
    about_trust(command)
    about_run(command)


def _run(command: argparse.ArgumentParser) -> None:
    words = "recipe.json, or a project or a bundle that holds one"
    command.add_argument("recipe", metavar="RECIPE", type=Path, help=words)
    modes = "what is done again on another version of the model: the same indices, as many of each layer chosen by "
    modes += "scores on the new weights, or the same goals planned for (default: indices where they match, else goals)"
    command.add_argument("--mode", choices=[*map(str, Mode)], help=modes)
    add_setting(command, MODEL, flag="--model", help=f"another version of the model: {MODEL.option.help}")
    command.add_argument("--save", metavar="FOLDER", help="keep all states and the recipe as a project")
    words = "write what it exports here, under its own names (default: where it says, inside of its folder)"
    command.add_argument("--out", metavar="FOLDER", type=Path, help=words)
    about_writing(command)
    about_model(command)
    about_log(command)
    about_run(command)
