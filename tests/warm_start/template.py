"""Loads what processes of the engine need, then forks for each one that `launcher.py` asks for.

`python -P template.py SOCKET`. It computes nothing and has one thread, so that a fork is as good as a fresh process.
Nothing is loaded here that reads the environment once (transformers, timm), and nothing that starts threads
(onnxruntime). Modules of Secateur stay for its own processes alone: scripts and code of tests begin without them.
"""

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
START = str(Path(__file__).with_name("start.py"))
LOADED = (
    "numpy", "torch", "safetensors.torch", "msgspec", "onnx", "onnx_ir", "onnxscript",
    "torch.export", "torch.onnx", "torch.onnx.ops", "torch.onnx._internal.exporter._core", "torchvision",
    "onnxscript.function_libs.torch_lib.ops", "networkx", "secateur.engine.export.export_process",
    "secateur.engine.process.window_session",
)  # fmt: skip


def main() -> None:
    """Serve until killed, or until standard input ends because the tests are gone."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    for name in LOADED:
        importlib.import_module(name)
    tasks = len(os.listdir("/proc/self/task"))
    assert tasks == 1, f"{tasks} threads: a fork would lose all but one"
    gc.collect()
    gc.freeze()  # else the first collection in each fork copies all of it
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(sys.argv[1])
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who waits for a process is its own supervisor
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        ready, _, _ = select.select([server, 0], [], [])
        if 0 in ready:
            return
        link, _ = server.accept()
        if os.fork() == 0:
            server.close()
            supervise(link)
            return
        link.close()


def supervise(link: socket.socket) -> None:
    """One process: fork it, tell how it ended; kill it where its launcher is gone. Returns in the fork alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, files = received(link)
    if (pid := os.fork()) == 0:
        link.close()
        become(asked, files)
        return
    for file in files:
        os.close(file)
    with suppress(BrokenPipeError):  # its launcher is gone: seen below
        link.sendall(f"{pid}\n".encode())
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, link], [], [])
    if ended not in ready:
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if ended in ready:
        link.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def received(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What the launcher was asked, and its three files."""
    files = array.array("i")
    head, extra, _, _ = link.recvmsg(8, socket.CMSG_LEN(3 * files.itemsize))
    files.frombytes(extra[0][2])
    text = b""
    while len(text) < int.from_bytes(head, "big"):
        text += link.recv(1 << 16)
    return json.loads(text), files.tolist()


def become(asked: dict[str, Any], files: list[int]) -> None:
    """The process that was asked for, up to its end; an exception leaves as it would from a fresh interpreter."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    before = os.environ.get("PYTHONPATH", "")
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.getppid = lambda: asked["parent"]  # whose window it is, is written into locks
    own = [path for path in sys.path if path not in before.split(os.pathsep)]
    sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *own]
    importlib.import_module("torch").set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    if START in asked["words"] or "-m" not in asked["words"]:
        for name in [one for one in sys.modules if one.partition(".")[0] == "secateur"]:
            del sys.modules[name]
    leave(ended(asked["words"]))


def ended(words: list[str]) -> int:
    """Run to the end; the exit code that the interpreter would have."""
    try:
        run(words)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def leave(code: int) -> None:
    """End as the interpreter does, but free nothing: to copy the template's memory for that takes a second."""
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or it was closed
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def run(words: list[str]) -> None:
    """What the interpreter does with its words: options, then a module, code, or a script and its folder."""
    options = list[str]()
    while words[0] in ("-P", "-B"):
        options.append(words[0])
        words = words[1:]
    if words[0] == START:
        run(words[1:])
        return
    sys.dont_write_bytecode = "-B" in options or bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    kind, words = (words[0], words[1:]) if words[0] in ("-m", "-c") else ("", words)
    if "-P" not in options:
        own = {"-c": "", "-m": os.getcwd()}
        sys.path.insert(0, own[kind] if kind else str(Path(words[0]).resolve().parent))
    sys.argv = words if kind != "-c" else ["-c", *words[1:]]
    if kind == "-m":
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(str(Path(words[0])), run_name="__main__")


if __name__ == "__main__":
    main()
