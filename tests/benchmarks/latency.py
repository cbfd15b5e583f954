"""Predicted against measured latency: `python -m tests.benchmarks.latency`.

Models that the prediction was not designed on; for each a table is made from its twelve sample cuts, and 30 random
plans that the table has not seen are cut, exported and measured in turns with the original: batch 1 and 64, one and two
threads, onnxruntime and OpenVINO. Each cell is a process of its own and is kept as a line of JSON; a run goes on with
what is missing. `--table` prints what is there, by the clock on the wall (medians); beside it is kept what it would be
without what other programs took of the processor (one thread: the processor's time of the process).

Latencies are shares of the original's, which ran in turns with each, so that a machine that changes its speed between
two cells does not count. A cell is void in which the same file differs from itself by more than 5 % in the 90th
percentile of ten measurements: the original in turns with itself, and the share that one cut model takes of it, five
times each from the beginning to the end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .latency_cells import MODELS, UNTOUCHED
from .latency_cells import main as run_cell

RESULTS = Path(__file__).parent / "results" / "latency.jsonl"
RUNTIMES, THREADS, BATCHES = ("onnxruntime", "openvino"), (1, 2), (1, 64)
VOID = 0.05
"""Difference of a file against itself above which a cell says nothing."""
LIMIT = 3600


def cells() -> list[dict[str, Any]]:
    """All measurements; first those that a busy machine can do."""
    found = product(THREADS, BATCHES, RUNTIMES, MODELS)
    wanted = [(t, b, r, m) for t, b, r, m in found if t == 1 or m not in UNTOUCHED]
    return [{"model": m, "runtime": r, "threads": t, "batch": b} for t, b, r, m in wanted]


def name(cell: dict[str, Any]) -> str:
    """minilm/onnxruntime/1/64."""
    return "/".join(str(cell[key]) for key in ("model", "runtime", "threads", "batch"))


def in_a_process(cell: dict[str, Any], work: Path, anew: bool, patience: float) -> dict[str, Any]:
    """Run a cell; what an earlier run of it has measured counts, unless it is to be measured anew."""
    job = cell | {"work": str(work), "anew": anew, "patience": patience}
    command = [sys.executable, "-m", "tests.benchmarks.latency", "--cell", json.dumps(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return cell | {"problem": f"over {LIMIT} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return cell | (json.loads(lines[-1]) if lines and not done.returncode else {"problem": done.stderr[-500:]})


def rounded(value: Any) -> Any:
    """Four decimals are enough in a file that is kept."""
    if isinstance(value, float):
        return round(value, 4)
    return [rounded(one) for one in value] if isinstance(value, list) else value


def errors(cell: dict[str, Any], measured: str) -> np.ndarray:
    """Absolute relative errors of the predictions."""
    return np.abs(np.array(cell["predicted"]) / np.array(cell[measured]) - 1)


def itself(cell: dict[str, Any], clock: str) -> np.ndarray:
    """[10] how far the same files are from themselves: the original in turns, a small cut model over the cell."""
    return np.abs(np.array([*cell[f"itself{clock}"], *cell[f"small{clock}"]]))


def is_void(cell: dict[str, Any], clock: str) -> bool:
    """The machine was too busy: by the same share of the measurements that the errors are judged by."""
    return float(np.percentile(itself(cell, clock), 90)) > VOID


def line(cell: dict[str, Any]) -> list[str]:
    """A row of the table: errors, and differences of a file from itself, in the median and at 90 %."""
    found, own = _two(errors(cell, "measured_wall")), _two(itself(cell, "_wall"))
    place = (cell["model"], cell["runtime"], f"{cell['threads']}, {cell['batch']}", f"{cell['original_wall_ms']:.3g}")
    void = "void: " if is_void(cell, "_wall") else ""
    return [*place, void + found, own, f"{realised(cell):.2f}"]


def _two(values: np.ndarray) -> str:
    return f"{100 * np.median(values):.1f}, {100 * np.percentile(values, 90):.1f} %"


def realised(cell: dict[str, Any]) -> float:
    """How many times as fast a plan is over how many times fewer MACs it has, in the median."""
    return float(np.median(np.array(cell["macs"]) / np.array(cell["measured_wall"])))


def table(results: list[dict[str, Any]]) -> str:
    """What was measured, by the clock on the wall, as Markdown."""
    head = ("network", "runtime", "threads, batch", "original, ms", "error: median, 90 %", "against itself")
    rows = [[*head, "speed-up over MAC reduction"], ["---"] * 7]
    good = sorted((one for one in results if "problem" not in one), key=_order)
    text = "\n".join("| " + " | ".join(row) + " |" for row in [*rows, *map(line, good)])
    valid = [one for one in good if not is_void(one, "_wall")]
    ratios = sorted(map(realised, valid))
    said = [
        f"{len(good)} of {len(cells())} cells run. {_claim(valid, 'all')}",
        _claim([one for one in valid if one["model"] in UNTOUCHED], "networks that nobody looked at"),
        f"Speed-up over MAC reduction: {ratios[0]:.2f} to {ratios[-1]:.2f}, {np.median(ratios):.2f} in the median."
        if ratios
        else "",
        "Measured on: " + "; ".join(sorted({one["machine"] for one in good})) + ".",
        *(f"{name(one)}: {one['problem']}" for one in results if "problem" in one),
    ]
    return "\n\n".join([text, *filter(None, said)])


def _order(cell: dict[str, Any]) -> tuple[int, int, int, int]:
    runtime, model = RUNTIMES.index(cell["runtime"]), list(MODELS).index(cell["model"])
    return cell["threads"], cell["batch"], runtime, model


def _claim(valid: list[dict[str, Any]], words: str) -> str:
    """The errors of all plans of some valid cells."""
    if not valid:
        return ""
    every = np.concatenate([errors(one, "measured_wall") for one in valid])
    return f"Error, {words} ({len(valid)} valid cells, {len(every)} plans), in the median and at 90 %: {_two(every)}."


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="results, one line a cell")
    parser.add_argument("--only", nargs="*", help="cells or parts of their names (/1/64, minilm)")
    work = Path(tempfile.gettempdir()) / "secateur-latency"
    parser.add_argument("--work", type=Path, default=work, help="cut models and what was measured of them")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument("--again", action="store_true", help="also cells that are void, or had a problem")
    waits = "seconds that each measurement waits for a machine that is slower than usual (default: %(default)g)"
    parser.add_argument("--patience", type=float, default=20.0, help=waits)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        run_cell(options.cell)
        return
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    results = {name(one): one for one in map(json.loads, lines)}
    for cell in cells() if not options.table else ():
        known = results.get(name(cell))
        settled = known is not None and not (options.again and ("problem" in known or is_void(known, "_wall")))
        if settled or (options.only and not any(part in name(cell) for part in options.only)):
            continue
        found = in_a_process(cell, options.work, known is not None, options.patience)
        done = {key: rounded(value) for key, value in found.items()}
        results[name(cell)] = done
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(one) + "\n" for one in results.values())
        options.out.with_suffix(".new").write_text(text, encoding="utf-8")
        options.out.with_suffix(".new").replace(options.out)
        print(done["problem"] if "problem" in done else " | ".join(line(done)), flush=True)
    print(table(list(results.values())))


if __name__ == "__main__":
    main()
