"""Options that several commands share, by what they are about."""

import argparse
from collections.abc import Callable

from ..options import settings_of
from ..planning.protocol import BYTES, Ranking
from ..recovery.protocol import RecoverySettings
from ..scoring.criteria import CRITERIA
from ..scoring.score_options import Choices
from ..targets.protocol import TargetSpec
from ..targets.table import TARGETS
from ..tasks.open import FORMS
from ..tasks.purposes.table import PURPOSES
from .settings import Arguments, add_setting, add_settings
from .values import kind_multiple, model_input, moved, numbers, positive, shape, share_or_count, threads

PLAN, RUN = "plan", "run and output"
"""Headings in `--help`."""


def group(command: argparse.ArgumentParser, title: str) -> Arguments:
    """The options of a command under a heading of its `--help`."""
    known = (one for one in command._action_groups if one.title == title)  # pyright: ignore[reportPrivateUsage]
    return next(known, None) or command.add_argument_group(title)


def about_place(command: argparse.ArgumentParser) -> None:
    """Where structures may be removed."""
    group(command, PLAN).add_argument(
        "--scope",
        action="append",
        metavar="MODULE",
        help="remove here alone: a module with all below it, or a pattern (*.conv1), once for each",
    )


def about_target(command: argparse.ArgumentParser) -> None:
    """The machine and runtime that latency is planned for."""
    add = group(command, "target, where latency counts").add_argument
    _about_runtime(add)
    add("--runtime-threads", type=threads, default=1, metavar="N", help="its threads (default: 1)")
    add("--runtime-batch", type=positive, default=1, metavar="N", help="its batch size (default: 1)")


def _about_runtime(add: Callable[..., object]) -> None:
    """Runtime and precision, which are named alike wherever something is timed."""
    spec = TargetSpec()
    add("--runtime", choices=list(TARGETS), help=f"what runs the model there (default: {spec.runtime})")
    kinds = list(dict.fromkeys(precision for one in TARGETS.values() for precision in one.precisions))
    add("--precision", default=spec.precision, choices=kinds, help=f"what it computes in (default: {spec.precision})")


def about_choice(command: argparse.ArgumentParser) -> None:
    """What is rated, what competes, and which plans are allowed."""
    about_scores(command)
    about_place(command)
    add = group(command, PLAN).add_argument
    add(
        "--lock",
        action="append",
        metavar="MODULE",
        help="leave this as it is: a module with all below it, or a pattern (*.conv1), once for each",
    )
    add(
        "--multiple",
        type=positive,
        help="kept widths are multiples of this (default: 16; where latency is limited, what saves time there)",
    )
    add(
        "--multiple-of",
        type=kind_multiple,
        action="append",
        metavar="KIND=N",
        help="another multiple for one kind (head=2), once for each",
    )
    add(
        "--min-keep",
        type=share_or_count,
        default=1,
        metavar="25%",
        help="share or number that every layer keeps that stays",
    )
    add("--depth", action="store_true", help="whole blocks may go too, where they are worth less than filters")
    add("--size-as", choices=[*BYTES], default="float32", help="type of the weights whose size counts")


def about_recovery(command: argparse.ArgumentParser) -> None:
    """What follows a cut: repair and fine-tuning."""
    group = command.add_argument_group("recovery after each cut")
    either = group.add_mutually_exclusive_group()
    for setting in settings_of(RecoverySettings):
        if setting.name == "epochs":
            add_setting(either, setting, unset=True)
            either.add_argument("--no-recover", action="store_true", help="do not fine-tune")
            group.add_argument(
                "--rounds",
                type=positive,
                default=1,
                metavar="K",
                help="score, cut and recover K times on the way to the goal, with --epochs each time (default: 1)",
            )
        elif setting.option.on_command_line:
            add_setting(group, setting)


def about_scores(command: argparse.ArgumentParser) -> None:
    """How structures are rated."""
    group = command.add_argument_group("scores")
    add = group.add_argument
    add("--criterion", choices=[*CRITERIA], help="what rates structures (default: taylor with data, else l1)")
    add_settings(group, Choices)
    competing = "what competes: sets of equal shapes, each set by itself, the whole model (default: shapes)"
    add("--ranking", choices=[*map(str, Ranking)], default=str(Ranking.SHAPES), help=competing)


def about_measuring(command: argparse.ArgumentParser) -> None:
    """How latency is measured."""
    add = group(command, "measuring").add_argument
    _about_runtime(add)
    add("--batch", type=positive, default=1, help="batch size (default: 1)")
    add(
        "--size",
        type=shape,
        default=(),
        metavar="320x320",
        help="other sizes of the inputs than the model was opened with",
    )
    add(
        "--tokens",
        type=positive,
        default=0,
        metavar="N",
        help="of a language model: a prompt of N tokens, and one further token behind it, apart",
    )


def about_model(command: argparse.ArgumentParser) -> None:
    """How the model is opened, with the data that judges it."""
    add = group(command, "model").add_argument
    add("--weights", metavar="FILE", help="checkpoint to load")
    words = "shape of each example input, where they cannot be found out; with a name and a type where needed: "
    words += "input_ids=2x16:int64 attention_mask=2x16:int64"
    add("--input", type=model_input, nargs="+", action="extend", metavar="1x3x224x224", help=words)
    add(
        "--output",
        action="append",
        metavar="PATH",
        help="an output that must stay (logits, 0), once for each; without it all but what transformers' own models "
        "compute on the way; inspect lists both",
    )
    words = "only plans that leave the model's code as it is: attributes change, no number in a forward"
    add("--own-class", action="store_true", help=words)
    words = "prune also what modules may read that do not run on the example input; where they run, they may fail"
    add("--ignore-unused", action="store_true", help=words)
    about_trust(command)
    about_data(command)


def about_trust(command: argparse.ArgumentParser) -> None:
    """What files from elsewhere may do, and where they lie now."""
    add = group(command, "files from elsewhere").add_argument
    add("--trust-pickle", action="store_true", help="allow a checkpoint to run code while it is loaded")
    add(
        "--trust-code",
        action="store_true",
        help="run the Python files that a recipe, project or export from elsewhere names",
    )
    add("--download", action="store_true", help="allow what builds the model to fetch weights from the network")
    words = "a file that a project needs and that lies elsewhere now; what lay beside it is found with it"
    add("--moved", type=moved, action="append", metavar="OLD=NEW", help=words)


def about_data(command: argparse.ArgumentParser) -> None:
    """What judges the model."""
    add = group(command, "data").add_argument
    add("--task", metavar="PATH", help=f"{FORMS}, or: bundled; folders may hold train, val and test")
    add("--purpose", choices=list(PURPOSES), help="what the model is for, where it does not follow from the data")
    add("--features", metavar="A,B", help="columns of a table that are the inputs")
    add(
        "--label", metavar="C", help="column of a table that holds what is right; several where numbers are to be found"
    )
    add("--header", choices=["yes", "no"], help="whether the first line of a CSV holds names, where it cannot be seen")
    add(
        "--tokenizer", metavar="PATH", help="tokenizer.json of the model, or: bytes (default: the one beside the model)"
    )
    add("--length", type=positive, help="tokens of a sample of text (default: 128)")
    add("--batch", type=positive, help="samples a batch of training and evaluation (default: 64; 4 images with boxes)")
    add("--mean", type=numbers, help="per channel or column, subtracted, from pixels of 0..1")
    add("--std", type=numbers, help="per channel or column, divided by")


def about_run(command: argparse.ArgumentParser) -> None:
    """What the command computes with, and how it answers."""
    add = group(command, RUN).add_argument
    add("--threads", type=threads, help="threads to compute with")
    add("--device", metavar="NAME", help="where to train and judge: cuda, cuda:1, mps (default: cpu, or as recorded)")
    about_output(command)


def about_writing(command: argparse.ArgumentParser) -> None:
    """What becomes of a file that is there already."""
    group(command, RUN).add_argument("--overwrite", action="store_true", help="replace files that are there already")


def about_output(command: argparse.ArgumentParser) -> None:
    """How the command answers."""
    add = group(command, RUN).add_argument
    add("--json", action="store_true", help="print the result as one JSON object")
    add("--verbose", action="store_true", help="print the details of an error")
