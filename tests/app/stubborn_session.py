"""A session for tests of the link: one job obeys no cancel, one dies, and it remembers that it was restored."""

import os
import time
from pathlib import Path

from secateur.engine.jobs import CancelToken, Job, Progress, check


class StubbornSession:
    """Imports no torch, so that it starts quickly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restored = False
        methods = (self.open, self.restore, self.was_restored, self.deaf, self.spin, self.die)
        self.at_once: frozenset[str] = frozenset()
        self.calls = {method.__name__: method for method in methods}

    def open(self) -> str:
        return "opened"

    def restore(
        self, folder: str = "", moved: tuple[()] = (), trust_code: bool = False, unchanged: bool = False
    ) -> None:
        self.restored = True

    def was_restored(self) -> bool:
        return self.restored

    def deaf(self, token: CancelToken) -> Job[None]:
        yield Progress("Deaf")
        time.sleep(600)

    def spin(self, token: CancelToken) -> Job[None]:
        while True:
            check(token)
            time.sleep(0.01)
            yield Progress("Spinning", values={"step": 1.0, "loss": 2.0})

    def die(self) -> None:
        os.abort()

    def close(self) -> None:
        pass
