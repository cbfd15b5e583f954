"""A slow connection: `python -m tests.benchmarks.slow_link DELAY RATE COMMAND...` runs a command behind it.

What goes to the command's standard input, and what comes from its standard output, arrives DELAY seconds later, at most
RATE bytes a second in either direction. No more than `WINDOW` bytes are under way: whoever writes more waits, as for
any connection.
"""

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.engine.process.remote.far import far_machine

CHUNK, WINDOW = 4096, 1 << 18
ROOT = Path(__file__).parents[2]
SSH = """#!/bin/sh
for word; do last="$word"; done
export HOME="{home}"
cd "{root}" && exec "{python}" -m tests.benchmarks.slow_link {delay} {rate} sh -c "cd; $last"
"""


def machine_behind(home: Path, session: str, delay: float, rate: float) -> Path:
    """Another machine behind a slow connection; returns the folder with its `ssh`, to stand in front of PATH.

    Args:
        home: Its files.
        session: "module:name" of what makes sessions there.
        delay: Seconds in either direction.
        rate: Bytes a second in either direction.
    """
    _, commands = far_machine(home, session)
    words = {"home": home, "root": ROOT, "python": sys.executable, "delay": delay, "rate": rate}
    (commands / "ssh").write_text(SSH.format(**words))
    return commands


def carry(source: int, sink: int, delay: float, rate: float) -> None:
    """Carry bytes from one file descriptor to another one, until either ends."""
    under_way: queue.Queue[tuple[float, bytes]] = queue.Queue(WINDOW // CHUNK)

    def take() -> None:
        free = 0.0
        while data := os.read(source, CHUNK):
            free = max(free, time.monotonic()) + len(data) / rate
            under_way.put((free + delay, data))
        under_way.put((0.0, b""))

    threading.Thread(target=take, daemon=True).start()
    while True:
        due, data = under_way.get()
        if not data:
            return os.close(sink)
        time.sleep(max(due - time.monotonic(), 0.0))
        try:
            while data:
                data = data[os.write(sink, data) :]
        except OSError:
            return None


def main() -> int:
    """Run the command of the command line."""
    delay, rate, *command = sys.argv[1:]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    there = (0, os.dup(process.stdin.fileno()), float(delay), float(rate))
    process.stdin.close()
    threading.Thread(target=carry, args=there, daemon=True).start()
    carry(process.stdout.fileno(), os.dup(1), float(delay), float(rate))
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
