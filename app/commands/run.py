"""Commands that start and stop jobs."""

from collections.abc import Callable
from typing import Any

from ..dialogs.window_api import WindowApi
from ..document import preconditions
from ..document.document import Document
from ..jobs.workbench import Workbench
from ..text.titles import recovery_called
from ..text.translate import QT_TRANSLATE_NOOP, counted
from .command import CONTEXT, Command, opens, say

MENU = QT_TRANSLATE_NOOP(CONTEXT, "Run")
ENGINE = QT_TRANSLATE_NOOP(CONTEXT, "Engine")


def _cancel(window: WindowApi) -> None:
    jobs = window.document.jobs
    if jobs:
        window.workbench.runner.request_cancel(jobs[0].id)


def _sensitivity(window: WindowApi) -> None:
    window.workbench.sensitivity.start()
    window.show_panel("sensitivity")


def _disconnect_words(document: Document) -> str:
    place = document.engine.place
    return say("Disconnect from {host}").format(host=place) if place else say("Disconnect")


def _cut_words(document: Document) -> str:
    count = int(document.marked.sum())
    return counted(count, say("Cut {count} structure"), say("Cut {count} structures")) if count else say("Cut")


def _recover_words(document: Document) -> str:
    return recovery_called(document.recovery)


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
    Command(
        "run.cut",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Cut"),
        QT_TRANSLATE_NOOP(CONTEXT, "Remove the marked structures and verify the result. Undo restores them."),
        lambda window: window.workbench.states.cut(),
        "Ctrl+Return",
        preconditions.all_of(
            preconditions.has_model,
            preconditions.has_weights,
            preconditions.is_idle,
            preconditions.has_marks,
            preconditions.no_long_job,
        ),
        _cut_words,
        _takes("cut"),
    ),
    Command(
        "run.recover",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Recover"),
        QT_TRANSLATE_NOOP(CONTEXT, "Fine-tune the current state with the original as teacher."),
        lambda window: window.workbench.states.recover(window.document.recovery),
        "Ctrl+R",
        preconditions.all_of(
            preconditions.has_model,
            preconditions.has_weights,
            preconditions.is_idle,
            preconditions.has_task,
            preconditions.is_pruned,
            preconditions.has_no_marks,
            preconditions.no_long_job,
        ),
        _recover_words,
        _takes("recover", lambda document: document.recovery),
    ),
    Command(
        "run.evaluate",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Evaluate"),
        QT_TRANSLATE_NOOP(CONTEXT, "Measure the metric of the current state again."),
        lambda window: window.workbench.states.evaluate(),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.has_weights, preconditions.has_task),
        takes=_takes("evaluate", lambda document: document.evaluation_split),
        line=True,
    ),
    Command(
        "run.measure",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure on the target"),
        QT_TRANSLATE_NOOP(CONTEXT, "Measure the latency of the original and the current state in alternating runs."),
        lambda window: window.workbench.states.measure(),
        "Ctrl+Shift+M",
        preconditions.all_of(preconditions.has_model, preconditions.has_weights, preconditions.target_is_reachable),
        takes=_measure_takes,
    ),
    Command(
        "run.over_ssh",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure over SSH..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Measure latency on another machine, such as a board, that your ssh reaches."),
        opens("remote_bench"),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.has_weights, preconditions.has_no_marks),
    ),
    Command(
        "run.bench",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure on another machine..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write a folder with a benchmark script to run on another machine."),
        opens("remote_bench", "ask_write"),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.has_weights, preconditions.has_no_marks),
    ),
    Command(
        "run.bench_results",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Read results from another machine..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Load the latencies that bench.py measured on another machine."),
        opens("remote_bench", "ask_results"),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.has_weights),
    ),
    Command(
        "run.job",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Write recovery job..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Write a folder that recovers the current state on another machine, by SSH, Slurm or a shell."
        ),
        opens("remote_bench", "ask_write_job"),
        "",
        preconditions.all_of(
            preconditions.has_model,
            preconditions.has_weights,
            preconditions.has_task,
            preconditions.is_pruned,
            preconditions.has_no_marks,
        ),
        line=True,
    ),
    Command(
        "run.job_results",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Read recovery job..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Take the states that a job made on another machine into the history."),
        opens("remote_bench", "ask_job_results"),
        "",
        preconditions.all_of(preconditions.has_model, preconditions.has_weights, preconditions.is_idle),
    ),
    Command(
        "run.latencies",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure latency savings"),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Time cut models on the target: the latency of each layer, and where removal saves none."
        ),
        lambda window: window.workbench.plan.measure_latencies(),
        "",
        preconditions.all_of(
            preconditions.has_model, preconditions.target_is_reachable, preconditions.needs_latency_table
        ),
        line=True,
    ),
    Command(
        "run.sensitivity",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure sensitivity"),
        QT_TRANSLATE_NOOP(CONTEXT, "Cut 10 to 90 % of each layer on trial and show how the metric changes."),
        _sensitivity,
        "",
        preconditions.all_of(
            preconditions.has_model, preconditions.has_weights, preconditions.has_task, preconditions.needs_sensitivity
        ),
        takes=_takes("sensitivity"),
    ),
    Command(
        "run.sweep",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Sweep budgets..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Cut and recover at several budgets to draw the trade-off curve."),
        opens("sweep"),
        "Ctrl+Shift+G",
        preconditions.all_of(
            preconditions.has_model,
            preconditions.has_weights,
            preconditions.is_idle,
            preconditions.has_task,
            preconditions.no_long_job,
        ),
        line=True,
    ),
    Command(
        "run.lowest",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Find the fastest..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Find the lowest latency, or another cost, within a limit on the loss."),
        opens("find_fastest"),
        "Ctrl+Shift+L",
        preconditions.all_of(
            preconditions.has_model,
            preconditions.is_idle,
            preconditions.has_task,
            preconditions.has_no_marks,
            preconditions.no_long_job,
        ),
    ),
    Command(
        "run.baselines",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Baselines..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Compare with random removal, training from scratch, a stock model and unstructured pruning."
        ),
        opens("baselines"),
        "Ctrl+Shift+B",
        preconditions.all_of(
            preconditions.has_model,
            preconditions.is_idle,
            preconditions.has_task,
            preconditions.has_no_marks,
            preconditions.can_add_baselines,
        ),
    ),
    Command(
        "run.connect",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Connect to an engine..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Compute on another machine, reached by ssh. What is open here stays as a draft."),
        opens("connect"),
        "",
        preconditions.is_idle,
        line=True,
        within=ENGINE,
    ),
    Command(
        "run.disconnect",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Disconnect"),
        QT_TRANSLATE_NOOP(CONTEXT, "Compute on this machine again. The engine on the other machine ends."),
        opens("connect", "disconnect"),
        "",
        preconditions.all_of(preconditions.engine_is_elsewhere, preconditions.is_idle),
        _disconnect_words,
        within=ENGINE,
    ),
    Command(
        "run.device",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Device..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Choose where models score, evaluate and train; see the memory and load of each."),
        opens("device"),
        "",
        preconditions.has_model,
    ),
    Command(
        "run.cancel",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Cancel job"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Stop the running job. Finished results are kept.",
        ),
        _cancel,
        "Esc",
        preconditions.has_jobs,
        line=True,
    ),
)
