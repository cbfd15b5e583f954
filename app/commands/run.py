"""Commands that start and stop jobs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..document import preconditions
from ..text.titles import recovery_called
from ..text.translate import QT_TRANSLATE_NOOP, counted
from .command import CONTEXT, Command, say

if TYPE_CHECKING:
    from ..document.document import Document

MENU = QT_TRANSLATE_NOOP(CONTEXT, "Run")


def _cancel(window: Any) -> None:
    jobs = window.document.jobs
    if jobs:
        window.document.cancel(jobs[0].id)


def _sensitivity(window: Any) -> None:
    window.document.studies.sensitivity()
    window.show_panel("sensitivity")


def _bench(window: Any) -> None:
    from ..dialogs.remote_bench import ask_write

    ask_write(window)


def _bench_results(window: Any) -> None:
    from ..dialogs.remote_bench import ask_results

    ask_results(window)


def _sweep(window: Any) -> None:
    from ..dialogs.sweep import ask

    ask(window)


def _baselines(window: Any) -> None:
    from ..dialogs.baselines import ask

    ask(window)


def _lowest(window: Any) -> None:
    from ..dialogs.find_fastest import ask

    ask(window)


def _cut_words(document: "Document") -> str:
    count = int(document.marked.sum())
    return counted(count, say("Cut {count} structure"), say("Cut {count} structures")) if count else say("Cut")


def _recover_words(document: "Document") -> str:
    return recovery_called(document.recovery)


def _takes(method: str, *rest: Callable[["Document"], Any]) -> Callable[["Document"], str]:
    """What a call of the session on the present state takes; `rest` gives its further arguments."""

    def words(document: "Document") -> str:
        given = (one(document) for one in rest)
        return document.work.pace.words(method, document.contents.present, *given)

    return words


def _measure_takes(document: "Document") -> str:
    states = tuple(dict.fromkeys(one.id for one in (document.original, document.state) if one is not None))
    return document.work.pace.words("measure", states, document.target)


RUN = (
    Command(
        "run.cut",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Cut"),
        QT_TRANSLATE_NOOP(CONTEXT, "Remove what is marked and verify the result. Undo brings it back."),
        lambda window: window.document.cut(),
        "Ctrl+Return",
        preconditions.all_of(
            preconditions.opened,
            preconditions.at_hand,
            preconditions.idle,
            preconditions.marked,
            preconditions.no_study,
        ),
        _cut_words,
        _takes("cut"),
    ),
    Command(
        "run.recover",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Recover"),
        QT_TRANSLATE_NOOP(CONTEXT, "Fine-tune the present state with the original as teacher."),
        lambda window: window.document.recover(window.document.recovery),
        "Ctrl+R",
        preconditions.all_of(
            preconditions.opened,
            preconditions.at_hand,
            preconditions.idle,
            preconditions.judged,
            preconditions.smaller,
            preconditions.no_plan,
            preconditions.no_study,
        ),
        _recover_words,
        _takes("recover", lambda document: document.recovery),
    ),
    Command(
        "run.evaluate",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Evaluate"),
        QT_TRANSLATE_NOOP(CONTEXT, "Measure the metric of the present state again."),
        lambda window: window.document.evaluate(),
        "",
        preconditions.all_of(preconditions.opened, preconditions.at_hand, preconditions.judged),
        takes=_takes("evaluate", lambda document: document.judged_on),
        line=True,
    ),
    Command(
        "run.measure",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure on the target"),
        QT_TRANSLATE_NOOP(CONTEXT, "Measure the latency of original and present state, interleaved."),
        lambda window: window.document.measure(),
        "Ctrl+Shift+M",
        preconditions.all_of(preconditions.opened, preconditions.at_hand, preconditions.here),
        takes=_measure_takes,
    ),
    Command(
        "run.bench",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure elsewhere..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Write a folder that measures original and present state on another machine."),
        _bench,
        "",
        preconditions.all_of(preconditions.opened, preconditions.at_hand, preconditions.no_plan),
    ),
    Command(
        "run.bench_results",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Read results from elsewhere..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Take the latencies that bench.py measured on another machine."),
        _bench_results,
        "",
        preconditions.all_of(preconditions.opened, preconditions.at_hand),
    ),
    Command(
        "run.latencies",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure what removal saves"),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Cut models timed on the target: the time of each layer, and where removal buys none."
        ),
        lambda window: window.document.work.tabulate(),
        "",
        preconditions.all_of(preconditions.opened, preconditions.here, preconditions.untabled),
        line=True,
    ),
    Command(
        "run.sensitivity",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Measure sensitivity"),
        QT_TRANSLATE_NOOP(CONTEXT, "Cut each layer on trial, 10 to 90 %, and say what that costs in accuracy."),
        _sensitivity,
        "",
        preconditions.all_of(
            preconditions.opened, preconditions.at_hand, preconditions.judged, preconditions.unmeasured
        ),
        takes=_takes("sensitivity"),
    ),
    Command(
        "run.sweep",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Sweep budgets..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Cut and recover at several budgets, unattended: the trade-off curve."),
        _sweep,
        "Ctrl+Shift+G",
        preconditions.all_of(
            preconditions.opened,
            preconditions.at_hand,
            preconditions.idle,
            preconditions.judged,
            preconditions.no_study,
        ),
        line=True,
    ),
    Command(
        "run.lowest",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Find the fastest..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Search the lowest latency, or another cost, that loses at most so many points."),
        _lowest,
        "Ctrl+Shift+L",
        preconditions.all_of(
            preconditions.opened,
            preconditions.idle,
            preconditions.judged,
            preconditions.no_plan,
            preconditions.no_study,
        ),
    ),
    Command(
        "run.baselines",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Baselines..."),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Was it worth pruning? Random removal, from scratch, a stock model, single weights."
        ),
        _baselines,
        "Ctrl+Shift+B",
        preconditions.all_of(
            preconditions.opened,
            preconditions.idle,
            preconditions.judged,
            preconditions.no_plan,
            preconditions.no_baseline,
        ),
    ),
    Command(
        "run.cancel",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Cancel job"),
        QT_TRANSLATE_NOOP(CONTEXT, "Stop the running job. What it has made stays; nothing else is changed."),
        _cancel,
        "Esc",
        preconditions.running,
        line=True,
    ),
)
