"""The demonstration where there is no display: prunes the bundled ResNet, and writes a report and an ONNX file."""

from contextlib import closing
from pathlib import Path

from ..session.session import Session
from ..sources.protocol import ModelSpec
from ..storage.atomic_files import write
from ..storage.serialization import to_json, to_plain
from ..targets.protocol import TargetSpec
from ..workflows.measure import measure_states
from ..workflows.prune import PruneRequest
from .output import Reporter, keep_standard_output
from .prune import check_export, complete_request, run_prune, write_export
from .prune_request import DEFAULT
from .tables import comparison, costs_of, export_line, export_of, metrics_of, verification_of, verification_text

BATCH = 64
"""Batch size that the demonstration measures at."""


def demo(folder: Path, asked: PruneRequest = DEFAULT) -> int:
    """Prune `bundled:resnet` to half of its MACs, recover, measure, export; returns an exit code."""
    reporter = Reporter()
    folder.mkdir(parents=True, exist_ok=True)
    onnx = str(folder / "resnet-pruned.onnx")
    check_export(onnx, overwrite=True)
    reporter.note("No display found: running the demonstration without the window (pruning the bundled ResNet).")
    with keep_standard_output(), closing(Session()) as session:
        opened = reporter.finish(session.open(ModelSpec("bundled:resnet")))
        notes = list[str]()
        request = complete_request(session, opened, opened.state, asked, reporter, notes)
        done = run_prune(session, opened, opened.state, request, reporter, notes)
        exported = write_export(session, done.result, onnx, reporter, overwrite=True)
        assert exported is not None
        target = TargetSpec(batch=BATCH)
        timings = reporter.finish(measure_states(session, (opened.state.id, done.result.id), target))
        original, result = session.history.state(opened.state.id), session.history.state(done.result.id)
    content = {
        "model": done.opened.name,
        "before": costs_of(original),
        "after": costs_of(result),
        "verification": verification_of(done.cut.verification),
        "metrics": metrics_of((("original", original), ("result", result))),
        "timings": to_plain(timings),
        "export": export_of(exported),
    }
    before, after = timings
    target = before.target
    speed = before.median / after.median
    times = f"{before.median:.3g} ms -> {after.median:.3g} ms a batch of {BATCH}, {speed:.2f} times as fast"
    text = "\n".join(
        [
            "# The bundled ResNet with half of its multiply-accumulates",
            "",
            "```",
            comparison(original, result),
            "",
            times,
            f"({target.runtime}, {target.threads} thread, median of {before.runs} runs, {before.machine})",
            "```",
            "",
            f"{verification_text(done.cut.verification)}.",
            "",
            f"{export_line(exported)}.",
            "",
        ]
    )
    report, data = folder / "report.md", folder / "report.json"
    write(report, text.encode())
    write(data, to_json(content, indent=2) + b"\n")
    files = report, data, *(Path(file) for file in exported.files)
    for file in files:
        reporter.note(f"wrote {file}")
    return 0
