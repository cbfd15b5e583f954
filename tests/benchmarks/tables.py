"""The tables of README.md in this folder, made from the kept results: `python -m tests.benchmarks.tables` puts them in.

A table stands between `<!-- table NAME -->` and `<!-- end of table -->`; what is between is replaced. A test compares.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from . import latency
from .choose import cifar, costs, defaults, depthwise, domains, fashion, harness, heads, language, shearing

README = Path(__file__).parent / "README.md"
PLACE = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def _kept(name: str, table: Callable[[dict[str, harness.Result], str], str]) -> Callable[[], str]:
    return lambda: table(harness.read(harness.RESULTS / f"{name}-short.jsonl"), "short")


def _latencies() -> str:
    return latency.table(list(map(json.loads, latency.RESULTS.read_text(encoding="utf-8").splitlines())))


TABLES: dict[str, Callable[[], str]] = {
    "cifar": _kept("cifar", cifar.table),
    "defaults": _kept("defaults", defaults.table),
    "depthwise": _kept("depthwise", depthwise.table),
    "fashion": _kept("fashion", fashion.table),
    "heads": _kept("heads", heads.table),
    "language": _kept("language", language.table),
    "costs": _kept("costs", costs.table),
    "domains": _kept("domains", domains.table),
    "shearing": _kept("shearing", shearing.table),
    "latency": _latencies,
}


def filled(text: str) -> str:
    """The same text with all its tables as the results have them now."""
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]().strip()}\n\n{found[3]}", text)


def main() -> None:
    """Write them."""
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
