"""`secateur changes`: what got worse from one state of a project to another, by class, group and sample."""

import argparse
import csv
import io
from contextlib import closing
from typing import Any

from ..errors import SecateurError
from ..export.staged_output import check_destination
from ..inspection.change_tables import SAMPLE, PlainTable, confusion_table, group_table, sample_table
from ..inspection.changes import (
    CLASS,
    ChangeLimit,
    Changes,
    chance,
    group_change,
    limit_calibration_error,
    limit_class_loss,
    signed,
    summary,
)
from ..planning.selection_rules import SelectionRule, StructureChoice, meant_structures
from ..session.session import Session
from ..storage.atomic_files import write
from ..storage.serialization import to_plain
from ..tasks.protocol import Split
from ..workflows.changes import compare_states, try_without
from .flag_hints import with_hint
from .model_args import project_folder, project_spec, use_device, use_threads
from .output import Outcome, Reporter, Verdict
from .tables import columns, metric_of

SHOWN, LISTED = 30, 10_000
"""Rows that are printed for a person, and samples in JSON; a file has all."""


def changes(arguments: argparse.Namespace, reporter: Reporter) -> Outcome:
    """Compare two states; predictions that are made on the way stay in the project."""
    if arguments.without is None and (arguments.numbers or arguments.kind is not None):
        raise SecateurError("cli.no_without", "Layer needed. Add --without LAYER.")
    if arguments.without is not None and arguments.split == Split.TEST:
        # What is chosen by the samples of a split is flattered by them.
        template = "A trial helps to choose what goes, so it runs on the val split. Leave out --split."
        raise SecateurError("cli.trial_split", template)
    use_threads(arguments.threads)
    folder = project_folder(arguments)
    if arguments.csv is not None:
        check_destination(arguments.csv.absolute(), 0, overwrite=arguments.overwrite)
    with closing(Session(folder)) as session:
        use_device(session, arguments)
        reporter.finish(session.open(project_spec(arguments), evaluate=False))
        before, after = arguments.state or ("", "")
        split = None if arguments.split is None else Split(arguments.split)
        if arguments.without is None:
            job = compare_states(session, before, after, split)
        else:
            state = session.present.id
            which = StructureChoice.NUMBERS if arguments.numbers else StructureChoice.ALL
            rule = SelectionRule(arguments.without, arguments.kind, which, numbers=arguments.numbers)
            job = try_without(session, state, meant_structures(session.analysis, None, session.removed(state), rule))
        found = reporter.finish(job)
    limits = list[ChangeLimit]()
    if arguments.max_class_loss is not None:
        limits.append(limit_class_loss(found, arguments.max_class_loss))
    if arguments.max_calibration_error is not None:
        limits.append(limit_calibration_error(found, arguments.max_calibration_error))
    missed = [str(one.sentence) for one in limits if not one.met]
    shown = _table(found, arguments.by or (CLASS if found.groups else SAMPLE))
    sentences = summary(found)
    written = ()
    if arguments.csv is not None:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(shown.names)
        writer.writerows(shown.rows())
        write(arguments.csv.absolute(), out.getvalue().encode())
        written = (str(arguments.csv.absolute()),)
    content = {
        "command": "changes",
        "project": str(folder),
        "before": found.before,
        "after": found.after,
        "split": str(found.split),
        "n": found.count,
        "paired": found.paired,
        "measure": found.measure,
        "metrics": {"before": metric_of(found.metrics[0]), "after": metric_of(found.metrics[1])},
        "difference": {"value": found.difference.value, "standard_error": found.difference.error},
        "mcnemar": None if found.mcnemar is None else to_plain(found.mcnemar),
        "groups": {group.by: _rows(group_table(group)) for group in found.groups},
        "confusions": _rows(confusion_table(found)),
        "samples": _rows(sample_table(found, changed=found.mcnemar is not None))[:LISTED],
        "calibration": [
            {
                "error": one.error,
                "standard_error": one.standard_error,
                "bins": [
                    {"n": count, "confidence": confidence, "accuracy": accuracy}
                    for count, confidence, accuracy in zip(
                        one.counts.tolist(), one.confidence.tolist(), one.accuracy.tolist(), strict=True
                    )
                ],
            }
            for one in found.calibration
        ],
        "residuals": None
        if found.residuals is None
        else {
            name: dict(zip(("before", "after"), values.tolist(), strict=True))
            for name, values in (
                ("bias", found.residuals.bias),
                ("mean_absolute", found.residuals.absolute),
                ("largest", found.residuals.largest),
            )
        },
        "sentences": [
            {"code": one.code, "text": str(one), "arguments": to_plain(dict(one.arguments))} for one in sentences
        ],
        "limits": [
            {"name": one.name, "allowed": one.allowed, "got": one.got, "met": one.met, "text": str(one.sentence)}
            for one in limits
        ],
        "files": written,
    }
    lines = [*(with_hint(one) for one in sentences), "", _text(found, arguments.by, shown)]
    lines += [str(one.sentence) for one in limits if one.met]
    lines += [f"wrote {name}" for name in written]
    return Outcome(content, "\n".join(lines), "\n".join(missed), Verdict.REGRESSION if missed else None)


def _table(found: Changes, by: str) -> PlainTable:
    """The table that was asked for; raises SecateurError with those that there are."""
    if by == SAMPLE:
        return sample_table(found)
    group = next((one for one in found.groups if one.by == by), None)
    if group is None:
        known = ", ".join([one.by for one in found.groups] + ([SAMPLE] if found.samples is not None else []))
        template = "Nothing is known by {by}. Choose one of: {known}."
        raise SecateurError("changes.by", template, by=by, known=known or "-")
    return group_table(group)


def _rows(table: PlainTable) -> list[dict[str, Any]]:
    return [dict(zip(table.names, row, strict=True)) for row in table.rows()]


def _text(found: Changes, by: str | None, shown: PlainTable) -> str:
    """The table for a person: what lost most first."""
    group = next((one for one in found.groups if one.by == shown.names[0]), None)
    if group is not None:
        share = found.measure in ("accuracy", "IoU")
        sign = 1 if found.higher_is_better else -1
        order = sorted(range(len(group.names)), key=lambda row: (sign * group.differences[row], row))
        rows = [[group.by, "n", "before", "after", "difference", "chance", ""]]
        for row in order[:SHOWN]:
            values = [
                f"{100 * value:.1f} %" if share else f"{value:.4g}" for value in (group.before[row], group.after[row])
            ]
            marked = "worse than the rest" if group.worse[row] else ""
            cells = [group_change(found, group, row), chance(float(group.p[row])), marked]
            rows.append([group.names[row], f"{group.counts[row]:,}", *values, *cells])
        total = len(group.names)
    else:
        rows, total = [list(shown.names)], len(shown.columns[0])
        for number, row in enumerate(shown.rows()):
            if number == SHOWN:
                break
            rows.append([signed(f"{cell:.3g}") if isinstance(cell, float) else str(cell) for cell in row])
    more = [f"... and {total - SHOWN:,} more; --csv FILE writes all"] if total > SHOWN else []
    others = [one.by for one in found.groups if one is not group]
    others += [SAMPLE] if found.samples is not None and shown.names[0] != SAMPLE else []
    also = [f"also --by {', '.join(others)}"] if others and by is None else []
    return "\n".join([columns(rows), *more, *also])
