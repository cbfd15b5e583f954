"""Writes in a thread of its own, one after the other: a disk may take longer than the window can wait."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

Task = Callable[[], None]


class Writer:
    """A thread that runs what it is given, in order; it starts with the first task and ends by `close`, or the program.

    Attributes:
        failed: Told, in the writer's thread, when a task raises; a task that fails stops no later one.
    """

    def __init__(self, name: str, failed: Callable[[Exception], None] = lambda _error: None) -> None:
        """Name the thread; nothing runs yet."""
        self.failed = failed
        self._name = name
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._begin = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, task: Task) -> None:
        """Have a task run after all that were put before it; returns at once."""
        self._tasks.put(task)
        with self._begin:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def flush(self, seconds: float = 5.0) -> bool:
        """Wait until everything is written, at most so long; whether it is."""
        if self._thread is None:
            return True
        done = threading.Event()
        self.put(done.set)
        return done.wait(seconds)

    def close(self, seconds: float = 5.0) -> bool:
        """Wait until everything is written, at most so long, and end the thread; whether all is."""
        with self._begin:
            thread, self._thread = self._thread, None
            if thread is None:
                return True
            self._tasks.put(None)
        thread.join(seconds)
        return not thread.is_alive()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception as error:  # whatever a disk or a file system comes up with
                with suppress(Exception):  # nobody is left to be told
                    self.failed(error)
