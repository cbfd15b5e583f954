"""Fashion-MNIST, the bundled ResNet and ViT: the trade-off curve, all criteria, all baselines.

The official 10,000 test images are read once a cell. Short protocol: 3 epochs of recovery on 10,000 training images
(the first of a fixed shuffle), chosen on 2,000 others; `--full`: 10 epochs on 55,000, chosen on 5,000, three seeds.
Defaults of the program (Taylor, multiples of 16). The networks come trained on all 55,000 images; `uncut` gives them
the same extra epochs. `longer` gives the baselines that begin with fresh weights ten times as many.
"""

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.errors import PlanError, TaskError
from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec
from secateur.engine.workflows.baselines import make_baseline
from secateur.engine.workflows.prune import PruneRequest, prune_state
from secateur.resources import fashion_mnist

from . import harness, models

NETS = ("resnet", "vit")
KEEP = (0.8, 0.65, 0.5, 0.35, 0.2)
EPOCHS = {"tiny": 1, "short": 3, "full": 10}
LONGER, FRESH = 10, (BaselineKind.SCRATCH, BaselineKind.STOCK)
"""How many times as many epochs baselines get that have everything to learn."""
IMAGES = {"tiny": (256, 256, 256), "short": (10_000, 2_000, 10_000), "full": (55_000, 5_000, 10_000)}
SEEDS = {"tiny": 1, "short": 1, "full": 3}
SKIPPED = ("ablation",)
"""Measured ablation of every filter costs hours here; heads have their own benchmark."""


def cells(protocol: str) -> list[str]:
    """Names of all measurements, the curve first."""
    found: list[str] = []
    for seed in range(SEEDS[protocol]):
        for net in NETS:
            found.append(f"{net}/uncut/{seed}")
            found += [f"{net}/keep{keep}/{seed}" for keep in KEEP]
        for net in NETS:
            found += [f"{net}/baseline-{kind}/{seed}" for kind in BaselineKind]
            found += [f"{net}/longer-{kind}/{seed}" for kind in FRESH]
        for net in NETS:
            found += [f"{net}/by-{name}/{seed}" for name in CRITERIA if name not in SKIPPED and name != "taylor"]
    return found


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    net, what, seed = cell.split("/")
    settings = replace(RecoverySettings(), epochs=EPOCHS[protocol], seed=int(seed), threads=1)
    with closing(Session()) as session:
        opened = finish(
            session.open(ModelSpec(f"bundled:{net}", task=image_task(protocol)), evaluate=False), harness.say
        )
        if what == "uncut":
            before = finish(session.evaluate("s0", Split.TEST), harness.say)
            longer = finish(session.recover("s0", settings), harness.say)
            after = finish(session.evaluate(longer.id, Split.TEST), harness.say)
            return {"original": _plain(before), "metric": _plain(after), "macs": opened.state.macs}
        name, _, rest = what.partition("-")
        criterion = rest if name == "by" else "taylor"
        keep = float(what.removeprefix("keep")) if what.startswith("keep") else 0.5
        if name in ("baseline", "longer"):
            epochs = settings.epochs * (LONGER if name == "longer" else 1)
            return _baseline(session, net, BaselineKind(rest), replace(settings, epochs=epochs))
        kinds = CRITERIA[criterion].kinds
        goal = Goal((Limit(Cost.MACS, keep),), multiple=1 if kinds else 16, kinds=tuple(kinds))
        try:
            made = finish(
                prune_state(session, "s0", PruneRequest(goal, criterion, settings, seed=int(seed))), harness.say
            )
        except (PlanError, TaskError) as refused:
            return {"refused": str(refused)}
        cut = finish(session.evaluate(made[0].id, Split.TEST), harness.say)
        state = session.history.state(made[-1].id)
        metric = next(one for one in state.metrics if one.split is Split.TEST)
        return {"cut": _plain(cut), "metric": _plain(metric), "macs": state.macs, "parameters": state.parameters}


def _baseline(session: Session, net: str, kind: BaselineKind, settings: RecoverySettings) -> harness.Result:
    """A baseline beside half of the MACs; the state itself need not be trained for it."""
    goal = Goal((Limit(Cost.MACS, 0.5),), multiple=16)
    (cut,) = finish(prune_state(session, "s0", PruneRequest(goal, "taylor", None)), harness.say)
    none = replace(settings, epochs=0)
    state = finish(session.recover(cut.id, none), harness.say)
    source = f"{models.__file__}:{net}_stock" if kind is BaselineKind.STOCK else ""
    asked = BaselineSpec(kind, settings.epochs, settings.seed, source)
    made = finish(make_baseline(session, state.id, asked), harness.say)
    return {"metric": _plain(made.metric), "macs": made.macs, "parameters": made.parameters, "epochs": made.epochs}


def image_task(protocol: str) -> TaskSpec:
    """The official images as arrays, so many as the protocol says."""
    path = harness.work() / f"fashion-{protocol}.npz"
    if not path.exists():
        fit, choose = fashion_mnist.read_train()
        test = fashion_mnist.read_test()
        arrays: dict[str, Any] = {"classes": np.array(fashion_mnist.CLASSES)}
        for split, images, count in zip(("train", "val", "test"), (fit, choose, test), IMAGES[protocol]):
            arrays |= {f"x_{split}": images.x[:count, None], f"y_{split}": images.y[:count]}
        partial = path.with_suffix(".part.npz")
        np.savez(partial, **arrays)
        partial.replace(path)
    return TaskSpec("arrays", str(path), (fashion_mnist.MEAN,), (fashion_mnist.STD,))


def _plain(metric: Metric) -> dict[str, Any]:
    return {"value": metric.value, "error": metric.error, "n": metric.count}


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A table a network: the curve, then criteria and baselines at half of the MACs."""
    parts: list[str] = []
    for net in NETS:
        found: dict[str, list[harness.Result]] = {}
        for cell, one in results.items():
            owner, what, _ = cell.split("/")
            if owner == net:
                found.setdefault(what, []).append(one)
        if not found:
            continue
        whole = next((some[0]["macs"] for what, some in found.items() if what == "uncut"), 0)
        refused = [f"{_title(what)}: {some[0]['refused']}" for what, some in found.items() if "refused" in some[0]]
        found = {what: some for what, some in found.items() if "refused" not in some[0]}
        lines = [[f"{net}: top-1, %", "MACs", "parameters", "after the cut", "recovered"]]
        for what, some in found.items():
            first = some[0]
            share = harness.percent(first["macs"] / whole, 1) if whole else f"{first['macs']:,}"
            cut = harness.spread([one[k]["value"] for one in some for k in ("cut", "original") if k in one], 2, 100)
            metric = harness.spread([one["metric"]["value"] for one in some], 2, 100)
            lines.append(
                [
                    _title(what),
                    share,
                    f"{first.get('parameters', 0) or '':,}" if first.get("parameters") else "",
                    cut,
                    metric,
                ]
            )
        parts.append("\n\n".join([harness.rows(lines), *refused]) + "\n")
    return "\n".join([*parts, harness.machines(results, len(cells(protocol)))])


def _title(what: str) -> str:
    if what.startswith("keep"):
        return f"taylor, keep {harness.percent(float(what.removeprefix('keep')))}"
    if what.startswith("baseline-"):
        return f"baseline: {what.removeprefix('baseline-')}"
    if what.startswith("longer-"):
        return f"baseline: {what.removeprefix('longer-')}, {LONGER} times the epochs"
    return what.replace("by-", "half, by ")
