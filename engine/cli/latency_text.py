"""Latencies on a target in words: where it is, what removal buys there, and what became of a limit."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import SecateurError
from ..machine.devices import CPU, kind_of
from ..session.session import Session
from ..session.states import State
from ..storage.serialization import to_plain
from ..structures.analysis import Analysis, from_identities, identities
from ..subprocesses.ssh import read_address
from ..targets.latency_table import LatencyTable, Saving, savings
from ..targets.protocol import TargetSpec
from ..targets.remote import target_over_ssh
from ..targets.table import target_named
from ..tasks.protocol import ROUNDING
from ..workflows.budget_search import SearchResult
from ..workflows.latency_limit import LatencyOutcome
from ..workflows.latency_table import liked_multiple
from .options import PLANNED_TARGET
from .output import Reporter
from .settings import read_settings
from .tables import columns, percent

BUSY = 0.1
"""Share by which the clock on the wall is ahead of the processor where others take it."""
USUAL = 16
"""Multiple of widths where none is asked for and none was measured to pay."""


def target_of(arguments: argparse.Namespace) -> TargetSpec:
    """Where the arguments say that latency counts."""
    return _there(arguments, read_settings(TargetSpec, arguments, PLANNED_TARGET))


def measured_target(arguments: argparse.Namespace) -> TargetSpec:
    """Where the arguments say to measure."""
    return _there(arguments, read_settings(TargetSpec, arguments))


def _there(arguments: argparse.Namespace, spec: TargetSpec) -> TargetSpec:
    """The target on the machine and device that the arguments name."""
    address: str | None = getattr(arguments, "over_ssh", None)
    if address:
        return target_over_ssh(spec, read_address(address), arguments.provider, arguments.provider_option)
    # Where a runtime computes: where everything does, if it can.
    device: str = arguments.device or CPU
    return replace(spec, device=device if kind_of(device) in target_named(spec.runtime).devices else CPU)


def multiple_for(session: Session, target: TargetSpec, reporter: Reporter) -> int:
    """The multiple of widths that saves time on the target, measured once; says which."""
    found = reporter.finish(liked_multiple(session, target))
    if not found:
        reporter.note(f"On {where(target)}, no multiple of the width saves time. Widths are multiples of {USUAL}.")
        return USUAL
    what = "Any width saves" if found == 1 else f"Widths in multiples of {found} save"
    reporter.note(f"{what} time on {where(target)}, as measured.")
    return found


def where(target: TargetSpec) -> str:
    """onnxruntime, 1 thread, batch 64, fp32."""
    threads = "1 thread" if target.threads == 1 else f"{target.threads} threads"
    named = [f"{target.machine}: {target.runtime}" if target.machine else target.runtime, threads]
    prompt = [f"prompt of {target.tokens} tokens"] if target.tokens else []
    return ", ".join([*named, f"batch {target.batch}", target.precision, *map(str, target.size), *prompt])


def latency_lines(found: LatencyOutcome) -> list[str]:
    """What was asked, predicted and measured, and how far the table is off."""
    now, before = found.measured.undisturbed, found.measured.beside
    numbers = f"asked for {found.asked:.3g} ms, predicted {found.predicted:.3g} ms, measured {now:.3g} ms"
    return [
        f"the latency ({where(found.table.target)}): {numbers}; the original {before:.3g} ms: {speed(before, now)}",
        f"  {trust_text(found.table)}",
    ]


def speed(before: float, now: float) -> str:
    """What became of a time: 1.41 times as fast, or slower."""
    return f"{before / now:.2f} times as fast" if now <= before else f"slower: {now / before:.2f} times as long"


def trust_text(table: LatencyTable) -> str:
    """How far a table can be trusted, in one line."""
    trust = table.trust
    text = (
        f"prediction error on cut models that were left out: {percent(trust.median)} in the median, "
        f"{percent(trust.ninetieth)} at the 90th percentile; repeated measurements of one file differ by "
        f"{percent(trust.itself)}"
    )
    return f"{text}; the machine was busy (measure again with inspect --latency --again)" if trust.busy > BUSY else text


def latency_content(found: LatencyOutcome | None) -> dict[str, Any] | None:
    """A latency for JSON."""
    if found is None:
        return None
    numbers = {"asked_ms": found.asked, "predicted_ms": found.predicted, "met": found.met, "slower": found.slower}
    timings = {"measured": to_plain(found.measured), "original_ms": found.measured.beside}
    return numbers | timings | {"table": table_content(found.table)}


def table_content(table: LatencyTable) -> dict[str, Any]:
    """A table for JSON, without its terms."""
    trust = {"median": table.trust.median, "ninetieth": table.trust.ninetieth, "itself": table.trust.itself}
    about = {"target": to_plain(table.target), "machine": table.machine, "multiple": table.multiple}
    return about | {"original_ms": table.original / 1e6, "blocks": len(table.blocks), "errors": trust}


def savings_rows(analysis: Analysis, table: LatencyTable) -> tuple[list[Saving], str]:
    """What half of each set is worth on the target, as data and as a table."""
    found = list(savings(analysis, table))
    sets = {one.key: one for one in analysis.sets}
    rows = [["half of", "", "saves", "of the time", "of the MACs", ""]]
    for saving in found:
        one = sets[saving.key]
        cells = [f"{saving.nanoseconds / 1e6:.3g} ms", percent(saving.time), percent(saving.macs)]
        cells.append("saves no time" if saving.flat else "")
        rows.append([one.module or "(model)", f"{one.count} {one.kind}s", *cells])
    return found, columns(rows, left=2)


def flat_note(analysis: Analysis, table: LatencyTable, cut: State) -> Sequence[str]:
    """A remark on sets that lost structures where that buys no time."""
    modules = {one.key: one.module or "(model)" for one in analysis.sets}
    lost = identities(analysis, from_identities(analysis, cut.removed)[0])
    flat = [modules[one.key] for one in savings(analysis, table) if one.flat and one.key in lost]
    return [f"Removal saves no time in {', '.join(flat)}."] if flat else []


def loss_lines(found: SearchResult) -> list[str]:
    """Every budget that was tried, with what it lost."""
    original = found.original
    unit = "points" if original.percent else "%"
    rows = [[f"tried ({original.split} split, n = {original.count:,})", f"lost {original.name}", "standard error", ""]]
    for one in found.trials:
        cells = [f"{100 * one.loss:+.2f} {unit}", f"{100 * one.error:.2f}"] if one.state else ["", ""]
        got = f", {one.got:.1%} as measured" if one.state and one.got != one.share else ""
        why = "holds" if one.holds else str(one.note or one.missed or "too much")
        rows.append([f"{one.share:.1%}{got}", *cells, why])
    rows[-1][-1] = f"the result: {rows[-1][-1]}"
    return columns(rows).splitlines()


def no_budget_error(found: SearchResult, loss: float) -> SecateurError:
    """The error where every budget that was tried loses too much, or only what is there already does not."""
    if found.stays:
        if any(one.missed for one in found.trials):
            return SecateurError("loss.lowest_of_several", "No smaller budget keeps all limits of what may be lost.")
        template = "No smaller budget meets the limit: each one tried loses more than {loss:.2%}."
        return SecateurError("loss.lowest", template, loss=loss)
    made = [one for one in found.trials if one.state]
    best = min(made, key=lambda one: one.loss, default=None)
    nearest = f" {found.trials[-1].note}" if found.trials else ""
    if best is not None and best.missed and best.loss <= loss + ROUNDING:
        template = "No budget tried keeps all limits. Keeping {share:.1%}: {missed}."
        return SecateurError("loss.several", template, share=best.share, missed=best.missed)
    if best is not None:
        nearest = f" The smallest loss was {best.loss:.2%} ± {best.error:.2%}, keeping {best.share:.1%}."
    template = "No budget tried loses {loss:.2%} or less.{nearest}"
    return SecateurError("loss.none", template, loss=loss, nearest=nearest)
