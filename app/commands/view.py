"""Commands of the window itself: look, palette, help."""

from collections.abc import Callable
from typing import Any

from ..words import QT_TRANSLATE_NOOP
from . import reasons
from .command import CONTEXT, Command

MENU = QT_TRANSLATE_NOOP(CONTEXT, "View")
HELP = QT_TRANSLATE_NOOP(CONTEXT, "Help")


def _palette(window: Any) -> None:
    from .palette import show_palette

    show_palette(window)


def _shortcuts(window: Any) -> None:
    from .sheet import show_sheet

    show_sheet(window)


def _criteria(window: Any) -> None:
    from ..dialogs.criteria import show_criteria

    show_criteria(window)


def _about(window: Any) -> None:
    from ..dialogs.about import show_about

    show_about(window)


def _shower(module: str) -> Callable[[Any], None]:
    return lambda window: window.show_panel(module)


VIEW = (
    Command(
        "view.palette",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Command palette..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Find any command by its name."),
        _palette,
        "Ctrl+Shift+P",
    ),
    Command(
        "view.tradeoff",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show trade-off"),
        QT_TRANSLATE_NOOP(CONTEXT, "Metric against cost, every state a point."),
        _shower("tradeoff"),
        "Ctrl+1",
        reasons.opened,
    ),
    Command(
        "view.layers",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show layers"),
        QT_TRANSLATE_NOOP(CONTEXT, "What each layer keeps, costs and can lose, and which layers are tied."),
        _shower("layers"),
        "Ctrl+2",
        reasons.opened,
    ),
    Command(
        "view.heads",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show heads"),
        QT_TRANSLATE_NOOP(CONTEXT, "Layers by heads, coloured by their scores, to mark in."),
        _shower("heads"),
        "Ctrl+3",
        reasons.opened,
    ),
    Command(
        "view.sensitivity",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show sensitivity"),
        QT_TRANSLATE_NOOP(CONTEXT, "The metric against what is removed of each layer."),
        _shower("sensitivity"),
        "Ctrl+4",
        reasons.opened,
    ),
    Command(
        "view.compare",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show comparison"),
        QT_TRANSLATE_NOOP(CONTEXT, "Two states or plans side by side, and a table of all runs."),
        _shower("compare"),
        "Ctrl+5",
        reasons.opened,
    ),
    Command(
        "view.system",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Theme of the system"),
        QT_TRANSLATE_NOOP(CONTEXT, "Light or dark, as the system has it."),
        lambda window: window.dress("system"),
    ),
    Command(
        "view.light",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Light theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always light."),
        lambda window: window.dress("light"),
    ),
    Command(
        "view.dark",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Dark theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always dark."),
        lambda window: window.dress("dark"),
    ),
    Command(
        "view.reset",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Reset layout"),
        QT_TRANSLATE_NOOP(CONTEXT, "Put every panel back to where it was at first."),
        lambda window: window.reset_layout(),
    ),
    Command(
        "help.shortcuts",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Keyboard shortcuts"),
        QT_TRANSLATE_NOOP(CONTEXT, "All shortcuts on one page."),
        _shortcuts,
        "F1",
    ),
    Command(
        "help.criteria",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Criteria"),
        QT_TRANSLATE_NOOP(CONTEXT, "What each computes, what it costs for this model, and where it comes from."),
        _criteria,
    ),
    Command(
        "help.about",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "About Secateur"),
        QT_TRANSLATE_NOOP(CONTEXT, "Versions and folders, to copy into a report."),
        _about,
    ),
)
