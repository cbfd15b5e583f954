"""Commands of the window itself: look, palette, help."""

from collections.abc import Callable
from functools import partial

from ..dialogs.window_api import WindowApi
from ..document.document import Document, Overlay
from ..document.preconditions import COLOURED, has_model
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


def _turns_to(page: str) -> Callable[[WindowApi], None]:
    return lambda window: window.show_page(page)


COLOURS = QT_TRANSLATE_NOOP(CONTEXT, "Colours")
PAGES = QT_TRANSLATE_NOOP(CONTEXT, "Pages")


def _colours(overlay: Overlay) -> Callable[[WindowApi], None]:
    def run(window: WindowApi) -> None:
        window.document.set_overlay(overlay)
        window.workbench.states.read_activity(asked=True)

    return run


def _has_colours(overlay: Overlay) -> Callable[[Document], bool]:
    return lambda document: document.contents.overlay is overlay


VIEW = (
    _command(
        "view.palette",
        "Command palette...",
        "Find any command by its name.",
        lambda window: window.show_palette(),
        "Ctrl+Shift+P",
    ),
    _command(
        "view.look",
        "Look page",
        "Turn to the page with the layers, what they do and what can be removed.",
        _turns_to("look"),
        "F5",
        enabled=has_model,
        within=PAGES,
        line=True,
    ),
    _command(
        "view.plan",
        "Plan page",
        "Turn to the page on which you choose what is removed.",
        _turns_to("plan"),
        "F6",
        enabled=has_model,
        within=PAGES,
    ),
    _command(
        "view.recover",
        "Recover page",
        "Turn to the page of the fine-tuning: settings, curves and log.",
        _turns_to("recover"),
        "F7",
        enabled=has_model,
        within=PAGES,
    ),
    _command(
        "view.judge",
        "Judge page",
        "Turn to the page that shows what the cut changed.",
        _turns_to("judge"),
        "F8",
        enabled=has_model,
        within=PAGES,
    ),
    _command(
        "view.export",
        "Export page",
        "Turn to the page that says where the result can go, and what was written.",
        _turns_to("export"),
        "F9",
        enabled=has_model,
        within=PAGES,
    ),
    _command(
        "view.all",
        "One screen",
        "Show all panels at once, as far as there is room.",
        _turns_to("all"),
        "F4",
        enabled=has_model,
        within=PAGES,
    ),
    _command(
        "view.back",
        "Back",
        "Turn to the page that was in front before.",
        lambda window: window.go_back(),
        "Alt+Left",
        enabled=has_model,
        within=PAGES,
    ),
    _command(
        "view.maximise",
        "Maximise panel",
        "Give the panel in front all the room of its page, or take it away again.",
        lambda window: window.toggle_maximised(),
        "F11",
        enabled=has_model,
    ),
    _command(
        "view.tradeoff",
        "Show trade-off",
        "Plot the metric against the cost, one point per state.",
        _shows("tradeoff"),
        "Ctrl+1",
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.layers",
        "Show layers",
        "Show what each layer keeps, costs and can lose, and which layers are coupled.",
        _shows("layers"),
        "Ctrl+2",
        enabled=has_model,
    ),
    _command(
        "view.heads",
        "Show heads",
        "Show the heads of each layer, coloured by score. Click to mark.",
        _shows("heads"),
        "Ctrl+3",
        enabled=has_model,
    ),
    _command(
        "view.sensitivity",
        "Show sensitivity",
        "Plot the metric against the share removed from each layer.",
        _shows("sensitivity"),
        "Ctrl+4",
        enabled=has_model,
    ),
    _command(
        "view.compare",
        "Show comparison",
        "Compare two states or plans side by side, and list all runs.",
        _shows("compare"),
        "Ctrl+5",
        enabled=has_model,
    ),
    _command(
        "view.graph",
        "Show graph",
        "Draw the layers and what feeds what, with blocks that fold.",
        _shows("graph"),
        "Ctrl+6",
        enabled=has_model,
    ),
    _command(
        "view.recovery",
        "Show recovery",
        "Show loss and metric during fine-tuning, and its settings.",
        _shows("recovery"),
        "Alt+1",
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.samples",
        "Show samples",
        "Show the metric of the original, and samples as the model sees them.",
        _shows("samples"),
        "Alt+2",
        enabled=has_model,
    ),
    _command(
        "view.jobs",
        "Show jobs",
        "List running and waiting jobs, and cancel them.",
        _shows("jobs"),
        "Alt+3",
        enabled=has_model,
    ),
    _command(
        "view.history",
        "Show history",
        "List all states. Press Return to go to one.",
        _shows("history"),
        "Alt+4",
        enabled=has_model,
    ),
    _command(
        "view.recipe",
        "Show recipe",
        "Show the session as a Python script that reproduces the weights.",
        _shows("recipe"),
        "Alt+5",
        enabled=has_model,
    ),
    _command(
        "view.destinations",
        "Show destinations",
        "Show where the current state can be exported to, and what was written.",
        _shows("destinations"),
        enabled=has_model,
    ),
    _command(
        "view.log",
        "Show log",
        "Show what happened, line by line.",
        _shows("log"),
        "Alt+6",
        enabled=has_model,
    ),
    _command(
        "view.dock_model",
        "Show or hide the tree",
        "The panel of layers and structures.",
        lambda window: window.toggle_dock("model"),
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.dock_inspector",
        "Show or hide the inspector",
        "The panel that explains what is selected.",
        lambda window: window.toggle_dock("inspector"),
        enabled=has_model,
    ),
    _command(
        "view.dock_work",
        "Show or hide activity",
        "The panel of recovery, jobs, history and log.",
        lambda window: window.toggle_dock("work"),
        enabled=has_model,
    ),
    _command(
        "view.colour_score",
        "Colour by score",
        "Colour structures by the scores of the criterion.",
        _colours(Overlay.SCORE),
        enabled=COLOURED[Overlay.SCORE],
        line=True,
        chosen=_has_colours(Overlay.SCORE),
        within=COLOURS,
    ),
    _command(
        "view.colour_activity",
        "Colour by activity",
        "Colour structures by how often they respond: the share of samples and places above 0, on 256 samples.",
        _colours(Overlay.ACTIVITY),
        enabled=COLOURED[Overlay.ACTIVITY],
        chosen=_has_colours(Overlay.ACTIVITY),
        within=COLOURS,
    ),
    _command(
        "view.colour_redundancy",
        "Colour by redundancy",
        (
            "Colour structures by their strongest correlation with another one of the layer, on 256 samples. 1: it "
            "responds like that one, or never changes."
        ),
        _colours(Overlay.REDUNDANCY),
        enabled=COLOURED[Overlay.REDUNDANCY],
        chosen=_has_colours(Overlay.REDUNDANCY),
        within=COLOURS,
    ),
    _command(
        "view.colour_sensitivity",
        "Colour by sensitivity",
        "Colour layers by what the metric loses where half of the layer is removed, without recovery.",
        _colours(Overlay.SENSITIVITY),
        enabled=COLOURED[Overlay.SENSITIVITY],
        chosen=_has_colours(Overlay.SENSITIVITY),
        within=COLOURS,
    ),
    _command(
        "view.colour_cost",
        "Colour by cost",
        "Colour structures by the share of the multiply-accumulates that goes with them, exact.",
        _colours(Overlay.COST),
        enabled=COLOURED[Overlay.COST],
        chosen=_has_colours(Overlay.COST),
        within=COLOURS,
    ),
    _command(
        "view.save_plot",
        "Save plot...",
        "Save a plot as an image or as vector graphics, or its numbers as CSV.",
        opens("save_plot", "ask"),
        "Ctrl+Shift+S",
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.copy_plot",
        "Copy plot",
        "Copy the plot in front as an image.",
        opens("save_plot", "copy"),
        "Ctrl+Shift+C",
        enabled=has_model,
    ),
    _command(
        "view.copy_numbers",
        "Copy plot data",
        "Copy the numbers of the plot in front as CSV.",
        opens("save_plot", "copy", True),
        enabled=has_model,
    ),
    _command(
        "view.system",
        "System theme",
        "Follow the light or dark theme of the system.",
        lambda window: window.dress("system"),
        line=True,
        chosen=lambda _: theme().scheme is Scheme.SYSTEM,
    ),
    _command(
        "view.light",
        "Light theme",
        "Always use the light theme.",
        lambda window: window.dress("light"),
        chosen=lambda _: theme().scheme is Scheme.LIGHT,
    ),
    _command(
        "view.dark",
        "Dark theme",
        "Always use the dark theme.",
        lambda window: window.dress("dark"),
        chosen=lambda _: theme().scheme is Scheme.DARK,
    ),
    _command(
        "view.contrast",
        "High-contrast theme",
        "Always use the theme with the strongest contrast.",
        lambda window: window.dress("contrast"),
        chosen=lambda _: theme().scheme is Scheme.CONTRAST,
    ),
    _command(
        "view.larger",
        "Larger text",
        "Make text and controls larger.",
        lambda window: window.resize_text(1),
        "Ctrl++",
        enabled=_can_grow,
        line=True,
    ),
    _command(
        "view.smaller",
        "Smaller text",
        "Make text and controls smaller.",
        lambda window: window.resize_text(-1),
        "Ctrl+-",
        enabled=_can_shrink,
    ),
    _command(
        "view.text",
        "Normal text size",
        "Reset text and controls to their normal size.",
        lambda window: window.resize_text(0),
        "Ctrl+0",
    ),
    _command(
        "view.save_layout",
        "Save layout...",
        "Keep the page in front with its panels, tabs and sizes under a name.",
        opens("save_layout", "SaveLayout"),
        enabled=has_model,
        line=True,
    ),
    _command(
        "view.reset",
        "Reset layout",
        "Move every panel of the page in front back to its default place.",
        lambda window: window.reset_layout(),
    ),
    _help_command(
        "help.manual",
        "Manual",
        "Open the manual at the page of the panel in front.",
        lambda window: window.show_manual(),
        "F1",
    ),
    _help_command(
        "help.tour",
        "Tour",
        "See the program in six steps over the sample. Stop at any step.",
        lambda window: window.show_tour(),
    ),
    _help_command(
        "help.shortcuts",
        "Keyboard shortcuts",
        "Show all keyboard shortcuts.",
        lambda window: window.show_shortcuts(),
        "Ctrl+?",
    ),
    _help_command(
        "help.criteria",
        "Criteria",
        "Show what each criterion computes, what it costs for this model, and its source.",
        opens("criteria", "Criteria"),
    ),
    _help_command(
        "help.diagnostics",
        "Diagnostics...",
        "Show versions, machine, folders and recent errors to copy into a bug report.",
        opens("diagnostics", "Diagnostics"),
        line=True,
    ),
    _help_command(
        "help.about",
        "About Secateur",
        "Show the version and the licence.",
        opens("about", "About"),
    ),
)
