"""The model and data that the arguments of a command name, and what they are computed with. Loads no torch.

Numbers are equal bit for bit only at one number of threads.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, Message, OpenError, TaskError
from ..export.staged_output import check_writable
from ..machine.devices import CPU, available, check_threads
from ..recovery.training_curve import require_tensorboard
from ..session.state_history import is_project
from ..session.states import OpenedModel
from ..sources.protocol import InputSpec, ModelSpec, check_inputs
from ..tasks.protocol import TaskSpec
from .settings import given_settings, read_settings

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch


def model_spec(arguments: argparse.Namespace, elsewhere: bool = False) -> ModelSpec:
    """The model that the arguments name, with its task; `elsewhere` as in `task_spec`."""
    spec = read_settings(ModelSpec, arguments, task=task_spec(arguments, elsewhere), inputs=())
    return spec.with_inputs(inputs_of(arguments))


def inputs_of(arguments: argparse.Namespace) -> tuple[InputSpec, ...]:
    """The example inputs that the arguments describe; raises OpenError where they do not go together."""
    given = tuple(arguments.input or ())
    try:
        check_inputs(given)
    except ValueError as error:
        raise OpenError("cli.inputs", "{reason}.", reason=f"{str(error)[:1].upper()}{str(error)[1:]}") from error
    return given


def require_preprocessing(opened: OpenedModel, arguments: argparse.Namespace) -> None:
    """Refuse data whose normalisation is clearly not the model's, before anything is scored or trained by it."""
    task = opened.task
    if task is not None and task.better is not None:
        refuse_preprocessing(task.finding, task.better, arguments)


def refuse_preprocessing(finding: Message, better: TaskSpec, arguments: argparse.Namespace) -> None:
    """Stop at data that another normalisation suits better, unless the arguments go on; raises DataError."""
    if arguments.accept_preprocessing:
        return
    mean, std = (",".join(f"{value:.4g}" for value in values) for values in (better.mean, better.std))
    template = "{finding} Pass --mean {mean} --std {std}, or --accept-preprocessing to go on as it is."
    raise DataError("cli.preprocessing", template, finding=finding, mean=mean, std=std)


def project_spec(arguments: argparse.Namespace) -> ModelSpec:
    """The project that the arguments name."""
    return read_settings(ModelSpec, arguments, source=arguments.project)


def project_folder(arguments: argparse.Namespace) -> Path:
    """The folder of the project that the arguments name and that is to be written; refused before the work."""
    folder = Path(arguments.project).absolute()
    if not is_project(str(folder)):
        raise OpenError(
            "cli.no_project", "{folder} does not hold a project. Name a project folder.", folder=str(folder)
        )
    check_writable(folder)
    return folder


def task_spec(arguments: argparse.Namespace, elsewhere: bool = False) -> TaskSpec | None:
    """The task that the arguments name, None without one.

    Args:
        arguments: As they were parsed.
        elsewhere: Its path is one of another machine, where its kind will be found.
    """
    from ..tasks.open import BUNDLED, task_at

    given = given_settings(TaskSpec, arguments)
    path = given.pop("path", None)
    if path is None:
        named = [name for name, _ in given.get("options", ())] + ["crop"] * ("size" in given)
        if named or "batch" in given:
            names = ", ".join(f"--{name}" for name in named) or "--batch"
            raise TaskError("cli.no_task", "{names} need data. Add --task.", names=names)
        return None
    sizes = [(one.shape[2], one.shape[3]) for one in arguments.input or () if len(one.shape) == 4]
    size = sizes[0] if len(sizes) == 1 else None
    there = elsewhere and path != BUNDLED
    return replace(TaskSpec("", path, size=size, batch=0) if there else task_at(path, size), **given)


def use_threads(threads: int | None) -> None:
    """Tell torch; None leaves its own choice. Raises SecateurError for more than any machine computes with."""
    if threads:
        import torch

        torch.set_num_threads(check_threads(threads))


def use_device(session: "Session", arguments: argparse.Namespace, recorded: str = CPU) -> None:
    """Train and evaluate where the arguments say, else where a recipe did, if this machine has that.

    Raises:
        SecateurError: There is no device as the arguments name it, or no TensorBoard for `--log-dir`.
    """
    device = arguments.device or (recorded if recorded in available() else CPU)
    if device != CPU:
        session.use_device(device)
    log_folder: Path | None = getattr(arguments, "log_dir", None)
    if log_folder is not None:
        require_tensorboard(log_folder)
        session.log_folder = log_folder.absolute()
