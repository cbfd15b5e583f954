"""`secateur shear`: cut a model to a target shape, one number a kind in all layers, as LLM-Shearing does."""

import argparse

from ..errors import PlanError
from ..planning.protocol import Goal
from ..sources.hugging_face import names_configuration
from ..sources.open import named_by_hand
from ..sources.protocol import ModelSpec
from ..tasks.protocol import TaskSpec
from ..workflows.shape_plan import planned_shape
from .model_args import model_spec
from .output import Outcome, Reporter
from .prune import prune
from .prune_request import request_from
from .settings import given_settings
from .shape_text import shape_content, shape_lines
from .tables import columns, percent, size


def shear(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Cut to the shape that the arguments ask for; with `--plan` only say what it comes to."""
    given = given_settings(Goal, arguments)
    if not (given.get("shape") or given.get("limits")):
        template = "A target shape is needed. Add --shape layers=24 width=2048, --preset NAME, or a limit of a cost."
        raise PlanError("cli.no_shape", template)
    if arguments.plan:
        _require_plan_only(arguments)
    spec = model_spec(arguments)
    arguments.uniform = arguments.uniform or names_configuration(spec)
    if not arguments.plan:
        return prune(arguments, reporter)
    if not names_configuration(spec):
        template = "--plan reads the configuration of a Hugging Face folder or hf:org/name. Leave it out."
        raise PlanError("cli.plan_source", template)
    asked = request_from(arguments, given.get("limits", ()))
    plan = planned_shape(spec, asked.goal, named_by_hand(spec), asked.locks)
    rows = [
        ["", "original", "sheared", ""],
        *(
            [name, size(before), size(after), percent(after / max(before, 1))]
            for name, (before, after) in (("parameters", plan.parameters), ("MACs", plan.macs))
        ),
    ]
    content = {
        "command": "shear",
        "model": plan.name,
        "before": {"parameters": plan.parameters[0], "macs": plan.macs[0]},
        "after": {"parameters": plan.parameters[1], "macs": plan.macs[1]},
        "shape": shape_content(plan),
    }
    return Outcome(content, "\n".join([plan.name, columns(rows), *shape_lines(plan)]))


def _require_plan_only(arguments: argparse.Namespace) -> None:
    """Refuse what `--plan` cannot do, as it reads neither weights nor data and makes nothing; raises PlanError."""
    data = given_settings(TaskSpec, arguments).get("path")
    own = given_settings(ModelSpec, arguments).get("own_class")
    given = {"--export": arguments.export, "--save": arguments.save, "--task": data, "--own-class": own}
    if names := [name for name, value in given.items() if value]:
        template = "--plan reads a configuration alone and writes nothing. Leave out {names}, or --plan."
        raise PlanError("cli.plan_only", template, names=", ".join(names))
