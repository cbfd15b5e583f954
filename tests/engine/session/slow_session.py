"""A session without a model, for tests of the process around it (imports no torch, so that it starts quickly)."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from secateur.engine.errors import OpenError
from secateur.engine.jobs import CancelToken, Job, Progress, check
from secateur.engine.storage import atomic_files
from secateur.engine.workflows.budget_search import Trial


class SlowSession:
    """Jobs that count, spin, print and die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words = list[str]()
        names = "where echo count spin silent fail stumble leave unspeakable say die steady tally clock"
        self.at_once = {"clock"}
        writing = "write_report write_script"
        self.calls = {name: getattr(self, name) for name in f"{names} {writing}".split()}

    def where(self) -> str:
        return str(self.folder)

    def echo(self, value: Any) -> Any:
        return value

    def count(self, steps: int, token: CancelToken) -> Job[int]:
        for step in range(steps):
            check(token)
            values = {"step": float(step)} if step % 2 else {}
            yield Progress(f"Step {step}", step + 1, steps, values, made=Trial(step, "") if step % 3 == 0 else None)
        return steps

    def steady(self, least: int, token: CancelToken) -> Job[int]:
        """Takes seconds: so many steps at least, and until there is a file `enough`; leaves their number in `steps`."""
        step = 0
        while step < least or not (self.folder / "enough").exists():
            check(token)
            time.sleep(0.01)
            yield Progress(f"Step {step}", step + 1, least, {"step": float(step)})
            step += 1
        atomic_files.write(self.folder / "steps", str(step).encode())
        return step

    def clock(self) -> float:
        """Answered while another call runs."""
        return time.monotonic()

    def tally(self, word: str) -> list[str]:
        """All words that it was called with."""
        self.words.append(word)
        return self.words

    def write_report(self, state: str, path: str) -> tuple[str, ...]:
        """A large file, one that belongs to it, and a folder."""
        Path(path).write_text(state * 1_000_000)
        Path(f"{path}.data").write_text("more")
        return (path,)

    def write_script(self, state: str, path: str) -> tuple[str, ...]:
        """A file that nobody asked for."""
        Path(path).write_text(state)
        Path(path).with_name(".profile").write_text("evil")
        return (path,)

    def spin(self, token: CancelToken) -> Job[None]:
        while True:
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass
            yield Progress("Spinning")

    def silent(self, token: CancelToken) -> Job[None]:
        yield Progress("First")
        yield Progress("Last news", values={"step": 7.0})
        while not token.is_set():
            time.sleep(0.01)
        check(token)

    def fail(self, token: CancelToken) -> Job[None]:
        yield Progress("Failing")
        raise OpenError("open.nothing", "{path} is no model.", details="line 3", path="x.bin")

    def stumble(self) -> None:
        raise ZeroDivisionError("a bug")

    def leave(self) -> None:
        sys.exit(3)

    def unspeakable(self) -> object:
        return lambda: None

    def say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stderr.write("and an error\n")

    def die(self) -> None:
        sys.stdout.write("last words\n")
        os.abort()

    def close(self) -> None:
        (self.folder / "closed").write_text("yes")
