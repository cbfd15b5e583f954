"""Commands of the window itself: look, palette, help."""

from collections.abc import Callable

from ..dialogs.window_api import WindowApi
from ..document import preconditions
from ..document.document import Document
from ..text.translate import QT_TRANSLATE_NOOP
from ..theme import Scheme, sizes, theme
from ..theme.design_tokens import LARGEST, SMALLEST
from .command import CONTEXT, Command, opens, say

MENU = QT_TRANSLATE_NOOP(CONTEXT, "View")
HELP = QT_TRANSLATE_NOOP(CONTEXT, "Help")


def _shower(module: str) -> Callable[[WindowApi], None]:
    return lambda window: window.show_panel(module)


def _may_grow(_document: Document) -> str:
    return "" if sizes().body < LARGEST else say("Text already has its largest size.")


def _may_shrink(_document: Document) -> str:
    return "" if sizes().body > SMALLEST else say("Text already has its smallest size.")


VIEW = (
    Command(
        "view.palette",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Command palette..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Find any command by its name."),
        lambda window: window.show_palette(),
        "Ctrl+Shift+P",
    ),
    Command(
        "view.tradeoff",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show trade-off"),
        QT_TRANSLATE_NOOP(CONTEXT, "Plot the metric against the cost, one point per state."),
        _shower("tradeoff"),
        "Ctrl+1",
        preconditions.has_model,
        line=True,
    ),
    Command(
        "view.layers",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show layers"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show what each layer keeps, costs and can lose, and which layers are coupled."),
        _shower("layers"),
        "Ctrl+2",
        preconditions.has_model,
    ),
    Command(
        "view.heads",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show heads"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the heads of each layer, coloured by score. Click to mark."),
        _shower("heads"),
        "Ctrl+3",
        preconditions.has_model,
    ),
    Command(
        "view.sensitivity",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show sensitivity"),
        QT_TRANSLATE_NOOP(CONTEXT, "Plot the metric against the share removed from each layer."),
        _shower("sensitivity"),
        "Ctrl+4",
        preconditions.has_model,
    ),
    Command(
        "view.compare",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show comparison"),
        QT_TRANSLATE_NOOP(CONTEXT, "Compare two states or plans side by side, and list all runs."),
        _shower("compare"),
        "Ctrl+5",
        preconditions.has_model,
    ),
    Command(
        "view.graph",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show graph"),
        QT_TRANSLATE_NOOP(CONTEXT, "Draw the layers and what feeds what, with blocks that fold."),
        _shower("graph"),
        "Ctrl+6",
        preconditions.has_model,
    ),
    Command(
        "view.recovery",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show recovery"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show loss and metric during fine-tuning, and its settings."),
        _shower("recovery"),
        "Alt+1",
        preconditions.has_model,
        line=True,
    ),
    Command(
        "view.samples",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show samples"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the metric of the original, and samples as the model sees them."),
        _shower("samples"),
        "Alt+2",
        preconditions.has_model,
    ),
    Command(
        "view.jobs",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show jobs"),
        QT_TRANSLATE_NOOP(CONTEXT, "List running and waiting jobs, and cancel them."),
        _shower("jobs"),
        "Alt+3",
        preconditions.has_model,
    ),
    Command(
        "view.history",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show history"),
        QT_TRANSLATE_NOOP(CONTEXT, "List all states. Press Return to go to one."),
        _shower("history"),
        "Alt+4",
        preconditions.has_model,
    ),
    Command(
        "view.recipe",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show recipe"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the session as a Python script that reproduces the weights."),
        _shower("recipe"),
        "Alt+5",
        preconditions.has_model,
    ),
    Command(
        "view.log",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show log"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show what happened, line by line."),
        _shower("log"),
        "Alt+6",
        preconditions.has_model,
    ),
    Command(
        "view.dock_model",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show or hide the tree"),
        QT_TRANSLATE_NOOP(CONTEXT, "The panel of layers and structures."),
        lambda window: window.toggle_dock("model"),
        "",
        preconditions.has_model,
        line=True,
    ),
    Command(
        "view.dock_inspector",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show or hide the inspector"),
        QT_TRANSLATE_NOOP(CONTEXT, "The panel that explains what is selected."),
        lambda window: window.toggle_dock("inspector"),
        "",
        preconditions.has_model,
    ),
    Command(
        "view.dock_work",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Show or hide activity"),
        QT_TRANSLATE_NOOP(CONTEXT, "The panel of recovery, jobs, history and log."),
        lambda window: window.toggle_dock("work"),
        "",
        preconditions.has_model,
    ),
    Command(
        "view.save_plot",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Save plot..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Save a plot as an image or as vector graphics, or its numbers as CSV."),
        opens("save_plot"),
        "Ctrl+Shift+S",
        preconditions.has_model,
        line=True,
    ),
    Command(
        "view.copy_plot",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Copy plot"),
        QT_TRANSLATE_NOOP(CONTEXT, "Copy the plot in front as an image."),
        opens("save_plot", "copy"),
        "Ctrl+Shift+C",
        preconditions.has_model,
    ),
    Command(
        "view.copy_numbers",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Copy plot data"),
        QT_TRANSLATE_NOOP(CONTEXT, "Copy the numbers of the plot in front as CSV."),
        opens("save_plot", "copy", True),
        "",
        preconditions.has_model,
    ),
    Command(
        "view.system",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "System theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Follow the light or dark theme of the system."),
        lambda window: window.dress("system"),
        chosen=lambda: theme().scheme is Scheme.SYSTEM,
        line=True,
    ),
    Command(
        "view.light",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Light theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always use the light theme."),
        lambda window: window.dress("light"),
        chosen=lambda: theme().scheme is Scheme.LIGHT,
    ),
    Command(
        "view.dark",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Dark theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always use the dark theme."),
        lambda window: window.dress("dark"),
        chosen=lambda: theme().scheme is Scheme.DARK,
    ),
    Command(
        "view.contrast",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "High-contrast theme"),
        QT_TRANSLATE_NOOP(CONTEXT, "Always use the theme with the strongest contrast."),
        lambda window: window.dress("contrast"),
        chosen=lambda: theme().scheme is Scheme.CONTRAST,
    ),
    Command(
        "view.larger",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Larger text"),
        QT_TRANSLATE_NOOP(CONTEXT, "Make text and controls larger."),
        lambda window: window.resize_text(1),
        "Ctrl++",
        _may_grow,
        line=True,
    ),
    Command(
        "view.smaller",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Smaller text"),
        QT_TRANSLATE_NOOP(CONTEXT, "Make text and controls smaller."),
        lambda window: window.resize_text(-1),
        "Ctrl+-",
        _may_shrink,
    ),
    Command(
        "view.text",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Normal text size"),
        QT_TRANSLATE_NOOP(CONTEXT, "Reset text and controls to their normal size."),
        lambda window: window.resize_text(0),
        "Ctrl+0",
    ),
    Command(
        "view.reset",
        MENU,
        QT_TRANSLATE_NOOP(CONTEXT, "Reset layout"),
        QT_TRANSLATE_NOOP(CONTEXT, "Move every panel back to its default place."),
        lambda window: window.reset_layout(),
        line=True,
    ),
    Command(
        "help.manual",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Manual"),
        QT_TRANSLATE_NOOP(CONTEXT, "Open the manual at the page of the panel in front."),
        lambda window: window.show_manual(),
        "F1",
    ),
    Command(
        "help.tour",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Tour"),
        QT_TRANSLATE_NOOP(CONTEXT, "See the program in six steps over the sample. Stop at any step."),
        lambda window: window.show_tour(),
    ),
    Command(
        "help.shortcuts",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Keyboard shortcuts"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show all keyboard shortcuts."),
        lambda window: window.show_shortcuts(),
        "Ctrl+?",
    ),
    Command(
        "help.criteria",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Criteria"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show what each criterion computes, what it costs for this model, and its source."),
        opens("criteria"),
    ),
    Command(
        "help.diagnostics",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "Diagnostics..."),
        QT_TRANSLATE_NOOP(CONTEXT, "Show versions, machine, folders and recent errors to copy into a bug report."),
        opens("diagnostics"),
        line=True,
    ),
    Command(
        "help.about",
        HELP,
        QT_TRANSLATE_NOOP(CONTEXT, "About Secateur"),
        QT_TRANSLATE_NOOP(CONTEXT, "Show the version and the licence."),
        opens("about"),
    ),
)
