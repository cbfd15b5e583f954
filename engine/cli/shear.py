"""`secateur shear`: cut a model to a target shape, one number a kind in all layers, as LLM-Shearing does."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PlanError
from ..options import setting_of
from ..planning.protocol import Goal
from ..recovery.budget import Unit
from ..scoring.criteria import best_criterion
from ..scoring.protocol import ScoringContext
from ..sources.hugging_face import names_configuration
from ..sources.open import named_by_hand
from ..sources.protocol import ModelSpec
from ..tasks.protocol import TaskSpec
from ..text.format import byte_size, counted, percent, size
from ..workflows.shape_plan import ShapePlan, planned_shape
from ..workflows.stage_plan import StagePlanner
from ..workflows.stages import Devices, Stage
from .model_args import model_spec
from .output import Outcome, Reporter
from .prune import prune
from .prune_request import request_from
from .settings import given_settings, read_settings
from .tables import columns, export_line, export_of, shape_content, shape_lines, verification_of, verification_text

if TYPE_CHECKING:
    from ..workflows.shear_checkpoint import ShearedFolder  # brings torch


UNKNOWN = "The compute of a training by epochs or minutes depends on the data. Give --steps or --tokens."
HOUR = 3600


def stages_content(planner: StagePlanner, stages: Sequence[Stage], devices: Devices) -> dict[str, Any]:
    """The stages for JSON; bytes of one process, seconds where a rate of the device is given."""
    return {
        "stages": {
            "batch": planner.batch,
            "tokens": planner.tokens,
            "processes": devices.processes,
            "device_tflops": devices.device_tflops or None,
            "each": [
                {
                    "name": str(one.name),
                    "weights_bytes": one.held,
                    "activations_bytes": one.activations,
                    "memory_bytes": one.memory,
                    "macs": one.macs,
                    "processes": one.processes,
                    "seconds": one.seconds(devices.device_tflops),
                }
                for one in stages
            ],
        }
    }


def stage_lines(planner: StagePlanner, stages: Sequence[Stage], devices: Devices) -> list[str]:
    """A table with a row for each stage, and what it is for."""
    timed = bool(devices.device_tflops)
    head = ["stage", "weights, states", "activations", "memory", "MACs in all", "processes"]
    rows = [head + ["time"] * timed]
    for one in stages:
        seconds = one.seconds(devices.device_tflops)
        macs = "not counted" if one.macs is None else size(one.macs)
        row = [str(one.name), *map(byte_size, (one.held, one.activations, one.memory)), macs, str(one.processes)]
        if timed:
            row.append("" if seconds is None else f"{seconds:.0f} s" if seconds < HOUR else f"{seconds / HOUR:,.1f} h")
        rows.append(row)
    samples = counted(planner.batch, "sample") + (f" of {counted(planner.tokens, 'token')}" if planner.tokens else "")
    lines = ["", f"stages with data, batches of {samples}; memory of one process:", *columns(rows).splitlines()]
    if timed:
        lines.append(f"time of computation at {devices.device_tflops:g} TFLOP/s a device, without communication")
    return [*lines, UNKNOWN] if any(one.macs is None and one.trains for one in stages) else lines


def shear(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Cut to the shape that the arguments ask for; `--plan` only says what it comes to, `--stream` cuts files."""
    given = given_settings(Goal, arguments)
    if not (given.get("shape") or given.get("limits")):
        template = "A target shape is needed. Add --shape layers=24 width=2048, --preset NAME, or a limit of a cost."
        raise PlanError("cli.no_shape", template)
    if arguments.plan:
        # Refuse what `--plan` cannot do, as it reads neither weights nor data and makes nothing; raises PlanError.
        if names := _given(arguments, "--export", "--save", "--task", "--own-class", "--stream"):
            template = "--plan reads a configuration alone and writes nothing. Leave out {names}, or --plan."
            raise PlanError("cli.plan_only", template, names=", ".join(names))
    # Refuse what only a plan reads; raises PlanError.
    elif read_settings(Devices, arguments) != Devices():
        template = "--processes and --device-tflops belong to --plan. To compute in several processes, start the "
        template += "command with torchrun."
        raise PlanError("cli.devices_plan", template)
    if arguments.stream:
        # Refuse what needs a model in memory; raises PlanError.
        if not arguments.export:
            raise PlanError("cli.stream_export", "--stream writes a folder. Name it with --export.")
        if names := _given(arguments, "--save", "--task", "--own-class", "--weights", *map("--{}".format, Unit)):
            template = "--stream reads the folder's files and holds no model. Leave out {names}, or --stream."
            raise PlanError("cli.stream_only", template, names=", ".join(names))
    spec = model_spec(argparse.Namespace(**vars(arguments) | {"batch": None}) if arguments.plan else arguments)
    arguments.uniform = arguments.uniform or names_configuration(spec)
    if not (arguments.plan or arguments.stream):
        return prune(arguments, reporter)
    if not names_configuration(spec):
        template = "{name} reads a Hugging Face folder or hf:org/name. Leave it out."
        raise PlanError("cli.plan_source", template, name="--plan" if arguments.plan else "--stream")
    asked = request_from(arguments, given.get("limits", ()))
    if arguments.stream:
        # Cut from file to file.
        from ..workflows.shear_checkpoint import CRITERION, shear_checkpoint  # brings torch

        job = shear_checkpoint(
            spec,
            asked.goal,
            Path(arguments.export),
            named_by_hand(spec),
            criterion=asked.criterion or CRITERION,
            choices=asked.choices,
            locks=asked.lock,
            seed=asked.seed,
            overwrite=arguments.overwrite,
        )
        done: ShearedFolder = reporter.finish(job)
        written = {"verification": verification_of(done.verification), "export": export_of(done.exported)}
        text = "\n".join([_text(done.plan), verification_text(done.verification), export_line(done.exported)])
        return Outcome(_content(done.plan) | written | {"files": list(done.exported.files)}, text)
    # What the shape comes to, and what the stages take where there is data.
    plan = planned_shape(spec, asked.goal, named_by_hand(spec), asked.lock, choose=asked.choose, rounds=asked.rounds)
    devices, batch = read_settings(Devices, arguments), arguments.batch or setting_of(TaskSpec, "batch").default
    known = ScoringContext(plan.analysis, plan.analysis.empty(), {}, batch)
    repaired = asked.recovery is not None and asked.recovery.counts_on_repair(text=plan.tokens > 0)
    criterion = asked.criterion or best_criterion(known, repaired)
    planner = StagePlanner(plan.analysis, batch, plan.tokens, devices.processes)
    stages = planner.stages(plan.plans, replace(asked, criterion=criterion))
    content = _content(plan.shape) | stages_content(planner, stages, devices)
    return Outcome(content, "\n".join([_text(plan.shape), *stage_lines(planner, stages, devices)]))


def _text(plan: ShapePlan) -> str:
    """The shape and its costs for a person."""
    rows = [
        ["", "original", "sheared", ""],
        *(
            [name, size(before), size(after), percent(after / max(before, 1))]
            for name, (before, after) in (("parameters", plan.parameters), ("MACs", plan.macs))
        ),
    ]
    return "\n".join([plan.name, columns(rows), *shape_lines(plan)])


def _content(plan: ShapePlan) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "command": "shear",
        "model": plan.name,
        "before": {"parameters": plan.parameters[0], "macs": plan.macs[0]},
        "after": {"parameters": plan.parameters[1], "macs": plan.macs[1]},
        "shape": shape_content(plan),
    }


def _given(arguments: argparse.Namespace, *flags: str) -> list[str]:
    """Those of some options that were given."""
    given = {"--export": arguments.export, "--save": arguments.save, "--stream": arguments.stream}
    given["--task"] = given_settings(TaskSpec, arguments).get("path")
    model = given_settings(ModelSpec, arguments)
    given |= {"--own-class": model.get("own_class"), "--weights": model.get("weights")}
    given |= {f"--{unit}": getattr(arguments, unit) for unit in Unit}
    return [name for name in flags if given[name]]
