"""What `test_parallel` does with a session, alone and as two processes together; as a process, one of them.

`python -m tests.engine.session.parallel_work FOLDER`, with the variables that `torchrun` sets.
"""

import random
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import transformers

from secateur.engine import distributed
from secateur.engine.distributed import joined
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit, PlanStart
from secateur.engine.recovery.protocol import Mixing, RecoverySettings, Repair, Teacher
from secateur.engine.session.parallel import Follower
from secateur.engine.session.session import Session
from secateur.engine.session.states import MaskIntent, PlanIntent
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec

LENGTH, BATCH = 16, 4
OPTIONS = (("tokenizer", "bytes"), ("length", str(LENGTH)), ("purpose", "causal"))
SIZES: dict[str, Any] = {
    "vocab_size": 256, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip
PLAIN = RecoverySettings(
    steps=6, learning_rate=3e-3, distillation=0.3, threads=1, repair=Repair.NONE, teacher=Teacher.ORIGINAL
)
RECOVERIES = {
    "batch": PLAIN,
    "sums": replace(PLAIN, accumulate=3, evaluate_every=2, mixing=Mixing.DYNAMIC),
    "tuned": replace(PLAIN, steps=0, epochs=4, teacher=Teacher.AUTO, repair=Repair.AUTO),
}
RECOVERIES["divided"] = replace(RECOVERIES["tuned"], mixing=Mixing.DYNAMIC, shard=True)
DIVERGING = replace(PLAIN, learning_rate=1e25, clip=0.0)


def write_files(folder: Path) -> None:
    """A Llama and two domains of text; the last batch of an epoch is small and odd."""
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder / "llama")
    draw, texts = random.Random(0), folder / "texts"
    texts.mkdir()
    for split, count in (("train", 15), ("val", 4)):
        for domain, letters in (("vowels", "aeiou"), ("digits", "0123456789")):
            (texts / f"{split}-{domain}.txt").write_text("".join(draw.choice(letters) for _ in range(count * LENGTH)))
    (texts / "train-words.txt").write_text("the cat sat on a mat" * 2)
    (texts / "val-words.txt").write_text("the cat sat on a mat")
    (texts / "test.txt").write_text("aeiou" * 20)


def work(folder: Path) -> dict[str, Any]:
    """Scores by several criteria, and the weights of recoveries and of learned masks."""
    task = TaskSpec("text", str(folder / "texts"), batch=BATCH, options=OPTIONS)
    found = dict[str, Any]()
    with closing(Session()) as session:
        finish(session.open(ModelSpec(str(folder / "llama"), task=task)))
        for criterion in ("taylor", "fisher", "gates", "l1", "wanda"):
            found[criterion] = torch.from_numpy(finish(session.score("s0", criterion)))
        goal = Goal((Limit(Cost.PARAMETERS, 0.7),))
        intent = PlanIntent("taylor", goal=goal)
        plan = solve(session.analysis, found["taylor"].numpy(), goal, session.removed("s0")).removed
        found["plan"] = torch.from_numpy(plan)
        cut = finish(session.cut("s0", plan, intent))
        found["cut"] = session.model(cut.id).state_dict()
        try:
            finish(session.recover(cut.id, DIVERGING))
        except SecateurError as error:
            found["error"] = error.message.code
        for name, settings in RECOVERIES.items():
            state = finish(session.recover(cut.id, settings))
            found[name] = session.model(state.id).state_dict()
            found[f"{name} metric"] = torch.tensor(state.metrics[0].value)
            found[f"{name} steps"] = torch.tensor([one["step"] for one in state.curve if "loss" not in one])
        start = PlanStart.of(session.analysis, found["taylor"].numpy())
        masks = finish(session.learn_masks("s0", start, plan, MaskIntent(intent, PLAIN, 12)))
        found["masks"] = session.model(masks.id).state_dict()
        found["chosen"] = masks.chosen
    return found


def main(folder: str) -> None:
    """Lead, and keep what was found; or follow."""
    distributed.WAIT = timedelta(seconds=0.1)  # the follower asks again and again
    with joined() as group:
        if group.is_writer:
            found = work(Path(folder))
            store: Any = group._store
            found["waiting"] = any(store.check([f"value-{number}"]) for number in range(group._values + 1))
            torch.save(found, Path(folder) / "found.pt")
        else:
            Follower(group).follow()


if __name__ == "__main__":
    main(*sys.argv[1:])
