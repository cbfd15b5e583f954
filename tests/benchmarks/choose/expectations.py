"""From kept results to `engine/recovery/benchmark_results.json`: what the program foretells, with its cell."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.engine.recovery.expected_result import RESULTS, BenchmarkPoint, Family
from secateur.engine.storage.serialization import to_json

from . import cifar, defaults, fashion, harness

NAMES = ("fashion", "cifar", "language", "defaults")
HALF, NEAR = 0.5, 0.02
FILE = Path(__file__).resolve().parents[3] / "engine" / "recovery" / RESULTS


@dataclass(frozen=True, slots=True)
class _Subject:
    """A model with its data, and what it is measured by."""

    family: Family
    words: str
    parameters: int
    classes: int = 10
    metric: str = "top-1"


SUBJECTS = {
    "resnet": _Subject(Family.CONVOLUTIONAL, "ResNet, Fashion-MNIST", 401_706),
    "vit": _Subject(Family.TRANSFORMER, "ViT, Fashion-MNIST", 306_634),
    "resnet20": _Subject(Family.CONVOLUTIONAL, "ResNet-20, CIFAR-10 (JPEG)", 269_722),
    "resnet56": _Subject(Family.CONVOLUTIONAL, "ResNet-56, CIFAR-10 (JPEG)", 853_018),
}


def points(folder: Path = harness.RESULTS) -> list[BenchmarkPoint]:
    """All points of the results in a folder, the long protocol's before the short one's."""
    found: list[BenchmarkPoint] = []
    for protocol in ("full", "short"):
        read = {name: harness.read(folder / f"{name}-{protocol}.jsonl") for name in NAMES}
        found += _fashion(read["fashion"], protocol) + _cifar(read["cifar"], protocol)
        found += _language(read["language"], protocol)
        today = _defaults(read["defaults"], protocol)
        # Where the defaults of today were measured, other selections and recoveries at half of the MACs say nothing.
        new = {one.subject for one in today if one.epochs}
        found = [one for one in found if one.subject not in new or abs(one.kept - HALF) > NEAR] + today
    return found + _halves(harness.read(folder / "recovery.jsonl"))


def write(folder: Path = harness.RESULTS) -> int:
    """Write the file; returns how many points it holds."""
    some = tuple(points(folder))
    FILE.write_bytes(to_json(some, indent=1) + b"\n")
    return len(some)


def _halves(results: dict[str, harness.Result]) -> list[BenchmarkPoint]:
    """The bundled networks at half of their MACs (`tests.benchmarks.recovery`)."""
    found: list[BenchmarkPoint] = []
    for cell, one in results.items():
        net = cell.split("/")[0]
        values = tuple({"value": one[key]} for key in ("original", "cut", "recovered"))
        told = (one["epochs"], f"{one['epochs']} epochs on {one['images']:,} images", f"recovery {cell}")
        found.append(_point(SUBJECTS[net], one["kept"], values, told))
    return found


def _fashion(results: dict[str, harness.Result], protocol: str) -> list[BenchmarkPoint]:
    found: list[BenchmarkPoint] = []
    for cell, one in results.items():
        net, what, seed = cell.split("/")
        whole = results.get(f"{net}/uncut/0")
        if what.startswith("keep") and seed == "0" and whole:
            images, epochs = fashion.IMAGES[protocol][0], fashion.EPOCHS[protocol]
            how = f"{epochs} epochs on {images:,} images"
            values = (whole["original"], one["cut"], one["metric"])
            kept = one["macs"] / whole["macs"]
            found.append(_point(SUBJECTS[net], kept, values, (epochs, how, f"fashion {cell}")))
    return found


def _cifar(results: dict[str, harness.Result], protocol: str) -> list[BenchmarkPoint]:
    found: list[BenchmarkPoint] = []
    for cell, one in results.items():
        net, *rest = cell.split("/")
        base = results.get(f"{net}/base")
        if rest[1:] and rest[1:] == ["ours-ours", "0"] and base:
            images, epochs = cifar.IMAGES[protocol][0], cifar.EPOCHS[protocol]
            how = f"{epochs} epochs on {images:,} images, with mirrored images, distillation only"
            values = (base["metric"], one["cut"], one["metric"])
            told = (epochs, how, f"cifar {cell}")
            found.append(_point(SUBJECTS[net], one["kept"], values, told))
    return found


def _language(results: dict[str, harness.Result], protocol: str) -> list[BenchmarkPoint]:
    found: list[BenchmarkPoint] = []
    original = results.get("original")
    for cell, one in results.items():
        if cell.count("/") != 1 or cell.startswith(("original", "ffn")) or original is None:
            continue
        kind, less = cell.split("/")
        words = f"SmolLM2-135M, {kind} reduced by {float(less):.0%}"
        subject = _Subject(Family.LANGUAGE, words, original["parameters"], 0, "perplexity")
        kept = one["macs"] / original["macs"]
        values = (original["original"], one["cut"], one["repaired"])
        told = (0, "least squares, no training", f"language {cell}")
        found.append(_point(subject, kept, values, told))
        more = results.get(f"{cell}/recovered")
        if more:
            steps = more["recovered"]["steps"]
            values = (original["original"], one["cut"], more["recovered"])
            told = (1, f"{steps} steps of {more['recovered']['tokens a step']} tokens", f"language {cell}/recovered")
            found.append(_point(subject, kept, values, told))
    return found


def _defaults(results: dict[str, harness.Result], protocol: str) -> list[BenchmarkPoint]:
    """What the program does where nothing is said, and least squares alone, at half of the MACs."""
    found: list[BenchmarkPoint] = []
    for cell, one in results.items():
        net, *rest = cell.split("/")
        if rest not in (["obs-untrained", "0"], ["obs-default", "0"]):
            continue
        epochs, how = 0, "least squares, no training"
        if rest[0] == "obs-default":
            images = (defaults if net in cifar.NETS else fashion).IMAGES[protocol][0]
            epochs, how = defaults.EPOCHS[net], f"{defaults.EPOCHS[net]} epochs on {images:,} images"
        values = ({"value": one["original"]}, {"value": one["cut"]}, one["metric"])
        found.append(_point(SUBJECTS[net], one["kept"], values, (epochs, how, f"defaults {cell}")))
    return found


def _point(
    subject: _Subject, kept: float, values: tuple[dict[str, Any], ...], told: tuple[int, str, str]
) -> BenchmarkPoint:
    original, cut, recovered = (round(float(one["value"]), 4) for one in values)
    epochs, how, source = told
    return BenchmarkPoint(
        family=subject.family,
        subject=subject.words,
        parameters=subject.parameters,
        classes=subject.classes,
        kept=round(kept, 4),
        metric=subject.metric,
        percent=subject.metric == "top-1",
        original=original,
        cut=cut,
        recovered=recovered,
        epochs=epochs,
        how=how,
        source=source,
    )
