"""Cells in processes of their own, results as lines of JSON, and what all tables share."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from secateur.engine.jobs import Progress
from secateur.engine.targets.bench import processor
from secateur.engine.tasks.protocol import Metric

RESULTS = Path(__file__).resolve().parents[1] / "results" / "choose"
LIMITS = {"tiny": 1800, "short": 2 * 3600, "full": 48 * 3600}
"""Seconds after which a cell is ended; the short ones need at most half an hour on two cores that do nothing else."""
MARK = "RESULT "
Result = dict[str, Any]


def run_missing(name: str, cells: Iterable[str], file: Path, only: Sequence[str], protocol: str) -> None:
    """Run the cells that have no result yet, one after the other; a failed one is told and tried again next time."""
    known = read(file)
    for cell in cells:
        if cell in known or (only and not cell.startswith(tuple(only))):
            continue
        begin = time.time()
        result = _in_a_process(name, cell, protocol)
        line = {"cell": cell, "seconds": round(time.time() - begin, 1), "machine": machine(), **result}
        sys.stdout.write(f"{name} {json.dumps(line)[:400]}\n")
        sys.stdout.flush()
        if "problem" not in line and protocol != "tiny":
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")


def _in_a_process(name: str, cell: str, protocol: str) -> Result:
    options = [f"--{protocol}"] if protocol != "short" else []
    command = [sys.executable, "-m", "tests.benchmarks.choose", name, *options, "--cell", cell]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMITS[protocol], check=False)
    except subprocess.TimeoutExpired:
        return {"problem": f"over {LIMITS[protocol]} s"}
    found = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    return json.loads(found[-1]) if found else {"problem": f"ended with {done.returncode} and no result"}


def answer(result: Result) -> None:
    """What a cell's process says last."""
    sys.stdout.write(f"{MARK}{json.dumps(result)}\n")


def read(file: Path) -> dict[str, Result]:
    """Results by cell; the last one of a cell counts."""
    if not file.exists():
        return {}
    return {one["cell"]: one for one in map(json.loads, file.read_text(encoding="utf-8").splitlines())}


def machine() -> str:
    """Processor, cores and versions."""
    return (
        f"{processor()}, {os.cpu_count()} cores, torch {metadata.version('torch')}, Python {platform.python_version()}"
    )


def data(name: str) -> Path:
    """A folder of real data; ends with a sentence where nobody said where it is."""
    given = os.environ.get("SECATEUR_BENCH_DATA", "")
    path = Path(given) / name
    if not given or not path.exists():
        raise SystemExit(f"The folder {name} is needed: say where it lies with --data or SECATEUR_BENCH_DATA.")
    return path


def work() -> Path:
    """Where packages and trained baselines are kept."""
    path = Path(os.environ["SECATEUR_BENCH_WORK"])
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(progress: Progress) -> None:
    """Show on a terminal where a job stands."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{progress.text} {progress.done}/{progress.total}")


def plain(metric: Metric) -> Result:
    """A metric as results keep it."""
    return {"value": metric.value, "error": metric.error, "n": metric.count}


def rows(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is the head."""
    head, *others = lines
    marked = [head, ["---"] * len(head), *others]
    return "\n".join("| " + " | ".join(line) + " |" for line in marked)


def spread(values: Sequence[float], digits: int = 1, scale: float = 1.0) -> str:
    """Mean, and over several seeds their standard deviation."""
    scaled = [scale * value for value in values]
    if not scaled:
        return ""
    text = f"{mean(scaled):.{digits}f}"
    return text if len(scaled) < 2 else f"{text} ± {stdev(scaled):.{digits}f}"


def percent(share: float, digits: int = 0) -> str:
    """27.6 %."""
    return f"{100 * share:.{digits}f} %"


def machines(results: dict[str, Result], cells: int = 0) -> str:
    """How many cells of all are there, and the machines that measured them, in a line."""
    found = [one["machine"] for one in results.values() if "machine" in one]
    each = "; ".join(f"{machine} ({found.count(machine)})" for machine in sorted(set(found)))
    return f"Cells run: {len(results)} of {cells}{', on ' if each else ''}{each}."
