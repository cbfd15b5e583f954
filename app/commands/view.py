"""Commands of the window itself: look, palette, help."""

from collections.abc import Callable
from functools import partial

from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..document.preconditions import has_model
from ..text.translate import QT_TRANSLATE_NOOP
from ..theme import Scheme, sizes, theme
from ..theme.design_tokens import LARGEST, SMALLEST
from .command import CONTEXT, Command, opens, say

_command = partial(Command, QT_TRANSLATE_NOOP(CONTEXT, "View"))
_help_command = partial(Command, QT_TRANSLATE_NOOP(CONTEXT, "Help"))


def _shows(module: str) -> Callable[[WindowApi], None]:
    return lambda window: window.show_panel(module)


def _can_grow(_document: Document) -> str:
    return "" if sizes().body < LARGEST else say("Text already has its largest size.")


def _can_shrink(_document: Document) -> str:
    return "" if sizes().body > SMALLEST else say("Text already has its smallest size.")


VIEW = (
    _command(
        "view.palette",
        QT_TRANSLATE_NOOP(CONTEXT, "Command palette..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Find any command by its name."),
        lambda window: window.show_palette(),
        "Ctrl+Shift+P",
    ),
    _command(
        "view.tradeoff",
        QT_TRANSLATE_NOOP(CONTEXT, "Show trade-off"),
        QT_TRANSLATE_NOOP(CONTEXT, "Plot the metric against the cost, one point per state."),
        _shows("tradeoff"),
        "Ctrl+1",
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.layers",
        QT_TRANSLATE_NOOP(CONTEXT, "Show layers"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show what each layer keeps, costs and can lose, and which layers are coupled."),
        _shows("layers"),
        "Ctrl+2",
        enabled=has_model,
    ),
    _command(
        "view.heads",
        QT_TRANSLATE_NOOP(CONTEXT, "Show heads"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the heads of each layer, coloured by score. Click to mark."),
        _shows("heads"),
        "Ctrl+3",
        enabled=has_model,
    ),
    _command(
        "view.sensitivity",
        QT_TRANSLATE_NOOP(CONTEXT, "Show sensitivity"),
        QT_TRANSLATE_NOOP(CONTEXT, "Plot the metric against the share removed from each layer."),
        _shows("sensitivity"),
        "Ctrl+4",
        enabled=has_model,
    ),
    _command(
        "view.compare",
        QT_TRANSLATE_NOOP(CONTEXT, "Show comparison"),
        QT_TRANSLATE_NOOP(CONTEXT, "Compare two states or plans side by side, and list all runs."),
        _shows("compare"),
        "Ctrl+5",
        enabled=has_model,
    ),
    _command(
        "view.graph",
        QT_TRANSLATE_NOOP(CONTEXT, "Show graph"),
        QT_TRANSLATE_NOOP(CONTEXT, "Draw the layers and what feeds what, with blocks that fold."),
        _shows("graph"),
        "Ctrl+6",
        enabled=has_model,
    ),
    _command(
        "view.recovery",
        QT_TRANSLATE_NOOP(CONTEXT, "Show recovery"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show loss and metric during fine-tuning, and its settings."),
        _shows("recovery"),
        "Alt+1",
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.samples",
        QT_TRANSLATE_NOOP(CONTEXT, "Show samples"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the metric of the original, and samples as the model sees them."),
        _shows("samples"),
        "Alt+2",
        enabled=has_model,
    ),
    _command(
        "view.jobs",
        QT_TRANSLATE_NOOP(CONTEXT, "Show jobs"),
        QT_TRANSLATE_NOOP(CONTEXT, "List running and waiting jobs, and cancel them."),
        _shows("jobs"),
        "Alt+3",
        enabled=has_model,
    ),
    _command(
        "view.history",
        QT_TRANSLATE_NOOP(CONTEXT, "Show history"),
        QT_TRANSLATE_NOOP(CONTEXT, "List all states. Press Return to go to one."),
        _shows("history"),
        "Alt+4",
        enabled=has_model,
    ),
    _command(
        "view.recipe",
        QT_TRANSLATE_NOOP(CONTEXT, "Show recipe"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the session as a Python script that reproduces the weights."),
        _shows("recipe"),
        "Alt+5",
        enabled=has_model,
    ),
    _command(
        "view.log",
        QT_TRANSLATE_NOOP(CONTEXT, "Show log"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show what happened, line by line."),
        _shows("log"),
        "Alt+6",
        enabled=has_model,
    ),
    _command(
        "view.dock_model",
        QT_TRANSLATE_NOOP(CONTEXT, "Show or hide the tree"),
        QT_TRANSLATE_NOOP(CONTEXT, "The panel of layers and structures."),
        lambda window: window.toggle_dock("model"),
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.dock_inspector",
        QT_TRANSLATE_NOOP(CONTEXT, "Show or hide the inspector"),
        QT_TRANSLATE_NOOP(CONTEXT, "The panel that explains what is selected."),
        lambda window: window.toggle_dock("inspector"),
        enabled=has_model,
    ),
    _command(
        "view.dock_work",
        QT_TRANSLATE_NOOP(CONTEXT, "Show or hide activity"),
        QT_TRANSLATE_NOOP(CONTEXT, "The panel of recovery, jobs, history and log."),
        lambda window: window.toggle_dock("work"),
        enabled=has_model,
    ),
    _command(
        "view.save_plot",
        QT_TRANSLATE_NOOP(CONTEXT, "Save plot..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Save a plot as an image or as vector graphics, or its numbers as CSV."),
        opens("save_plot", "ask"),
        "Ctrl+Shift+S",
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.copy_plot",
        QT_TRANSLATE_NOOP(CONTEXT, "Copy plot"),
        QT_TRANSLATE_NOOP(CONTEXT, "Copy the plot in front as an image."),
        opens("save_plot", "copy"),
        "Ctrl+Shift+C",
        enabled=has_model,
    ),
    _command(
        "view.copy_numbers",
        QT_TRANSLATE_NOOP(CONTEXT, "Copy plot data"),
        QT_TRANSLATE_NOOP(CONTEXT, "Copy the numbers of the plot in front as CSV."),
        opens("save_plot", "copy", True),
        enabled=has_model,
    ),
    _command(
        "view.system",
        QT_TRANSLATE_NOOP(CONTEXT, "System theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Follow the light or dark theme of the system."),
        lambda window: window.dress("system"),
        line=True,
        chosen=lambda: theme().scheme is Scheme.SYSTEM,
    ),
    _command(
        "view.light",
        QT_TRANSLATE_NOOP(CONTEXT, "Light theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always use the light theme."),
        lambda window: window.dress("light"),
        chosen=lambda: theme().scheme is Scheme.LIGHT,
    ),
    _command(
        "view.dark",
        QT_TRANSLATE_NOOP(CONTEXT, "Dark theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always use the dark theme."),
        lambda window: window.dress("dark"),
        chosen=lambda: theme().scheme is Scheme.DARK,
    ),
    _command(
        "view.contrast",
        QT_TRANSLATE_NOOP(CONTEXT, "High-contrast theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always use the theme with the strongest contrast."),
        lambda window: window.dress("contrast"),
        chosen=lambda: theme().scheme is Scheme.CONTRAST,
    ),
    _command(
        "view.larger",
        QT_TRANSLATE_NOOP(CONTEXT, "Larger text"),
        QT_TRANSLATE_NOOP(CONTEXT, "Make text and controls larger."),
        lambda window: window.resize_text(1),
        "Ctrl++",
        enabled=_can_grow,
        line=True,
    ),
    _command(
        "view.smaller",
        QT_TRANSLATE_NOOP(CONTEXT, "Smaller text"),
        QT_TRANSLATE_NOOP(CONTEXT, "Make text and controls smaller."),
        lambda window: window.resize_text(-1),
        "Ctrl+-",
        enabled=_can_shrink,
    ),
    _command(
        "view.text",
        QT_TRANSLATE_NOOP(CONTEXT, "Normal text size"),
        QT_TRANSLATE_NOOP(CONTEXT, "Reset text and controls to their normal size."),
        lambda window: window.resize_text(0),
        "Ctrl+0",
    ),
    _command(
        "view.reset",
        QT_TRANSLATE_NOOP(CONTEXT, "Reset layout"),
        QT_TRANSLATE_NOOP(CONTEXT, "Move every panel back to its default place."),
        lambda window: window.reset_layout(),
        line=True,
    ),
    _help_command(
        "help.manual",
        QT_TRANSLATE_NOOP(CONTEXT, "Manual"),
        QT_TRANSLATE_NOOP(CONTEXT, "Open the manual at the page of the panel in front."),
        lambda window: window.show_manual(),
        "F1",
    ),
    _help_command(
        "help.tour",
        QT_TRANSLATE_NOOP(CONTEXT, "Tour"),
        QT_TRANSLATE_NOOP(CONTEXT, "See the program in six steps over the sample. Stop at any step."),
        lambda window: window.show_tour(),
    ),
    _help_command(
        "help.shortcuts",
        QT_TRANSLATE_NOOP(CONTEXT, "Keyboard shortcuts"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show all keyboard shortcuts."),
        lambda window: window.show_shortcuts(),
        "Ctrl+?",
    ),
    _help_command(
        "help.criteria",
        QT_TRANSLATE_NOOP(CONTEXT, "Criteria"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show what each criterion computes, what it costs for this model, and its source."),
        opens("criteria", "Criteria"),
    ),
    _help_command(
        "help.diagnostics",
        QT_TRANSLATE_NOOP(CONTEXT, "Diagnostics..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Show versions, machine, folders and recent errors to copy into a bug report."),
        opens("diagnostics", "Diagnostics"),
        line=True,
    ),
    _help_command(
        "help.about",
        QT_TRANSLATE_NOOP(CONTEXT, "About Secateur"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the version and the licence."),
        opens("about", "About"),
    ),
)
