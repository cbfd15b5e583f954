"""The window's side of the link: calls return at once, the engine's words come as signals in the window's thread."""

from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from ..storage.autosave.remote_engine import RemoteEngine
from .engine_supervisor import Client, Supervisor


class _EngineThread(QThread):
    """The one long-lived thread that owns the client.

    Signals:
        said: (kind, ticket, payload) of `Supervisor.tell`.
    """

    said = Signal(str, object, object)

    def __init__(self, client: Client, parent: QObject) -> None:
        super().__init__(parent)
        self.supervisor = Supervisor(client, self.said.emit)

    def run(self) -> None:
        """Serve until told to stop (in the new thread)."""
        self.supervisor.run()


class EngineLink(QObject):
    """Calls to the engine process.

    Signals:
        ready: The engine has loaded its libraries and computes with this many threads.
        progressed: (ticket, events.Progressed).
        finished: (ticket, result).
        failed: (ticket, SecateurError).
        lost: (EngineLost, asked by a cancel, is started again, gets back its session).
        restored: The engine has the document's states again.
        given_up: SecateurError: it could not be restored.
        disconnected: The connection to the engine on this machine broke; it is tried again, and the engine goes on.
        reconnected: The connection to the engine on this machine is there again.
        logged: Text that the user's code or a library printed.
    """

    ready = Signal(int)
    progressed = Signal(object, object)
    finished = Signal(object, object)
    failed = Signal(object, object)
    lost = Signal(object, bool, bool, bool)
    restored = Signal()
    given_up = Signal(object)
    disconnected = Signal(str)
    reconnected = Signal(str)
    logged = Signal(str)

    def __init__(self, client: Client | None = None, parent: QObject | None = None) -> None:
        """Own a client (the real one by default); nothing runs before `start`."""
        super().__init__(parent)
        if client is None:
            from secateur.engine.process.client import EngineClient

            client = EngineClient()
        self.client = client
        self._thread = _EngineThread(client, self)
        self._thread.said.connect(self._on_said, Qt.ConnectionType.QueuedConnection)

    @property
    def place(self) -> str:
        """The machine that it runs on, "" for this one."""
        return self.client.place

    @property
    def engine(self) -> RemoteEngine | None:
        """How a later window finds it again, None for this machine's, which ends with the window."""
        address: Any = getattr(self.client, "address", None)
        return None if address is None else RemoteEngine(str(address), str(getattr(self.client, "name", "")))

    @property
    def pid(self) -> int:
        """Process id of the engine, 0 before it started."""
        return int(getattr(self.client, "pid", 0))

    def start(self, folder: Path) -> None:
        """Start the engine process on a session folder."""
        self._thread.supervisor.orders.put(("start", folder))
        if not self._thread.isRunning():
            self._thread.start()

    def call(self, ticket: int, method: str, *arguments: Any) -> None:
        """Ask for a method of the session; the ticket comes back in `progressed`, `finished` and `failed`.

        The engine works on one call at a time: who calls (the job queue) waits for the end of one before the next.
        """
        self._thread.supervisor.orders.put(("call", ticket, method, arguments))

    def cancel(self, ticket: int) -> None:
        """Ask a call to stop; if it does not within seconds, the process is killed and the session restored."""
        self._thread.supervisor.orders.put(("cancel", ticket))

    def close(self) -> None:
        """End thread and process; the process is asked first, then killed."""
        if self._thread.isRunning():
            self._thread.supervisor.orders.put(("stop",))
            self._thread.wait()
        else:
            self.client.close()

    @Slot(str, object, object)
    def _on_said(self, kind: str, ticket: int, payload: Any) -> None:
        match kind:
            case "progressed" | "finished" | "failed":
                getattr(self, kind).emit(ticket, payload)
            case "lost":
                self.lost.emit(*payload)
            case "given_up" | "logged" | "ready" | "disconnected" | "reconnected":
                getattr(self, kind).emit(payload)
            case _:
                getattr(self, kind).emit()
