"""Secateur's engine: open, analyse, score, plan, cut, verify, recover, measure, export.

Knows no Qt; loads torch on use.

The window, the command line and this module are three faces of the same few functions. Step by step, everything in
memory:

    from secateur.engine import ModelSpec, TaskSpec, analyse, costs, cut, finish, open_model, score, suggest, verify

    opened = open_model(ModelSpec("torchvision:resnet18"))
    inputs = (torch.randn(2, 3, 224, 224),)
    analysis = analyse(opened.model, inputs)
    scores = finish(score(opened.model, analysis, analysis.empty(), "l1"))
    nothing = analysis.empty()
    marked = suggest(analysis, scores, keep_macs=0.5, removed=nothing, locked=nothing, multiple=16)
    print(costs(analysis, marked).macs)
    smaller = cut(opened.model, analysis, nothing, marked, Edits(), inputs)
    both, token = (opened.model, smaller.model), NeverCancelled()
    print(finish(verify(*both, analysis, nothing, marked, inputs, token, smaller.factors)).difference)

Or as a session, which keeps every state on disk and verifies each cut by itself:

    session = Session()
    opened = finish(session.open(ModelSpec("bundled:resnet")))
    scores = finish(session.score("s0", "taylor"))
    nothing = opened.analysis.empty()
    marked = suggest(opened.analysis, scores, keep_macs=0.5, removed=nothing, locked=nothing, multiple=16)
    smaller = finish(session.cut("s0", marked))
    recovered = finish(session.recover(smaller.id, RecoverySettings(epochs=3)))
    finish(session.export(recovered.id, "onnx", "smaller.onnx"))

Long functions return a `Job`, a generator of `Progress`; `finish` runs it to its end. Every name is loaded when it is
first used, so that importing this module costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .baselines.protocol import Baseline, BaselineKind, BaselineSpec
    from .errors import (
        AnalysisError,
        EngineLost,
        ExportError,
        Message,
        OpenError,
        PlanError,
        SecateurError,
        TaskError,
        VerificationError,
    )
    from .export.onnx import export_onnx
    from .export.protocol import Exported, ExportRequest
    from .export.pytorch import export_pytorch
    from .jobs import Cancelled, CancelToken, Job, NeverCancelled, Progress, finish
    from .planning.count_balance import balanced
    from .planning.goal import solve, suggest
    from .planning.marks import check_plan, keep
    from .planning.protocol import Cost, Goal, Limit, Planned, Ranking
    from .recipes.compatibility import Mode
    from .recipes.recipe import read_recipe, write_recipe
    from .recipes.replay import replay, run_recipe
    from .recipes.script import script_of, write_script
    from .recovery.finetune import recover
    from .recovery.protocol import Optimizer, RecoverySettings, Repair
    from .runtime.load_pruned import load_pruned
    from .scoring.criteria import CRITERIA, offers, score
    from .scoring.score_options import Choices, Combine, Normalise, Slices
    from .session.session import Session
    from .session.states import OpenedModel, PlanIntent, State
    from .sources.open import open_model
    from .sources.protocol import ModelSpec, Opened
    from .structures.analyse import analyse
    from .structures.analysis import Analysis, from_identities, identities
    from .structures.costs import costs, marginal
    from .structures.index_ranges import indices_of, marks_of, ranges_of
    from .structures.memory.peak import Memory, memory
    from .structures.rules import register_rule
    from .structures.types import Kind
    from .surgery.cut.cut import cut
    from .surgery.cut.edits import Edits, Verification
    from .surgery.cut.trial_cuts import settle
    from .surgery.verify.verify import verify
    from .targets.measure import measure
    from .targets.protocol import TargetSpec, Timing
    from .tasks.open import open_task
    from .tasks.protocol import Metric, Split, TaskInfo, TaskSpec

_HOME = {
    "CRITERIA": "scoring.criteria",
    "Analysis": "structures.analysis",
    "AnalysisError": "errors",
    "Baseline": "baselines.protocol",
    "BaselineKind": "baselines.protocol",
    "BaselineSpec": "baselines.protocol",
    "CancelToken": "jobs",
    "Cancelled": "jobs",
    "Choices": "scoring.score_options",
    "Combine": "scoring.score_options",
    "Cost": "planning.protocol",
    "Edits": "surgery.cut.edits",
    "EngineLost": "errors",
    "ExportError": "errors",
    "ExportRequest": "export.protocol",
    "Exported": "export.protocol",
    "Goal": "planning.protocol",
    "Job": "jobs",
    "Kind": "structures.types",
    "Limit": "planning.protocol",
    "Memory": "structures.memory.peak",
    "Message": "errors",
    "Metric": "tasks.protocol",
    "Mode": "recipes.compatibility",
    "ModelSpec": "sources.protocol",
    "NeverCancelled": "jobs",
    "Normalise": "scoring.score_options",
    "OpenError": "errors",
    "Opened": "sources.protocol",
    "OpenedModel": "session.states",
    "Optimizer": "recovery.protocol",
    "PlanError": "errors",
    "PlanIntent": "session.states",
    "Planned": "planning.protocol",
    "Progress": "jobs",
    "Ranking": "planning.protocol",
    "RecoverySettings": "recovery.protocol",
    "Repair": "recovery.protocol",
    "SecateurError": "errors",
    "Session": "session.session",
    "Slices": "scoring.score_options",
    "Split": "tasks.protocol",
    "State": "session.states",
    "TargetSpec": "targets.protocol",
    "TaskError": "errors",
    "TaskInfo": "tasks.protocol",
    "TaskSpec": "tasks.protocol",
    "Timing": "targets.protocol",
    "Verification": "surgery.cut.edits",
    "VerificationError": "errors",
    "analyse": "structures.analyse",
    "balanced": "planning.count_balance",
    "check_plan": "planning.marks",
    "costs": "structures.costs",
    "cut": "surgery.cut.cut",
    "export_onnx": "export.onnx",
    "export_pytorch": "export.pytorch",
    "finish": "jobs",
    "from_identities": "structures.analysis",
    "identities": "structures.analysis",
    "indices_of": "structures.index_ranges",
    "keep": "planning.marks",
    "load_pruned": "runtime.load_pruned",
    "marginal": "structures.costs",
    "marks_of": "structures.index_ranges",
    "measure": "targets.measure",
    "memory": "structures.memory.peak",
    "offers": "scoring.criteria",
    "open_model": "sources.open",
    "open_task": "tasks.open",
    "ranges_of": "structures.index_ranges",
    "read_recipe": "recipes.recipe",
    "recover": "recovery.finetune",
    "register_rule": "structures.rules",
    "replay": "recipes.replay",
    "run_recipe": "recipes.replay",
    "score": "scoring.criteria",
    "script_of": "recipes.script",
    "settle": "surgery.cut.trial_cuts",
    "solve": "planning.goal",
    "suggest": "planning.goal",
    "verify": "surgery.verify.verify",
    "write_recipe": "recipes.recipe",
    "write_script": "recipes.script",
}
"""Where each public name is defined."""

__all__ = [
    "CRITERIA",
    "Analysis",
    "AnalysisError",
    "Baseline",
    "BaselineKind",
    "BaselineSpec",
    "CancelToken",
    "Cancelled",
    "Choices",
    "Combine",
    "Cost",
    "Edits",
    "EngineLost",
    "ExportError",
    "ExportRequest",
    "Exported",
    "Goal",
    "Job",
    "Kind",
    "Limit",
    "Memory",
    "Message",
    "Metric",
    "Mode",
    "ModelSpec",
    "NeverCancelled",
    "Normalise",
    "OpenError",
    "Opened",
    "OpenedModel",
    "Optimizer",
    "PlanError",
    "PlanIntent",
    "Planned",
    "Progress",
    "Ranking",
    "RecoverySettings",
    "Repair",
    "SecateurError",
    "Session",
    "Slices",
    "Split",
    "State",
    "TargetSpec",
    "TaskError",
    "TaskInfo",
    "TaskSpec",
    "Timing",
    "Verification",
    "VerificationError",
    "analyse",
    "balanced",
    "check_plan",
    "costs",
    "cut",
    "export_onnx",
    "export_pytorch",
    "finish",
    "from_identities",
    "identities",
    "indices_of",
    "keep",
    "load_pruned",
    "marginal",
    "marks_of",
    "measure",
    "memory",
    "offers",
    "open_model",
    "open_task",
    "ranges_of",
    "read_recipe",
    "recover",
    "register_rule",
    "replay",
    "run_recipe",
    "score",
    "script_of",
    "settle",
    "solve",
    "suggest",
    "verify",
    "write_recipe",
    "write_script",
]


def __getattr__(name: str) -> Any:
    """Load a public name on its first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return list(__all__)
