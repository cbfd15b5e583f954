"""A further process: results, progress, errors, its death, and that cancelling kills it."""

import os
import sys
import time

import pytest

from secateur.engine.errors import ExportError, Message, SecateurError
from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from secateur.engine.subprocesses.run import run_killable
from tests.waiting import runs, wait_until

WORK = """
import os, signal, subprocess, sys, time
from secateur.engine.errors import ExportError, Message
from secateur.engine.jobs import Progress

def double(job):
    print("noise on standard output")
    os.write(1, b"more noise")
    for n in range(3):
        yield Progress("working", n, 3, {"n": n})
    return {"value": 2 * job["value"], "threads": os.environ["OMP_NUM_THREADS"]}

def sleep(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield Progress(f"{os.getpid()} {child.pid}")
    time.sleep(600)

def refuse(job):
    yield Progress(Message("progress.part", "about to fail: {part}", {"part": Message("a.b", "now")}))
    why = Message("export.why", "{count} are too many", {"count": 3})
    raise ExportError("export.test", "Cannot write {path}: {why}.", "the details", path=job["path"], why=why)

def crash(job):
    yield Progress("about to crash")
    raise KeyError("width")

def die(job):
    yield Progress("about to die")
    os.kill(os.getpid(), signal.SIGKILL)
"""


class After:
    """A token that is set a while after it was first looked at."""

    def __init__(self, seconds=0.0):
        self.seconds, self.until = seconds, None

    def is_set(self):
        self.until = self.until or time.monotonic() + self.seconds
        return time.monotonic() >= self.until


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "some_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def start(name, job=None, token=None, **options):
        what = Message("test.work", "The work")
        return run_killable(f"some_work:{name}", job or {}, token or NeverCancelled(), what, **options)

    return start


def test_result_and_progress_come_back_whatever_the_work_prints(run):
    seen = []
    assert finish(run("double", {"value": 21}, threads=2), seen.append) == {"value": 42, "threads": "2"}
    assert [(p.text, p.done, p.total, p.values) for p in seen] == [("working", n, 3, {"n": n}) for n in range(3)]


def test_cancelling_kills_the_process_and_its_children(run):
    class Token:
        on = False

        def is_set(self):
            return self.on

    token = Token()
    job = run("sleep", token=token)
    pids = [int(p) for p in next(job).text.split()]
    token.on = True
    with pytest.raises(Cancelled):
        next(job)
    wait_until(lambda: not any(map(runs, pids)))


def test_a_job_that_is_dropped_kills_its_process(run):
    job = run("sleep")
    pid = int(next(job).text.split()[0])
    job.close()
    wait_until(lambda: not runs(pid))


def test_a_token_that_is_set_before_starts_nothing(run):
    with pytest.raises(Cancelled):
        next(run("sleep", token=After(0)))


def test_a_process_whose_parent_is_gone_ends(tmp_path, run):
    (tmp_path / "parent.py").write_text(
        "from secateur.engine.subprocesses.run import run_killable\nfrom secateur.engine.jobs import NeverCancelled\n"
        "import os\njob = run_killable('some_work:sleep', {}, NeverCancelled(), 'x')\n"
        "print(next(job).text, flush=True)\nos._exit(1)\n"
    )
    import subprocess

    out = subprocess.run([sys.executable, "-P", tmp_path / "parent.py"], capture_output=True, text=True).stdout
    pid, grandchild = map(int, out.split())
    wait_until(lambda: not runs(pid))
    os.kill(grandchild, 9)


def test_an_error_of_ours_keeps_class_code_arguments_and_details(run):
    told = list[Message]()
    with pytest.raises(ExportError) as caught:
        finish(run("refuse", {"path": "a.onnx"}), lambda progress: told.append(progress.message))
    error = caught.value
    assert (error.message.code, error.details) == ("export.test", "the details")
    assert str(error) == "Cannot write a.onnx: 3 are too many."
    why = Message("export.why", "{count} are too many", {"count": 3})
    assert error.message.arguments == {"path": "a.onnx", "why": why}
    assert told[0].arguments == {"part": Message("a.b", "now")}


def test_another_exception_becomes_a_sentence_with_the_traceback_as_details(run):
    with pytest.raises(ExportError) as caught:
        finish(run("crash", error=ExportError))
    assert str(caught.value) == "The work failed: KeyError: 'width'"
    assert "some_work.py" in caught.value.details


def test_a_killed_process_says_so(run):
    with pytest.raises(SecateurError, match=r"killed by the system \(SIGKILL\)"):
        finish(run("die"))
