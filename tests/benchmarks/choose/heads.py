"""MiniLM: heads removed, 10 to 60 % of all 72, without any training. Are 20 to 40 % free (Michel et al. 2019)?

Spearman on every third pair of STS-B's test set (`--full`: all 1,379) and accuracy on 600 sentences of three sites.
Heads are ranked over the whole model by their gates, by measured ablation, by random draws of three seeds; every layer
keeps one. Scores come from training data, the test sets are read once a point. `repaired`: the cut by gates, then the
training-free least squares; `obs`: the cut by structured OBS, then the same. The sentiment classifier comes first:
logistic regression on the means of the encoder's tokens, which `--full` then tunes for 4 epochs together with the
encoder.
"""

import copy
import csv
import io
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.recovery.recover import recover
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec
from secateur.engine.workflows.baselines import standing_of
from secateur.engine.workflows.measure import measure_states

from . import harness, models, packages

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEEDS = 3
LENGTH = {"stsb": 48, "sentiment": 32}
"""Tokens; the longest sentence of STS-B's test set has 46, one in twenty of the sites has more than 32."""
THIRD = {"tiny": 12, "short": 3, "full": 1}
"""One of so many pairs is judged."""
EPOCHS = {"tiny": 0, "short": 0, "full": 4}
"""Of tuning the sentiment classifier."""
BATCHES = {
    "tiny": {"gates": 1, "ablation": 1},
    "short": {"gates": 8, "ablation": 1},
    "full": {"gates": 32, "ablation": 4},
}
"""Calibration batches of 32 that gates and each head's ablation are measured on."""
WAYS = ("gates", "ablation", "random0", "repaired", "obs", *(f"random{seed}" for seed in range(1, SEEDS)))
REPAIRED = {"repaired": "gates", "obs": "obs"}
"""Ways whose cuts are repaired, and what ranks them."""


def cells(protocol: str) -> list[str]:
    """Names of all measurements; the classifier is trained first."""
    return [*(f"stsb/{way}" for way in WAYS), "speed", "sentiment/base", *(f"sentiment/{way}" for way in WAYS)]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    torch.manual_seed(0)
    task, _, way = cell.partition("/")
    if cell == "speed":
        return speed()
    with closing(Session()) as session:
        opened = finish(session.open(_spec(task, protocol, way != "base"), evaluate=False), harness.say)
        if way == "base":
            return train(session, protocol)
        original = evaluated(session, "s0")
        scores = _scores(session, way, protocol)
        points = [_point(session, scores, share, way) for share in (SHARES if protocol != "tiny" else SHARES[:1])]
        return {"original": _plain(original), "heads": int(heads_of(opened.analysis).sum()), "points": points}


def train(session: Session, protocol: str) -> harness.Result:
    """The sentiment classifier, made once; where it is tuned, the epoch is chosen on the val split."""
    standing = standing_of(session, "s0")
    model, task = copy.deepcopy(standing.model), standing.task
    fit_head(model, task)
    if EPOCHS[protocol]:
        settings = RecoverySettings(epochs=EPOCHS[protocol], learning_rate=1e-4, distillation=0.0, threads=2)
        model.load_state_dict(finish(recover(model, model, task, settings), harness.say).state_dict)
    metric = finish(task.evaluate(trimmed(model), Split.TEST, NeverCancelled()), harness.say)
    path = harness.work() / f"sentiment-{protocol}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    return {"epochs": EPOCHS[protocol], "metric": _plain(metric)}


def fit_head(model: Any, task: Any) -> None:
    """Logistic regression on what the head reads, of all training samples, in place."""
    read: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    handle = model.head.register_forward_pre_hook(lambda _module, given: read.append(given[0].detach()))
    call = trimmed(model)
    with torch.no_grad():
        for inputs, targets in task.batches(Split.TRAIN):
            before = len(read)
            call(**inputs)
            lengths = inputs["attention_mask"].sum(1)
            labels.append(targets[lengths.argsort()])
            assert sum(map(len, read[before:])) == len(targets)
    handle.remove()
    found = LogisticRegression(max_iter=2000).fit(torch.cat(read).numpy(), torch.cat(labels).numpy())
    with torch.no_grad():
        weight, bias = torch.from_numpy(found.coef_).float(), torch.from_numpy(found.intercept_).float()
        model.head.weight.copy_(torch.cat([-weight, weight]) / 2)
        model.head.bias.copy_(torch.cat([-bias, bias]) / 2)


def heads_of(analysis: Analysis) -> np.ndarray:
    """[S] which structures are heads."""
    found = analysis.empty()
    for one in analysis.sets:
        found[one.structures] = one.kind is Kind.HEAD
    return found


def lowest(analysis: Analysis, scores: np.ndarray, share: float) -> np.ndarray:
    """[S] the heads with the lowest scores over the whole model; every layer keeps one."""
    heads, marked = heads_of(analysis), analysis.empty()
    sets = {n: one.structures for one in analysis.sets for n in np.arange(analysis.count)[one.structures]}
    count = round(share * int(heads.sum()))
    for number in np.argsort(np.where(heads, scores, np.inf), kind="stable"):
        if marked.sum() == count:
            break
        if (~marked[sets[number]]).sum() > 1:
            marked[number] = True
    return marked


def evaluated(session: Session, state: str) -> Metric:
    """The metric on the test set."""
    standing = standing_of(session, state)
    return finish(standing.task.evaluate(trimmed(standing.model), Split.TEST, NeverCancelled()), harness.say)


def trimmed(model: Any) -> Callable[..., torch.Tensor]:
    """The same answers, without computing what fills sentences up to their fixed length."""

    def predict(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        lengths = attention_mask.sum(1)
        parts: list[torch.Tensor] = []
        order = lengths.argsort()
        for rows in order.split(16):
            longest = int(lengths[rows].max())
            found = model(input_ids[rows, :longest], attention_mask[rows, :longest])
            fill = (0, 0, 0, input_ids.shape[1] - longest) if found.ndim == 3 else (0, 0)
            parts.append(torch.nn.functional.pad(found, fill))
        return torch.cat(parts)[order.argsort()]

    return predict


def _scores(session: Session, way: str, protocol: str) -> np.ndarray:
    name = REPAIRED.get(way, way.rstrip("0123456789"))
    seed = int(way.removeprefix("random") or 0) if name == "random" else 0
    few = Choices(batches=BATCHES[protocol].get(name, 0))
    return finish(session.score("s0", name, choices=few, seed=seed), harness.say)


def _point(session: Session, scores: np.ndarray, share: float, way: str) -> dict[str, Any]:
    marked = lowest(session.analysis, scores, share)
    state = finish(session.cut("s0", marked), harness.say)
    if way in REPAIRED:
        settings = RecoverySettings(epochs=0, repair=Repair.LEAST_SQUARES, threads=1)
        state = finish(session.recover(state.id, settings), harness.say)
    metric = evaluated(session, state.id)
    costs = {"parameters": state.parameters, "macs": state.macs, "removed": int(marked.sum())}
    return {"share": share, "metric": _plain(metric), **costs}


def speed() -> harness.Result:
    """Original and 40 % of the heads less, in turns."""
    found: list[dict[str, Any]] = []
    with closing(Session()) as session:
        finish(session.open(_spec("stsb", "short"), evaluate=False), harness.say)
        scores = finish(session.score("s0", "l1"), harness.say)
        state = finish(session.cut("s0", lowest(session.analysis, scores, 0.4)), harness.say)
        for batch in (2, 16):
            timings = finish(
                measure_states(session, ("s0", state.id), TargetSpec(batch=batch, seconds=4.0)), harness.say
            )
            whole, cut = timings
            found.append(
                {"batch": batch, "original": whole.median, "pruned": cut.median, "low": whole.low, "high": whole.high}
            )
    return {"share": 0.4, "tokens": LENGTH["stsb"], "timings": found}


def _spec(task: str, protocol: str, trained: bool = True) -> ModelSpec:
    folder = packages.fetched(packages.MINILM).parent
    options = (("header", "no"), ("tokenizer", str(folder)), ("length", str(LENGTH[task])))
    if task == "stsb":
        named = (*options, ("features", "1,2"), ("label", "3"), ("purpose", "similarity"))
        data = TaskSpec("csv", str(_pairs(protocol)), batch=32, options=named)
        return ModelSpec(f"{models.__file__}:minilm", task=data)
    options = (*options[1:], ("features", "text"), ("label", "label"), ("purpose", "classification"))
    data = TaskSpec("csv", str(_sentences()), batch=32, options=options)
    weights = harness.work() / f"sentiment-{protocol}.safetensors"
    if trained and not weights.exists():
        raise SystemExit("The trained classifier lies on another machine: run sentiment/base here first.")
    return ModelSpec(f"{models.__file__}:sentiment", str(weights) if trained else "", task=data)


def _pairs(protocol: str) -> Path:
    """STS-B with some of its test pairs, all genres alike; it stays on this machine."""
    folder = harness.work() / f"stsb-{protocol}"
    for name in ("train", "dev", "test"):
        lines = (harness.data("stsb") / f"{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        packages.written(folder / f"{name}.csv", "".join(lines[:: THIRD[protocol] if name == "test" else 1]))
    return folder


def _sentences() -> Path:
    """The sentences as train, dev and test files, shuffled by a fixed seed: 600 to test, 240 to choose."""
    folder = harness.work() / "sentences"
    found = packages.sentences()
    random.Random(0).shuffle(found)
    for name, some in (("test", found[:600]), ("dev", found[600:840]), ("train", found[840:])):
        text = io.StringIO()
        csv.writer(text).writerows([("text", "label"), *some])
        packages.written(folder / f"{name}.csv", text.getvalue())
    return folder


def _plain(metric: Metric) -> dict[str, Any]:
    return {"name": metric.name, **harness.plain(metric)}


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """For each task a row a way of choosing, a column a share."""
    lines: list[str] = []
    for task in ("stsb", "sentiment"):
        found = {
            cell.partition("/")[2]: one for cell, one in results.items() if cell.startswith(task) and "points" in one
        }
        if not found:
            continue
        first = next(iter(found.values()))["original"]
        head = f"{first['name']} x 100 (n = {first['n']:,}, ± {100 * first['error']:.1f})"
        lines.append(
            harness.rows([[f"{task}: {head}", "0 %", *map(harness.percent, SHARES)], *_rows(found, first)]) + "\n"
        )
        lines.append(_claim(task, found, first) + "\n")
    if "speed" in results:
        one = results["speed"]
        words = [f"batch {t['batch']}: {t['original']:.2f} to {t['pruned']:.2f} ms" for t in one["timings"]]
        lines.append(f"40 % of the heads less, {one['tokens']} tokens, onnxruntime, one thread: {'; '.join(words)}\n")
    return "\n".join([*lines, harness.machines(results, len(cells(protocol)))])


def _rows(found: dict[str, harness.Result], first: dict[str, Any]) -> list[list[str]]:
    kinds = {"gates": ["gates"], "gates, repaired": ["repaired"], "OBS, repaired": ["obs"], "ablation": ["ablation"]}
    kinds["random (seeds)"] = [way for way in found if way.startswith("random")]
    lines = []
    for title, ways in kinds.items():
        some = [found[way]["points"] for way in ways if way in found]
        if some:
            values = [[points[n]["metric"]["value"] for points in some] for n in range(len(some[0]))]
            lines.append([title, f"{100 * first['value']:.1f}", *(harness.spread(v, scale=100) for v in values)])
    return lines


def _claim(task: str, found: dict[str, harness.Result], first: dict[str, Any]) -> str:
    """Up to which share a way loses no more than one standard error."""
    words = []
    for way in ("gates", "repaired", "obs", "ablation"):
        if way in found:
            free = 0.0
            for point in found[way]["points"]:
                if first["value"] - point["metric"]["value"] > first["error"]:
                    break
                free = point["share"]
            words.append(f"{way} {harness.percent(free)}")
    return f"{task}: removable within one standard error, without training: {', '.join(words)}."
