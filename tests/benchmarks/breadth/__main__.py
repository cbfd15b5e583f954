"""Runs the cells of the sets, each in its own process, and prints the table.

    python -m tests.benchmarks.breadth --set torchvision_models --seconds 600 [--only PATTERN] [--again] [--table]

Results are one JSON line a model under `results/`; models with a result are skipped, so that a run goes on anywhere.
A result names the version of `engine/` that it is of (git's id of the folder); `--again` runs those of others again;
what it leaves out (`--no-onnx`, Torch-Pruning) stays as it was. `--beside COMMIT` compares with results of before.
"""

import argparse
import fnmatch
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from .table import OWN_CLASS, table, times, worst_repair

SETS = ("torchvision_models", "timm_models", "transformers_models", "yolo_models")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.breadth", description=__doc__)
    parser.add_argument("--set", choices=SETS, action="append", help="default: all")
    parser.add_argument("--only", default="*", help="pattern of model names")
    parser.add_argument("--seconds", type=int, default=900, help="limit of one model, in CPU time")
    parser.add_argument("--again", action="store_true", help="run models too whose result is of another engine")
    parser.add_argument("--failed", action="store_true", help="run models again whose result is not perfect")
    parser.add_argument("--no-onnx", action="store_true", help="leave out the export, which takes longest")
    parser.add_argument(
        "--own-class", action="store_true", help="add only what plans for the own class give, where missing"
    )
    parser.add_argument("--only-onnx", action="store_true", help="export again what has a result, and nothing else")
    parser.add_argument("--torch-pruning", action="store_true", help="Torch-Pruning on the same models too, 240 s each")
    parser.add_argument("--table", action="store_true", help="only print the table of the results that there are")
    parser.add_argument("--beside", metavar="COMMIT", help="print times and memory beside the results of a commit")
    given = parser.parse_args()
    engine = "" if given.table else version()
    for own in given.set or SETS:
        known = read(own)
        if not given.table:
            for name in fnmatch.filter(import_module(f".{own}", __package__).names(), given.only):
                fresh = name not in known and not (given.own_class or given.only_onnx)
                again = given.again and known.get(name, {}).get("engine") != engine
                if again or fresh or (given.failed and not perfect(known[name])):
                    stays = {key: known[name][key] for key in kept(given.no_onnx) if key in known.get(name, {})}
                    found = run(own, name, given.seconds, *(["--no-onnx"] if given.no_onnx else []))
                    known[name] = stays | found | {"engine": engine}
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
    if given.beside:
        print(times({own: (read(own), before(own, given.beside)) for own in given.set or SETS}))


def version() -> str:
    """Git's id of `engine/` as it is committed."""
    command = ["git", "rev-parse", "--short=12", "HEAD:engine"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def kept(no_onnx: bool) -> tuple[str, ...]:
    """What a run leaves as it was."""
    return ("torch_pruning", "onnx") if no_onnx else ("torch_pruning",)


def run(own: str, name: str, seconds: int, *options: str) -> dict[str, Any]:
    """One cell in a process of its own: a fork of this one, once it has loaded the libraries."""
    cell = _loaded(own)
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as told:
        if (pid := os.fork()) == 0:
            code = 70
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 60))
                os.dup2(said.fileno(), 1)
                os.dup2(told.fileno(), 2)
                sys.argv = ["cell", own, name, *options]
                cell.main()
                sys.stdout.flush()
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            return {"set": own, "name": name, "error": f"took longer than {seconds} s"}
        said.seek(0)
        told.seek(0)
        return _result(own, name, said.read(), told.read(), os.waitstatus_to_exitcode(status))


@cache
def _loaded(own: str) -> ModuleType:
    """The module of cells, once all is loaded that the models of a set share."""
    library = import_module(f".{own}", __package__)
    library.subject(library.names()[0]).make()
    return import_module(".cell", __package__)


def _process(own: str, name: str, seconds: int, module: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"{__package__}.{module}", own, name, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"set": own, "name": name, "error": f"took longer than {seconds} s"}
    return _result(own, name, done.stdout, done.stderr, done.returncode)


def _result(own: str, name: str, said: str, told: str, code: int) -> dict[str, Any]:
    """The last line that a process printed, or how it ended."""
    try:
        return json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"set": own, "name": name, "error": f"the process ended with {code}: {told[-300:]}"}


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
    return _by_name(path.read_text(encoding="utf-8") if path.exists() else "")


def before(own: str, commit: str) -> dict[str, dict[str, Any]]:
    """Results of a set as a commit has them."""
    command = ["git", "show", f"{commit}:./{own}.jsonl"]
    return _by_name(subprocess.run(command, capture_output=True, text=True, check=True, cwd=RESULTS).stdout)


def _by_name(lines: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in map(json.loads, lines.splitlines())}


def write(own: str, results: dict[str, dict[str, Any]]) -> None:
    """Replace the file of a set in one step."""
    RESULTS.mkdir(exist_ok=True)
    staged = RESULTS / f"{own}.jsonl.part"
    staged.write_text("".join(json.dumps(r) + "\n" for r in results.values()), encoding="utf-8")
    staged.replace(RESULTS / f"{own}.jsonl")


if __name__ == "__main__":
    main()
