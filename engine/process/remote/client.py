"""The window's end of an engine on another machine; to the window it is like `EngineClient`.

One thread holds the connection: it starts `ssh`, greets, hands on what comes, and connects again when it breaks. What
was asked meanwhile arrives once, and so does what was said (`Courier`).
"""

import contextlib
import itertools
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from msgspec import Raw

from ...errors import EngineLost, SecateurError, WireError
from ...session.states import OpenedModel
from ...session.structures_file import check_analysis
from ...subprocesses.ssh import Address, start_ssh
from ..client import CallTypes, poll_events
from ..events import Disconnected, Event, Failed, Finished, Logged, Lost, Reconnected, Refused, lost_engine
from ..messages import Begin, Cancel, call
from ..plain_data import decode, encode, not_understood
from ..wire import Wire
from . import protocol
from .file_transfer import PATH_OF, Homecoming, send_parts, stays_inside
from .protocol import MARK, PROTOCOL, Courier, engine_command, hello, other_version, own_version, read_hello, refusal
from .remote_folders import WRITTEN

WAITS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the connection is tried again; the last one from then on."""
GRACE = 2.0
"""Seconds in which `ssh` ends after its last word."""
CHATTER = 1 << 16
"""Bytes that a login shell may print before the engine is there."""
ANSWER = 20.0
"""Seconds in which the other machine has to say what is in a folder, or that a file is there."""
AHEAD, BREATH = 4, 0.01
"""Messages that may be on their way before the next part of a file that is sent, and seconds between two looks."""
FINAL = frozenset({"remote.version", "remote.taken", "engine.garbled"})
"""Codes of what another try does not mend."""


class RemoteClient:
    """A session in an engine on another machine.

    Attributes:
        address: Where.
        name: Of the engine there.
    """

    def __init__(self, address: Address, results: Mapping[str, Any] | None = None, name: str = "") -> None:
        """Nothing runs before `prepare` or `start`.

        Args:
            address: Where to.
            results: As in `EngineClient`.
            name: Of an engine that an earlier window has left there, "" for a new one.
        """
        self.address = address
        self.name = name or uuid.uuid4().hex[:16]
        self._answers: dict[int, Future[protocol.Kept | protocol.Seen]] = {}
        self._sessions = Path()
        self._results = results
        self._events: queue.Queue[Event] = queue.Queue()
        self._numbers = itertools.count(1)
        self._changing = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reset()

    def _reset(self) -> None:
        """Nothing is known of the engine there, and a process of it has to be started."""
        self._courier = Courier(self._take)
        self._calls = CallTypes(self._results)
        self._coming: dict[int, Homecoming] = {}
        self._written: dict[int, Finished] = {}
        self._birth, self._root = "", ""
        self._later: list[Callable[[], protocol.ToBroker]] = [protocol.Start]

    @property
    def place(self) -> str:
        """The machine, for people."""
        return self.address.title

    @property
    def known(self) -> bool:
        """Whether it has been connected since the engine there began."""
        return bool(self._root)

    @property
    def alive(self) -> bool:
        """True while there is a connection."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the connection, 0 without one."""
        return self._process.pid if self._process is not None else 0

    def prepare(self) -> None:
        """Connect; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="remote engine", daemon=True)
            self._thread.start()

    def start(self, folder: Path) -> None:
        """Work on a folder there of the same name as this one; an engine that has begun another one starts anew."""
        self._sessions = folder.parent
        if self._thread is None:
            self.prepare()
        elif self._calls.begun:
            self._post(protocol.Start)
        self._calls.begun = True
        self._post(lambda: protocol.Said(encode(Begin(self._there(str(folder))))))

    def call(self, method: str, *arguments: Any) -> int:
        """As `EngineClient.call`; paths of what is read are paths there, what is written comes here."""
        if self._thread is None:
            raise EngineLost("engine.not_started", "The engine is not running. Start it first.")
        number = next(self._numbers)
        self._calls.methods[number] = method
        # The engine writes into a folder of the call's own, which has to be there before the call.
        if method in PATH_OF:
            self._post(lambda: protocol.Room(number))
        self._post(lambda: protocol.Said(encode(call(number, method, self._arguments(number, method, arguments)))))
        return number

    def cancel(self, number: int) -> None:
        """As `EngineClient.cancel`."""
        self._post(lambda: protocol.Said(encode(Cancel(number))))

    def poll(self, timeout: float = 0.0) -> Event | None:
        """The next event, None when there is none within `timeout` seconds."""
        return poll_events(self._events, timeout)

    def kill(self) -> None:
        """End the engine process there at once; `Lost` follows."""
        self._post(protocol.Kill)

    def close(self, timeout: float = 2.0) -> None:
        """End the engine there without an event, if it can be reached within `timeout` seconds, and the connection."""
        if self._thread is None:
            return
        if self.alive and self._root:
            self._post(protocol.Leave)
            until = time.monotonic() + timeout
            while self.alive and self._courier.waiting and time.monotonic() < until:
                time.sleep(0.01)
        self._closing.set()
        # Threads that wait for an answer must not wait for the whole `ANSWER`.
        for answer in [*self._answers.values()]:
            with contextlib.suppress(InvalidStateError):
                answer.set_exception(self._no_answer())
        self._courier.hang_up()
        if self._process is not None:
            self._process.kill()
        self._thread.join(timeout)
        self._thread = None
        self._abandon()

    # Folders and files there; both wait, so the interface calls them in another thread.

    def look(self, path: str) -> protocol.Seen:
        """What is at a path there, as `Look` takes it; raises SecateurError where that cannot be seen."""
        number = next(self._numbers)
        found = self._answer(number, protocol.Look(number, path))
        assert isinstance(found, protocol.Seen)
        if found.error:
            template = "{path} on {host} cannot be read: {reason}. Choose another folder."
            raise SecateurError("remote.unreadable", template, path=path, host=self.place, reason=found.error)
        return found

    def send_file(self, path: Path, may_go_on: Callable[[int], bool]) -> str:
        """Send a file there, where it replaces none; returns its path there.

        Args:
            path: Of this machine.
            may_go_on: Called with the bytes that are on their way; where it returns False, the file is not sent.

        Raises:
            SecateurError: It cannot be read here, or not be written there.
        """
        number = next(self._numbers)

        def wait_for_turn(sent: int) -> bool:
            # Few messages are on their way at once, so that calls and a cancel are not behind a whole file.
            until = time.monotonic() + ANSWER
            while self._courier.waiting > AHEAD:
                if time.monotonic() > until or self._closing.is_set():
                    raise self._no_answer()
                time.sleep(BREATH)
            return may_go_on(sent)

        try:
            if not send_parts(number, path.name, path, lambda what: self._post(lambda: what), wait_for_turn):
                self._post(lambda: protocol.FilesEnd(number, "cancelled"))
                return ""
        except OSError as error:
            self._post(lambda: protocol.FilesEnd(number, "unread"))
            template = "{path} cannot be read: {reason}. Choose another file."
            raise SecateurError("remote.unsent", template, path=str(path), reason=str(error.strerror)) from error
        kept = self._answer(number, protocol.FilesEnd(number))
        assert isinstance(kept, protocol.Kept)
        if kept.error:
            template = "{path} cannot be written on {host}: {reason}. Make room there, or copy it yourself."
            raise SecateurError("remote.not_kept", template, path=path.name, host=self.place, reason=kept.error)
        return kept.path

    def _answer(self, number: int, what: protocol.Look | protocol.FilesEnd) -> protocol.Kept | protocol.Seen:
        future = self._answers[number] = Future()
        self._post(lambda: what)
        try:
            # Too late for `close` to answer it.
            if self._closing.is_set():
                raise self._no_answer()
            return future.result(ANSWER)
        except TimeoutError as error:
            raise self._no_answer() from error
        finally:
            del self._answers[number]

    def _no_answer(self) -> SecateurError:
        template = "{host} does not answer. Wait for the connection, then try again."
        return SecateurError("remote.no_answer", template, host=self.place)

    def _post(self, make: Callable[[], protocol.ToBroker]) -> None:
        """Post what depends on the folders there, once they are known."""
        with self._changing:
            if self._root:
                self._courier.post(encode(make()))
            else:
                self._later.append(make)

    # Folders of sessions have a twin there, and what is written is written there first.

    def _arguments(self, number: int, method: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        there = [*map(self._there, arguments)]
        if (which := PATH_OF.get(method)) is not None:
            place = Path(arguments[which]).expanduser().absolute()
            folder = str(PurePosixPath(self._root).parent / WRITTEN / str(number))
            self._coming[number] = Homecoming(place, folder)
            there[which] = self._coming[number].there
        return tuple(there)

    def _there(self, value: Any) -> Any:
        if isinstance(value, str) and value and Path(value).parent == self._sessions:
            return str(PurePosixPath(self._root) / Path(value).name)
        return value

    def _here(self, folder: str) -> str:
        """The twin here of a folder there; "" for a folder that is none."""
        path = PurePosixPath(folder)
        return str(self._sessions / path.name) if str(path.parent) == self._root and stays_inside(path.name) else ""

    # The thread of the connection.

    def _run(self) -> None:
        waits, known = iter(WAITS), False
        try:
            while not self._closing.is_set():
                try:
                    self._connect()
                    known, waits = True, iter(WAITS)
                except EngineLost as error:
                    # Before the first connection a person waits for it, and decides what to do.
                    if not known or error.message.code in FINAL:
                        if self._process is not None:
                            self._process.kill()
                        if not self._closing.is_set():
                            self._events.put(Refused(error))
                        return
                self._closing.wait(next(waits, WAITS[-1]))
        finally:
            # `close` may have done so while this thread still wrote.
            self._abandon()

    def _connect(self) -> None:
        """Serve one connection to its end.

        Raises:
            EngineLost: There is none, or what came is of none.
        """
        # Where a terminal has started the window, ssh may ask for a password or a passphrase there.
        asks = sys.stdin is not None and sys.stdin.isatty()
        try:
            process = self._process = start_ssh(self.address, engine_command(self.address, self.name), asks)
        except SecateurError as error:
            raise EngineLost.saying(error.message) from error
        log = deque[str](maxlen=40)
        reader = threading.Thread(target=_read_log, args=(process, log), name="ssh log", daemon=True)
        reader.start()
        try:
            wire = self._greet(process, reader, log)
            if wire is None:
                return
            self._courier.serve(wire, self._theirs)
            if not self._closing.is_set():
                self._events.put(Disconnected(self.place))
        except WireError as error:
            raise EngineLost("engine.garbled", "{why}", why=error.message) from error
        finally:
            process.kill()
            process.wait()
            reader.join(1.0)
            for file in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    cast("BinaryIO", file).close()

    def _greet(self, process: "subprocess.Popen[bytes]", reader: threading.Thread, log: deque[str]) -> Wire | None:
        """The wire, once both ends know each other; None where the engine there is another one than before."""
        source, sink = cast("BinaryIO", process.stdout), cast("BinaryIO", process.stdin)
        try:
            there = _read_mark(source)
            if there is not None and there != [str(PROTOCOL), own_version()]:
                raise other_version(self.address, there[-1], own_version())
            if there is None:
                raise EOFError
            wire = Wire(source, sink, slow=True)
            wire.send(hello(self._courier.received, self._birth))
            theirs = read_hello(wire.receive())
        except (EOFError, OSError) as error:
            # Wait for the end of a process that has said all that is read of it; one that does not end is killed.
            try:
                exitcode = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                exitcode = process.wait()
            reader.join(1.0)
            raise refusal(self.address, exitcode, "\n".join(log)) from error
        if theirs.version != own_version():
            raise other_version(self.address, theirs.version, own_version())
        if theirs.taken:
            template = "Another window has gone on with this session on {host}. Go on there, and close this window."
            raise EngineLost("remote.taken", template, host=self.place)
        with self._changing:
            if self._birth not in ("", theirs.birth):
                template = (
                    "The engine on {host} has ended, with what ran in it. Your work up to the last state is kept."
                )
                calls = tuple(sorted({*self._calls.methods, *self._written}))
                self._abandon()
                self._reset()
                self._events.put(Lost(0, EngineLost("remote.gone", template, host=self.place), calls))
                return None
            # What was asked before the first greeting depends on folders there, which are known only now.
            again = self._birth == theirs.birth
            self._birth, self._root, self._theirs = theirs.birth, theirs.root, theirs.received
            later, self._later = self._later, []
            for make in later:
                self._courier.post(encode(make()))
        if again:
            self._events.put(Reconnected(self.place))
        return wire

    # What comes.

    def _take(self, body: Raw) -> None:
        what: protocol.ToWindow = decode(body, protocol.ToWindow)
        match what:
            case protocol.Said(data):
                event = self._calls.read(data)
                if isinstance(event, Finished) and event.call in self._coming:
                    # The result names files, so it is passed on once these are here.
                    self._written[event.call] = event
                    self._post(lambda: protocol.Fetch(event.call))
                else:
                    if isinstance(event, Failed):
                        self._coming.pop(event.call, None)
                    self._events.put(self._localise(event))
            case protocol.Printed(text):
                self._events.put(Logged(text))
            case protocol.FileBegins() | protocol.Part() | protocol.FilesEnd():
                self._bring_home(what)
            case protocol.Kept(number) | protocol.Seen(number):
                if (answer := self._answers.get(number)) is not None:
                    with contextlib.suppress(InvalidStateError):
                        answer.set_result(what)
            case protocol.Ended():
                calls = tuple(sorted(self._calls.methods))
                # The next engine process may be asked at once: what this one was asked for never comes.
                self._calls.methods.clear()
                error = not_understood(what.garbled) if what.garbled else None
                self._events.put(lost_engine(what.exitcode, calls, what.log, error))

    def _abandon(self) -> None:
        """What is on its way here never comes."""
        # Another thread may add to them, or take some away.
        for home in [*self._coming.values()]:
            home.abandon()

    def _bring_home(self, what: protocol.FileBegins | protocol.Part | protocol.FilesEnd) -> None:
        """Bring home what a call has written; it is finished once that is here."""
        event = self._written.get(what.number)
        # The call failed already: its files have no place.
        if event is None:
            return
        home = self._coming[what.number]
        try:
            if not isinstance(what, protocol.FilesEnd):
                return home.take(what)
            home.finish(what)
        except SecateurError as error:
            del self._written[what.number]
            return self._events.put(Failed(what.number, error))
        del self._written[what.number]
        self._events.put(Finished(event.call, home.here(event.result)))

    def _localise(self, event: Event) -> Event:
        """A model that was opened there, with its folder here; one whose numbers point nowhere is refused."""
        if not isinstance(event, Finished):
            return event
        if not isinstance(event.result, OpenedModel):
            result = event.result
            for home in self._coming.values():
                result = home.here(result)
            return Finished(event.call, result)
        try:
            check_analysis(event.result.analysis)
        except (ValueError, IndexError) as error:
            return Failed(event.call, not_understood(str(error)))
        return Finished(event.call, replace(event.result, folder=self._here(event.result.folder)))


def _read_mark(source: BinaryIO) -> list[str] | None:
    """Protocol and version that the other end says; None where it ends without."""
    read = 0
    while (line := source.readline(CHATTER)) and read <= CHATTER:
        read += len(line)
        if line.startswith(MARK):
            return line[len(MARK) :].decode("ascii", "replace").split()[:2] or ["", "?"]
    return None


def _read_log(process: "subprocess.Popen[bytes]", log: deque[str]) -> None:
    with cast("BinaryIO", process.stderr) as source:
        while line := source.readline(4096):
            log.append(line.decode("utf-8", "replace").rstrip())
