"""A session with everything that a report can tell, without a model: written by hand on the tiny analysis."""

from dataclasses import replace
from pathlib import Path

from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.errors import Message
from secateur.engine.export.protocol import Exported
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recipes.recipe import recipe_of
from secateur.engine.recipes.steps import Recipe
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import PlanIntent, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import identities
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.edits import Check, Edits, Verification
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec
from tests.engine.builders import tiny_analysis

ANALYSIS = tiny_analysis()
SHA = "0123456789abcdef" * 4


def metric(value: float, split: Split = Split.TEST, count: int = 2000) -> Metric:
    return Metric("top-1", value, count, (value * (1 - value) / count) ** 0.5, split)


def timing(median: float) -> Timing:
    return Timing(TargetSpec(), median, median * 0.95, median * 1.1, 200, "Some CPU, 2 cores, onnxruntime 1.22")


def made_history(folder: Path) -> tuple[StateHistory, Recipe]:
    """Original, cut for a goal, recovered and exported, another cut, two baselines; the recipe of the recovered one."""
    task = TaskSpec("arrays", str(folder / "secret" / "data.npz"))
    spec = ModelSpec(f"{folder / 'secret' / 'model.py'}:make", str(folder / "secret" / "w.pt"), task=task)
    history, whole = StateHistory(folder / "session"), costs(ANALYSIS)
    original = State("s0", "", StateKind.ORIGINAL, {}, Edits(), SHA, whole.parameters, whole.macs)
    own = (metric(0.912), metric(0.92, Split.VAL))
    history.open(spec, task, replace(original, metrics=own, timings=(timing(2.0),)))
    mask = ANALYSIS.empty()
    for one in ANALYSIS.sets:
        if one.kind == "filter":
            mask[one.first + 1 : one.first + 9] = True
    left, removed = costs(ANALYSIS, mask), identities(ANALYSIS, mask)
    checks = (Check("removal", 3e-16, 0.2, 1e-9, "float64"), Check("permutation", 1e-15, None, 1e-9, "float64"))
    verification = Verification(checks, (f"batch 3: no room in {folder}/secret/tmp for it",))
    plan = PlanIntent("taylor", goal=Goal((Limit(Cost.MACS, 0.7),), multiple=4), seed=7)
    cut = replace(original, id="s1", parent="s0", kind=StateKind.CUT, removed=removed, weights=SHA[::-1])
    cut = replace(cut, parameters=left.parameters, macs=left.macs, verification=verification, plan=plan)
    history.put(replace(cut, metrics=(metric(0.55),)))
    points = [{"step": float(n), "loss": 2.0 / (1 + n / 20)} for n in range(5, 200, 5)]
    points += [{"step": float(n), "metric": 0.6 + n / 700} for n in (0, 100, 199)]
    exported = Exported("onnx", (str(folder / "secret" / "small.onnx"),), 1e-7, metric(0.905), 123_456, ("as it is",))
    settings = RecoverySettings(epochs=3, seed=11, threads=1)
    recovered = replace(cut, id="s2", parent="s1", kind=StateKind.RECOVERED, verification=None, plan=None)
    recovered = replace(recovered, recovery=settings, curve=tuple(points), exports=(exported,), timings=(timing(1.4),))
    history.put(replace(recovered, weights="ab" * 32, metrics=(metric(0.905), metric(0.915, Split.VAL))))
    history.put(replace(cut, id="s3", weights="cd" * 32, metrics=(metric(0.5),)))
    for number, (kind, title, value) in enumerate(
        ((BaselineKind.RANDOM, "random removal", 0.871), (BaselineKind.STOCK, "small net", 0.88))
    ):
        sizes = (left.parameters, left.macs, 3, metric(value))
        notes = (Message("x", "taken from {place}", {"place": f"{folder}/secret/stock.pt"}),)
        one = Baseline(f"b{number}", "s2", BaselineSpec(kind), title, "ef" * 32, *sizes, notes=notes)
        history.put_baseline(one)
    return history, recipe_of(history, "s2", ANALYSIS)
