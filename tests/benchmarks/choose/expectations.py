"""From kept results to `engine/recovery/benchmark_results.json`: what the program foretells, with its cell."""

from pathlib import Path
from typing import Any

from secateur.engine.recovery.benchmark_points import RESULTS, BenchmarkPoint, Family
from secateur.engine.storage.serialization import to_json

from . import cifar, fashion, harness

FILE = Path(__file__).resolve().parents[3] / "engine" / "recovery" / RESULTS
FAMILIES = {"resnet": Family.CONVOLUTIONAL, "vit": Family.TRANSFORMER}


def points(folder: Path = harness.RESULTS) -> list[BenchmarkPoint]:
    """All points of the results in a folder, the long protocol's before the short one's."""
    found: list[BenchmarkPoint] = []
    for protocol in ("full", "short"):
        read = {name: harness.read(folder / f"{name}-{protocol}.jsonl") for name in ("fashion", "cifar", "language")}
        found += _fashion(read["fashion"], protocol) + _cifar(read["cifar"], protocol)
        found += _language(read["language"], protocol)
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
        subject = f"{'ResNet' if net == 'resnet' else 'ViT'}, Fashion-MNIST"
        values = tuple({"value": one[key]} for key in ("original", "cut", "recovered"))
        told = (one["epochs"], f"{one['epochs']} epochs on {one['images']:,} images", f"recovery {cell}")
        found.append(_point(FAMILIES[net], subject, one["kept"], ("top-1", True), values, told))
    return found


def _fashion(results: dict[str, harness.Result], protocol: str) -> list[BenchmarkPoint]:
    found: list[BenchmarkPoint] = []
    for cell, one in results.items():
        net, what, seed = cell.split("/")
        whole = results.get(f"{net}/uncut/0")
        if what.startswith("keep") and seed == "0" and whole:
            images, epochs = fashion.IMAGES[protocol][0], fashion.EPOCHS[protocol]
            how = f"{epochs} epochs on {images:,} images"
            subject = f"{'ResNet' if net == 'resnet' else 'ViT'}, Fashion-MNIST"
            values = (whole["original"], one["cut"], one["metric"])
            kept = one["macs"] / whole["macs"]
            found.append(
                _point(FAMILIES[net], subject, kept, ("top-1", True), values, (epochs, how, f"fashion {cell}"))
            )
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
            subject = f"{net.replace('resnet', 'ResNet-')}, CIFAR-10 (JPEG)"
            found.append(_point(Family.CONVOLUTIONAL, subject, one["kept"], ("top-1", True), values, told))
    return found


def _language(results: dict[str, harness.Result], protocol: str) -> list[BenchmarkPoint]:
    found: list[BenchmarkPoint] = []
    original = results.get("original")
    for cell, one in results.items():
        if cell.count("/") != 1 or cell.startswith("original") or original is None:
            continue
        kind, less = cell.split("/")
        subject = f"SmolLM2-135M, {kind} reduced by {float(less):.0%}"
        kept = one["macs"] / original["macs"]
        values = (original["original"], one["cut"], one["repaired"])
        told = (0, "least squares, no training", f"language {cell}")
        found.append(_point(Family.LANGUAGE, subject, kept, ("perplexity", False), values, told))
        more = results.get(f"{cell}/recovered")
        if more:
            steps = more["recovered"]["steps"]
            values = (original["original"], one["cut"], more["recovered"])
            told = (1, f"{steps} steps of {more['recovered']['tokens a step']} tokens", f"language {cell}/recovered")
            found.append(_point(Family.LANGUAGE, subject, kept, ("perplexity", False), values, told))
    return found


def _point(
    family: Family,
    subject: str,
    kept: float,
    metric: tuple[str, bool],
    values: tuple[dict[str, Any], ...],
    told: tuple[int, str, str],
) -> BenchmarkPoint:
    original, cut, recovered = (round(float(one["value"]), 4) for one in values)
    name, percent = metric
    return BenchmarkPoint(family, subject, round(kept, 4), name, percent, original, cut, recovered, *told)
