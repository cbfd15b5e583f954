"""SmolLM2-135M: perplexity without 10, 20 and 30 % of its FFN neurons, key/value groups, blocks, and by a mixed plan.

Perplexity is read on the first 30 texts (full protocol: 60) of gensim's Lee corpus, in sequences of 128 tokens. Texts
60 to 67 choose, the rest calibrates: scores, the training-free repairs (least squares; `distilled`: and 160 steps of
distillation) and 100 steps of recovery (the original as the teacher) see nothing of what is read. Neurons and groups
are ranked by Taylor over the whole model, each layer keeping one; blocks by their influence (ShortGPT). Two plans keep
a share of all parameters, by Taylor or (`obs`) by structured OBS: in the mixed one neurons, groups and blocks compete,
in the other (`ffn`) neurons alone.
"""

from contextlib import closing
from time import process_time
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from secateur.engine.jobs import finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.scoring.criteria import ranked
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.session import Session
from secateur.engine.session.states import State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.tasks.protocol import Split, TaskSpec

from . import harness, packages, smollm

SHARES = (0.1, 0.2, 0.3)
KINDS = {"neurons": Kind.NEURON, "groups": Kind.KV_GROUP, "blocks": Kind.BLOCK}
BUDGETS = {"mixed": (Kind.NEURON, Kind.KV_GROUP, Kind.BLOCK), "ffn": (Kind.NEURON,)}
"""What competes for a share of all parameters."""
TITLES = {"ffn": "neurons, of all parameters"}
CRITERIA = {"blocks": "block-influence"}
"""What ranks a kind; all others: Taylor."""
BATCHES = {"taylor": 4}
"""Calibration batches that scores are from, where not as many as the criterion wants."""
LENGTH, BATCH = 128, 2
STEPS = {"tiny": 1, "short": 100, "full": 100}
TOKENS = {"tiny": 1, "short": 1, "full": 8}
"""How many times `BATCH` sequences a step of recovery has."""
READ = {"tiny": 2, "short": 30, "full": 60}
"""Texts that perplexity is read on."""
CHOOSE = 8


def cells(protocol: str) -> list[str]:
    """Names of all measurements: what the cut costs and what repair gives, then those with recovery."""
    plans = [f"{kind}/{share}" for kind in KINDS for share in SHARES]
    plans += [f"{kind}/{share}{way}" for way in ("", "/obs") for kind in BUDGETS for share in SHARES]
    trained = [f"{plan}/{way}" for way in ("recovered", "distilled") for plan in plans]
    return ["original", *plans, "original/recovered", *trained]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    torch.manual_seed(0)
    kind, *rest = cell.split("/")
    criterion = "obs" if "obs" in rest else CRITERIA.get(kind, "taylor")
    with closing(Session()) as session:
        finish(session.open(_spec(protocol), evaluate=False), harness.say)
        if cell == "original/recovered":  # what the steps teach of such texts, without a cut
            whole = session.states()[0]
            return {"parameters": whole.parameters, "recovered": _recovered(session, whole, protocol)}
        if kind == "original":
            metric = finish(session.evaluate("s0", Split.TEST), harness.say)
            whole = session.states()[0]
            return {"original": harness.plain(metric), "parameters": whole.parameters, "macs": whole.macs}
        marked = plan(session, kind, float(rest[0]), criterion)
        cut = finish(session.cut("s0", marked), harness.say)
        if "recovered" in rest:
            return {"parameters": cut.parameters, "recovered": _recovered(session, cut, protocol)}
        if "distilled" in rest:
            return {"parameters": cut.parameters, "distilled": _repaired(session, cut, Repair.DISTILLATION)}
        found = finish(session.evaluate(cut.id, Split.TEST), harness.say)
        costs = {"parameters": cut.parameters, "macs": cut.macs}
        return {"cut": harness.plain(found), "repaired": _repaired(session, cut, Repair.LEAST_SQUARES), **costs}


def plan(session: Session, kind: str, share: float, criterion: str) -> Mask:
    """[S] what goes."""
    analysis = session.analysis
    few = Choices(batches=BATCHES.get(criterion, 0))
    scores = finish(session.score("s0", criterion, choices=few), harness.say)
    if kind in KINDS:
        return lowest(analysis, scores, KINDS[kind], share)
    goal = ranked(Goal((Limit(Cost.PARAMETERS, 1.0 - share),), kinds=BUDGETS[kind]), criterion)
    return solve(analysis, scores, goal, analysis.empty(), analysis.empty()).removed


def lowest(analysis: Analysis, scores: np.ndarray, kind: Kind, share: float) -> Mask:
    """[S] the structures of a kind with the lowest scores over the whole model; a coupled set keeps one.

    Of blocks the whole decoder layers count, not their halves.
    """
    chosen, marked = analysis.empty(), analysis.empty()
    sets: dict[int, Any] = {}
    for one in analysis.sets:
        if one.kind is kind and (kind is not Kind.BLOCK or one.module.rpartition(".")[2].isdecimal()):
            chosen[one.structures] = True
            sets.update(dict.fromkeys(np.arange(analysis.count)[one.structures].tolist(), one.structures))
    count = round(share * int(chosen.sum()))
    for number in np.argsort(np.where(chosen, scores, np.inf), kind="stable").tolist():
        if marked.sum() == count:
            break
        if kind is Kind.BLOCK or (~marked[sets[number]]).sum() > 1:
            marked[number] = True
    return marked


def _repaired(session: Session, cut: State, repair: Repair) -> dict[str, Any]:
    begun, settings = process_time(), RecoverySettings(epochs=0, repair=repair, threads=torch.get_num_threads())
    state = finish(session.recover(cut.id, settings), harness.say)
    seconds = process_time() - begun
    metric = finish(session.evaluate(state.id, Split.TEST), harness.say)
    told = [str(one) for one in state.repaired]
    return harness.plain(metric) | {"told": told, "cpu seconds": round(seconds, 1)}


def _recovered(session: Session, cut: State, protocol: str) -> dict[str, Any]:
    threads = torch.get_num_threads()
    settings = RecoverySettings(epochs=1, repair=Repair.LEAST_SQUARES, threads=threads)
    few = finish(session.attach_task(_task(protocol, STEPS[protocol])), harness.say)
    steps = few.batches["train"]
    state = finish(session.recover(cut.id, settings), harness.say)
    finish(session.attach_task(_task(protocol)), harness.say)
    metric = finish(session.evaluate(state.id, Split.TEST), harness.say)
    told = [str(one) for one in state.repaired]
    return harness.plain(metric) | {"steps": steps, "tokens a step": BATCH * TOKENS[protocol] * LENGTH, "told": told}


def _spec(protocol: str) -> ModelSpec:
    return ModelSpec(f"{smollm.__file__}:make", task=_task(protocol))


def _task(protocol: str, steps: int = 0) -> TaskSpec:
    """The texts; with `steps`, only as much to train on as makes about so many steps."""
    texts, batch = packages.fetched(packages.GENSIM).read_text(encoding="utf-8").splitlines(), BATCH * TOKENS[protocol]
    read, choose, rest = texts[: READ[protocol]], texts[60 : 60 + CHOOSE], texts[60 + CHOOSE :]
    if steps:
        encoder = Tokenizer.from_file(str(smollm.tokenizer()))
        ends = np.cumsum([len(encoder.encode(one).ids) for one in rest])
        rest = rest[: int(np.searchsorted(ends, steps * batch * LENGTH)) + 1]
    folder = harness.work() / f"lee-{protocol}-{steps}"
    for name, some in (("test", read), ("val", choose), ("train", rest)):
        packages.written(folder / f"{name}.txt", "\n".join(some))
    options = (("tokenizer", str(smollm.tokenizer())), ("length", str(LENGTH)), ("purpose", "causal"))
    return TaskSpec("text", str(folder), batch=batch, options=options)


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a plan: parameters left, perplexity after the cut, after the repair, after recovery."""
    lines: list[list[str]] = []
    original = results.get("original")
    whole = original["parameters"] if original else 0
    plans = [
        cell
        for cell in cells(protocol)
        if not cell.startswith("original") and not cell.endswith(("recovered", "distilled"))
    ]
    for cell in plans:
        one, more, distilled = (results.get(f"{cell}{way}", {}) for way in ("", "/recovered", "/distilled"))
        if one or more or distilled:
            kind, share, *criterion = cell.split("/")
            count = (one or more or distilled)["parameters"]
            left = harness.percent(count / whole, 1) if whole else f"{count:,}"
            by = "OBS" if criterion else "block influence" if kind in CRITERIA else "Taylor"
            mended = [_words(one.get("repaired")), _words(distilled.get("distilled"))]
            words = [_words(one.get("cut")), *mended, _words(more.get("recovered"))]
            lines.append([f"{TITLES.get(kind, kind)}, {harness.percent(float(share))}", by, left, *words])
    head = ["removed", "by", "parameters left", "after the cut", "least squares", "and distillation", "100 steps"]
    longer = _words(results.get("original/recovered", {}).get("recovered"))
    first = (
        f"Perplexity of the original: {_words(original['original'])} (n = {original['original']['n']:,} tokens)"
        + (f", after the same steps without a cut {longer}" if longer else "")
        + "\n"
        if original
        else ""
    )
    return "\n".join([first, harness.rows([head, *lines]), "", harness.machines(results, len(cells(protocol)))])


def _words(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return ""
    return f"{metric['value']:.1f} ± {metric['error']:.1f}" if metric["value"] < 1e4 else f"{metric['value']:.1e}"
