"""Weights that are NaN or infinite are named, wherever they come in; infinities of a mask are none of them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError
from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sources.nan_check import no_numbers
from tests.engine.session.small import write_project


class Masked(nn.Module):
    """Holds what attention masks hold, in each precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.rows = nn.Linear(6, 4).to(dtype)
        self.mask = nn.Buffer(torch.full((4,), float("-inf"), dtype=dtype))
        self.nothing = nn.Parameter(torch.empty(0, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_values_are_counted_in_every_precision(dtype: torch.dtype) -> None:
    model = Masked(dtype)
    assert no_numbers(model) == ""
    with torch.no_grad():
        model.rows.weight[1, :3] = float("nan")
        model.rows.weight[2, 0] = float("-inf")
        model.mask[2] = float("nan")
    assert no_numbers(model) == "rows.weight (3 NaN and 1 infinite of 24), mask (1 NaN of 4)"


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize(("value", "word"), [("nan", "NaN"), ("inf", "infinite")])
def test_a_model_that_answers_with_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bool, value: str, word: str
) -> None:
    write_project(tmp_path)
    code = tmp_path / "model.py"
    spoilt = f"    net = Net(classes)\n    net.fc.weight.data[1, 2] = float('{value}')\n    return net"
    code.write_text(code.read_text().replace("    return Net(classes)", spoilt))
    judged = ["--task", str(tmp_path / "data.npz")] if data else ["--input", "1x1x8x8"]
    assert main(["prune", f"{code}:make", *judged]) == 2
    assert f"the outputs do too: fc.weight (1 {word} of 48). Open another checkpoint" in capsys.readouterr().err


def test_a_model_that_answers_all_the_same_is_opened_with_a_remark(tmp_path: Path) -> None:
    spec = write_project(tmp_path)
    code = tmp_path / "model.py"
    spoilt = "    net = Net(classes)\n    net.stem.bias.data[3] = float('-inf')\n    return net"
    code.write_text(code.read_text().replace("    return Net(classes)", spoilt))
    session = Session()
    opened = finish(session.open(spec))
    assert any("but the outputs do not: stem.bias (1 infinite of 16)" in str(note) for note in opened.notes)
    session.close()


def test_attached_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    session = Session()
    finish(session.open(write_project(tmp_path)))
    weights = session.prepared.opened.model.state_dict() | {"fc.bias": torch.tensor([0.0, float("nan"), 1.0])}
    torch.save(weights, tmp_path / "new.pt")
    with pytest.raises(OpenError, match=r"new\.pt contains NaN or infinity: fc\.bias \(1 NaN of 3\)"):
        finish(session.attach("s0", str(tmp_path / "new.pt")))
    assert len(session.states()) == 1
    session.close()
