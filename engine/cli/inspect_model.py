"""`secateur inspect`: what can be removed from a model, module by module, what is fixed and why, and what it costs."""

import argparse
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from ..errors import TaskError
from ..inference.batch_parts import PassLimit
from ..jobs import Job, NeverCancelled
from ..recovery.reference_losses import ReferenceLosses, write_references
from ..scoring.criteria import CriterionOffer, offers
from ..session.measurement_cache import user_cache
from ..session.session import Session
from ..storage.serialization import to_plain
from ..structures.analysis import Analysis
from ..structures.costs import Costs, costs
from ..structures.memory import Memory, memory
from ..tasks.domain_mixture import DomainTask
from ..tasks.evaluate import fitting_domain_losses
from ..tasks.protocol import Split
from ..workflows.latency_table import forget_latencies, latency_table
from .flag_hints import with_hint
from .latency_text import multiple_for, savings_rows, table_content, target_of, trust_text, where
from .model_args import model_spec, use_threads
from .output import Outcome, Reporter
from .tables import byte_size, columns, outputs_lines, outputs_of, size, thousands


def domain_losses(session: Session, state: str) -> Job[ReferenceLosses]:
    """What a state loses in each domain on the val split, with its number of parameters.

    Raises:
        TaskError: The data names no domains.
        DataError: A domain has no sequence to train on or to be judged by.
    """
    task = session.task if session.has_task else None
    mixture = task.mixture() if isinstance(task, DomainTask) else None
    if mixture is None or not isinstance(task, DomainTask):
        template = "The data names no domains. Give text whose files do, such as train-wiki.txt and val-wiki.txt."
        raise TaskError("domains.none", template)
    with session.running(state) as model:
        limit = PassLimit(device=session.device)
        losses = yield from fitting_domain_losses(task, model, Split.VAL, NeverCancelled(), limit)
    pairs = zip(mixture.names, losses.tolist(), strict=True)
    return ReferenceLosses(tuple(pairs), session.history.state(state).parameters)


def inspect_model(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Open and analyse a model; nothing is evaluated."""
    use_threads(arguments.threads)
    with closing(Session(cache=user_cache())) as session:
        opened = reporter.finish(session.open(model_spec(arguments), evaluate=False))
        table = None
        if arguments.latency:
            target = target_of(arguments)
            if arguments.again:
                forget_latencies(session, target)
            # The table is of the multiple of widths that saves time there.
            target = replace(target, multiple=multiple_for(session, target, reporter))
            table = reporter.finish(latency_table(session, target))
        losses = reporter.finish(domain_losses(session, opened.state.id)) if arguments.losses else None
    analysis, total, held = opened.analysis, costs(opened.analysis), memory(opened.analysis)
    found = offers(analysis, analysis.empty(), opened.task)
    content = {
        "command": "inspect",
        "model": opened.name,
        "parameters": total.parameters,
        "macs": total.macs,
        "saved_bytes": held.saved,
        "peak_bytes": held.peak,
        "input_shapes": [list(shape) for shape in analysis.input_shapes],
        "outputs": list(analysis.outputs),
        "unused": list(analysis.unused),
        **outputs_of(analysis),
        "structures": analysis.count,
        "sets": [
            {
                "key": one.key,
                "kind": str(one.kind),
                "module": one.module,
                "parameter": one.name,
                "count": one.count,
                "along": list(one.along),
            }
            for one in analysis.sets
        ],
        "fixed": [
            {
                "tensor": analysis.tensors[one.tensor].name,
                "dim": one.dim,
                "count": one.count,
                "reason": str(one.reason),
                "module": one.module,
            }
            for one in analysis.fixed
        ],
        "criteria": [
            {
                "name": one.criterion.name,
                "title": one.criterion.title,
                "cost": str(one.cost.message),
                "available": one.reason is None,
                "reason": str(one.reason or ""),
            }
            for one in found
        ],
        "notes": [str(note) for note in opened.notes],
    }
    text = _text(opened.name, opened.analysis, total, held, found)
    if table is not None:
        saved, rows = savings_rows(opened.analysis, table)
        content |= {"latency": table_content(table) | {"savings": to_plain(saved)}}
        text += f"\n\n{where(table.target)}: {table.original / 1e6:.3g} ms; {trust_text(table)}\n\n{rows}"
    if losses is not None:
        rounded = tuple((name, round(loss, 4)) for name, loss in losses.losses)
        references = write_references((replace(losses, losses=rounded),))
        content["losses"] = {
            "parameters": losses.parameters,
            "domains": dict(losses.losses),
            "references": references,
        }
        text += f"\n\nloss by domain on the val split, nats a token, as --references takes it:\n  {references}"
    return Outcome(content, "\n\n".join([text, *filter(None, ["\n".join(map(with_hint, opened.notes))])]))


def _text(name: str, analysis: Analysis, total: Costs, held: Memory, found: tuple[CriterionOffer, ...]) -> str:
    kinds = Counter[str]()
    for one in analysis.sets:
        kinds[str(one.kind)] += one.count
    totals = ", ".join(_plural(count, kind) for kind, count in kinds.items())
    head = f"{name}: {size(total.parameters)} parameters; can remove {totals or 'nothing'}"
    given = _shorten(["x".join(map(str, shape)) or "a number" for shape in analysis.input_shapes])
    head += (
        f"\nwith an input of {given}: {size(total.macs)} MACs a sample, {byte_size(held.saved)} of activations saved "
        f"for training, {byte_size(held.peak)} at the peak of inference"
    )
    head = "\n".join((head, *outputs_lines(analysis)))
    rows = [["can be removed", "", "removed with"]]
    rows += [[one.module or "(model)", _plural(one.count, str(one.kind)), _shorten(one.along)] for one in analysis.sets]
    # What is fixed, the dimensions with the same reason on one line.
    places: dict[str, list[str]] = {}
    for one in analysis.fixed:
        tensor = analysis.tensors[one.tensor]
        part = "" if one.count == tensor.shape[one.dim] else f" ({one.count} of {tensor.shape[one.dim]})"
        places.setdefault(str(one.reason), []).append(f"{tensor.name} dimension {one.dim}{part}")
    lines = [f"{reason}\n  {_shorten(dimensions)}" for reason, dimensions in places.items()]
    criteria = [["can be scored by", ""]]
    criteria += [[one.criterion.name, str(one.cost.message)] for one in found if one.reason is None]
    criteria += [[one.criterion.name, f"not available: {one.reason}"] for one in found if one.reason is not None]
    parts = [
        head,
        (columns(rows, left=3) if len(rows) > 1 else ""),
        ("\n".join(["fixed", *lines]) if lines else ""),
        columns(criteria, left=2),
    ]
    return "\n\n".join(part for part in parts if part)


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _plural(count: int, kind: str) -> str:
    if count == 1:
        return f"1 {kind}"
    return f"{thousands(count)} {kind}" + ("" if kind.endswith("width") else "s")
