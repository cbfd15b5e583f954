"""The whole road with data of other forms: a regression of columns, a language model with its tokeniser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secateur.engine import prune
from secateur.engine.cli.main import main
from secateur.engine.errors import DataError
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.storage.paths import relative_to
from secateur.engine.tasks.protocol import TaskSpec, change_task

from ..tasks.tables.makers import write_csv
from ..tasks.test_tokens import write_tokenizer

BRIEF = RecoverySettings(epochs=1, threads=1)
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
    assert done["got"]["criterion"] == "obs" and done["verification"]["passed"]
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


def test_shares_are_searched_on_text_alone_and_where_nobody_said_no(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("a b c " * 300)
    write_tokenizer(model.parent)
    text = [f"{model}:language", "--task", str(tmp_path / "a.txt"), "--length", "8", "--batch", "16"]
    x = np.random.default_rng(0).normal(size=(300, 2))
    path = write_csv(tmp_path / "a.csv", "a,b,target", *(f"{a},{b},0" for a, b in x))
    table = [f"{model}:regression", "--task", path]

    def searched(*arguments: str) -> bool:
        return any("measurement" in note or "scores stays" in note for note in pruned(capsys, *arguments)["notes"])

    assert searched(*text)
    assert searched(*table, "--search-shares", "9") and not searched(*table)
    for otherwise in (["--search-shares", "0"], ["--criterion", "taylor"], ["--rounds", "2"], ["--repair", "none"]):
        assert not searched(*text, *otherwise), otherwise
    assert main(["sweep", *text, "--budgets", "80%,60%", "--multiple", "1", "--epochs", "1", "--threads", "1"]) == 0
    assert "scores stays" not in (out := "".join(capsys.readouterr())) and "gave each other" not in out
    task = TaskSpec("text", str(tmp_path / "a.txt"), batch=16, options=(("length", "8"),))
    for given, told in ((None, True), (0, False)):
        found = prune(text[0], task=task, keep_macs=0.6, multiple=1, recovery=BRIEF, search_shares=given)
        assert any("scores stays" in str(note) or "measurement" in str(note) for note in found.report.notes) is told


def test_the_path_of_a_tokeniser_is_kept_like_any_other_and_bytes_are_none(tmp_path: Path) -> None:
    for given, kept in ((str(tmp_path / "a" / "tokenizer.json"), "a/tokenizer.json"), ("bytes", "bytes")):
        task = TaskSpec("text", str(tmp_path / "b.txt"), options=(("purpose", "causal"), ("tokenizer", given)))
        options = (("purpose", "causal"), ("tokenizer", kept))
        assert change_task(task, relative_to(tmp_path)) == TaskSpec("text", "b.txt", options=options)


PICTURES = """
import torch
from torch import nn


class Bright(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.fc = nn.Linear(8, 2)
        nn.init.constant_(self.conv.weight, 1 / 3)
        nn.init.constant_(self.conv.bias, 9.0)
        nn.init.constant_(self.fc.weight, 1.0)
        with torch.no_grad():
            self.fc.weight[0] = -1.0
            self.fc.bias.copy_(torch.tensor([72.0, -72.0]))

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def make():
    return Bright()
"""


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    """A model of images around ImageNet's mean, and such images in folders of their classes."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.py").write_text(PICTURES)
    random = np.random.default_rng(0)
    for name, level in (("dark", -15), ("light", 15)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(40):
            pixels = 255 * np.array([0.485, 0.456, 0.406]) + level + random.normal(0, 2, (8, 8, 3))
            Image.fromarray(pixels.round().astype(np.uint8)).save(tmp_path / "images" / name / f"{number}.png")
    return f"{tmp_path / 'net' / 'net.py'}:make", str(tmp_path / "images")


GOAL = ("--keep-macs", "80%", "--multiple", "1", "--criterion", "l1", "--no-recover", "--json")


WORK = {
    "prune": GOAL,
    "sweep": ("--budgets", "80%", *GOAL[2:]),
    "sensitivity": ("--shares", "50%", "--criterion", "l1", "--json"),
}


@pytest.mark.parametrize("command", WORK)
def test_a_wrong_normalisation_stops_before_the_work_and_names_what_settles_it(
    command: str, pictures: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = pictures
    goal = WORK[command]
    assert main([command, model, "--task", images, *goal]) == 2
    told = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "Pass --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225, or --accept-preprocessing to go on" in told
    settled = told.partition("Pass ")[2].partition(", or")[0].split()
    for way in (settled, ["--accept-preprocessing"]):
        assert main([command, model, "--task", images, *way, *goal]) == 0, capsys.readouterr().err
        capsys.readouterr()


def test_a_recipe_and_the_call_from_python_stop_at_a_wrong_normalisation(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = pictures
    folder = str(tmp_path / "project")
    accepted = ["--accept-preprocessing", "--save", folder]
    assert main(["prune", model, "--task", images, *GOAL, *accepted]) == 0
    capsys.readouterr()
    assert main(["run", folder, "--json"]) == 2
    assert "--mean 0.485,0.456,0.406" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert main(["run", folder, "--json", "--accept-preprocessing"]) == 0
    with pytest.raises(DataError, match=r"mean=\(0.485, 0.456, 0.406\).*accept_preprocessing=True"):
        prune(model, keep_macs=0.8, multiple=1, task=images)
    assert prune(model, keep_macs=0.8, multiple=1, task=images, accept_preprocessing=True).report.metric_after


def test_the_processor_beside_the_model_prepares_its_images(
    pictures: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = pictures
    told = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "size": {"height": 6, "width": 6}}
    Path(model).parent.joinpath("preprocessor_config.json").write_text(json.dumps(told))
    assert main(["prune", model, "--task", images, *GOAL]) == 0, capsys.readouterr().err
    done = json.loads(capsys.readouterr().out)
    (note,) = (one for one in done["notes"] if one.startswith("Images are prepared"))
    assert "preprocessor_config.json says: resize 6x6 (bilinear); crop 6x6; mean 0.485, 0.456, 0.406; std" in note
    assert done["metrics"]["original"]["value"] == 1
    assert main(["prune", model, "--task", images, "--mean", "0", *GOAL]) == 2  # by hand, and wrong


def test_images_of_several_sizes_are_asked_for_by_the_name_of_the_flag(
    pictures: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = pictures
    for number, file in enumerate(sorted(Path(images).rglob("*.png"))):
        Image.open(file).resize((8 + number % 3, 10)).save(file)
    way = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    assert main(["prune", model, "--task", images, *way, *GOAL]) == 2
    assert "(--crop 224, --resize 256 --crop 224)" in json.loads(capsys.readouterr().out)["error"]["message"]
    for sizes in (["--crop", "8"], ["--resize", "9", "--crop", "8x7", "--interpolation", "bicubic"]):
        assert main(["prune", model, "--task", images, *way, *sizes, *GOAL]) == 0, capsys.readouterr().err
        capsys.readouterr()
