"""Example inputs by shape, name and type: on the command line, in a task.py, in recipes, and in sentences."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.session.open_model import made_inputs, prepare
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import InputSpec, ModelSpec, check_inputs, read_input
from secateur.engine.tasks.protocol import TaskSpec

CODE = """
import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.kinds = nn.Embedding(50, 16), nn.Embedding(3, 16)
        self.hidden, self.tags = nn.Linear(16, 32), nn.Linear(32, 5)

    def forward(self, input_ids, attention_mask, kinds=None):
        hidden = self.words(input_ids) + (0 if kinds is None else self.kinds(kinds))
        return self.tags(torch.relu(self.hidden(hidden)) * attention_mask[..., None])


class TwoImages(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, one, other):
        return self.head(torch.relu(self.first(one) * self.second(other))).mean((2, 3))


def tagger():
    torch.manual_seed(0)
    return Tagger()


def two_images():
    torch.manual_seed(0)
    return TwoImages()
"""
TOKENS = (InputSpec((2, 7), "int64", "input_ids"), InputSpec((2, 7), "int64", "attention_mask"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(CODE)
    return tmp_path / "net.py"


def opened_inputs(spec: ModelSpec) -> Any:
    return finish(prepare(spec, NeverCancelled(), FULL_CONSENT)).inputs


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1x3x8x8", InputSpec((1, 3, 8, 8))),
        ("2×16:int64", InputSpec((2, 16), "int64")),
        ("mask=2x16:bool", InputSpec((2, 16), "bool", "mask")),
    ],
)
def test_an_input_is_read_and_written_alike(text: str, meant: InputSpec) -> None:
    assert read_input(text) == meant == read_input(str(meant))


@pytest.mark.parametrize("text", ["", "3x", "0x3", "2x3:long", "2 names=2x3", "=2x3", "a=b=2x3"])
def test_what_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"like|one of"):
        read_input(text)


def test_some_named_inputs_beside_others_without_a_name_are_refused() -> None:
    for inputs in ((*TOKENS[:1], InputSpec((2, 3))), TOKENS[:1] * 2, (InputSpec(()),), (InputSpec((2,), "device"),)):
        with pytest.raises(ValueError, match=r"name|enter both"):
            check_inputs(inputs)


def test_integers_are_as_large_as_each_table_allows(code: Path) -> None:
    wanted = (*TOKENS, InputSpec((1, 7), "int64", "kinds"))
    found = opened_inputs(ModelSpec(f"{code}:tagger", inputs=wanted))
    assert {name: (tuple(one.shape), one.dtype) for name, one in found.items()} == {
        "input_ids": ((2, 7), torch.int64), "attention_mask": ((2, 7), torch.int64), "kinds": ((1, 7), torch.int64)
    }  # fmt: skip
    assert (
        10 < found["input_ids"].max() < 50 and found["kinds"].max() < 3 and bool((found["attention_mask"] == 1).all())
    )


def test_values_have_the_type_that_was_asked_for() -> None:
    specs = tuple(InputSpec((2, 3), name) for name in ("float64", "bfloat16", "int32", "uint8", "bool"))
    found: Any = made_inputs(specs, None, 2)
    assert [str(one.dtype) for one in found] == [f"torch.{one.dtype}" for one in specs]


@pytest.mark.parametrize(
    ("maker", "given"),
    [("tagger", ["input_ids=1x7:int64", "attention_mask=1x7:int64"]), ("two_images", ["1x3x8x8", "1x3x8x8"])],
)
def test_the_command_line_takes_several_inputs_and_a_recipe_keeps_them(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], maker: str, given: list[str]
) -> None:
    goal = ["--keep-macs", "60%", "--multiple", "1", "--save", str(tmp_path / "project"), "--json"]
    assert main(["prune", f"{code}:{maker}", *goal, "--input", *given]) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["verification"]["passed"]
    recipe = read_recipe(tmp_path / "project" / "recipe.json")
    kept = recipe.steps[0].intent.model  # type: ignore[union-attr]
    assert [str(one) for one in kept.inputs] == given
    assert main(["run", str(tmp_path / "project"), "--json"]) == 0, capsys.readouterr().err


def test_an_export_of_tokens_opens_without_being_told_its_inputs(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "small")
    command = ["prune", f"{code}:tagger", "--multiple", "1", "--export", folder]
    assert main([*command, "--input", *map(str, TOKENS)]) == 0, capsys.readouterr().err
    assert set(opened_inputs(ModelSpec(folder, trust_code=True))) == {"input_ids", "attention_mask"}


def test_floats_in_the_place_of_integers_are_named(code: Path) -> None:
    session = Session()
    for inputs, names in ((("float32", "float32"), "input_ids"), (("float32", "int64"), "input_ids")):
        wanted = tuple(InputSpec((2, 7), dtype) for dtype in inputs)
        with pytest.raises(OpenError, match=f"^{names} must hold integers") as error:
            finish(session.open(ModelSpec(f"{code}:tagger", inputs=wanted)))
        assert error.value.message.code == "open.integers" and "input_ids=2x16:int64" in str(error.value)
    session.close()


def test_a_task_file_may_give_example_inputs_alone(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "task.py"
    task.write_text(
        "import torch\n\n\ndef example_inputs():\n"
        "    ids = torch.arange(14).reshape(2, 7)\n"
        "    return {'input_ids': ids, 'attention_mask': torch.ones_like(ids)}\n"
    )
    session = Session()
    opened = finish(session.open(ModelSpec(f"{code}:tagger", task=TaskSpec("file", str(task)))))
    assert opened.task is None and int(session.prepared.inputs["input_ids"].max()) == 13  # type: ignore[call-overload]
    restored = finish(session.restore())
    assert restored.task is None and not session.has_task
    session.close()
    assert main(["prune", f"{code}:tagger", "--task", str(task), "--multiple", "1"]) == 0, capsys.readouterr().err
