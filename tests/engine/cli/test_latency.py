"""Limits of the latency and of the loss on the command line: what was asked, predicted and measured is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.cli.main import main
from secateur.engine.errors import SecateurError
from secateur.engine.text.notation import read_share_or_latency
from tests.engine.session.small import write_project
from tests.engine.session.weighed import Weighed

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The model; caches of a user go into a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    write_project(tmp_path / "mine")
    return [f"{tmp_path / 'mine' / 'model.py'}:make", "--threads", "1", "--runtime", "torch"]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Weighed:
    return Weighed(monkeypatch)


def task(mine: list[str]) -> list[str]:
    return ["--task", str(Path(mine[0].rpartition(":")[0]).with_name("data.npz"))]


def said(capsys: Capture) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_latency_is_asked_for_in_milliseconds_or_as_a_share():
    assert read_share_or_latency("60%") == 0.6
    assert read_share_or_latency("5ms") == 5_000_000 and read_share_or_latency("0.25 ms") == 250_000
    assert read_share_or_latency("80us") == 80_000 and read_share_or_latency("1.5s") == 1_500_000_000
    for wrong in ("5", "ms", "-3ms", "5 m", "120%"):
        with pytest.raises(SecateurError):
            read_share_or_latency(wrong)


def test_prune_tells_what_was_asked_predicted_and_measured(mine: list[str], runtime: Weighed, capsys: Capture):
    arguments = ["prune", *mine, "--input", "1x1x8x8", "--max-latency", "60%"]
    assert main([*arguments, "--json"]) == 0
    found = said(capsys)["latency"]
    assert found["met"] and not found["slower"] and found["table"]["multiple"] == 1
    assert found["measured"]["median"] <= found["asked_ms"]
    assert found["asked_ms"] == pytest.approx(0.6 * found["original_ms"])
    assert found["predicted_ms"] == pytest.approx(found["measured"]["median"], rel=0.03)
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "predicted" in told.out and "times as fast" in told.out and "left out" in told.out
    assert "Any width saves time on torch" in told.err


def test_a_result_that_is_slower_than_the_original_is_called_so(mine: list[str], runtime: Weighed, capsys: Capture):
    runtime.slower = 9.0
    assert main(["prune", *mine, "--input", "1x1x8x8", "--max-latency", "80%"]) == 1
    told = capsys.readouterr()
    assert "slower" in told.out and "slower than the original" in told.err


def test_the_loss_is_a_limit_and_every_trial_is_told(mine: list[str], runtime: Weighed, capsys: Capture):
    arguments = ["prune", *mine, *task(mine), "--max-loss", "90%", "--no-recover", "--criterion", "l1"]
    assert main([*arguments, "--json"]) == 0
    found = said(capsys)
    assert found["latency"]["met"]
    assert [one["share"] for one in found["search"]][:2] == [0.5, 0.25]
    assert all(one["holds"] == (one["loss"] <= 0.9) for one in found["search"] if one["state"])
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "val split, n = 48" in told and "standard error" in told and "the result: holds" in told


def test_a_loss_needs_data(mine: list[str], runtime: Weighed, capsys: Capture):
    assert main(["prune", *mine, "--input", "1x1x8x8", "--max-loss", "1%"]) == 1
    assert "--max-loss needs data" in capsys.readouterr().err


def test_inspect_tells_what_half_of_each_layer_is_worth(mine: list[str], runtime: Weighed, capsys: Capture):
    arguments = ["inspect", *mine, "--input", "1x1x8x8", "--latency"]
    assert main([*arguments, "--json"]) == 0
    found = said(capsys)["latency"]
    saved = {one["key"]: one for one in found["savings"]}
    half = saved["filter|block.conv1.weight|0"]
    assert half["time"] > 0.1 and not half["flat"]
    assert half["nanoseconds"] == pytest.approx(12 * (2 * 16 * 9 + 4) * 100, rel=0.1)  # weights, and its BatchNorm
    profiled = runtime.profiled
    assert main(arguments) == 0 and runtime.profiled == profiled
    assert "of the time" in capsys.readouterr().out
    assert main([*arguments, "--again"]) == 0 and runtime.profiled == 2 * profiled
