"""Commands that start and stop jobs."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..document.preconditions import (
    all_of,
    can_add_baselines,
    engine_is_elsewhere,
    has_jobs,
    has_marks,
    has_model,
    has_no_marks,
    has_task,
    has_to_try,
    has_weights,
    is_idle,
    is_pruned,
    needs_latency_table,
    needs_sensitivity,
    no_long_job,
    target_is_reachable,
)
from ..jobs.workbench import Workbench
from ..text.titles import recovery_title
from ..text.translate import QT_TRANSLATE_NOOP, counted
from .command import CONTEXT, Command, opens, say

_command = partial(Command, QT_TRANSLATE_NOOP(CONTEXT, "Run"))
ENGINE = QT_TRANSLATE_NOOP(CONTEXT, "Engine")


def _cancel_job(window: WindowApi) -> None:
    jobs = window.document.jobs
    if jobs:
        window.workbench.runner.request_cancel(jobs[0].id)


def _measure_sensitivity(window: WindowApi) -> None:
    window.workbench.sensitivity.start()
    window.show_panel("sensitivity")


def _disconnect_words(document: Document) -> str:
    place = document.engine.place
    return say("Disconnect from {host}").format(host=place) if place else say("Disconnect")


def _cut_words(document: Document) -> str:
    count = int(document.marked.sum())
    return counted(count, say("Cut {count} structure"), say("Cut {count} structures")) if count else say("Cut")


def _try_words(document: Document) -> str:
    one, many, count = say("Try without {count} structure"), say("Try without {count} structures"), len(document.to_try)
    return counted(count, one, many) if count else say("Try without it")


def _takes(method: str, *rest: Callable[[Document], Any]) -> Callable[[Workbench], str]:
    """What a call of the session on the current state takes; `rest` gives its further arguments."""

    def words(workbench: Workbench) -> str:
        document = workbench.document
        given = (one(document) for one in rest)
        return workbench.estimator.words(method, document.contents.present, *given)

    return words


def _measure_takes(workbench: Workbench) -> str:
    document = workbench.document
    states = tuple(dict.fromkeys(one.id for one in (document.original, document.state) if one is not None))
    return workbench.estimator.words("measure", states, document.target)


RUN = (
    _command(
        "run.cut",
        "Cut",
        "Remove the marked structures and verify the result. Undo restores them.",
        lambda window: window.workbench.states.cut(),
        "Ctrl+Return",
        enabled=all_of(has_model, has_weights, is_idle, has_marks, no_long_job),
        words=_cut_words,
        takes=_takes("cut"),
    ),
    _command(
        "run.try",
        "Try without it",
        "See what the metric loses without the selected structures, else the marked ones, and which samples. "
        "Nothing is cut.",
        lambda window: window.workbench.changes.try_without(),
        "Ctrl+Shift+Return",
        enabled=all_of(has_model, has_weights, has_task, has_to_try),
        words=_try_words,
    ),
    _command(
        "run.recover",
        "Recover",
        "Fine-tune the current state with the original as teacher.",
        lambda window: window.workbench.states.recover(window.document.recovery),
        "Ctrl+R",
        enabled=all_of(has_model, has_weights, is_idle, has_task, is_pruned, has_no_marks, no_long_job),
        words=lambda document: recovery_title(document.recovery),
        page="recover",
        takes=_takes("recover", lambda document: document.recovery),
    ),
    _command(
        "run.evaluate",
        "Evaluate",
        "Measure the metric of the current state again.",
        lambda window: window.workbench.states.evaluate(),
        enabled=all_of(has_model, has_weights, has_task),
        takes=_takes("evaluate", lambda document: document.evaluation_split),
        line=True,
    ),
    _command(
        "run.measure",
        "Measure on the target",
        "Measure the latency of the original and the current state in alternating runs.",
        lambda window: window.workbench.states.measure(),
        "Ctrl+Shift+M",
        enabled=all_of(has_model, has_weights, target_is_reachable),
        takes=_measure_takes,
    ),
    _command(
        "run.over_ssh",
        "Measure over SSH...",
        "Measure latency on another machine, such as a board, that your ssh reaches.",
        opens("remote_bench", "MeasureOverSsh"),
        enabled=all_of(has_model, has_weights, has_no_marks),
    ),
    _command(
        "run.bench",
        "Measure on another machine...",
        "Write a folder with a benchmark script to run on another machine.",
        opens("remote_bench", "WriteBench"),
        enabled=all_of(has_model, has_weights, has_no_marks),
    ),
    _command(
        "run.bench_results",
        "Read results from another machine...",
        "Load the latencies that bench.py measured on another machine.",
        opens("remote_bench", "ask_results"),
        enabled=all_of(has_model, has_weights),
    ),
    _command(
        "run.job",
        "Write recovery job...",
        "Write a folder that recovers the current state on another machine, by SSH, Slurm or a shell.",
        opens("remote_bench", "WriteJob"),
        enabled=all_of(has_model, has_weights, has_task, is_pruned, has_no_marks),
        line=True,
    ),
    _command(
        "run.job_results",
        "Read recovery job...",
        "Take the states that a job made on another machine into the history.",
        opens("remote_bench", "ask_job_results"),
        enabled=all_of(has_model, has_weights, is_idle),
    ),
    _command(
        "run.latencies",
        "Measure latency savings",
        "Time cut models on the target: the latency of each layer, and where removal saves none.",
        lambda window: window.workbench.plan.measure_latencies(),
        enabled=all_of(has_model, target_is_reachable, needs_latency_table),
        line=True,
    ),
    _command(
        "run.sensitivity",
        "Measure sensitivity",
        "Cut 10 to 90 % of each layer on trial and show how the metric changes.",
        _measure_sensitivity,
        enabled=all_of(has_model, has_weights, has_task, needs_sensitivity),
        takes=_takes("sensitivity"),
    ),
    _command(
        "run.sweep",
        "Sweep budgets...",
        "Cut and recover at several budgets to draw the trade-off curve.",
        opens("sweep", "SweepDialog"),
        "Ctrl+Shift+G",
        enabled=all_of(has_model, has_weights, is_idle, has_task, no_long_job),
        line=True,
    ),
    _command(
        "run.lowest",
        "Find the fastest...",
        "Find the lowest latency, or another cost, within a limit on the loss.",
        opens("find_fastest", "FindFastest"),
        "Ctrl+Shift+L",
        enabled=all_of(has_model, is_idle, has_task, has_no_marks, no_long_job),
    ),
    _command(
        "run.baselines",
        "Baselines...",
        "Compare with random removal, training from scratch, a stock model and unstructured pruning.",
        opens("baselines", "ask"),
        "Ctrl+Shift+B",
        enabled=all_of(has_model, is_idle, has_task, has_no_marks, can_add_baselines),
    ),
    _command(
        "run.connect",
        "Connect to an engine...",
        "Compute on another machine, reached by ssh. What is open here stays as a draft.",
        opens("connect", "ask"),
        enabled=is_idle,
        line=True,
        within=ENGINE,
    ),
    _command(
        "run.disconnect",
        "Disconnect",
        "Compute on this machine again. The engine on the other machine ends.",
        opens("connect", "disconnect"),
        enabled=all_of(engine_is_elsewhere, is_idle),
        words=_disconnect_words,
        within=ENGINE,
    ),
    _command(
        "run.device",
        "Device...",
        "Choose where models score, evaluate and train; see the memory and load of each.",
        opens("device", "DeviceDialog"),
        enabled=has_model,
    ),
    _command(
        "run.cancel",
        "Cancel job",
        "Stop the running job. Finished results are kept.",
        _cancel_job,
        "Esc",
        enabled=has_jobs,
        line=True,
    ),
)
