"""How long an analysis and a cut take: `python -m tests.benchmarks.speed --out speed.jsonl`.

Side by side in one run, each model in a process of its own with a time limit, resumable (cells in the file are not run
again): our analysis plus cut against Torch-Pruning's dependency graph plus pruning (its output layers protected), on
every torchvision classification model, half of everything removed; beside them the floor (one plain forward and one
copy of the weights) and what verification takes. Then Llama-2-7B's shape without weights, and ResNets of 18 to 1,202
layers. Both get two images and run once before they are timed. Seconds are medians of interleaved runs; the spread is
(max - min) / median of a run against itself. `verify` cells give a verification's CPU time in plain forwards and its
memory; `road` cells one command from a name to a compared ONNX file beside Torch-Pruning, an export and a run by hand;
`prune` cells what the command takes on large inputs and many operators.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from .speed_cells import KINDS

LIMIT = 240
"""Seconds a cell may take."""
VERIFIED = ("resnet50", "vit_b_16", "efficientnet_b0", "densenet201", "llama-0.5b", "llama-1.1b")
ROADS = ("resnet18", "resnet50", "efficientnet_b0", "vit_b_16")
LARGE = ("mvit_v1_b", "s3d", "maxvit_t", "fasterrcnn_resnet50_fpn")
DEPTHS = (18, 50, 110, 218, 434, 866, 1202)


def cells() -> list[str]:
    """Names of all measurements."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    kinds = {"torchvision": names, "depth": DEPTHS, "verify": VERIFIED, "road": ROADS, "prune": LARGE}
    return ["llama", *(f"{kind}/{one}" for kind, all_ in kinds.items() for one in all_)]


VERIFY = "--no-verification" not in sys.argv


def in_a_process(name: str) -> dict[str, Any]:
    """Run a cell; what it had said before its end counts."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.speed",
        "--cell",
        name,
        *([] if VERIFY else ["--no-verification"]),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        said, problem = done.stdout, "" if done.returncode == 0 else done.stderr.strip()[-300:]
    except subprocess.TimeoutExpired as late:
        said, problem = (late.stdout or b"").decode(), f"over {LIMIT} s"
    results = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {"cell": name, **(results[-1] if results else {}), **({"problem": problem} if problem else {})}


def spread(seconds: list[float]) -> float:
    return (max(seconds) - min(seconds)) / median(seconds)


def table(results: dict[str, dict[str, Any]]) -> str:
    """What was measured, as text."""
    heads = ("ours s", "spread", "theirs s", "spread", "ratio", "floor s", "verify s")
    lines = [f"{'model':28}" + "".join(f"{h:>10}" for h in heads)]
    ratios: dict[str, float] = {}
    for name, one in results.items():
        if not name.startswith("torchvision/") or not one.get("ours"):
            continue
        short, mine, other = name.partition("/")[2], one["ours"], one.get("theirs", [])
        line = f"{short:28}{median(mine):10.3f}{spread(mine):10.0%}"
        if other:
            ratios[short] = median(other) / median(mine)
            line += f"{median(other):10.3f}{spread(other):10.0%}{ratios[short]:10.1f}"
        else:
            line += f"{'-':>10}" * 3
        line += f"{one['floor']:10.3f}{one.get('verification', math.nan):10.2f}"
        lines.append(line + ("  not verified" if one.get("verified") is False else ""))
    problems = {name: one.get("error") or one.get("problem") for name, one in results.items()}
    failed = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    if ratios:
        worst = min(ratios, key=ratios.__getitem__)
        mean = geometric_mean(ratios.values())
        lines.append(f"geometric mean of {len(ratios)} ratios: {mean:.2f} (bar 3)")
        lines.append(f"least: {ratios[worst]:.2f} ({worst})")
        if "densenet201" in ratios:
            lines.append(f"densenet201: {ratios['densenet201']:.0f} (bar 50)")
    if results.get("llama", {}).get("ours"):
        one = results["llama"]
        lines.append(
            f"Llama-2-7B's shape: {median(one['ours']):.2f} s (bar 5), {one['GB']:.2f} GB above the imports (bar 1), "
            f"{one['structures']} structures, costs of a plan in {one['costs ms']:.1f} ms (bar 10)"
        )
    for name, one in results.items():
        if name.startswith("depth/") and one.get("ours"):
            each = median(one["ours"]) / one["operators"] * 1e3
            lines.append(f"{name:12}{one['operators']:8} operators{median(one['ours']):9.3f} s{each:8.3f} ms each")
    for name, one in results.items():
        if name.startswith("verify/") and "forwards" in one:
            extra = (one["peak GB"] - one["before GB"]) / one["weights GB"]
            lines.append(
                f"{name:28} verified in {one['verification']:.2f} CPU s, {one['forwards']:.1f} plain forwards (bar 6), "
                f"peak {one['peak GB']:.2f} GB, {extra:.2f} times the weights above what was held (bar 0.3)"
            )
        if name.startswith("road/") and "ratio" in one:
            mine, other = median(one["ours cpu"]), median(one["theirs cpu"])
            lines.append(f"{name:28} {mine:.1f} CPU s, by hand {other:.1f}: {one['ratio']:.2f} times (bar 2)")
        if name.startswith("prune/") and "cpu" in one:
            lines.append(f"{name:28} {one['cpu']:.0f} CPU s (bar 120), {one['peak GB']:.2f} GB (bar 3)")
    return "\n".join([*lines, *failed])


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("speed.jsonl"), help="results, one line a cell")
    parser.add_argument("--only", nargs="*", help="cells or their first letters")
    parser.add_argument("--no-verification", action="store_true", help="leave out how long verification takes")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        kind, _, rest = options.cell.partition("/")
        for result in KINDS[kind](rest, VERIFY):
            print(json.dumps(result), flush=True)
        return
    results: dict[str, dict[str, Any]] = {}
    if options.out.exists():
        lines = [json.loads(line) for line in options.out.read_text().splitlines()]
        results = {one["cell"]: one for one in lines}
    for name in cells():
        if name in results or (options.only and not name.startswith(tuple(options.only))):
            continue
        results[name] = in_a_process(name)
        with options.out.open("a") as file:
            file.write(json.dumps(results[name]) + "\n")
        print(json.dumps(results[name])[:200], flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
