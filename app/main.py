"""The program: `secateur MODEL` opens the window, `secateur inspect|prune|run ...` works without one.

Nothing heavy is imported before it is known what is asked for: the command line never loads Qt, the window never torch.
"""

import faulthandler
import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secateur.engine.cli.commands import COMMANDS
from secateur.engine.machine.operating_system import has_display, holds_engines_for_others

if TYPE_CHECKING:
    from secateur.engine.process.client import EngineClient
    from secateur.engine.process.remote.client import RemoteClient
    from secateur.engine.sources.protocol import ModelSpec

SAMPLE = "bundled:resnet"
DEMONSTRATION = "secateur-demonstration"
"""Folder that the demonstration without a window writes into."""
ENGINE = "engine"
"""First word of what a window elsewhere starts here over ssh."""
AT = "--engine"
"""Stands before the address of an engine on another machine."""
NO_QT = (
    "The window needs PySide6, which is not installed. Install it with: pip install 'secateur[gui]'\n"
    "The command line works without it: secateur --help"
)
WINDOW_HELP = """\
secateur [MODEL]   opens the window, on the bundled ResNet without MODEL; takes --weights, --task, --input as below
secateur --empty   opens an empty window
secateur --engine ssh://USER@HOST [MODEL]
                   the same with the engine on another machine; MODEL and data are paths there

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    multiprocessing.freeze_support()
    # Answer a shell that completes a command line, and leave; every other start goes on.
    if "_ARGCOMPLETE" in os.environ:
        from secateur.engine.cli.completion import complete

        complete()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("-h", "--help", "--version"):
        return _about(arguments)
    if arguments and arguments[0] in COMMANDS:
        return _command_line(arguments)
    if arguments and arguments[0] == ENGINE:
        return _engine(arguments[1:])
    # There is no stderr in a program without a console.
    if sys.stderr is not None:
        faulthandler.enable()
    if not has_display(os.environ):
        from secateur.engine.cli.demo import demo

        return demo(Path(DEMONSTRATION))
    if importlib.util.find_spec("PySide6") is None:
        _tell(NO_QT)
        return 1
    return _window(arguments)


def model_of(arguments: list[str], elsewhere: bool = False) -> "ModelSpec | None":
    """What the window opens: the model that was named, the bundled one without a name, None for an empty window.

    Args:
        arguments: Of the command line, without the engine's address.
        elsewhere: Paths are those of another machine.
    """
    from secateur.engine.cli.arguments import parser
    from secateur.engine.cli.model_args import model_spec

    if "--empty" in arguments:
        return None
    given = arguments if arguments else [SAMPLE]
    return model_spec(parser().parse_args(["inspect", *given]), elsewhere)


def _window(arguments: list[str]) -> int:
    from secateur.engine.errors import SecateurError

    try:
        arguments, address = _address_of(arguments)
        engine = _client(address)
        spec = model_of(arguments, elsewhere=bool(address))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except SecateurError as error:
        _tell(str(error))
        return 2
    # The engine loads its libraries while this process loads Qt.
    engine.prepare()
    from .startup.application import start

    return start(spec, asked=bool(arguments), engine=engine)


def _address_of(arguments: list[str]) -> tuple[list[str], str]:
    """(the other arguments, the address behind `--engine`, "" for an engine of this machine)."""
    rest, address = list[str](), ""
    words = iter(arguments)
    for word in words:
        if word == AT:
            address = next(words, "")
        elif word.startswith(f"{AT}="):
            address = word.removeprefix(f"{AT}=")
        else:
            rest.append(word)
            continue
        # A question mark is no address, so a forgotten one is reported like a wrong one.
        address = address or "?"
    return rest, address


def _client(address: str) -> "EngineClient | RemoteClient":
    """What reaches the engine; raises SecateurError where the address is none."""
    if not address:
        from secateur.engine.process.client import EngineClient

        return EngineClient()
    from secateur.engine.process.remote.client import RemoteClient
    from secateur.engine.subprocesses.ssh import read_address

    return RemoteClient(read_address(address))


def _command_line(arguments: list[str]) -> int:
    from secateur.engine.cli.main import main as run

    return run(arguments)


def _engine(words: list[str]) -> int:
    if not holds_engines_for_others():
        _tell("Engines for windows elsewhere run on Linux and macOS.")
        return 1
    from secateur.engine.process.remote.relay import main as relay

    return relay(words)


def _about(arguments: list[str]) -> int:
    from importlib.metadata import version

    if arguments[0] == "--version":
        sys.stdout.write(f"secateur {version('secateur')}\n")
        return 0
    sys.stdout.write(WINDOW_HELP)
    return _command_line(["--help"])


def _tell(sentence: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    sys.exit(main())
