"""Holds an engine process for a window elsewhere: goes on when the connection breaks, and keeps unsent messages.

Its own file because it is started as `python -m`, detached from the connection that asked for it (`relay.py`). One
window at a time: who connects last is served. It loads no torch; it reads nothing of what window and engine say.
"""

import contextlib
import fcntl
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Generator
from pathlib import Path

from msgspec import Raw

from ...errors import WireError
from ..engine_process import SESSION, EngineProcess, Listener
from ..messages import Close, Quiet
from ..plain_data import decode, encode
from ..wire import Wire
from . import protocol
from .file_transfer import ReceivedFiles, send_parts
from .protocol import Courier, hello, read_hello
from .remote_folders import HELD, SESSIONS, SOCKET, WRITTEN, engine_folder, inside_folder, look_at

BACKLOG, HEAVY = 100, 1 << 18
"""Messages without a receipt, and their bytes, from which on the engine keeps its progress back."""
FORSAKEN = 7 * 24 * 3600.0
"""Seconds without a window after which the engine ends."""
UNGREETED = 60.0
"""Seconds after which an engine ends that no window has ever greeted, because it is of another version."""
AHEAD, BREATH = 8, 0.005
"""Messages that may be on their way before the next part of a file, and seconds to wait for them."""
ALIVE = 3600.0
"""Seconds between two marks in the folder that the engine was alive then."""
NAP = 1.0
"""Seconds between two looks at whether anybody listens."""


class Broker:
    """The engine of one name."""

    def __init__(self, folder: Path, session: str = SESSION) -> None:
        """Hold nothing yet.

        Args:
            folder: Its own.
            session: "module:name" of what makes sessions.
        """
        self.folder = folder
        self.left = threading.Event()
        self._session = session
        self._birth = uuid.uuid4().hex
        self._former = set[str]()
        self._links = set[socket.socket]()
        self._engine: EngineProcess | None = None
        self._courier = self._new_courier()
        self._orders: queue.SimpleQueue[tuple[Courier, protocol.ToBroker]] = queue.SimpleQueue()
        self._changing = threading.Lock()
        self._heard = time.monotonic()
        self._patience = UNGREETED
        self._quiet = False
        self._received = self._courier, ReceivedFiles()
        threading.Thread(target=self._obey_orders, name="orders", daemon=True).start()

    def serve(self, link: socket.socket) -> None:
        """Greet a window and work for it until its connection ends; one that is new here takes the place of others."""
        with contextlib.suppress(OSError, EOFError), link, link.makefile("rb") as source, link.makefile("wb") as sink:
            wire = Wire(source, sink, slow=True)  # type: ignore[arg-type]
            theirs = read_hello(wire.receive())
            with self._greet_window(link, theirs.birth) as (greeting, courier):
                wire.send(greeting)
                if courier is not None:
                    courier.serve(wire, theirs.received)

    @contextlib.contextmanager
    def _greet_window(self, link: socket.socket, birth: str) -> Generator[tuple[bytes, Courier | None]]:
        """A window is served; an earlier connection may end long after a later one has begun.

        Which courier it gets is settled at once with its place among the links that a later window ends: else one that
        connects again at that moment would hear what is for the later one.

        Args:
            link: Its connection.
            birth: Of what it has worked with, "" for a window that is new here.
        """
        with self._changing:
            if not birth and self.was_greeted:
                self._begin_anew()
            courier = self._courier if birth in ("", self._birth) else None
            place, taken = str(self.folder / SESSIONS), birth in self._former
            greeting = hello(self._courier.received, self._birth, place, taken)
            if courier is not None:
                self._links.add(link)
                self._patience = FORSAKEN
        try:
            yield greeting, courier
        except WireError as error:
            sys.stderr.write(f"{error}\n")
        finally:
            with self._changing:
                if courier is not None:
                    self._links.discard(link)
                    self._heard = time.monotonic()

    def _begin_anew(self) -> None:
        """Another window goes on with this engine; it gets nothing that was sent to the window before it."""
        self._former.add(self._birth)
        self._birth = uuid.uuid4().hex
        self._courier.hang_up()
        self._courier = self._new_courier()
        for link in self._links:
            # It has ended already.
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    @property
    def was_greeted(self) -> bool:
        """Whether a window has ever worked with it."""
        return self._patience == FORSAKEN

    def watch(self) -> None:
        """Look after it until it is left or forsaken."""
        alive = time.monotonic()
        while not self.left.wait(NAP):
            self._limit_progress()
            with self._changing:
                forsaken = not self._links and time.monotonic() - self._heard > self._patience
            if forsaken:
                break
            if time.monotonic() - alive > ALIVE:
                alive = time.monotonic()
                os.utime(self.folder / HELD)
        if self._engine is not None:
            self._engine.close(encode(Close()), 5.0)

    def _new_courier(self) -> Courier:
        """One whose orders are answered by itself, to the window that gave them."""

        def take(body: Raw) -> None:
            self._orders.put((courier, decode(body, protocol.ToBroker)))

        courier = Courier(take)
        return courier

    def _obey_orders(self) -> None:
        """In a thread of its own: what starts or ends a process takes a while."""
        while True:
            self._obey(*self._orders.get())

    def _obey(self, courier: Courier, order: protocol.ToBroker) -> None:
        match order:
            case protocol.Start():
                if self._engine is not None:
                    self._engine.close(encode(Close()), 1.0)
                self._quiet = False
                self._engine = EngineProcess(self._session, self._listener(courier))
            case protocol.Said(data):
                if self._engine is not None:
                    self._engine.send(data)
            case protocol.Kill():
                if self._engine is not None:
                    self._engine.process.kill()
            case protocol.Room(number):
                (self.folder / WRITTEN / str(number)).mkdir(parents=True, exist_ok=True)
            case protocol.Fetch(number):
                threading.Thread(target=self._send_files, args=(courier, number), name="files", daemon=True).start()
            case protocol.Look(number, path):
                # A disk of another machine may never answer.
                threading.Thread(
                    target=lambda: courier.post(encode(look_at(number, path))), name="look", daemon=True
                ).start()
            case protocol.Leave():
                self.left.set()
            case protocol.FileBegins() | protocol.Part() | protocol.FilesEnd():
                self._receive(courier, order)

    def _receive(self, courier: Courier, what: protocol.FileBegins | protocol.Part | protocol.FilesEnd) -> None:
        """Take what comes of a file that a window sends; nothing of what an earlier window has sent."""
        whose, received = self._received
        if courier is not whose:
            received.drop()
            self._received = _, received = courier, ReceivedFiles()
        if not isinstance(what, protocol.FilesEnd):
            received.take(what)
        elif what.error:
            received.drop()
        else:
            courier.post(encode(received.finish(what.number)))

    def _listener(self, courier: Courier) -> Listener:
        """Tells the window that has asked for an engine what that says, and no later window."""

        def said(data: bytes | bytearray) -> None:
            courier.post(encode(protocol.Said(bytes(data))))
            self._limit_progress()

        def ended(exitcode: int, log: str, error: WireError | None) -> None:
            # The window says it in its own language, so only the reason travels.
            garbled = "" if error is None else str(error.message.arguments["reason"])
            courier.post(encode(protocol.Ended(exitcode, log, garbled)))

        return Listener(said, lambda text: courier.post(encode(protocol.Printed(text))), ended, lambda: courier.waiting)

    def _send_files(self, courier: Courier, number: int) -> None:
        """Send what a call has written, no faster than it is received; in a thread of its own."""

        def may_go_on(_sent: int) -> bool:
            while courier.waiting > AHEAD:
                # Another window has come, which waits for none of this.
                if courier is not self._courier:
                    return False
                time.sleep(BREATH)
            return True

        folder, error = self.folder / WRITTEN / str(number), ""
        try:
            for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
                name = path.relative_to(folder).as_posix()
                if not send_parts(number, name, path, lambda what: courier.post(encode(what)), may_go_on):
                    return
        except OSError as reason:
            error = str(reason.strerror)
        courier.post(encode(protocol.FilesEnd(number, error)))

    def _limit_progress(self) -> None:
        """Have the engine keep its progress back while no window takes it."""
        quiet = self._courier.waiting > BACKLOG or self._courier.weight > HEAVY
        if quiet != self._quiet and self._engine is not None:
            self._quiet = quiet
            self._engine.send(encode(Quiet(quiet)))


def main() -> None:
    """Listen on the socket of an engine's folder until it is left."""
    folder = engine_folder(sys.argv[1])
    # The end of the connection that started it sends a hangup; the engine outlives that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    held = (folder / HELD).open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Another one has begun meanwhile.
        return
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    remove_forsaken(folder.parent, FORSAKEN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with inside_folder(folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        listener.bind(SOCKET)
    listener.listen()
    os.chdir(Path.home())
    broker = Broker(folder, *sys.argv[2:])
    threading.Thread(target=_accept_windows, args=(listener, broker), name="windows", daemon=True).start()
    broker.watch()
    with contextlib.suppress(OSError):
        (folder / SOCKET).unlink()
    # Sessions stay for a window that may come back; an engine that was left, or never used, leaves nothing.
    if broker.left.is_set() or not (broker.was_greeted or any((folder / SESSIONS).iterdir())):
        shutil.rmtree(folder, ignore_errors=True)
    # Threads that still wait for a socket would keep the process.
    os._exit(0)


def remove_forsaken(engines: Path, age: float) -> None:
    """Remove the folders of engines of which none has run for `age` seconds."""
    for folder in engines.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - (folder / HELD).stat().st_mtime < age:
                continue
            with (folder / HELD).open("a") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _accept_windows(listener: socket.socket, broker: Broker) -> None:
    while True:
        link, _ = listener.accept()
        threading.Thread(target=broker.serve, args=(link,), name="window", daemon=True).start()


if __name__ == "__main__":
    main()
