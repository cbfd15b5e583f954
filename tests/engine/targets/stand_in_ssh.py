"""A program in place of `ssh`: the other machine is this one, with a folder of temporary files of its own."""

import sys
from pathlib import Path

import pytest

SSH = f"""#!{sys.executable}
import os, subprocess, sys, threading
print("a banner", flush=True)
pipe = subprocess.PIPE
there = subprocess.Popen(["sh", "-c", sys.argv[sys.argv.index("--") + 2]], stdin=pipe, stdout=pipe, stderr=pipe)
def pump(source, sink):
    try:
        while data := source.read1(1 << 16):
            sink.write(data)
            sink.flush()
        sink.close()
    except OSError:
        source.close()
threading.Thread(target=pump, args=(sys.stdin.buffer, there.stdin), daemon=True).start()
heard = [(there.stdout, sys.stdout.buffer), (there.stderr, sys.stderr.buffer)]
threads = [threading.Thread(target=pump, args=both) for both in heard]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(there.wait())
"""
"""In place of `ssh`: the other machine is this one, and its login shell prints something."""


def reach_this_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have `ssh` lead here; returns where temporary files lie there."""
    programs, there = folder / "bin", folder / "there"
    for one in (programs, there):
        one.mkdir()
    program(programs / "ssh", SSH)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("TMPDIR", str(there))
    return there


def program(path: Path, text: str) -> str:
    """Write a program; returns its path."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)
