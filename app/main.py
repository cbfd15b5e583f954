"""The program: `secateur MODEL` opens the window, `secateur inspect|prune|run ...` works without one.

Nothing heavy is imported before it is known what is asked for: the command line never loads Qt, the window never torch.
"""

import faulthandler
import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Sequence

COMMANDS = frozenset({"inspect", "prune", "run", "-h", "--help", "--version"})
SAMPLE = "bundled:resnet"
NO_QT = (
    "The window needs PySide6, which is not installed. Install it with: pip install 'secateur[gui]'\n"
    "The command line works without it: secateur --help"
)
NO_DISPLAY = "There is no display here, so the demonstration runs without a window."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    multiprocessing.freeze_support()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return _command_line(arguments)
    _watch_for_crashes()
    if not has_display():
        return _demonstrate(arguments)
    if importlib.util.find_spec("PySide6") is None:
        _tell(NO_QT)
        return 1
    from .start import start

    return start(model_of(arguments))


def model_of(arguments: list[str]) -> str:
    """What the window opens: the model that was named, the bundled one without a name, "" for an empty window."""
    names = [one for one in arguments if not one.startswith("-")]
    if "--empty" in arguments:
        return ""
    return names[0] if names else SAMPLE


def has_display() -> bool:
    """Whether a window can be shown here."""
    if not sys.platform.startswith("linux"):
        return True
    named = os.environ.get("QT_QPA_PLATFORM", "")
    return bool(named or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _command_line(arguments: list[str]) -> int:
    from secateur.engine.cli.main import main as run

    return run(arguments)


def _demonstrate(arguments: list[str]) -> int:
    from secateur.engine.cli.main import demo

    _tell(NO_DISPLAY)
    return demo()


def _watch_for_crashes() -> None:
    if sys.stderr is not None:  # None in a program without a console.
        faulthandler.enable()


def _tell(sentence: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    sys.exit(main())
