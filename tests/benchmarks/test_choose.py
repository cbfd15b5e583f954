"""What the program says of recoveries is what the kept results say; tables print from them; every cell has a name."""

from pathlib import Path

import pytest

from secateur.engine.recovery.expected_result import benchmark_points
from secateur.engine.scoring.criteria import CRITERIA
from tests.benchmarks import tables
from tests.benchmarks.choose import (
    cifar,
    costs,
    defaults,
    depthwise,
    domains,
    expectations,
    fashion,
    harness,
    heads,
    language,
    shearing,
)

ALL = {
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


def test_the_points_are_those_of_the_kept_results() -> None:
    assert list(benchmark_points()) == expectations.points()


@pytest.mark.parametrize("name", ALL)
def test_kept_results_are_of_known_cells_and_make_a_table(name: str) -> None:
    for protocol in ("short", "full"):
        results = harness.read(harness.RESULTS / f"{name}-{protocol}.jsonl")
        assert set(results) <= set(ALL[name].cells(protocol))
        if results:
            assert ALL[name].table(results, protocol).count("|") > 10 or len(results) == 1


def test_the_tables_of_the_readme_are_those_of_the_kept_results() -> None:
    text = tables.README.read_text(encoding="utf-8")
    assert {name for _, name, _ in tables.PLACE.findall(text)} == set(tables.TABLES)
    assert tables.filled(text) == text, "python -m tests.benchmarks.tables puts the new ones in"


def test_what_ranks_parts_of_language_models_are_criteria() -> None:
    assert set(language.CRITERIA.values()) <= set(CRITERIA) and set(language.CRITERIA) <= set(language.KINDS)


def test_tuned_weights_that_are_missing_are_tuned_by_the_cell_that_needs_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECATEUR_BENCH_WORK", str(tmp_path))
    weights = tmp_path / "resnet20-short.safetensors"

    def tune(cell: str, protocol: str) -> None:
        assert (cell, protocol) == ("resnet20/base", "short")
        weights.touch(exist_ok=False)

    monkeypatch.setattr(cifar, "run", tune)
    for _ in range(2):
        assert cifar._weights("resnet20", "short", ["uncut", "0"]) == weights
