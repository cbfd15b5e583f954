"""Runs the cells of the sets, each in its own process, and prints the table.

    python -m tests.benchmarks.breadth --set torchvision_models --seconds 600 [--only PATTERN] [--again] [--table]

Results are one JSON line a model under `results/`; models with a result are skipped, so that a run goes on anywhere.
"""

import argparse
import fnmatch
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from .table import OWN_CLASS, table, worst_repair

SETS = ("torchvision_models", "timm_models", "transformers_models", "yolo_models")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.breadth", description=__doc__)
    parser.add_argument("--set", choices=SETS, action="append", help="default: all")
    parser.add_argument("--only", default="*", help="pattern of model names")
    parser.add_argument("--seconds", type=int, default=900, help="limit of one model")
    parser.add_argument("--again", action="store_true", help="run models that have a result too")
    parser.add_argument("--failed", action="store_true", help="run models again whose result is not perfect")
    parser.add_argument("--no-onnx", action="store_true", help="leave out the export, which takes longest")
    parser.add_argument(
        "--own-class", action="store_true", help="add only what plans for the own class give, where missing"
    )
    parser.add_argument("--only-onnx", action="store_true", help="export again what has a result, and nothing else")
    parser.add_argument("--torch-pruning", action="store_true", help="Torch-Pruning on the same models too, 240 s each")
    parser.add_argument("--table", action="store_true", help="only print the table of the results that there are")
    given = parser.parse_args()
    for own in given.set or SETS:
        known = read(own)
        if not given.table:
            for name in fnmatch.filter(import_module(f".{own}", __package__).names(), given.only):
                fresh = name not in known and not (given.own_class or given.only_onnx)
                if given.again or fresh or (given.failed and not perfect(known[name])):
                    known[name] = run(own, name, given.seconds, *(["--no-onnx"] if given.no_onnx else []))
                    write(own, known)
                    print(summary(known[name]), flush=True)
                if given.own_class and lacks_own(known.get(name, {})):
                    known[name] |= own_part(run(own, name, given.seconds, "--own-class"))
                    write(own, known)
                    print(f"{name:32s}  own class {[v for k, v in known[name].items() if 'own' in k]}", flush=True)
                if given.only_onnx and "onnx" in known.get(name, {}):
                    known[name]["onnx"] = onnx_part(run(own, name, given.seconds, "--only-onnx"))
                    write(own, known)
                    print(f"{name:32s}  onnx {known[name]['onnx']}", flush=True)
                if given.torch_pruning and "torch_pruning" not in known.get(name, {"torch_pruning": 0}):
                    known[name]["torch_pruning"] = other(own, name, 240)
                    write(own, known)
                    print(f"{name:32s}  Torch-Pruning {known[name]['torch_pruning']}", flush=True)
    print(table({own: list(read(own).values()) for own in given.set or SETS}))


def run(own: str, name: str, seconds: int, *options: str) -> dict[str, Any]:
    """One cell in a fresh process."""
    return _process(own, name, seconds, "cell", *options)


def _process(own: str, name: str, seconds: int, module: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"{__package__}.{module}", own, name, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"set": own, "name": name, "error": f"took longer than {seconds} s"}
    lines = done.stdout.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"set": own, "name": name, "error": f"the process ended with {done.returncode}: {done.stderr[-300:]}"}


def other(own: str, name: str, seconds: int) -> dict[str, Any]:
    """Torch-Pruning on the same model, in a fresh process."""
    return _process(own, name, seconds, "torch_pruning_cell")


def perfect(result: dict[str, Any]) -> bool:
    """Nothing failed."""
    return "error" not in result and all(v for k, v in result.items() if k.startswith("verified"))


def lacks_own(result: dict[str, Any]) -> bool:
    """The model's cuts replaced code, and nothing is known of plans that do not."""
    return worst_repair(result) not in OWN_CLASS and not any("own" in key for key in result)


def own_part(result: dict[str, Any]) -> dict[str, Any]:
    """What a run tells of plans for the own class; an error counts as none."""
    found = {key: value for key, value in result.items() if "own " in key}
    return found | ({"no own class": result["error"]} if "error" in result else {})


def onnx_part(result: dict[str, Any]) -> float | str:
    """What a run tells of the export; an error counts as a failed one."""
    return f"failed: {result['error']}" if "error" in result else result["onnx"]


def summary(result: dict[str, Any]) -> str:
    """One line on the terminal."""
    words = [f"{result['name']:32s}"]
    if "free" in result:
        words.append(f"free {result['free']:.3f} removed {result.get('removed widths', 0):.2f}")
        words.append(f"{result.get('repairs widths', '-')}/{result.get('repairs depth', '-')}")
        words.append(f"verified {result.get('verified widths')}/{result.get('verified depth')}")
        words.append(f"onnx {str(result.get('onnx'))[:60]}")
    if "error" in result:
        words.append(f"ERROR in {result.get('stage')}: {result['error'][:200]}")
    words += [str(result[k])[:300] for k in ("failed widths", "failed depth") if k in result]
    words.append(f"{sum(result.get('seconds', {}).values()):.1f} s")
    return "  ".join(words)


def read(own: str) -> dict[str, dict[str, Any]]:
    """Results of a set by model."""
    path = RESULTS / f"{own}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {one["name"]: one for one in map(json.loads, lines)}


def write(own: str, results: dict[str, dict[str, Any]]) -> None:
    """Replace the file of a set in one step."""
    RESULTS.mkdir(exist_ok=True)
    staged = RESULTS / f"{own}.jsonl.part"
    staged.write_text("".join(json.dumps(r) + "\n" for r in results.values()), encoding="utf-8")
    staged.replace(RESULTS / f"{own}.jsonl")


if __name__ == "__main__":
    main()
