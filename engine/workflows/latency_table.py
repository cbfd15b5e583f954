"""Tables of latencies of an opened model: a few plans are cut, written and measured, each of them once on a machine.

What was measured lies in a file by content: the model's shapes and code (not its weights), the target, the machine and
all versions. A run that was stopped goes on with it, and the next model of that shape begins with it.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, PlanError, VerificationError
from ..export.export_process import write_several
from ..export.model_package import pack
from ..inference.model_inputs import at_size
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check, part_of, spanning
from ..planning.sample_plans import SAMPLES, samples, steps
from ..session.measurement_cache import Stored, named_by
from ..session.open_model import Prepared
from ..session.session import Session
from ..storage.serialization import to_plain
from ..storage.temporary_folders import temporary_folder
from ..structures.analysis import Analysis, Mask
from ..structures.costs import costs, kept_sizes
from ..surgery.cut.cut import cut
from ..surgery.cut.edits import Edits
from ..targets.latency_table import (
    BLOCK_NAMES,
    LatencySample,
    LatencyTable,
    Saving,
    block_modules,
    fit,
    paying_step,
    savings,
)
from ..targets.measure import Profile, profile, profiles_over_ssh, usual_speed
from ..targets.protocol import WRITING, TargetSpec
from ..targets.remote import require_measurable
from ..targets.table import machine_of, target_named

NEVER = NeverCancelled()
Made = TypeVar("Made")
AT_ONCE = 4
"""Models that one process exports: what a stopped run loses at most."""
SECONDS = 0.6
"""How long each model and its blocks are measured."""
TOOLS = ("torch", "onnx", "onnxscript", "numpy")
"""What decides, besides the runtime, what a file computes."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured, and where it is kept.

    Attributes:
        prepared: The opened model.
        analysis: Of it.
        target: On what.
        folder: Where files of samples lie.
    """

    prepared: Prepared
    analysis: Analysis
    target: TargetSpec
    folder: Path

    @property
    def machine(self) -> str:
        """Processor, cores and runtime version in words."""
        return machine_of(self.target)

    @property
    def file(self) -> Path:
        """The samples of a model of this shape on this target and machine."""
        analysis = self.analysis
        content = {
            "tensors": [(one.name, one.shape, one.axes) for one in analysis.tensors],
            "recorded": analysis.recorded,
            "inputs": analysis.input_shapes,
            "outputs": analysis.outputs,
            "place": to_plain(self.target.place),
            "names": BLOCK_NAMES,
            "machine": [self.machine, *map(_version, TOOLS)],
        }
        return named_by(self.folder, content)


def latency_table(session: Session, target: TargetSpec, token: CancelToken = NEVER) -> Job[LatencyTable]:
    """The table that predicts the latency of any plan on a target; what is missing in it is measured first.

    Widths in it are multiples of `target.multiple`.
    """
    return (yield from measured_table(measuring_for(session, target), token, target.multiple))


def latency_savings(
    session: Session, state: str, target: TargetSpec, token: CancelToken = NEVER
) -> Job[tuple[Saving, ...]]:
    """What half of each set of a state saves on a target, and where removal buys no time there."""
    table = yield from latency_table(session, target, token)
    return savings(session.analysis, table, session.removed(state))


def liked_multiple(session: Session, target: TargetSpec, token: CancelToken = NEVER) -> Job[int]:
    """The multiple of widths that saves time on a target, as measured; 0 where none does."""
    return (yield from paying_multiple(measuring_for(session, target), token))


def forget_latencies(session: Session, target: TargetSpec) -> None:
    """Measure anew what is asked next of a target, where the machine was busy before."""
    measuring_for(session, target).file.unlink(missing_ok=True)


def measuring_for(session: Session, target: TargetSpec) -> Measuring:
    """What is measured of a session's model on a target."""
    return Measuring(session.prepared, session.analysis, target, session.location.cache / "latency")


def measured_table(measuring: Measuring, token: CancelToken, multiple: int, count: int = SAMPLES) -> Job[LatencyTable]:
    """Measure what is missing, and make the table.

    Args:
        measuring: What and where.
        token: Cancels; what was measured is kept.
        multiple: Of the kept widths in the samples: that of the plans that will be predicted.
        count: Cut models, the original among them.
    """
    analysis, store = measuring.analysis, Stored(measuring.file, Profile)
    plans = list(samples(analysis, multiple, count))
    yield from _measure_missing(measuring, plans, store, token)
    seen = [sample for plan in plans if (sample := _sample(kept_sizes(analysis, plan), store)) is not None]
    machines = {one.machine for key in store if (one := store.get(key)) is not None and one.machine}
    machine = "; ".join(sorted(machines)) or measuring.machine
    table = fit(seen, measuring.target, machine, multiple, _itself(measuring, store))
    known: dict[str, str] | None = None
    if _takes_files(measuring):
        # The module of each block of the original's file; written once, as what was measured.
        from ..export.name_fused_blocks import node_modules  # brings onnx, which opening and scoring do not need

        kept = Stored(measuring.file.with_suffix(".homes"), dict[str, str])
        known = kept.get("original")
        if known is None:
            with temporary_folder() as place:
                nothing = [analysis.empty()]
                words = Progress("Matching fused blocks to layers")
                written = yield from part_of(words, cut_models(measuring, nothing, place / "0", token), words=False)
                # Nothing is cut from the original, so it cannot fail.
                assert written[0] is not None
                known = node_modules(written[0])
            kept.put("original", known)
    return replace(table, homes=block_modules(table.blocks, known))


def _takes_files(measuring: Measuring) -> bool:
    return target_named(measuring.target.runtime).takes == "onnx"


def paying_multiple(measuring: Measuring, token: CancelToken) -> Job[int]:
    """The multiple of widths from which on removal saves time on the target; 0 where none of `STEPS` does.

    A few structures are taken out of every set at once, on cut models that are measured and kept as those of a table.
    """
    analysis, store = measuring.analysis, Stored(measuring.file, Profile)
    small = list(steps(analysis))
    yield from _measure_missing(measuring, [analysis.empty(), *(plan for _, plan in small)], store, token)
    full, rows = max(costs(analysis).macs, 1), list[tuple[int, float, float]]()
    for size, plan in small:
        one = _sample(kept_sizes(analysis, plan), store)
        if one is not None:
            rows.append((size, 1 - costs(analysis, plan).macs / full, 1 - one.seconds / one.original))
    return paying_step(rows, _itself(measuring, store))


def _itself(measuring: Measuring, store: Stored[Profile]) -> float:
    """Relative difference of the original against itself."""
    one = _sample(kept_sizes(measuring.analysis, measuring.analysis.empty()), store)
    return 0.0 if one is None else abs(one.seconds / one.original - 1)


def _measure_missing(
    measuring: Measuring, plans: Sequence[Mask], store: Stored[Profile], token: CancelToken
) -> Job[None]:
    """See to it that every plan that can be cut has been measured."""
    missing = [plan for plan in plans if _key(kept_sizes(measuring.analysis, plan)) not in store]
    if not missing:
        return
    if measuring.target.address:
        yield from require_measurable(measuring.target, token)
    with temporary_folder() as place:
        original = yield from cut_models(measuring, [measuring.analysis.empty()], place / "original", token)
        # Nothing is cut from the original, so it cannot fail.
        assert original[0] is not None
        done = len(plans) - len(missing)
        for start in range(0, len(missing), AT_ONCE):
            some, folder = missing[start : start + AT_ONCE], place / str(start)
            numbers = {"first": done + 1, "last": done + len(some), "count": len(plans)}
            shown = Message("progress.writing", "Writing cut models {first} to {last} of {count}", numbers)
            begin, end = done / len(plans), (done + len(some)) / len(plans)
            written = begin + (end - begin) * WRITING / (WRITING + 1)
            words = Progress(shown, done, len(plans), share=begin)
            files = yield from part_of(words, cut_models(measuring, some, folder, token), words=False, until=written)
            cut_files = [(plan, file) for plan, file in zip(some, files, strict=True) if file is not None]
            profiled = _profile_there if measuring.target.address and cut_files else _profile_here
            job = profiled(measuring, _Cuts(original[0], cut_files, done, len(plans)), store, token)
            yield from spanning(job, written, end)
            done += len(some)
            shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Some of the plans, cut and written.

    Attributes:
        original: The original's file.
        files: Those of the plans.
        done: How many plans were measured before them.
        count: How many there are in all.
    """

    original: Path
    files: list[tuple[Mask, Path]]
    done: int
    count: int


def _profile_here(measuring: Measuring, cuts: _Cuts, store: Stored[Profile], token: CancelToken) -> Job[None]:
    """Profile cut models one after the other; each is kept at once."""
    target, inputs = replace(measuring.target, seconds=SECONDS), measuring.prepared.inputs
    for position, (plan, file) in enumerate(cuts.files):
        number = cuts.done + position
        numbers = {"number": number + 1, "count": cuts.count}
        shown = Message("progress.measuring", "Measuring cut model {number} of {count}", numbers)
        usual = usual_speed(filter(None, map(store.get, store)))
        job = profile(cuts.original, file, inputs, target, token, usual)
        progress = Progress(shown, number, cuts.count, share=position / len(cuts.files))
        found = yield from part_of(progress, job, words=False, until=(position + 1) / len(cuts.files))
        store.put(_key(kept_sizes(measuring.analysis, plan)), found)


def _profile_there(measuring: Measuring, cuts: _Cuts, store: Stored[Profile], token: CancelToken) -> Job[None]:
    """The same on another machine: all of them in one connection, in turns."""
    target, files = replace(measuring.target, seconds=SECONDS), [file for _, file in cuts.files]
    numbers = {"first": cuts.done + 1, "last": cuts.done + len(files), "count": cuts.count}
    shown = Message("progress.measuring_cuts", "Cut models {first} to {last} of {count}", numbers)
    job = profiles_over_ssh(cuts.original, files, measuring.prepared.inputs, target, token)
    found = yield from part_of(Progress(shown, cuts.done, cuts.count, share=0.0), job, until=1.0)
    for (plan, _), one in zip(cuts.files, found, strict=True):
        store.put(_key(kept_sizes(measuring.analysis, plan)), one)


def cut_models(measuring: Measuring, plans: Sequence[Mask], folder: Path, token: CancelToken) -> Job[list[Path | None]]:
    """Write what the target takes of each plan, into a folder; None where a plan cannot be cut."""
    folder.mkdir(parents=True, exist_ok=True)
    prepared, fails = measuring.prepared, set[int]()
    models = _cut_in_turn(measuring, plans, fails, token)
    inputs = at_size(prepared.inputs, measuring.target.lengths)
    if _takes_files(measuring):
        written = yield from write_several(models, inputs, prepared.spec, folder, token)
    else:
        written = list[Path]()
        for number, (model, edits) in enumerate(models):
            path = folder / str(number)
            path.mkdir()
            pack(path, model, edits, prepared.spec, prepared.inputs)
            written.append(path)
    found = iter(written)
    return [None if number in fails else next(found) for number in range(len(plans))]


def _cut_in_turn(
    measuring: Measuring, plans: Sequence[Mask], fails: set[int], token: CancelToken
) -> Iterator[tuple[Any, Edits]]:
    """The models of the plans, one at a time; the numbers of those that cannot be cut go into `fails`."""
    model, analysis, inputs = measuring.prepared.opened.model, measuring.analysis, measuring.prepared.inputs
    for number, plan in enumerate(plans):
        check(token)
        if not plan.any():
            yield model, Edits()
            continue
        try:
            done = cut(model, analysis, plan, inputs)
        except (PlanError, VerificationError):
            fails.add(number)
            continue
        yield done.model.eval(), done.edits


def _sample(kept: NDArray[np.int64], store: Stored[Profile]) -> LatencySample | None:
    """What was measured of a plan that keeps so much."""
    one = store.get(_key(kept))
    return None if one is None else LatencySample(kept, one.seconds, one.original, one.wall, one.kernels)


def _key(kept: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(kept).tobytes()).hexdigest()


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return ""
