"""CIFAR-10 (JPEG), ResNet-20 and ResNet-56: selection ours or Torch-Pruning's, recovery ours or plain fine-tuning.

The published weights are first tuned on the JPEG copies (`base`; kept in the work folder, and tuned again by the first
cell that misses them: `--cell resnet20/base` does that alone), then cut to 72.4 % of the MACs (Li et al.'s ResNet-56
B), to a half and to 40 %, and recovered for as many epochs again; `uncut` gives the base the same extra epochs. Pairs
share data, seed and epochs. Torch-Pruning 1.6.1: group Taylor, global and isomorphic, in small steps until the MACs are
reached. Ours: Taylor, by `default` structured OBS. Widths are free for both. Our recovery learns from the original
alone, at temperature 4, on images of which half are mirrored (settings found on training images that nothing else
reads). Plain: SGD with momentum 0.9, cross entropy, the same one-cycle schedule, best epoch by the val split;
`mirrored` is plain training that gets mirrored images too, with their labels; `default` is what the program does when
nobody says otherwise. What we cut, the program recovers knowing what is gone, so that it repairs layers first; a cut by
Torch-Pruning is a network like any other to it. Short protocol: 12,500 training images, 4 epochs each; `--full`:
45,000, 30.
"""

import copy
import io
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.flip_augmentation import mirror_images
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings, Repair
from secateur.engine.recovery.recover import recover
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import costs
from secateur.engine.tasks.protocol import Metric, Split, Task, TaskSpec
from secateur.engine.workflows.baselines import standing_of
from secateur.engine.workflows.prune import PruneRequest, prune_state

from . import harness, models

NETS = ("resnet20", "resnet56")
KEEP = {"-27.6 %": 0.724, "2.0x": 0.5, "2.5x": 0.4}
EPOCHS = {"tiny": 1, "short": 4, "full": 30}
IMAGES = {"tiny": (512, 256, 256), "short": (12_500, 2_500, 10_000), "full": (45_000, 5_000, 10_000)}
SEEDS = 3
RECOVERIES = {"ours": ("ours", "plain", "default"), "theirs": ("ours", "plain", "mirrored")}
WAYS = tuple((selection, recovery) for selection, some in RECOVERIES.items() for recovery in some)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OURS: dict[str, Any] = {"distillation": 1.0, "temperature": 4.0, "mirror": True}
"""Found for ResNet-20 on training images that nothing else reads."""
BY_HAND: dict[str, Any] = {
    "distillation": 0.0,
    "optimizer": Optimizer.SGD,
    "learning_rate": 0.02,
    "weight_decay": 5e-4,
    "mirror": False,
    "repair": Repair.NONE,
}
"""Fine-tuning as one writes it by hand."""
SCORED = 20
"""Batches that Torch-Pruning's scores are from, as many as ours take."""


def cells(protocol: str) -> list[str]:
    """Names of all measurements; the base first, then seed by seed."""
    found = [f"{net}/base" for net in NETS]
    for seed in range(SEEDS):
        for net in NETS:
            found.append(f"{net}/uncut/{seed}")
            found += [f"{net}/{cut}/{one}-{other}/{seed}" for cut in KEEP for one, other in WAYS]
    return found


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    net, *rest = cell.split("/")
    with closing(Session(cache=harness.work() / "teachers")) as session:
        spec = ModelSpec(
            f"{models.__file__}:{net}", str(_weights(net, protocol, rest)), task=image_task(protocol, IMAGES[protocol])
        )
        finish(session.open(replace(spec, trust_pickle=True), evaluate=False), harness.say)
        standing = standing_of(session, "s0")
        task, teacher, whole = standing.task, standing.original, costs(session.analysis).macs
        seed = int(rest[-1]) if rest[1:] else 0
        if rest[0] == "base":
            return _base(teacher, task, net, protocol)
        if rest[0] == "uncut":
            return {"metric": _trained(teacher, teacher, task, "ours", seed, protocol), "macs": whole}
        selection, recovery = rest[1].split("-")
        if selection == "ours":
            criterion = "obs" if recovery == "default" else "taylor"
            return _ours(session, KEEP[rest[0]], criterion, _settings(recovery, seed, protocol))
        student = theirs(session, KEEP[rest[0]], seed)
        left = costs(analyse(student, standing.inputs))
        cut = judged(student, task)
        metric = _trained(student, teacher, task, recovery, seed, protocol)
        return {
            "cut": cut,
            "metric": metric,
            "macs": left.macs,
            "parameters": left.parameters,
            "kept": left.macs / whole,
        }


class Mirrored:
    """A task whose training images are mirrored at random and keep their labels."""

    def __init__(self, task: Task) -> None:
        """Change the batches of a task, nothing else."""
        self._task = task

    def __getattr__(self, name: str) -> Any:
        """As the task itself has it."""
        return getattr(self._task, name)

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        """Shuffled ones with about half of the images mirrored."""
        for images, labels in self._task.batches(split, seed=seed):
            given: Any = (images,) if seed is None else mirror_images((images,))
            yield given[0], labels


def _ours(session: Session, keep: float, criterion: str, settings: RecoverySettings) -> harness.Result:
    """The program's own cut and recovery, which knows what was cut and repairs it where the settings say so."""
    goal = PruneRequest(Goal((Limit(Cost.MACS, keep),)), criterion, settings, seed=settings.seed)
    cut, recovered = finish(prune_state(session, "s0", goal), harness.say)
    original, state = session.history.state("s0"), session.history.state(recovered.id)
    return {
        "cut": harness.plain(finish(session.evaluate(cut.id, Split.TEST), harness.say)),
        "metric": harness.plain(next(one for one in state.metrics if one.split is Split.TEST)),
        "macs": state.macs,
        "parameters": state.parameters,
        "kept": state.macs / original.macs,
        "told": [str(one) for one in state.repaired],
    }


def theirs(
    session: Session, keep: float, seed: int, isomorphic: bool = True, ranks: str = "Taylor", batches: int = SCORED
) -> nn.Module:
    """A classifier after Torch-Pruning's own steps, until the MACs are at or under the same share.

    Groups are ranked over the whole model, where `isomorphic` among those of their kind, by "Taylor" or by "L2".
    """
    tp: Any = import_module("torch_pruning")
    standing = standing_of(session, "s0")
    model: Any = copy.deepcopy(standing.original).eval()
    given: Any = standing.inputs
    rated: Any = tp.importance.GroupTaylorImportance if ranks == "Taylor" else tp.importance.GroupMagnitudeImportance
    pruner: Any = tp.pruner.BasePruner(
        model,
        given[0],
        importance=rated(),
        global_pruning=True,
        isomorphic=isomorphic,
        pruning_ratio=1.0,
        iterative_steps=200,
        ignored_layers=[one for one in model.modules() if isinstance(one, nn.Linear)],
    )
    for batch in islice(standing.task.batches(Split.TRAIN, seed=seed), batches if ranks == "Taylor" else 0):
        loss: Any = standing.task.loss(model, batch)
        (loss / batches).backward()
    target = keep * costs(session.analysis).macs
    while costs(analyse(model, standing.inputs)).macs > target:
        pruner.step()
    model.zero_grad()
    return model


def _trained(
    student: nn.Module, teacher: nn.Module, task: Task, recovery: str, seed: int, protocol: str
) -> dict[str, Any]:
    given: Any = Mirrored(task) if recovery == "mirrored" else task
    done = finish(recover(student, teacher, given, _settings(recovery, seed, protocol)), harness.say)
    model = copy.deepcopy(student)
    model.load_state_dict(done.state_dict)
    return judged(model, task)


def _settings(recovery: str, seed: int, protocol: str) -> RecoverySettings:
    given = {"ours": OURS, "default": {}}.get(recovery, BY_HAND)
    return replace(RecoverySettings(epochs=EPOCHS[protocol], seed=seed, threads=torch.get_num_threads()), **given)


def _base(model: nn.Module, task: Task, net: str, protocol: str) -> harness.Result:
    """Tune the published weights; they are kept for all other cells."""
    before = judged(model, task)
    settings = RecoverySettings(
        epochs=EPOCHS[protocol], distillation=0.0, mirror=False, repair=Repair.NONE, threads=torch.get_num_threads()
    )
    done = finish(recover(model, model, task, settings), harness.say)
    tuned = copy.deepcopy(model)
    tuned.load_state_dict(done.state_dict)
    path = _base_path(net, protocol)
    save_file({name: tensor.contiguous() for name, tensor in done.state_dict.items()}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    return {"original": before, "metric": judged(tuned, task), "macs": 0}


def judged(model: nn.Module, task: Task) -> dict[str, Any]:
    """The metric of a model on the test set."""
    from secateur.engine.jobs import NeverCancelled

    metric: Metric = finish(task.evaluate(model, Split.TEST, NeverCancelled()), harness.say)
    return harness.plain(metric)


def _weights(net: str, protocol: str, rest: list[str]) -> Path:
    if rest[0] == "base":
        return next(harness.data("resnet-cifar10").glob(f"{net}-*.th"))
    path = _base_path(net, protocol)
    if not path.exists():
        sys.stderr.write(f"The tuned weights of {net} are not in {path.parent}: tuning them.\n")
        run(f"{net}/base", protocol)
    return path


def _base_path(net: str, protocol: str) -> Path:
    """One for all cells of a machine; two machines tune two bases, so pairs belong on one of them."""
    return harness.work() / f"{net}-{protocol}.safetensors"


def image_task(name: str, sizes: tuple[int, int, int]) -> TaskSpec:
    """The images as arrays: a shuffled prefix of the training file, its end to choose by, the whole test file.

    `name` is that of the file that keeps so many (`sizes`) to fit, choose and report.
    """
    path = harness.work() / f"cifar-{name}.npz"
    if not path.exists():
        fit, choose, report = sizes
        train, test = _read("train.parquet"), _read("test.parquet")
        parts = {
            "train": (train, slice(0, fit)),
            "val": (train, slice(-choose, None)),
            "test": (test, slice(0, report)),
        }
        arrays: dict[str, Any] = {}
        for split, ((images, labels), rows) in parts.items():
            arrays |= {f"x_{split}": images[rows], f"y_{split}": labels[rows]}
        partial = path.with_suffix(".part.npz")
        np.savez(partial, **arrays)
        partial.replace(path)
    return TaskSpec("arrays", str(path), MEAN, STD)


def _read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """([N, 3, 32, 32] uint8, [N] labels) of a Parquet file."""
    from PIL import Image
    from pyarrow import parquet

    table = parquet.read_table(harness.data("cifar10-jpeg") / name)
    pictures = (Image.open(io.BytesIO(one["bytes"])).convert("RGB") for one in table["image"].to_pylist())
    images = np.stack([np.asarray(one) for one in pictures]).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), np.asarray(table["label"].to_pylist(), np.int64)


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a cut and a way: top-1 after recovery, and what was lost against the uncut network, seed by seed."""
    head = ["selection", "recovery", "MACs kept", "after the cut, %", "recovered, %", "lost, points", "seeds"]
    parts: list[str] = []
    for net in NETS:
        lines = [[net, *head]]
        lines += [_row(results, net, cut, *way) for cut in KEEP for way in WAYS if _seeds(results, net, cut, *way)]
        if f"{net}/base" in results:
            parts.append(_words(results, net))
        parts += [harness.rows(lines) + "\n"] if lines[1:] else []
    return "\n".join([*parts, harness.machines(results, len(cells(protocol)))])


def _words(results: dict[str, harness.Result], net: str) -> str:
    base = results[f"{net}/base"]
    before, after = (100 * base[key]["value"] for key in ("original", "metric"))
    longer = harness.spread(list(_uncut(results, net).values()), 2, 100)
    words = f"published weights {before:.2f} %, tuned {after:.2f} %, uncut with the same extra epochs {longer} %"
    return f"{net}: {words} (n = {base['metric']['n']:,})\n"


def _row(results: dict[str, harness.Result], net: str, cut: str, selection: str, recovery: str) -> list[str]:
    """Means over seeds, with their spread; losses of those seeds whose uncut network is there."""
    some, uncut = _seeds(results, net, cut, selection, recovery), _uncut(results, net)
    kept = harness.spread([one["kept"] for one in some.values()], 1, 100)
    values = [harness.spread([one[k]["value"] for one in some.values()], 2, 100) for k in ("cut", "metric")]
    lost = [uncut[seed] - one["metric"]["value"] for seed, one in some.items() if seed in uncut]
    return [
        cut.replace("-", "−"),
        selection,
        recovery,
        f"{kept} %",
        *values,
        harness.spread(lost, 2, 100),
        str(len(some)),
    ]


def _seeds(results: dict[str, harness.Result], *way: str) -> dict[str, harness.Result]:
    """Results of a way by seed."""
    net, cut, selection, recovery = way
    name = f"{net}/{cut}/{selection}-{recovery}/"
    return {cell.split("/")[-1]: one for cell, one in results.items() if cell.startswith(name)}


def _uncut(results: dict[str, harness.Result], net: str) -> dict[str, float]:
    """Top-1 of the network with the same extra epochs, by seed."""
    named = {c.split("/")[-1]: one for c, one in results.items() if c.startswith(f"{net}/uncut/")}
    return {seed: one["metric"]["value"] for seed, one in named.items()}
