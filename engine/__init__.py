"""Secateur's engine: open, analyse, score, plan, cut, verify, recover, measure, export.

Knows no Qt; loads torch on use.

In one call, from a live model or the name of one:

    import torch
    from secateur.engine import prune

    smaller = prune(model, torch.randn(2, 3, 224, 224), keep_macs=0.5)
    print(smaller.report)
    smaller.model                     # the same class, smaller, ready to train
    smaller.export_onnx("smaller.onnx")

With data, it measures the metric before and after, and recovers what was lost:

    from secateur.engine import RecoverySettings

    smaller = prune("bundled:resnet", keep_macs=0.5, task="bundled", recovery=RecoverySettings(epochs=3))

Step by step, everything in memory:

    from secateur.engine import ModelSpec, analyse, costs, cut, finish, open_model, score, suggest, verify

    opened = open_model(ModelSpec("torchvision:resnet18"))
    inputs = (torch.randn(2, 3, 224, 224),)
    analysis = analyse(opened.model, inputs)
    scores = finish(score(opened.model, analysis, analysis.empty(), "l1"))
    marked = suggest(analysis, scores, keep_macs=0.5, multiple=16)
    print(costs(analysis, marked).macs)
    smaller = cut(opened.model, analysis, marked, inputs)
    print(finish(verify(opened.model, smaller.model, analysis, marked, inputs, factors=smaller.factors)).difference)

Or as a session, which keeps every state on disk and verifies each cut by itself; what takes several steps
(`prune_state`, `sweep_budgets`, `search_budget`, `compare_with_baselines`) or writes files are functions that take one:

    session = Session()
    opened = finish(session.open(ModelSpec("bundled:resnet")))
    scores = finish(session.score("s0", "taylor"))
    marked = suggest(opened.analysis, scores, keep_macs=0.5, multiple=16)
    smaller = finish(session.cut("s0", marked))
    recovered = finish(session.recover(smaller.id, RecoverySettings(epochs=3)))
    finish(export_state(session, recovered.id, "onnx", "smaller.onnx"))

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
    from .planning.marks import PlanMasks, check_plan, keep
    from .planning.protocol import Cost, Goal, Limit, Planned, Ranking
    from .pruning import Pruned, PruningReport, prune
    from .recipes.apply_recipe import apply_recipe, open_recipe, recipe_fit
    from .recipes.compatibility import Mode
    from .recipes.recipe import read_recipe, write_recipe
    from .recipes.replay import replay, run_recipe
    from .recipes.script import script_of, write_script
    from .recovery.finetune import recover
    from .recovery.protocol import Optimizer, RecoverySettings, Repair
    from .runtime.load_pruned import load_pruned
    from .scoring.criteria import CRITERIA, offers, score
    from .scoring.score_options import Choices, Combine, Normalise, Slices
    from .scripting import Session
    from .session.states import OpenedModel, PlanIntent, State
    from .sharing.session_files import save_bundle, save_project, save_recipe, save_report, save_script, session_recipe
    from .sources.input_spec import InputSpec
    from .sources.open import open_model
    from .sources.protocol import ModelSpec, SourceModel
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
    from .workflows.baselines import Comparison, compare_with_baselines, make_baseline
    from .workflows.budget_search import LossLimit, SearchResult, search_budget
    from .workflows.export import export_state
    from .workflows.latency_table import forget_latencies, latency_savings, latency_table, liked_multiple
    from .workflows.measure import measure_states
    from .workflows.prune import PruneSettings, prune_state
    from .workflows.remote_bench import read_remote_bench, write_remote_bench
    from .workflows.sensitivity import measure_sensitivity
    from .workflows.sweep import Sweep, sweep_budgets

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
    "Comparison": "workflows.baselines",
    "Cost": "planning.protocol",
    "Edits": "surgery.cut.edits",
    "EngineLost": "errors",
    "ExportError": "errors",
    "ExportRequest": "export.protocol",
    "Exported": "export.protocol",
    "Goal": "planning.protocol",
    "InputSpec": "sources.input_spec",
    "Job": "jobs",
    "Kind": "structures.types",
    "Limit": "planning.protocol",
    "LossLimit": "workflows.budget_search",
    "Memory": "structures.memory.peak",
    "Message": "errors",
    "Metric": "tasks.protocol",
    "Mode": "recipes.compatibility",
    "ModelSpec": "sources.protocol",
    "NeverCancelled": "jobs",
    "Normalise": "scoring.score_options",
    "OpenError": "errors",
    "OpenedModel": "session.states",
    "Optimizer": "recovery.protocol",
    "PlanError": "errors",
    "PlanIntent": "session.states",
    "PlanMasks": "planning.marks",
    "Planned": "planning.protocol",
    "Progress": "jobs",
    "PruneSettings": "workflows.prune",
    "Pruned": "pruning",
    "PruningReport": "pruning",
    "Ranking": "planning.protocol",
    "RecoverySettings": "recovery.protocol",
    "Repair": "recovery.protocol",
    "SearchResult": "workflows.budget_search",
    "SecateurError": "errors",
    "Session": "scripting",
    "Slices": "scoring.score_options",
    "SourceModel": "sources.protocol",
    "Split": "tasks.protocol",
    "State": "session.states",
    "Sweep": "workflows.sweep",
    "TargetSpec": "targets.protocol",
    "TaskError": "errors",
    "TaskInfo": "tasks.protocol",
    "TaskSpec": "tasks.protocol",
    "Timing": "targets.protocol",
    "Verification": "surgery.cut.edits",
    "VerificationError": "errors",
    "analyse": "structures.analyse",
    "apply_recipe": "recipes.apply_recipe",
    "balanced": "planning.count_balance",
    "check_plan": "planning.marks",
    "compare_with_baselines": "workflows.baselines",
    "costs": "structures.costs",
    "cut": "surgery.cut.cut",
    "export_onnx": "export.onnx",
    "export_pytorch": "export.pytorch",
    "export_state": "workflows.export",
    "finish": "jobs",
    "forget_latencies": "workflows.latency_table",
    "from_identities": "structures.analysis",
    "identities": "structures.analysis",
    "indices_of": "structures.index_ranges",
    "keep": "planning.marks",
    "latency_savings": "workflows.latency_table",
    "latency_table": "workflows.latency_table",
    "liked_multiple": "workflows.latency_table",
    "load_pruned": "runtime.load_pruned",
    "make_baseline": "workflows.baselines",
    "marginal": "structures.costs",
    "marks_of": "structures.index_ranges",
    "measure": "targets.measure",
    "measure_sensitivity": "workflows.sensitivity",
    "measure_states": "workflows.measure",
    "memory": "structures.memory.peak",
    "offers": "scoring.criteria",
    "open_model": "sources.open",
    "open_recipe": "recipes.apply_recipe",
    "open_task": "tasks.open",
    "prune": "pruning",
    "prune_state": "workflows.prune",
    "ranges_of": "structures.index_ranges",
    "read_recipe": "recipes.recipe",
    "read_remote_bench": "workflows.remote_bench",
    "recipe_fit": "recipes.apply_recipe",
    "recover": "recovery.finetune",
    "register_rule": "structures.rules",
    "replay": "recipes.replay",
    "run_recipe": "recipes.replay",
    "save_bundle": "sharing.session_files",
    "save_project": "sharing.session_files",
    "save_recipe": "sharing.session_files",
    "save_report": "sharing.session_files",
    "save_script": "sharing.session_files",
    "score": "scoring.criteria",
    "script_of": "recipes.script",
    "search_budget": "workflows.budget_search",
    "session_recipe": "sharing.session_files",
    "settle": "surgery.cut.trial_cuts",
    "solve": "planning.goal",
    "suggest": "planning.goal",
    "sweep_budgets": "workflows.sweep",
    "verify": "surgery.verify.verify",
    "write_recipe": "recipes.recipe",
    "write_remote_bench": "workflows.remote_bench",
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
    "Comparison",
    "Cost",
    "Edits",
    "EngineLost",
    "ExportError",
    "ExportRequest",
    "Exported",
    "Goal",
    "InputSpec",
    "Job",
    "Kind",
    "Limit",
    "LossLimit",
    "Memory",
    "Message",
    "Metric",
    "Mode",
    "ModelSpec",
    "NeverCancelled",
    "Normalise",
    "OpenError",
    "OpenedModel",
    "Optimizer",
    "PlanError",
    "PlanIntent",
    "PlanMasks",
    "Planned",
    "Progress",
    "PruneSettings",
    "Pruned",
    "PruningReport",
    "Ranking",
    "RecoverySettings",
    "Repair",
    "SearchResult",
    "SecateurError",
    "Session",
    "Slices",
    "SourceModel",
    "Split",
    "State",
    "Sweep",
    "TargetSpec",
    "TaskError",
    "TaskInfo",
    "TaskSpec",
    "Timing",
    "Verification",
    "VerificationError",
    "analyse",
    "apply_recipe",
    "balanced",
    "check_plan",
    "compare_with_baselines",
    "costs",
    "cut",
    "export_onnx",
    "export_pytorch",
    "export_state",
    "finish",
    "forget_latencies",
    "from_identities",
    "identities",
    "indices_of",
    "keep",
    "latency_savings",
    "latency_table",
    "liked_multiple",
    "load_pruned",
    "make_baseline",
    "marginal",
    "marks_of",
    "measure",
    "measure_sensitivity",
    "measure_states",
    "memory",
    "offers",
    "open_model",
    "open_recipe",
    "open_task",
    "prune",
    "prune_state",
    "ranges_of",
    "read_recipe",
    "read_remote_bench",
    "recipe_fit",
    "recover",
    "register_rule",
    "replay",
    "run_recipe",
    "save_bundle",
    "save_project",
    "save_recipe",
    "save_report",
    "save_script",
    "score",
    "script_of",
    "search_budget",
    "session_recipe",
    "settle",
    "solve",
    "suggest",
    "sweep_budgets",
    "verify",
    "write_recipe",
    "write_remote_bench",
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
