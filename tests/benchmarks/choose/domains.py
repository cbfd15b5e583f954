"""Shearing a Llama of three domains: ways to choose what stays at equal tokens and at equal compute.

A Llama with grouped queries that reads bytes is trained here on three domains (Shakespeare, news, Python), then brought
to one shape of about 40 % of its parameters (`depth`: to as few parameters by whole layers alone), each way with a
budget:

* `tokens`: all have the same number of training steps, those of masks and between rounds included;
* `compute`: all have the multiply-accumulates that `scores` has with those tokens; a step is three forwards of what is
  trained and one of the teacher;
* `fivefold`: five times the tokens, for training from scratch alone.

`scores` cuts once by Taylor, `obs` by structured OBS, `rounds` five times with an equal part of the steps after each,
`masks` learns for half of the steps. `+mixed` draws the domains by where the loss lags behind the original's. `random`
cuts by random scores, `scratch` trains the shape from fresh weights, and `uncut` is the original with the same further
training. All have the same recovery, the original as teacher. The test split is read once, at the end.
"""

import sysconfig
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import nn

from secateur.engine.baselines.from_scratch import refresh
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Choose, Goal, KindLimit
from secateur.engine.recovery.protocol import Mixing, RecoverySettings, Repair, Teacher
from secateur.engine.session.session import Session
from secateur.engine.session.states import State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.prune import PruneRequest, prune_state

from . import harness, models, packages
from .language_training import TEMPERATURE, trained_language_model

DOMAINS = ("code", "drama", "news")
MIXED = "+mixed"
WAYS = (
    *(f"{way}{mixed}" for way in ("scores", "rounds", "masks") for mixed in ("", MIXED)),
    *("obs", "random", "depth", "scratch", "uncut"),
)
REFERENCE, ALIKE = "scores", ("scores", "obs", "random", "scratch")
"""The way whose compute the others have, and those that have it with as many tokens."""
ROUNDS = 5
MODULES = ("argparse.py", "ast.py", "asyncio", "collections", "concurrent", "email", "html", "http", "json", "logging")
"""Of Python's standard library: what the domain of code is, in this order."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How much is done.

    Attributes:
        sizes: Of the model: width, layers, neurons of a layer.
        shape: Of what is cut from it.
        layers: That `depth` keeps.
        text: Bytes of each domain, at most.
        base: Passes in which the original is trained.
        steps: Of every way.
        seeds: How many.
        length: Tokens of a sequence.
    """

    sizes: tuple[int, int, int]
    shape: tuple[KindLimit, ...]
    layers: int
    text: int
    base: int
    steps: int
    seeds: int
    length: int = 128


def _shape(width: int, layers: int, neurons: int) -> tuple[KindLimit, ...]:
    counts = ((Kind.WIDTH, width), (Kind.BLOCK, layers), (Kind.NEURON, neurons))
    return tuple(KindLimit(kind, count=count) for kind, count in counts)


PROTOCOLS = {
    "tiny": Protocol((32, 2, 64), _shape(16, 2, 48), 1, 12_000, base=1, steps=10, seeds=1, length=32),
    "short": Protocol((96, 6, 256), _shape(72, 5, 136), 2, 240_000, base=15, steps=400, seeds=3),
    "full": Protocol((256, 8, 704), _shape(192, 6, 416), 3, 1_000_000, base=30, steps=4000, seeds=5),
}
BATCH = 16


def cells(protocol: str) -> list[str]:
    """Names of all measurements, seed by seed."""
    budgets = [("tokens", way) for way in WAYS]
    budgets += [("compute", way) for way in WAYS if way.removesuffix(MIXED) not in ALIKE]
    budgets.append(("fivefold", "scratch"))
    return [f"{way}/{budget}/{seed}" for seed in range(PROTOCOLS[protocol].seeds) for budget, way in budgets]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    named, budget, seed = cell.split("/")
    way, much = named.removesuffix(MIXED), PROTOCOLS[protocol]
    with closing(Session()) as session:
        opened = finish(session.open(_spec(protocol), evaluate=False), harness.say)
        steps = _steps(session, way, budget, much)
        begun = process_time()
        mixing = Mixing.DYNAMIC if named.endswith(MIXED) else Mixing.NATURAL
        made = _made(session, way, int(seed), steps, much, mixing)
        seconds, now = process_time() - begun, session.history.state(made[-1].id)
        metric = finish(session.evaluate(now.id, Split.TEST), harness.say)
        before = finish(session.evaluate("s0", Split.TEST), harness.say)
        return {
            "original": before.value,
            "original by domain": _by_domain(session, "s0"),
            "metric": harness.plain(metric),
            "by domain": _by_domain(session, now.id),
            "parameters": now.parameters / opened.state.parameters,
            "macs": now.macs / opened.state.macs,
            "steps": steps,
            "compute": round(_compute(made, opened.state.macs) / (4 * opened.state.macs), 1),
            "cpu seconds": round(seconds, 1),
        }


def _by_domain(session: Session, state: str) -> dict[str, float]:
    """Perplexity of each domain on the test split."""
    task: Any = session.task
    losses = finish(task.domain_losses(session.model(state), Split.TEST, NeverCancelled()), harness.say)
    return dict(zip(DOMAINS, np.exp(losses).tolist(), strict=True))


def _goal(way: str, much: Protocol) -> Goal:
    """The shape; of `depth` as many whole layers as come nearest to its parameters."""
    return Goal((), shape=(KindLimit(Kind.BLOCK, count=much.layers),) if way == "depth" else much.shape)


def _steps(session: Session, way: str, budget: str, much: Protocol) -> int:
    """Training steps of a way in all."""
    if budget == "fivefold":
        return 5 * much.steps
    if budget == "tokens":
        return much.steps
    whole = costs(session.analysis).macs
    each = {one: _of_a_step(one, whole, _macs_after(session, one, much)) for one in (REFERENCE, way)}
    return max(ROUNDS, round(much.steps * each[REFERENCE] / each[way]))


def _macs_after(session: Session, way: str, much: Protocol) -> int:
    analysis = session.analysis
    plan = analysis.empty() if way == "uncut" else solve(analysis, np.zeros(analysis.count), _goal(way, much)).removed
    return costs(analysis, plan).macs


def _of_a_step(way: str, whole: int, cut: int) -> float:
    """Mean multiply-accumulates of a step, for one sample: three forwards of what is trained, one of the teacher."""
    trained = {
        "masks": (whole + cut) / 2,
        "rounds": sum(whole * (cut / whole) ** (number / ROUNDS) for number in range(1, ROUNDS + 1)) / ROUNDS,
    }
    return 3 * trained.get(way, cut) + whole


def _compute(made: Sequence[State], whole: int) -> float:
    """Multiply-accumulates of all steps on the way, for one sample of each."""
    found = 0
    for one in made:
        if one.kind is StateKind.MASKED and one.masks is not None:
            found += one.masks.steps * 4 * whole
        elif one.recovery is not None:
            found += one.recovery.steps * (3 * one.macs + whole)
    return found


def _made(session: Session, way: str, seed: int, steps: int, much: Protocol, mixing: Mixing) -> tuple[State, ...]:
    """The states on the way, with that many steps in all."""
    recovery = RecoverySettings(
        steps=steps,
        evaluate_every=max(1, steps // 10),
        seed=seed,
        threads=1,
        teacher=Teacher.ORIGINAL,
        temperature=TEMPERATURE,
        mixing=mixing,
        mirror=False,
    )
    if way == "uncut":
        return (finish(session.recover("s0", recovery), harness.say),)
    settings = PruneRequest(_goal(way, much), "taylor", recovery, seed=seed)
    match way:
        case "obs" | "random":
            settings = replace(settings, criterion=way)
        case "rounds":
            each = replace(recovery, steps=steps // ROUNDS, evaluate_every=max(1, steps // ROUNDS // 2))
            settings = replace(settings, choose=Choose.ROUNDS, rounds=ROUNDS, recovery=each)
        case "masks":
            rest = replace(recovery, steps=steps - steps // 2)
            settings = replace(settings, choose=Choose.MASKS, mask_steps=steps // 2, recovery=rest)
        case "scratch":
            return _from_scratch(session, replace(settings, criterion="random", recovery=None), recovery)
        case _:
            pass
    return finish(prune_state(session, "s0", settings, report=False), harness.say)


def _from_scratch(session: Session, settings: PruneRequest, recovery: RecoverySettings) -> tuple[State, ...]:
    """The shape with fresh weights, which training begins from."""
    cut = finish(prune_state(session, "s0", settings, report=False), harness.say)[-1]
    model = session.model(cut.id)
    refresh(model, session.prepared.opened.factory(), recovery.seed)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "fresh.safetensors"
        save_file({name: one.clone() for name, one in model.state_dict().items()}, str(file))  # tied ones too
        fresh = finish(session.attach(cut.id, str(file)), harness.say)
    return (finish(session.recover(fresh.id, replace(recovery, repair=Repair.NONE)), harness.say),)


def _spec(protocol: str) -> ModelSpec:
    """The trained Llama with its texts; trained by the first cell that needs it."""
    much, folder = PROTOCOLS[protocol], harness.work() / f"domains-{protocol}"
    for name, text in _texts(much.text).items():
        first, second = int(0.8 * len(text)), int(0.9 * len(text))
        for split, some in (("train", text[:first]), ("val", text[first:second]), ("test", text[second:])):
            packages.written(folder / f"{split}-{name}.txt", some)
    options = (("tokenizer", "bytes"), ("length", str(much.length)), ("purpose", "causal"))
    task = TaskSpec("text", str(folder), batch=BATCH, options=options)
    made = f"llama_{protocol}"
    spec = ModelSpec(f"{__file__}:{made}", task=task, uniform=True)
    return trained_language_model(spec, globals()[made], folder / "llama.pt", much.base)


def _texts(most: int) -> dict[str, str]:
    """So much of each domain."""
    drama = (harness.data("text") / "tinyshakespeare.txt").read_text(encoding="utf-8")
    news = packages.fetched(packages.GENSIM).read_text(encoding="utf-8")
    place, code = Path(sysconfig.get_paths()["stdlib"]), list[str]()
    for name in MODULES:
        files = sorted((place / name).rglob("*.py")) if (place / name).is_dir() else [place / name]
        code += [file.read_text(encoding="utf-8") for file in files]
    return {name: text[:most] for name, text in zip(DOMAINS, ("\n".join(code), drama, news), strict=True)}


def llama_tiny() -> nn.Module:
    """That of the shortest protocol."""
    return models.small_llama(*PROTOCOLS["tiny"].sizes)


def llama_short() -> nn.Module:
    """0.63 million parameters."""
    return models.small_llama(*PROTOCOLS["short"].sizes)


def llama_full() -> nn.Module:
    """6 million parameters."""
    return models.small_llama(*PROTOCOLS["full"].sizes)


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a budget and a way: perplexities in the end, and how many standard errors it is from one cut by scores."""
    lines = [["budget", "way", "kept", "perplexity", *DOMAINS, "beside `scores`", "steps", "compute", "CPU s", "seeds"]]
    if not results:
        return harness.machines(results, len(cells(protocol)))
    first = next(iter(results.values()))
    original = [f"{first['original']:.3f}", *(f"{first['original by domain'][name]:.2f}" for name in DOMAINS)]
    lines.append(["", "original", "100 %", *original, "", "", "", "", ""])
    for budget in ("tokens", "compute", "fivefold"):
        for way in WAYS:
            some = {cell.split("/")[-1]: one for cell, one in results.items() if cell.startswith(f"{way}/{budget}/")}
            if some:
                lines.append(
                    [budget, way, *_row(some, results, "" if (budget, way) == ("tokens", REFERENCE) else REFERENCE)]
                )
    return "\n".join([harness.rows(lines), "", harness.machines(results, len(cells(protocol)))])


def _row(some: dict[str, harness.Result], results: dict[str, harness.Result], beside: str) -> list[str]:
    pairs = [
        one["metric"]["value"] - results[f"{beside}/tokens/{seed}"]["metric"]["value"]
        for seed, one in some.items()
        if f"{beside}/tokens/{seed}" in results
    ]
    ones = list(some.values())
    return [
        f"{harness.spread([one['parameters'] for one in ones], 1, 100)} %",
        harness.spread([one["metric"]["value"] for one in ones], 3),
        *(harness.spread([one["by domain"][name] for one in ones], 2) for name in DOMAINS),
        harness.spread(pairs, 3),
        str(ones[0]["steps"]),
        harness.spread([one["compute"] for one in ones], 0),
        harness.spread([one["cpu seconds"] for one in ones], 0),
        str(len(ones)),
    ]
