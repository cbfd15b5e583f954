"""The arguments of the commands, and the specifications that they mean."""

import argparse
import re
from pathlib import Path
from typing import NoReturn

from ..baselines.protocol import BaselineKind
from ..errors import TaskError
from ..planning.protocol import BYTES, Cost, Ranking
from ..recovery.protocol import Optimizer, Repair
from ..scoring.choices import Combine, Normalise, Slices
from ..scoring.criteria import CRITERIA
from ..sensitivity.protocol import SHARES
from ..session.courses import BUDGETS
from ..session.matching import Mode
from ..sources.protocol import ModelSpec
from ..structures.parts import Kind
from ..targets.table import TARGETS
from ..tasks.open import FORMS
from ..tasks.protocol import BATCHES, OPTIONS, TaskSpec
from ..tasks.purposes.table import PURPOSES

MODEL = (
    "a project or an export of Secateur, bundled:resnet, bundled:vit, torchvision:NAME, timm:NAME, "
    "or path/to/file.py:callable"
)


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


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(prog="secateur", description="Structured pruning: smaller dense models, verified.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _inspect(commands.add_parser("inspect", help="what can be removed from a model, and what cannot"))
    _prune(commands.add_parser("prune", help="make a model smaller: score, plan, cut, verify, recover, export"))
    _sensitivity(commands.add_parser("sensitivity", help="how the metric falls as each layer loses a share"))
    _sweep(commands.add_parser("sweep", help="prune to several budgets: what accuracy costs how much"))
    _measure(commands.add_parser("measure", help="how fast a project's original and last state are, here or elsewhere"))
    _baselines(
        commands.add_parser("baselines", help="was it worth pruning? random removal, from scratch, a stock model")
    )
    _run(commands.add_parser("run", help="do again what a recipe recorded, also on the model's next version"))
    _script(commands.add_parser("script", help="what a recipe recorded as a Python script"))
    _report(commands.add_parser("report", help="what was done and what came out as one HTML file"))
    _bundle(commands.add_parser("bundle", help="hand a project on as one small file, or look into such a file"))
    return top


def model_spec(arguments: argparse.Namespace) -> ModelSpec:
    """The model that the arguments name, with its task."""
    return ModelSpec(
        source=arguments.model,
        weights=arguments.weights or "",
        input_shape=arguments.input or (),
        trust_pickle=arguments.trust_pickle,
        trust_code=arguments.trust_code,
        task=task_spec(arguments),
        outputs=tuple(arguments.output or ()),
        own_class=arguments.own_class,
        moved=tuple(arguments.moved or ()),
    )


def project_spec(arguments: argparse.Namespace) -> ModelSpec:
    """The project that the arguments name."""
    trust = {"trust_pickle": arguments.trust_pickle, "trust_code": arguments.trust_code}
    return ModelSpec(arguments.project, moved=tuple(arguments.moved or ()), **trust)


def task_spec(arguments: argparse.Namespace) -> TaskSpec | None:
    """The task that the arguments name, None without one."""
    from ..tasks.open import RESIZED, kind_of

    given = {name: getattr(arguments, name) for name in OPTIONS if name != "seed"}  # --seed is not that of the splits
    options = tuple((name, str(value)) for name, value in given.items() if value is not None)
    if arguments.task is None:
        if options or arguments.batch:
            names = ", ".join(f"--{name}" for name, _ in options) or "--batch"
            raise TaskError("cli.no_task", "{names} say what data means: name the data with --task.", names=names)
        return None
    path = "" if arguments.task == "bundled" else arguments.task
    kind, shape = kind_of(path), arguments.input or ()
    size = (shape[2], shape[3]) if kind in RESIZED and len(shape) == 4 else None
    batch = arguments.batch or BATCHES.get(kind, TaskSpec("").batch)
    return TaskSpec(kind, path, arguments.mean or (), arguments.std or (), size, batch, options)


def moved(text: str) -> tuple[str, str]:
    """OLD=NEW as two paths."""
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text!r} does not say where a file was and where it is; write it OLD=NEW")
    return old, new


def shape(text: str) -> tuple[int, ...]:
    """1x3x224x224 as numbers."""
    try:
        numbers = tuple(int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write it with its batch like 1x3x224x224")
    return numbers


def share(text: str) -> float:
    """50%, 50 % or 0.5 as 0.5."""
    digits = text.strip()
    try:
        value = float(digits.rstrip("% ")) / 100 if digits.endswith("%") else float(digits)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write it like 50%")
    return value


def shares(text: str) -> tuple[float, ...]:
    """80%,50%,20% as 0.8, 0.5 and 0.2."""
    return tuple(share(part) for part in text.split(","))


def share_or_count(text: str) -> float | int:
    """25% as 0.25 and 8 as 8."""
    return int(text) if text.strip().isdecimal() and int(text) > 0 else share(text)


def share_or_bytes(text: str) -> float | int:
    """40% as 0.4 and 10MB as bytes."""
    return share(text) if text.strip().endswith("%") else byte_count(text)


def byte_count(text: str) -> int:
    """10MB, 10 MB or 10000000 as bytes; k, M and G are powers of 1000, KiB, MiB and GiB of 1024."""
    found = re.fullmatch(r"([0-9.]+)\s*([kmg]?)(i?)b?", text.strip().lower())
    try:
        value = float(found[1]) * (1024 if found[3] else 1000) ** " kmg".index(found[2] or " ") if found else 0.0
    except ValueError:
        value = 0.0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 10MB")
    return int(value)


def share_or_latency(text: str) -> float | int:
    """60% as 0.6 and 5ms as nanoseconds."""
    if text.strip().endswith("%"):
        return share(text)
    found = re.fullmatch(r"([0-9.]+)\s*(ns|us|µs|ms|s)", text.strip().lower())
    try:
        value = float(found[1]) * {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[found[2]] if found else 0.0
    except ValueError:
        value = 0.0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write it like 5ms, or as a share like 60%")
    return round(value)


def kind_multiple(text: str) -> tuple[str, int]:
    """head=2 as the kind and the number."""
    kind, _, number = text.rpartition("=")
    if kind not in [str(one) for one in Kind]:
        known = ", ".join(str(one) for one in Kind)
        raise argparse.ArgumentTypeError(f"{text!r} names no kind of structure; write one of {known} like head=2")
    return kind, positive(number)


def numbers(text: str) -> tuple[float, ...]:
    """0.485,0.456,0.406 as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers; write them like 0.485,0.456,0.406") from None


def positive(text: str) -> int:
    """A whole number from 1."""
    return _at_least(text, 1)


def natural(text: str) -> int:
    """A whole number from 0."""
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}")
    return int(text)


def _inspect(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help=MODEL)
    command.add_argument(
        "--latency", action="store_true", help="measure on the target what removal buys there (minutes, then kept)"
    )
    command.add_argument("--again", action="store_true", help="measure anew what was kept, on a quieter machine say")
    _about_target(command)
    _about_model(command)
    _about_run(command)


def _prune(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help=MODEL)
    add = command.add_argument
    add(
        "--keep-macs",
        type=share,
        metavar="50%",
        help="share of the multiply-accumulates to keep at most (default: 50%%, unless another cost is limited)",
    )
    add("--keep-params", type=share, metavar="40%", help="share of the parameters to keep at most")
    add("--max-size", type=share_or_bytes, metavar="10MB", help="size of the weights in the file at most, or a share")
    add(
        "--max-memory", type=share_or_bytes, metavar="20MB", help="peak of one sample's activations at most, or a share"
    )
    add("--max-latency", type=share_or_latency, metavar="5ms", help="of a batch on the target at most, or a share")
    add(
        "--max-loss",
        type=share,
        metavar="0.5%",
        help="as few MACs as possible, or with --runtime as little time, that lose at most this of the metric",
    )
    _about_target(command)
    _about_choice(command)
    _about_recovery(command)
    add("--export", metavar="PATH", help="write the result: an .onnx file, a .pt2 program, or a folder for PyTorch")
    add("--save", metavar="FOLDER", help="keep all states and the recipe as a project")
    _about_model(command)
    _about_run(command)


def _sensitivity(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help=MODEL)
    add = command.add_argument
    add(
        "--shares",
        type=shares,
        metavar="25%,50%,75%",
        default=SHARES,
        help="shares of each layer to remove (default: 10%% to 90%%)",
    )
    _about_scores(command)
    _about_place(command)
    add("--depth", action="store_true", help="whole blocks too")
    add("--cache", metavar="FOLDER", type=Path, help="where measured points are kept (default: your cache folder)")
    _about_model(command)
    _about_run(command)


def _sweep(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help=MODEL)
    add = command.add_argument
    add(
        "--budgets",
        type=shares,
        metavar="80%,50%,20%",
        default=BUDGETS,
        help="shares to keep at most, one result for each (default: " + ",".join(f"{b:.0%}%" for b in BUDGETS) + ")",
    )
    add("--cost", choices=[*map(str, Cost)], default=str(Cost.MACS), help="what they are shares of (default: macs)")
    _about_target(command)
    _about_choice(command)
    _about_recovery(command)
    add("--save", metavar="FOLDER", help="keep all states as a project, also when stopped: sweep FOLDER goes on")
    _about_model(command)
    _about_run(command)


def _about_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scope",
        action="append",
        metavar="MODULE",
        help="remove here alone: a module with all below it, or a pattern (*.conv1), once for each",
    )


def _about_target(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("the target, where latency counts").add_argument
    add("--runtime", choices=list(TARGETS), help="what runs the model there (default: onnxruntime)")
    add("--runtime-threads", type=positive, default=1, metavar="N", help="its threads (default: 1)")
    add("--runtime-batch", type=positive, default=1, metavar="N", help="its batch size (default: 1)")
    add("--precision", default="fp32", choices=["fp32", "bf16", "int8"], help="what it computes in (default: fp32)")


def _about_choice(command: argparse.ArgumentParser) -> None:
    _about_scores(command)
    _about_place(command)
    add = command.add_argument
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


def _about_recovery(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    recovery = command.add_mutually_exclusive_group()
    recovery.add_argument("--epochs", type=natural, help="epochs of fine-tuning with the original as teacher")
    recovery.add_argument("--no-recover", action="store_true", help="do not fine-tune")
    add(
        "--rounds",
        type=positive,
        default=1,
        metavar="K",
        help="score, cut and recover K times on the way to the goal, with --epochs each time (default: 1)",
    )
    add(
        "--repair",
        choices=[one.replace(" ", "-") for one in Repair],
        default=str(Repair.NONE),
        help="repair layers that lost inputs from calibration data before training, or with --no-recover instead of it",
    )
    add("--learning-rate", type=float, metavar="0.002", help="peak of the schedule")
    add("--optimizer", choices=[*map(str, Optimizer)], default=str(Optimizer.ADAMW), help="default: adamw")
    add("--patience", type=natural, default=0, metavar="N", help="stop after N epochs without gain (default: never)")
    add(
        "--distil-blocks",
        type=float,
        default=0.0,
        metavar="W",
        help="weight of what blocks give, beside the outputs (default: 0)",
    )
    add("--bfloat16", action="store_true", help="compute in bfloat16 where torch thinks it safe")
    add("--seed", type=natural, default=0, help="of what is random (default: 0)")


def _about_scores(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--criterion", choices=[*CRITERIA], help="what rates structures (default: taylor with data, else l1)")
    add("--combine", choices=[*map(str, Combine)], help="how the slices of a structure become one number")
    add("--slices", choices=[*map(str, Slices)], help="which count: those that compute a structure, that read it, all")
    add("--normalise", choices=[*map(str, Normalise)], help="what the scores of a coupled set are divided by")
    competing = "what competes: sets of equal shapes, each set by itself, the whole model (default: shapes)"
    add("--ranking", choices=[*map(str, Ranking)], default=str(Ranking.SHAPES), help=competing)


def _measure(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote")
    _about_measuring(command)
    where = command.add_mutually_exclusive_group()
    where.add_argument("--bench", metavar="FOLDER", help="write what another machine needs to measure, instead")
    where.add_argument("--results", metavar="FILE", type=Path, help="take the results of another machine, instead")
    _about_trust(command)
    _about_run(command)


def _about_measuring(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--runtime", choices=list(TARGETS), default="onnxruntime", help="what runs the model (default: onnxruntime)")
    add("--batch", type=positive, default=1, help="batch size (default: 1)")
    add("--precision", default="fp32", choices=["fp32", "bf16", "int8"], help="what it computes in (default: fp32)")
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


def _baselines(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", help="a folder that --save wrote; it gets the baselines")
    add = command.add_argument
    kinds = [*map(str, BaselineKind)]
    add("--kind", choices=kinds, action="append", help="one of them, once for each (default: all)")
    add("--state", metavar="s2", help="what they stand beside (default: the last state)")
    add("--epochs", type=natural, help="of each baseline's training (default: as many as the state was recovered for)")
    add("--seed", type=natural, default=0, help="of what is random (default: 0)")
    stock = "the stock model: torchvision:NAME, timm:NAME or path/to/file.py:callable (default: of the same family)"
    add("--stock", metavar="MODEL", help=stock)
    add("--stock-weights", metavar="FILE", help="checkpoint that the stock model begins with")
    add("--no-timing", action="store_true", help="do not measure latency")
    _about_measuring(command)
    _about_trust(command)
    _about_run(command)


HANDED = "a folder that --save wrote, or a bundle"


def _script(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", type=Path, help=f"{HANDED}, or a recipe.json")
    add = command.add_argument
    add("--state", metavar="s2", help="what it leads to (default: the state that the project was saved at)")
    add("--out", metavar="FILE", type=Path, help="write it here, with paths relative to it (default: print it)")
    _about_output(command)


def _report(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", type=Path, help=HANDED)
    add = command.add_argument
    add("--state", metavar="s2", help="what it is about (default: the state that the project was saved at)")
    add("--out", metavar="FILE", type=Path, help="where to write it (default: report.html)")
    _about_output(command)


def _bundle(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", metavar="PROJECT", type=Path, help=f"{HANDED}, which is shown without --out")
    add = command.add_argument
    add("--state", metavar="s2", help="what is handed on (default: the state that the project was saved at)")
    add("--out", metavar="FILE", type=Path, help="the .zip to write")
    add("--with-weights", action="store_true", help="the weights of all states too; data is never in it")
    _about_trust(command)
    _about_output(command)


def _run(command: argparse.ArgumentParser) -> None:
    words = "recipe.json, or a project or a bundle that holds one"
    command.add_argument("recipe", metavar="RECIPE", type=Path, help=words)
    modes = "what is done again on another version of the model: the same indices, as many of each layer chosen by "
    modes += "scores on the new weights, or the same goals planned for (default: indices where they match, else goals)"
    command.add_argument("--mode", choices=[*map(str, Mode)], help=modes)
    command.add_argument("--model", metavar="MODEL", help="another version of the model: " + MODEL)
    command.add_argument("--save", metavar="FOLDER", help="keep all states and the recipe as a project")
    _about_model(command)
    _about_run(command)


def _about_model(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--weights", metavar="FILE", help="checkpoint to load")
    add("--input", type=shape, metavar="1x3x224x224", help="shape of the input, where it cannot be found out")
    add(
        "--output",
        action="append",
        metavar="PATH",
        help="an output that must stay (logits, 0), once for each; without it, all but what was computed on the way",
    )
    words = "only plans that leave the model's code as it is: attributes change, no number in a forward"
    add("--own-class", action="store_true", help=words)
    _about_trust(command)
    _about_data(command)


def _about_trust(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--trust-pickle", action="store_true", help="allow a checkpoint to run code while it is loaded")
    add("--trust-code", action="store_true", help="run the Python files that an export or project from elsewhere names")
    words = "a file that a project needs and that lies elsewhere now; what lay beside it is found with it"
    add("--moved", type=moved, action="append", metavar="OLD=NEW", help=words)


def _about_data(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("what judges the model").add_argument
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


def _about_run(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--threads", type=positive, help="threads to compute with")
    add("--device", default="cpu", metavar="NAME", help="where to train and judge: cuda, cuda:1, mps (default: cpu)")
    _about_output(command)


def _about_output(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--json", action="store_true", help="print the result as one JSON object")
    add("--verbose", action="store_true", help="print the details of an error")
