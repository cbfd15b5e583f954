"""`secateur engine NAME`: connects its standard input and output with the engine of that name, started where none runs.

It is what `ssh` starts on the other machine, and ends with the connection; the engine does not.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from ...errors import SecateurError
from .protocol import MARK, PROTOCOL, own_version
from .remote_folders import LOG, connect_to_engine, engine_folder

PATIENCE = 30.0
"""Seconds that an engine may take to listen."""
CHUNK = 1 << 16
TRIAL, LEAST = "trial", 1 << 16
"""A file in the folder of an engine that shows whether so many bytes can be written there."""


def relay(name: str, session: str = "") -> int:
    """Connect until either end closes; returns the exit code.

    Args:
        name: Of the engine.
        session: "module:name" of what makes its sessions, "" for the window's.

    Raises:
        SecateurError: The engine does not start, or its folder is not private.
    """
    folder = engine_folder(name)
    link = connect_to_engine(folder) or _start_engine(folder, [name, session] if session else [name])
    out = sys.stdout.buffer
    # What a login shell has printed may end without a line break.
    out.write(b"\n%s%d %s\n" % (MARK, PROTOCOL, own_version().encode()))
    out.flush()
    threading.Thread(target=_send_output, args=(link,), name="out", daemon=True).start()
    while data := os.read(0, CHUNK):
        try:
            link.sendall(data)
        except OSError:
            break
    link.close()
    # The other direction may still wait for bytes.
    os._exit(0)


def main(words: list[str]) -> int:
    """`secateur engine NAME`, for the `ssh` of a window elsewhere; standard output is the wire's alone."""
    if len(words) != 1 or words[0].startswith("-"):
        sys.stderr.write("secateur engine NAME is started by secateur --engine ssh://user@host on another machine.\n")
        return 2
    try:
        return relay(words[0])
    except (SecateurError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _send_output(link: socket.socket) -> None:
    try:
        while data := link.recv(CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]
    except OSError:
        pass
    os._exit(0)


def _start_engine(folder: Path, words: list[str]) -> socket.socket:
    """A connection to an engine that is started now, on its own: the end of this process does not end it."""
    # Raise OSError where the disk is full: an engine there could not even say so in its log.
    trial = folder / TRIAL
    try:
        trial.write_bytes(bytes(LEAST))
    finally:
        trial.unlink(missing_ok=True)
    with (folder / LOG).open("ab") as log:
        command = [sys.executable, "-P", "-m", "secateur.engine.process.remote.broker", *words]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=Path.home()
        )
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not process.poll():
        if (link := connect_to_engine(folder)) is not None:
            return link
        time.sleep(0.05)
    template = "The engine did not start. Its log is {path}."
    raise SecateurError("engine.not_listening", template, path=str(folder / LOG))
