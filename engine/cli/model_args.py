"""The specifications that the arguments of a command mean."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..errors import OpenError, TaskError
from ..export.staged_output import check_writable
from ..session.state_history import is_project
from ..sources.protocol import ModelSpec
from ..tasks.protocol import OPTIONS, TaskSpec


def model_spec(arguments: argparse.Namespace) -> ModelSpec:
    """The model that the arguments name, with its task."""
    return ModelSpec(
        source=arguments.model,
        weights=arguments.weights or "",
        input_shape=arguments.input or (),
        trust_pickle=arguments.trust_pickle,
        trust_code=arguments.trust_code,
        download=arguments.download,
        task=task_spec(arguments),
        outputs=tuple(arguments.output or ()),
        own_class=arguments.own_class,
        ignore_unused=arguments.ignore_unused,
        moved=tuple(arguments.moved or ()),
    )


def project_spec(arguments: argparse.Namespace) -> ModelSpec:
    """The project that the arguments name."""
    trust = {"trust_pickle": arguments.trust_pickle, "trust_code": arguments.trust_code}
    trust["download"] = arguments.download
    return ModelSpec(arguments.project, moved=tuple(arguments.moved or ()), **trust)


def project_folder(arguments: argparse.Namespace) -> Path:
    """The folder of the project that the arguments name and that is to be written; refused before the work."""
    folder = Path(arguments.project).absolute()
    if not is_project(str(folder)):
        raise OpenError(
            "cli.no_project", "{folder} does not hold a project. Name a project folder.", folder=str(folder)
        )
    check_writable(folder)
    return folder


def task_spec(arguments: argparse.Namespace) -> TaskSpec | None:
    """The task that the arguments name, None without one."""
    from ..tasks.open import task_at

    given = {name: getattr(arguments, name) for name in OPTIONS if name != "seed"}  # --seed is not that of the splits
    options = tuple((name, str(value)) for name, value in given.items() if value is not None)
    if arguments.task is None:
        if options or arguments.batch:
            names = ", ".join(f"--{name}" for name, _ in options) or "--batch"
            raise TaskError("cli.no_task", "{names} need data. Add --task.", names=names)
        return None
    shape = arguments.input or ()
    spec = task_at(arguments.task, (shape[2], shape[3]) if len(shape) == 4 else None)
    return replace(
        spec,
        mean=arguments.mean or (),
        std=arguments.std or (),
        batch=arguments.batch or spec.batch,
        options=options,
    )
