"""Stands in the place of a process: hands its files and words to the template, and ends as that process ends.

`python -I -S launcher.py SOCKET WORDS...`: WORDS are what the interpreter would have been given.
"""

import array
import json
import os
import signal
import socket
import sys


def main() -> None:
    """Send, wait, end alike; if this process is killed, the socket closes and the other one is killed too."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(sys.argv[1])
    asked = {"words": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd(), "parent": os.getppid()}
    text = json.dumps(asked).encode()
    files = array.array("i", [0, 1, 2])
    link.sendmsg([len(text).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    link.sendall(text)
    os.close(0)
    told = link.makefile()
    with open("/proc/self/comm", "w") as name:
        name.write(told.readline())  # the process behind this one: `warm_start.process_behind` reads it
    code = int(told.readline() or 1)
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):  # nobody can handle these
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
