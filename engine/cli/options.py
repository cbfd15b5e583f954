"""Options that several commands share, by what they are about.

Those of settings dataclasses come from the fields there (`settings.py`); this file says which dataclass a command
takes, and what is no setting: what to compute with, and how to answer.
"""

import argparse
from pathlib import Path

from ..machine.devices import NUMBER_OF_THREADS
from ..options import setting_of
from ..planning.protocol import PLAN, SCORES, Goal
from ..recovery.budget import Unit
from ..recovery.protocol import RECOVERY, RecoverySettings
from ..scoring.score_options import Choices
from ..sources.protocol import FOREIGN_FILES, ModelSpec
from ..targets.protocol import TargetSpec
from ..targets.table import TARGETS
from ..tasks.protocol import TaskSpec
from ..tasks.purposes.table import PURPOSES
from ..workflows.prune import PruneRequest
from .settings import Arguments, add_setting, add_settings, group, parsed_by

RUN = "run and output"
"""A heading in `--help`."""
TRUST = ("trust_pickle", "trust_code", "download", "moved")
"""Fields of a `ModelSpec`: what files from elsewhere may do, and where they lie now."""
PLANNED_TARGET = {"threads": "--runtime-threads", "batch": "--runtime-batch"}
"""Options of the target that latency is planned for: --threads and --batch are those of the command itself."""
RUNTIMES = {
    "runtime": tuple(TARGETS),
    "precision": tuple(dict.fromkeys(precision for one in TARGETS.values() for precision in one.precisions)),
}
"""What a target may be, by option."""


def about_place(command: argparse.ArgumentParser) -> None:
    """Where structures may be removed."""
    add_settings(command, Goal, PLAN, only=("scope",))


def about_target(command: argparse.ArgumentParser) -> None:
    """The machine and runtime that latency is planned for."""
    heading, fields = "target, where latency counts", ("runtime", "threads", "batch", "precision")
    add_settings(command, TargetSpec, heading, only=fields, flags=PLANNED_TARGET, choices=RUNTIMES)
    about_ssh(command, group(command, heading), heading)


def about_ssh(command: argparse.ArgumentParser, where: Arguments, heading: str) -> None:
    """Another machine that measures.

    Args:
        command: Gets the options.
        where: Of these, what gets the address.
        heading: In `--help`, of the others.
    """
    where.add_argument(
        "--over-ssh",
        metavar="ADDRESS",
        help="measure on another machine, in onnxruntime there: ssh://user@host, or ssh://user@host/path/of/python3",
    )
    add = group(command, heading).add_argument
    add("--provider", metavar="NAME", default="", help="execution provider there (default: CPUExecutionProvider)")
    add("--provider-option", metavar="NAME=VALUE", action="append", default=[], help="option of the provider")


def about_choice(command: argparse.ArgumentParser) -> None:
    """What is rated, what competes, and which plans are allowed."""
    about_scores(command)
    add_settings(command, Goal, PLAN, apart=("limits", "ranking"))
    add_settings(command, PruneRequest, PLAN, apart=("criterion",))


def about_recovery(command: argparse.ArgumentParser) -> None:
    """What follows a cut: repair and fine-tuning."""
    either = group(command, RECOVERY).add_mutually_exclusive_group()
    for unit in Unit:
        add_setting(either, setting_of(RecoverySettings, unit))
    either.add_argument(
        "--no-recover", action="store_true", help="cut alone: no fine-tuning, and no repair unless --repair says one"
    )
    add_settings(command, RecoverySettings, RECOVERY, apart=tuple(Unit))


def about_log(command: argparse.ArgumentParser) -> None:
    """Where recoveries leave files for TensorBoard."""
    words = "write the training curves there for TensorBoard, where that is installed"
    group(command, RECOVERY).add_argument("--log-dir", metavar="FOLDER", type=Path, help=words)


def about_scores(command: argparse.ArgumentParser) -> None:
    """How structures are rated."""
    add_settings(command, PruneRequest, SCORES, only=("criterion",))
    add_settings(command, Choices, SCORES)
    add_settings(command, Goal, SCORES, only=("ranking",))


def about_measuring(command: argparse.ArgumentParser) -> None:
    """How latency is measured."""
    add_settings(command, TargetSpec, "measuring", apart=("threads",), choices=RUNTIMES)


def about_model(command: argparse.ArgumentParser) -> None:
    """How the model is opened, with the data that evaluates it."""
    add_settings(command, ModelSpec, "model", apart=("source",))
    about_data(command)


def about_trust(command: argparse.ArgumentParser) -> None:
    """What files from elsewhere may do, and where they lie now."""
    add_settings(command, ModelSpec, FOREIGN_FILES, only=TRUST)


def about_data(command: argparse.ArgumentParser) -> None:
    """What evaluates the model."""
    add_settings(command, TaskSpec, "data", choices={"purpose": tuple(PURPOSES)})
    words = "go on where the model gets clearly more samples right with another mean and std than with these"
    group(command, "data").add_argument("--accept-preprocessing", action="store_true", help=words)


def about_run(command: argparse.ArgumentParser) -> None:
    """What the command computes with, and how it answers."""
    add = group(command, RUN).add_argument
    add("--threads", type=parsed_by(NUMBER_OF_THREADS), help="threads to compute with")
    add(
        "--device",
        metavar="NAME",
        help="where to score, evaluate and train: cpu, cuda, cuda:1, mps, xpu, auto (default: cpu, or as recorded)",
    )
    about_output(command)


def about_writing(command: argparse.ArgumentParser) -> None:
    """What becomes of a file that is there already."""
    group(command, RUN).add_argument("--overwrite", action="store_true", help="replace files that are there already")


def about_output(command: argparse.ArgumentParser) -> None:
    """How the command answers."""
    add = group(command, RUN).add_argument
    add("--json", action="store_true", help="print the result as one JSON object")
    add("--verbose", action="store_true", help="print the details of an error")
