"""The one way to do something in another thread: tasks run in order, and their results come back.

A disk may take longer than the window can wait, and so may planning for a large model. Each owner of a
`BackgroundTasks` has a thread of its own, so that a slow one delays only what has to come after it.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal, Slot

from secateur.engine.errors import SecateurError, unexpected

CLOSING = 5.0
"""Seconds that are waited for what runs when the window is closed."""


class _Delivery(QObject):
    """Lives in the interface's thread, and calls the callbacks there.

    Signals:
        arrived: (callback, its argument).
    """

    arrived = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.arrived.connect(self._call, Qt.ConnectionType.QueuedConnection)

    @Slot(object, object)
    def _call(self, callback: Callable[[Any], None], argument: Any) -> None:
        callback(argument)


def _report_unexpected(error: Exception) -> None:
    """Report it like any other exception of a thread (`startup/exception_hook.py`)."""
    kind, trace = type(error), error.__traceback__
    threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))


class BackgroundTasks:
    """Tasks in a thread, one after the other; it starts with the first and ends by `close`, or with the program.

    Attributes:
        failed: Takes an exception, in the tasks' own thread, where `run` was given no `on_error`.
    """

    def __init__(self, name: str, failed: Callable[[Exception], None] = _report_unexpected) -> None:
        """Name the thread; nothing runs yet."""
        self.failed = failed
        self._name = name
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._begin = threading.Lock()
        self._thread: threading.Thread | None = None
        self._delivery: _Delivery | None = None

    def run(
        self,
        task: Callable[[], Any],
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[SecateurError], None] | None = None,
    ) -> None:
        """Run a task after all that were asked for before; returns at once.

        A task that fails stops no later one.

        Args:
            task: Runs in the thread, so it touches no widget.
            on_done: Takes what it returned, in the interface's thread.
            on_error: Takes why it failed, in the interface's thread; unexpected exceptions are wrapped.
        """
        if (on_done or on_error) and self._delivery is None:
            self._delivery = _Delivery()
        delivery = self._delivery

        def run_and_report() -> None:
            """Run the task, and hand its end to the callbacks."""
            try:
                result = task()
            except Exception as error:
                # Disks and file systems raise all kinds of errors.
                if on_error is not None and delivery is not None:
                    known = error if isinstance(error, SecateurError) else unexpected(error)
                    delivery.arrived.emit(on_error, known)
                else:
                    self.failed(error)
            else:
                if on_done is not None and delivery is not None:
                    delivery.arrived.emit(on_done, result)

        self._put(run_and_report)

    def drop_waiting(self) -> None:
        """Forget the tasks that have not begun."""
        with suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()

    def flush(self, seconds: float = CLOSING) -> bool:
        """Wait until everything is done, at most so long; whether it is."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._put(done.set)
        return done.wait(seconds)

    def close(self, seconds: float = CLOSING) -> bool:
        """Wait until everything is done, at most so long, and end the thread; whether all is."""
        with self._begin:
            thread, self._thread = self._thread, None
            if thread is None:
                return True
            self._tasks.put(None)
        thread.join(seconds)
        return not thread.is_alive()

    def _put(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)
        with self._begin:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            # The object that takes the failure may be gone.
            with suppress(Exception):
                task()
