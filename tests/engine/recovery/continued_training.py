"""Continued pre-training of a small Llama, for `test_continued_training`; as a process it kills itself after a step."""

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from secateur.engine.jobs import Job, Progress, finish
from secateur.engine.recovery import checkpoint as resume
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import Mixing, RecoverySettings
from secateur.engine.recovery.results import Recovered
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Task, TaskSpec

LENGTH, BATCH = 16, 4
TOKENS = LENGTH * BATCH
"""Of a batch."""
SETTINGS = RecoverySettings(
    tokens=20 * 2 * TOKENS,  # 20 updates
    accumulate=2,
    evaluate_every=3,
    learning_rate=3e-3,
    distillation=0.3,
    mixing=Mixing.DYNAMIC,
    threads=1,
)
OPTIONS = (("tokenizer", "bytes"), ("length", str(LENGTH)), ("purpose", "causal"))


def write_texts(folder: Path) -> None:
    """Two domains, of which the train split has 13 batches in all; an epoch is no whole number of updates."""
    draw = random.Random(0)
    for split, count in (("train", 26), ("val", 5)):
        for domain, letters in (("vowels", "aeiou"), ("digits", "0123456789")):
            text = "".join(draw.choice(letters) for _ in range(count * LENGTH))
            (folder / f"{split}-{domain}.txt").write_text(text)
    (folder / "test.txt").write_text("aeiou" * 20)


def text_task(folder: Path) -> Task:
    """Those texts."""
    return open_task(TaskSpec("text", str(folder), batch=BATCH, options=OPTIONS))


class Llama(torch.nn.Module):
    """A Llama that takes its tokens by position and gives its logits alone; with dropout, so that steps draw."""

    def __init__(self, seed: int) -> None:
        """Draw its weights."""
        super().__init__()
        torch.manual_seed(seed)
        sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
        heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "attention_dropout": 0.1}
        self.llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=256, **sizes, **heads))
        self.eval()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[N, T, 256]."""
        return self.llama(tokens, use_cache=False).logits


def training(
    folder: Path, settings: RecoverySettings = SETTINGS, checkpoint: Checkpoint | None = None, task: Any = None
) -> Job[Recovered]:
    """Train one on the texts of a folder, with another one as teacher."""
    return fine_tune(Llama(0), Llama(1), task or text_task(folder), settings, checkpoint=checkpoint)


def main(folder: str, file: str, step: str) -> None:
    """Train with a checkpoint after every step, and be killed where a step is told."""
    resume.SECONDS, resume.SHARE = 0.0, 0

    def kill(progress: Progress) -> None:
        if progress.values.get("step", 0) >= int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    finish(training(Path(folder), SETTINGS, Checkpoint(Path(file), "k", pause=0.0)), kill)


if __name__ == "__main__":
    main(*sys.argv[1:])
