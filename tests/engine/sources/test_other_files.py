"""Files that hold a model and are not opened say what they are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import OpenError
from secateur.engine.sources.open import source_of


def script(path: Path) -> None:
    """A TorchScript archive."""
    traced: Any = torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2))
    traced.save(str(path))


def pickled(path: Path) -> None:
    """A whole module."""
    torch.save(nn.Sequential(nn.Linear(2, 3)), path)


def weights(path: Path) -> None:
    """A state dict."""
    torch.save(nn.Linear(2, 3).state_dict(), path)


def nothing(path: Path) -> None:
    """Any bytes."""
    path.write_bytes(b"TFL3")


@pytest.mark.parametrize(
    ("make", "name", "code", "says"),
    [
        (script, "a.pt", "source.script_file", "TorchScript"),
        (pickled, "a.pt", "source.pickled", "torch.nn.modules.container.Sequential"),
        (weights, "a.pt", "source.file", "holds weights"),
        (nothing, "a.tflite", "source.compiled", "TensorFlow Lite"),
        (nothing, "a.bin", "source.file", "holds weights"),
    ],
)
def test_a_file_that_is_not_opened_says_what_it_is(
    make: object, name: str, code: str, says: str, tmp_path: Path
) -> None:
    assert callable(make)
    make(tmp_path / name)
    with pytest.raises(OpenError, match=says) as caught:
        source_of(str(tmp_path / name))
    assert caught.value.message.code == code
