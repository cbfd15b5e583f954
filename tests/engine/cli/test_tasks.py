"""The whole road with data of other forms: a regression of columns, a language model with its tokeniser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secateur.engine.cli.main import main
from secateur.engine.storage.paths import relative_to
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.tasks.spec_paths import change_task

from ..tasks.tables.makers import write_csv
from ..tasks.test_tokens import write_tokenizer

CODE = """
import torch
from torch import nn


def regression():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))


def language():
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(9, 24), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 9))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.py").write_text(CODE)
    return tmp_path / "model" / "model.py"


def pruned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    goal = ["--keep-macs", "60%", "--multiple", "1", "--epochs", "1", "--threads", "1", "--json"]
    assert main(["prune", *arguments, *goal]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_regression_is_pruned_recovered_and_judged(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    path = write_csv(tmp_path / "a.csv", "a,b,target", *(f"{a},{b},{a - 2 * b}" for a, b in x))
    done = pruned(capsys, f"{model}:regression", "--task", path)
    assert done["got"]["criterion"] == "taylor" and done["verification"]["passed"]
    for metric in done["metrics"].values():
        assert (metric["name"], metric["n"], metric["higher_is_better"]) == ("RMSE", 30, False)
        assert 0 < metric["error"] < metric["value"]
    assert main(["prune", f"{model}:regression", "--task", path, "--keep-macs", "60%", "--no-recover"]) == 0
    assert "RMSE (n = 30)" in (out := capsys.readouterr().out) and "±" in out


def test_a_language_model_reads_by_the_tokeniser_beside_its_code(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("a b c " * 300)
    text = ["--task", str(tmp_path / "a.txt"), "--length", "8", "--batch", "16"]
    assert main(["prune", f"{model}:language", *text]) == 2
    assert "not found" in capsys.readouterr().err
    write_tokenizer(model.parent)
    done = pruned(capsys, f"{model}:language", *text, "--save", str(tmp_path / "project"))
    original, result = done["metrics"]["original"], done["metrics"]["result"]
    assert original["name"] == "perplexity" and original["n"] == 15 * 7
    assert result["value"] < original["value"]
    assert main(["prune", f"{model}:language", *text, "--purpose", "regression"]) == 1
    assert "for causal and masked only" in capsys.readouterr().err
    recipe = (tmp_path / "project" / "recipe.json").read_text()
    assert str(tmp_path) not in recipe and "../model/tokenizer.json" in recipe


def test_the_path_of_a_tokeniser_is_kept_like_any_other_and_bytes_are_none(tmp_path: Path) -> None:
    for given, kept in ((str(tmp_path / "a" / "tokenizer.json"), "a/tokenizer.json"), ("bytes", "bytes")):
        task = TaskSpec("text", str(tmp_path / "b.txt"), options=(("purpose", "causal"), ("tokenizer", given)))
        options = (("purpose", "causal"), ("tokenizer", kept))
        assert change_task(task, relative_to(tmp_path)) == TaskSpec("text", "b.txt", options=options)
