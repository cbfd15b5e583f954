"""The messages between window and broker; those of the engine itself are handed on unread.

`Courier` numbers these messages and keeps each until the other end has it, so that a broken connection loses none;
`refusal` says why there is no connection. Both ends are alike.
"""

import re
import shlex
import threading
from collections import deque
from collections.abc import Callable
from importlib.metadata import version

from msgspec import Raw, Struct

from ...errors import EngineLost, WireError
from ...subprocesses.ssh import Address, ssh_refusal
from ..plain_data import decode, encode, not_understood
from ..wire import Wire

PROTOCOL = 3
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
    """Send what a call has written into its folder: `FileBegins` and `Part`s for each file, then `FilesEnd`."""

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


class FilesEnd(Struct, tag="files end", frozen=True):
    """Nothing follows of what was sent under a number; a window that has sent a file is answered by `Kept`.

    Attributes:
        number: Of the call.
        error: Why not everything came, "" where everything did.
    """

    number: int
    error: str = ""


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
        entries: What is in it.
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


ToBroker = Start | Said | Kill | Leave | Room | Fetch | FileBegins | Part | FilesEnd | Look
ToWindow = Said | Printed | Ended | FileBegins | Part | FilesEnd | Kept | Seen


def hello(received: int, birth: str, root: str = "", taken: bool = False) -> bytes:
    """A greeting of this installation."""
    return encode(Hello(PROTOCOL, own_version(), received, birth, root, taken))


def read_hello(data: bytes | bytearray) -> Hello:
    """The greeting of the other end; raises `WireError`."""
    return decode(data, Hello)


class Frame(Struct, array_like=True, frozen=True):
    """A numbered message.

    Attributes:
        number: Its place in the order, from 1; 0 for none, which only says what was received.
        received: The last number that the sender has received.
        body: The message.
    """

    number: int
    received: int
    body: Raw


NOTHING = Raw(encode(None))


class Courier:
    """One end; connections come and go.

    Attributes:
        received: Number of the last message that was taken.
    """

    def __init__(self, take: Callable[[Raw], None]) -> None:
        """Take each message once, in order, in the thread that listens; whatever `take` raises ends as `WireError`."""
        self.received = 0
        self._take = take
        self._kept: deque[tuple[int, bytes]] = deque()
        self._posted = 0
        self._weight = 0
        self._connection = 0
        self._news = threading.Condition()
        self._taking = threading.Lock()

    @property
    def waiting(self) -> int:
        """Messages that the other end has not confirmed."""
        return len(self._kept)

    @property
    def weight(self) -> int:
        """Bytes of messages that the other end has not confirmed."""
        return self._weight

    def post(self, body: bytes) -> None:
        """Have a message delivered, now or over a later connection."""
        with self._news:
            self._posted += 1
            self._weight += len(body)
            self._kept.append((self._posted, body))
            self._news.notify_all()

    def serve(self, wire: Wire, received: int) -> None:
        """Work over a connection until it ends; one that is served already is given up.

        Args:
            wire: The connection.
            received: What the other end has of ours, as it says.

        Raises:
            WireError: What came does not fit.
        """
        with self._news:
            self._drop_confirmed(received)
            if received + len(self._kept) != self._posted:
                raise not_understood("messages of an earlier connection are missing")
            self._connection += 1
            mine = self._connection
            self._news.notify_all()
        sender = threading.Thread(target=self._send, args=(wire, mine, received), name="courier", daemon=True)
        sender.start()
        try:
            self._listen(wire, mine)
        except (EOFError, OSError, ValueError):
            return
        finally:
            with self._news:
                self._connection += self._connection == mine
                self._news.notify_all()

    def hang_up(self) -> None:
        """Give up the connection that is served."""
        with self._news:
            self._connection += 1
            self._news.notify_all()

    def _send(self, wire: Wire, mine: int, sent: int) -> None:
        confirmed = -1
        while True:
            with self._news:
                self._news.wait_for(
                    lambda: self._connection != mine or self._posted > sent or self.received != confirmed  # noqa: B023
                )
                if self._connection != mine:
                    return
                confirmed = self.received
                first = self._posted - len(self._kept)
                due = [self._kept[n] for n in range(max(sent - first, 0), len(self._kept))]
            try:
                for number, body in due:
                    wire.send(encode(Frame(number, confirmed, Raw(body))))
                    sent = number
                # Without a message to send, the other end still has to know what it may forget.
                if not due:
                    wire.send(encode(Frame(0, confirmed, NOTHING)))
            except (OSError, ValueError):
                # Gone: who listens finds out.
                return

    def _listen(self, wire: Wire, mine: int) -> None:
        while True:
            frame: Frame = decode(wire.receive(), Frame)
            # The thread of an earlier connection may still take a message while a new connection listens.
            with self._taking:
                with self._news:
                    if self._connection != mine:
                        return
                    self._drop_confirmed(frame.received)
                if frame.number and frame.number > self.received:
                    if frame.number != self.received + 1:
                        raise not_understood("a message is missing")
                    # Take a message; an error of that is none of the line's: the message would only come again.
                    try:
                        self._take(frame.body)
                    except WireError:
                        raise
                    except Exception as error:
                        raise not_understood(f"{type(error).__name__}: {error}") from error
                    with self._news:
                        self.received = frame.number
                        self._news.notify_all()

    def _drop_confirmed(self, received: int) -> None:
        if received > self._posted:
            raise not_understood("more was received than was sent")
        while self._kept and self._kept[0][0] <= received:
            self._weight -= len(self._kept.popleft()[1])


NOT_FOUND = 127
"""Exit code of a shell that knows no such program."""
OLDEST = (3, 11)
"""Version of Python that is needed."""
DISK_FULL = r"No space left on device|Disk quota exceeded"
PROGRAM = "secateur"
FIND = (
    f'PATH="$HOME/.local/bin:$PATH"; command -v {PROGRAM} > /dev/null || '
    "{ python3 -V >&2 || echo no python3 >&2; exit 127; };"
)
"""What a shell there does first: where it finds no program, it says on standard error which Python there is."""


def engine_command(address: Address, name: str) -> str:
    """What a shell there runs to connect to the engine of a name (letters and digits), or to say why it cannot."""
    start = shlex.join([address.program or PROGRAM, "engine", name])
    return f"exec {start}" if address.program else f"exec sh -c {shlex.quote(f'{FIND} exec {start}')}"


def refusal(address: Address, exitcode: int, log: str) -> EngineLost:
    """The sentence for an end of `ssh` before there was an engine.

    Args:
        address: Where to.
        exitcode: Of `ssh`: its own, or that of what it started there.
        log: What was written to standard error.
    """
    host = address.title
    if (said := ssh_refusal(host, exitcode, log)) is not None:
        return EngineLost(said.code, said.template, log, **said.arguments)
    if (found := re.search(DISK_FULL, log)) is not None:
        template = "The disk of your home folder on {host} is full ({reason}). Make room there, then connect again."
        return EngineLost("remote.disk_full", template, log, host=host, reason=found[0])
    if exitcode == NOT_FOUND or "command not found" in log:
        return _no_program(address, log)
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    template = "No engine on {host}: {reason} (exit code {exitcode})."
    return EngineLost("remote.failed", template, log, host=host, reason=last.rstrip(".")[:300], exitcode=exitcode)


def _no_program(address: Address, log: str) -> EngineLost:
    host, python = address.title, re.search(r"^Python (\d+)\.(\d+)", log, re.MULTILINE)
    if address.program:
        template = "There is no {path} on {host}. Check the path of secateur there."
        return EngineLost("remote.no_such_program", template, log, path=address.program, host=host)
    if "no python3" in log:
        template = "There is no Python on {host}. Install Python 3.11 or later there, then Secateur."
        return EngineLost("remote.no_python", template, log, host=host)
    if python is not None and (int(python[1]), int(python[2])) < OLDEST:
        template = "{host} has {python}. Install Python 3.11 or later there, then Secateur."
        return EngineLost("remote.old_python", template, log, host=host, python=python[0])
    template = (
        "Secateur is not installed on {host}, or not found there. Copy its wheel there and run {command}, or name its "
        "path: ssh://{host}/path/of/secateur."
    )
    command = f"python3 -m pip install --user secateur-{own_version()}-py3-none-any.whl"
    return EngineLost("remote.no_program", template, log, host=host, command=command)


def other_version(address: Address, there: str, here: str) -> EngineLost:
    """Another version of Secateur is at the other end."""
    template = "{host} has Secateur {there}, this is {here}. Install the same version on both machines."
    return EngineLost("remote.version", template, host=address.title, there=there[:50], here=here)
