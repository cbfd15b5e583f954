"""A process that was started warm is as good as a fresh one: words, files, environment, exit code, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest

import tests.warm_start
from tests.waiting import wait_until

from . import AVAILABLE, SCRIPTS, START, is_warm, process_behind, python

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="Linux alone")
WARM = """
import json, os, sys
import torch
print(json.dumps([sys.argv[1:], sys.stdin.readline(), os.getcwd(), os.environ["OWN"], torch.get_num_threads()]))
print(os.getppid())
print("told", file=sys.stderr)
"""

LAST_WORDS = """
import atexit, sys, threading, time
threading.Thread(target=lambda: (time.sleep(0.1), sys.stderr.write("so "))).start()
atexit.register(lambda: sys.stderr.write("it is"))
sys.exit(1)
"""


def process(folder: Path, code: str, *words: str, **environment: str) -> "subprocess.Popen[str]":
    """A script of a folder that is called as those of the engine are."""
    place = folder / SCRIPTS
    place.mkdir(parents=True, exist_ok=True)
    (place / "check.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-P", str(place / "check.py"), *words]
    assert is_warm(command)
    pipe, env = subprocess.PIPE, os.environ | environment
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=folder, env=env)


def test_words_files_folder_environment_and_threads_are_its_own(tmp_path: Path) -> None:
    started = process(tmp_path, WARM, "-v", "two words", OWN="ä", OMP_NUM_THREADS="2", PYTHONIOENCODING="utf-8")
    said, complained = started.communicate("a line\n", timeout=180)
    own = f'[["-v", "two words"], "a line\\n", "{tmp_path}", "\\u00e4", 2]'
    assert said.splitlines() == [own, str(os.getpid())] and complained == "told\n"
    assert started.returncode == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise ValueError('so it is')", 1),
        ("import sys; sys.exit('so it is')", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        (LAST_WORDS, 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_it_ends_as_it_would_have_ended(tmp_path: Path, code: str, status: int) -> None:
    started = process(tmp_path, code)
    _, complained = started.communicate(timeout=180)
    assert started.returncode == status and ("so it is" in complained) == (status == 1)


def test_it_dies_with_what_stands_in_its_place(tmp_path: Path) -> None:
    started = process(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(100)")
    assert started.stdout is not None
    pid = int(started.stdout.readline())
    assert process_behind(started.pid) == pid and process_behind(os.getpid()) == os.getpid()
    started.kill()
    assert started.stdout.read() == "", "its end of the pipe is closed"
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    started.communicate(timeout=180)


def test_of_two_threads_that_start_the_first_processes_one_starts_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = list[Path]()

    def template(place: Path) -> Mock:
        started.append(place)
        time.sleep(0.2)  # the other one comes
        place.touch()
        return Mock()

    monkeypatch.setattr(tests.warm_start, "_template", template)
    with tests.warm_start.warm_start(tmp_path) as ready, ThreadPoolExecutor(2) as pool:
        assert [*pool.map(lambda _: ready(), range(2))] == [tmp_path] * 2
    assert started == [tmp_path / "socket"]


def test_only_the_engine_is_started_warm_and_not_what_measures() -> None:
    child = [sys.executable, "-P", "-m", "secateur.engine.subprocesses.child"]
    assert is_warm([*child, "secateur.engine.export.export_process:write_model"])
    assert not is_warm([*child, "secateur.engine.targets.worker:main"])
    assert not is_warm([sys.executable, "-m", "secateur.engine.subprocesses.child", "x:main"])
    assert not is_warm([sys.executable, "-P", "-c", "pass"]) and not is_warm("python -P -m x")
    assert is_warm(python("-c", "pass"))


WORDS = "import json, sys; print(json.dumps([sys.argv[1:], sys.path[0], 'torch' in sys.modules, __name__]))"


@pytest.mark.parametrize("options", [[], ["-P"]])
@pytest.mark.parametrize("kind", ["code", "script", "module"])
def test_what_tests_start_by_hand_reads_words_and_paths_as_an_interpreter_does(
    tmp_path: Path, kind: str, options: list[str]
) -> None:
    (tmp_path / "told.py").write_text(WORDS)
    begin = {"code": ["-c", WORDS], "script": [str(tmp_path / "told.py")], "module": ["-m", "told"]}[kind]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    words = [*options, *begin, "-c", "two words"]

    def said(command: list[str]) -> list:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    arguments, path, loaded, name = said(python(*words))
    expected = said([sys.executable, *words])
    assert [arguments, name] == [expected[0], expected[3]] and loaded and not expected[2]
    assert Path(path).resolve() == Path(expected[1]).resolve()
    assert said([sys.executable, "-I", str(START), *words]) == expected, "without a template"
