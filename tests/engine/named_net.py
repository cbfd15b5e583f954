"""A user's files: a model with inputs by name that answers with a dataclass, and the task.py that judges it."""

from pathlib import Path

MODEL = '''
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Out:
    logits: torch.Tensor
    hidden_states: tuple
    embedding: torch.Tensor


class Tagger(nn.Module):
    """Words and a number beside them, to one of three classes."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 16)
        self.side = nn.Linear(3, 16)
        self.first = nn.Linear(16, 24)
        self.second = nn.Linear(24, 20)
        self.head = nn.Linear(20, 3)

    def forward(self, *, words, mask, side=None, detailed=False):
        x = self.words(words) * mask[..., None]
        x = x.sum(1) / mask.sum(1, keepdim=True)
        if side is not None:
            x = x + self.side(side)
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(a))
        return Out(self.head(b), (a, b) if detailed else (a,), b)


def make():
    torch.manual_seed(0)
    return Tagger()
'''

TASK = """
import torch
from torch.nn import functional as F


def batches(split):
    generator = torch.Generator().manual_seed({"train": 1, "val": 2, "test": 3}[split])
    rows = []
    for _ in range(3):
        words = torch.randint(0, 11, (8, 5), generator=generator)
        mask = (torch.arange(5) < torch.randint(2, 6, (8, 1), generator=generator)).float()
        side = torch.randn(8, 3, generator=generator)
        rows.append({"words": words, "side": side, "mask": mask, "labels": side.argmax(1)})
    return rows


def inputs(batch):
    return {name: batch[name] for name in ("words", "side", "mask")} | {"detailed": True}


def loss(model, batch):
    return F.cross_entropy(model(**inputs(batch)).logits, batch["labels"])


def evaluate(model, split):
    right = [model(**inputs(b)).logits.argmax(1) == b["labels"] for b in batches(split)]
    return {"accuracy": torch.cat(right).float().mean(), "n": 24}
"""


def write(folder: Path) -> tuple[str, str]:
    """Write both files; returns the model's source and the task's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "task.py").write_text(TASK)
    return f"{folder / 'model.py'}:make", str(folder / "task.py")
