"""What window and broker tell each other, beside the engine's own messages that they hand on unread."""

from importlib.metadata import version

from msgspec import Struct

from ..plain_data import decode, encode

PROTOCOL = 2
"""Raised when anything that crosses changes its meaning."""
MARK = b"secateur-engine "
"""Begins the line after which the connection is the wire's; what a login shell has printed before is skipped."""


def own_version() -> str:
    """The version of this installation."""
    return version("secateur")


class Hello(Struct, frozen=True):
    """The first message in either direction.

    Attributes:
        protocol: `PROTOCOL`.
        version: Of Secateur.
        received: Number of the last message that was received, 0 for none.
        birth: Which broker this is; of the window, which one it expects, "" for any.
        root: Folder of the sessions there; "" of the window.
        taken: Another window has gone on with this engine since this one was here.
    """

    protocol: int
    version: str
    received: int = 0
    birth: str = ""
    root: str = ""
    taken: bool = False


class Start(Struct, tag="start", frozen=True):
    """Begin an engine process; one that runs is ended."""


class Said(Struct, tag="said", frozen=True):
    """A message for the engine process, or of it, as it is."""

    data: bytes


class Kill(Struct, tag="kill", frozen=True):
    """End the engine process at once; `Ended` follows."""


class Room(Struct, tag="room", frozen=True):
    """Make an empty folder for what a call writes."""

    number: int


class Fetch(Struct, tag="fetch", frozen=True):
    """Send what a call has written into its folder: `FileBegins` and `Part`s for each file, then `Fetched`."""

    number: int


class FileBegins(Struct, tag="file", frozen=True):
    """A file follows.

    Attributes:
        number: Of the call.
        name: Relative to its folder, with slashes; a name alone where the window sends it.
    """

    number: int
    name: str


class Part(Struct, tag="part", frozen=True):
    """The next bytes of the file."""

    number: int
    data: bytes


class Fetched(Struct, tag="fetched", frozen=True):
    """That was all; `error` is what went wrong, "" for nothing."""

    number: int
    error: str


class FileEnds(Struct, tag="file ends", frozen=True):
    """The file that the window sends is whole; `Kept` follows."""

    number: int


class FileDropped(Struct, tag="file dropped", frozen=True):
    """The rest of the file that the window sends does not come."""

    number: int


class Kept(Struct, tag="kept", frozen=True):
    """A file of the window was written there.

    Attributes:
        number: Of the call.
        path: Where, absolute.
        error: What went wrong, "" for nothing.
    """

    number: int
    path: str
    error: str = ""


class Look(Struct, tag="look", frozen=True):
    """Tell what is at a path; `Seen` follows. A relative path begins in the home folder, which "" is."""

    number: int
    path: str


class Entry(Struct, array_like=True, frozen=True):
    """Something in a folder.

    Attributes:
        name: Its name alone.
        is_folder: It is a folder, or a link to one.
        size: Bytes of a file.
        modified: Seconds since the epoch.
    """

    name: str
    is_folder: bool
    size: int
    modified: float


class Seen(Struct, tag="seen", frozen=True):
    """What is at a path.

    Attributes:
        number: Of the call.
        path: Absolute.
        is_there: Something has that path.
        is_folder: It is a folder.
        entries: What lies in it.
        left_out: How many entries more there are.
        error: Why it cannot be read, "" for nothing.
    """

    number: int
    path: str
    is_there: bool = False
    is_folder: bool = False
    entries: tuple[Entry, ...] = ()
    left_out: int = 0
    error: str = ""


class Leave(Struct, tag="leave", frozen=True):
    """The window is closed: end everything."""


class Printed(Struct, tag="printed", frozen=True):
    """Lines that the engine process has printed."""

    text: str


class Ended(Struct, tag="ended", frozen=True):
    """The engine process has ended.

    Attributes:
        exitcode: As `subprocess` gives it.
        log: Its last lines.
        garbled: What it said that nobody understands, "" where it ended by itself.
    """

    exitcode: int
    log: str
    garbled: str = ""


ToBroker = Start | Said | Kill | Leave | Room | Fetch | FileBegins | Part | FileEnds | FileDropped | Look
ToWindow = Said | Printed | Ended | FileBegins | Part | Fetched | Kept | Seen


def hello(received: int, birth: str, root: str = "", taken: bool = False) -> bytes:
    """A greeting of this installation."""
    return encode(Hello(PROTOCOL, own_version(), received, birth, root, taken))


def read_hello(data: bytes | bytearray) -> Hello:
    """The greeting of the other end; raises `WireError`."""
    return decode(data, Hello)
