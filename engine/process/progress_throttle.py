"""Thins the progress of a job to 30 messages a second without losing a point of a curve, or what was made.

The job's thread only leaves its news here; a small thread posts them, so that the last news of a job that then works
silently for a minute is not held back.
"""

import sys
import threading
import time
from dataclasses import replace

from ..jobs import Progress
from .events import Failed, Finished, Progressed, Ready
from .messages import event_bytes
from .wire import Wire

INTERVAL = 1 / 30
"""Seconds between two progress messages."""


class Outbox:
    """Posts events over a wire, progress merged."""

    def __init__(self, wire: Wire) -> None:
        """Start the posting thread."""
        self._wire = wire
        self._news = threading.Condition()
        self._waiting: Progressed | None = None
        self._quiet = False
        threading.Thread(target=self._post, name="outbox", daemon=True).start()

    def progress(self, call: int, progress: Progress) -> None:
        """Leave a job's progress to be posted within `INTERVAL`."""
        with self._news:
            self._waiting = _merged(self._waiting, call, progress)
            self._news.notify()

    def quiet(self, on: bool) -> None:
        """Keep progress back, merged, until its job ends or somebody listens again."""
        with self._news:
            self._quiet = on
            self._news.notify()

    def send(self, event: Ready | Finished | Failed) -> None:
        """Post an event at once, after the progress that was waiting.

        Raises:
            TypeError, OverflowError: Something in it is no plain data; nothing was sent of it.
        """
        data = event_bytes(event)
        with self._news:
            self._flush()
            self._wire.send(data)

    def _post(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting is not None and not self._quiet)
                self._flush()
            time.sleep(INTERVAL)

    def _flush(self) -> None:
        if self._waiting is not None:
            event, self._waiting = self._waiting, None
            try:
                data = event_bytes(event)
            except (TypeError, OverflowError) as error:  # It alone is not told; what follows is, and the job's result.
                sys.stderr.write(f"Progress of call {event.call} cannot be told: {error}\n")
            else:
                self._wire.send(data)


def _merged(before: Progressed | None, call: int, progress: Progress) -> Progressed:
    points, made = (before.points, before.made) if before is not None else ((), ())
    if before is not None and progress.so_far is None:
        progress = replace(progress, so_far=before.progress.so_far)
    points = (*points, progress.values) if progress.values else points
    return Progressed(call, progress, points, made if progress.made is None else (*made, progress.made))
