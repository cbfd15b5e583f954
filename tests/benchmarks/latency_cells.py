"""A cell of the benchmark of latencies: one model on one target, its table and the plans that it has not seen."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from secateur.engine.inference.model_inputs import Inputs
from secateur.engine.jobs import Job, NeverCancelled, finish
from secateur.engine.planning.sample_plans import SAMPLES, draw_plan, samples
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import costs, kept_sizes
from secateur.engine.targets.latency_table import LatencySample, LatencyTable, fit
from secateur.engine.targets.measure import Profile, profile, usual_speed
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.workflows.latency_table import SECONDS, Measuring, cut_models

NETS = Path(__file__).with_name("latency_nets.py")
MODELS = {
    "regnet_y_400mf": ModelSpec("torchvision:regnet_y_400mf", input_shape=(2, 3, 128, 128)),
    "squeezenet1_1": ModelSpec("torchvision:squeezenet1_1", input_shape=(2, 3, 128, 128)),
    "shufflenet_v2_x1_0": ModelSpec("torchvision:shufflenet_v2_x1_0", input_shape=(2, 3, 128, 128)),
    "mobilenet_v3_large": ModelSpec("torchvision:mobilenet_v3_large", input_shape=(2, 3, 128, 128)),
    "minilm": ModelSpec(f"{NETS}:minilm", input_shape=(2, 32, 384)),
    "efficientnet_b0": ModelSpec("torchvision:efficientnet_b0", input_shape=(2, 3, 128, 128)),
    "googlenet": ModelSpec("torchvision:googlenet", input_shape=(2, 3, 128, 128)),
}
"""None was looked at while the prediction was designed (ResNet-18, MobileNetV2 and the two bundled ones were)."""
UNTOUCHED = ("efficientnet_b0", "googlenet")
"""Chosen after the errors of the others had been looked at and profiles and tables mended for it; these see no more."""
PLANS, SEED = 30, 20
MULTIPLE = 16
AGAIN = 5
"""How often the original, and a small cut model, are measured again, from the beginning of a cell to its end."""
NEVER = NeverCancelled()


def plans(analysis: Analysis) -> Iterator[Mask]:
    """[S] random plans that keep between a quarter and nine tenths, evenly or not."""
    random = np.random.default_rng(SEED)
    for number in range(PLANS):
        yield draw_plan(analysis, MULTIPLE, random, float(random.uniform(0.25, 0.9)), (0.1, 0.4)[number % 2])


def run(model: str, target: TargetSpec, work: Path, anew: bool, patience: float) -> dict[str, Any]:
    """Measure a cell; the cut models are written into `work` once for all targets of a model.

    Args:
        model: A key of `MODELS`.
        target: What to measure on.
        work: Also gets what was measured, so that a cell that was stopped goes on.
        anew: Forget what was measured before.
        patience: Seconds that each measurement waits for the machine's usual speed.
    """
    with closing(Session()) as session:
        opened = finish(session.open(MODELS[model], evaluate=False))
        measuring = Measuring(session.prepared, opened.analysis, target, work)
        tried = [plan for plan in plans(opened.analysis) if plan.any()]
        known = list(samples(opened.analysis, MULTIPLE))
        files = _files(measuring, [*known, *tried], work / model)
        inputs = session.prepared.inputs
    place = work / model / "-".join(map(str, target.place[:4]))
    if anew:
        shutil.rmtree(place, ignore_errors=True)
    measured = _in_mixed_order(place, files, inputs, target, patience)
    seen, itself, small = measured[: len(files)], measured[len(files) : -AGAIN], measured[-AGAIN:]
    rows = [
        LatencySample(kept_sizes(opened.analysis, p), s.seconds, s.original, s.wall, s.kernels)
        for p, s in zip(known, seen)
    ]
    table = fit(rows, target, measuring.machine, MULTIPLE, abs(itself[0].seconds / itself[0].original - 1))
    return _result(opened.analysis, table, tried, seen[len(known) :], itself) | _again(small)


def _in_mixed_order(
    place: Path, files: list[Path], inputs: Inputs, target: TargetSpec, patience: float
) -> list[Profile]:
    """Profiles of the files, of the original `AGAIN` times, and of a small sample as often.

    What a table is made of and what it predicts take turns, so that a machine that changes meanwhile bends neither.
    """
    each = [(file, "") for file in files]
    again = [(file, str(n)) for file in (files[0], files[SAMPLES - 3]) for n in range(AGAIN)]
    order = np.random.default_rng(SEED).permutation(len(each)).tolist()
    for n, part in enumerate(np.array_split(np.array(order), AGAIN)):
        start = order.index(int(part[0]))
        order[start:start] = [len(each) + n, len(each) + AGAIN + n]
    found = dict[int, Profile]()
    for number in order:
        file, label = (each + again)[number]
        kept = place / f"{file.stem}{label}.json"
        known, blocks = usual_speed(found.values()), number < SAMPLES
        measure = partial(profile, files[0], file, inputs, target, NEVER, known, blocks, patience)
        found[number] = _kept(kept, measure)
    return [found[number] for number in range(len(each) + len(again))]


def _again(small: list[Profile]) -> dict[str, Any]:
    """How the share of the original's latency that one cut model takes changes from measurement to measurement."""
    shares = np.array([[one.seconds / one.original, one.wall / one.original_wall] for one in small])
    off = shares / np.median(shares, axis=0) - 1
    return {"small": off[:, 0].tolist(), "small_wall": off[:, 1].tolist()}


def _result(
    analysis: Analysis, table: LatencyTable, tried: list[Mask], seen: list[Profile], itself: list[Profile]
) -> dict[str, Any]:
    """All that the tables are made of, in milliseconds and shares."""
    full = costs(analysis).macs
    predicted = table.nanoseconds(np.stack([kept_sizes(analysis, plan) for plan in tried])) / table.original
    return {
        "machine": table.machine,
        "original_ms": table.original / 1e6,
        "original_wall_ms": float(np.median([one.original_wall for one in seen])) * 1e3,
        "macs": [costs(analysis, plan).macs / full for plan in tried],
        "predicted": predicted.tolist(),
        "measured": [one.seconds / one.original for one in seen],
        "measured_wall": [one.wall / one.original_wall for one in seen],
        "itself": [one.seconds / one.original - 1 for one in itself],
        "itself_wall": [one.wall / one.original_wall - 1 for one in itself],
        "left_out": list(table.trust.errors),
        "blocks": len(table.blocks),
        "terms": len(table.constant),
    }


def _files(measuring: Measuring, wanted: list[Mask], folder: Path) -> list[Path]:
    """The file of each plan, those written that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{_named(measuring.analysis, plan)}.onnx" for plan in wanted]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    for start in range(0, len(missing), 6):
        some = missing[start : start + 6]
        made = finish(cut_models(measuring, [wanted[n] for n in some], folder / "new", NEVER))
        for number, file in zip(some, made, strict=True):
            assert file is not None, "a random plan cannot be cut"
            file.replace(files[number])
    return files


def _named(analysis: Analysis, plan: Mask) -> str:
    return hashlib.sha256(kept_sizes(analysis, plan).tobytes()).hexdigest()[:16]


def _kept(file: Path, measure: Callable[[], Job[Profile]]) -> Profile:
    """Measured now, or by a run that was stopped."""
    from secateur.engine.storage.serialization import from_json, to_json

    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.with_suffix(".new").write_bytes(to_json(finish(measure())))
        file.with_suffix(".new").replace(file)
    return from_json(file.read_bytes(), Profile)


def main(text: str) -> None:
    """Run the cell that a line of JSON names, and write its result as one."""
    job = json.loads(text)
    target = TargetSpec(job["runtime"], job["threads"], job["batch"], multiple=MULTIPLE, seconds=SECONDS)
    print(json.dumps(run(job["model"], target, Path(job["work"]), job["anew"], job["patience"])), flush=True)
