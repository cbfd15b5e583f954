"""The engine process seen from the window: calls, progress, cancel, errors, log, and every way it can die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secateur.engine.errors import EngineLost, OpenError
from secateur.engine.jobs import Cancelled
from secateur.engine.process.client import EngineClient
from secateur.engine.process.events import Event, Failed, Finished, Logged, Lost, Progressed, Ready
from secateur.engine.process.remote.client import RemoteClient
from tests.waiting import PATIENCE, cpu_seconds, runs, wait_until
from tests.warm_start import process_behind

SLOW = "tests.engine.session.slow_session:SlowSession"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineClient]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    client = EngineClient(SLOW, {})
    client.start(tmp_path)
    assert isinstance(until(client, Ready)[-1], Ready)
    yield client
    client.close()


def until(client: EngineClient | RemoteClient, kind: type | tuple[type, ...], seconds: float = PATIENCE) -> list[Event]:
    """All events up to the first of a kind."""
    events: list[Event] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (event := client.poll(0.1)) is not None:
            events.append(event)
            if isinstance(event, kind):
                return events
    raise AssertionError(f"no {kind} within {seconds} s, only {events}")


def answer(client: EngineClient, method: str, *arguments: object) -> Finished | Failed:
    call = client.call(method, *arguments)
    last = until(client, (Finished, Failed))[-1]
    assert isinstance(last, Finished | Failed) and last.call == call
    return last


def test_a_call_gives_its_result(client: EngineClient, tmp_path: Path) -> None:
    assert answer(client, "where") == Finished(1, str(tmp_path))
    assert answer(client, "echo", {"a": (1, 2)}) == Finished(2, {"a": [1, 2]})


def test_calls_are_answered_in_order(client: EngineClient) -> None:
    numbers = [client.call("count", 3), client.call("where"), client.call("count", 2)]
    answered = [until(client, Finished)[-1] for _ in numbers]
    assert [event.call for event in answered if isinstance(event, Finished)] == numbers


def test_what_needs_no_turn_is_answered_while_a_job_runs(client: EngineClient) -> None:
    spinning, looking = client.call("spin"), client.call("clock")
    answered = until(client, Finished)[-1]
    assert isinstance(answered, Finished) and answered.call == looking
    client.cancel(spinning)
    failed = until(client, Failed)[-1]
    assert isinstance(failed, Failed) and failed.call == spinning


def test_progress_is_thinned_but_neither_a_point_of_a_curve_nor_what_was_made_is_lost(client: EngineClient) -> None:
    started = time.monotonic()
    client.call("count", 3000)
    events = until(client, Finished)
    progress = [e for e in events if isinstance(e, Progressed)]
    assert len(progress) <= 3 + 30 * (time.monotonic() - started)
    assert [point["step"] for e in progress for point in e.points] == [float(s) for s in range(3000) if s % 2]
    assert [made.share for e in progress for made in e.made] == [*range(0, 3000, 3)]
    assert progress[-1].progress.done == 3000 and isinstance(events[-1], Finished)


def test_the_last_news_of_a_job_that_falls_silent_arrive(client: EngineClient) -> None:
    call = client.call("silent")
    while (events := until(client, Progressed))[-1].progress.text != "Last news":  # type: ignore[union-attr]
        pass
    assert events[-1].points == ({"step": 7.0},)  # type: ignore[union-attr]
    client.cancel(call)
    until(client, Failed)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_cancelled_job_computes_no_second_longer_and_leaves_the_process_idle(client: EngineClient) -> None:
    call = client.call("spin")
    until(client, Progressed)
    engine = process_behind(client.pid)
    before = cpu_seconds(engine)
    client.cancel(call)
    failed = until(client, Failed)[-1]
    assert isinstance(failed, Failed) and isinstance(failed.error, Cancelled)
    after = cpu_seconds(engine)
    assert after - before < 1.0
    time.sleep(0.5)
    assert cpu_seconds(engine) - after < 0.02
    assert answer(client, "echo", 1) == Finished(2, 1)


def test_a_call_cancelled_before_it_began_does_nothing(client: EngineClient) -> None:
    first, second = client.call("spin"), client.call("count", 5)
    until(client, Progressed)
    client.cancel(second)
    client.cancel(first)
    failures = [until(client, Failed)[-1] for _ in range(2)]
    assert [f.call for f in failures if isinstance(f, Failed) and isinstance(f.error, Cancelled)] == [first, second]


def test_an_error_arrives_with_its_sentence_and_details(client: EngineClient) -> None:
    failed = answer(client, "fail")
    assert isinstance(failed, Failed) and isinstance(failed.error, OpenError)
    assert (str(failed.error), failed.error.details, failed.error.message.code) == (
        "x.bin is no model.",
        "line 3",
        "open.nothing",
    )


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("stumble", "ZeroDivisionError: a bug"),
        ("leave", "SystemExit: 3"),
        ("nothing", "nothing"),
        ("_private", "_private"),
        ("unspeakable", "lambda"),
    ],
)
def test_what_nobody_expected_is_a_sentence_and_the_process_lives(
    client: EngineClient, method: str, words: str
) -> None:
    failed = answer(client, method)
    assert isinstance(failed, Failed) and words in str(failed.error) and "\n" not in str(failed.error)
    assert answer(client, "echo", 5) == Finished(2, 5)


def test_prints_of_the_users_code_become_log_lines(client: EngineClient) -> None:
    client.call("say", "héllo")
    events = until(client, Finished)
    while not any(isinstance(e, Logged) and "and an error" in e.text for e in events):
        events += until(client, Logged)
    assert "héllo" in "\n".join(e.text for e in events if isinstance(e, Logged))


def test_a_flood_of_prints_neither_fills_the_memory_nor_holds_up_the_answer(client: EngineClient) -> None:
    client.call("say", "\n".join("x" * 100 for _ in range(200_000)))
    time.sleep(2)
    assert client._events.qsize() < 600
    assert isinstance(until(client, Finished)[-1], Finished)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_process_says_so_and_starts_again(client: EngineClient, tmp_path: Path) -> None:
    call = client.call("spin")
    until(client, Progressed)
    os.kill(client.pid, signal.SIGKILL)
    last = until(client, Lost)[-1]
    assert isinstance(last, Lost) and last.exitcode == -9 and last.calls == (call,)
    assert "SIGKILL" in str(last.error) and isinstance(last.error, EngineLost)
    assert not client.alive
    client.start(tmp_path)
    until(client, Ready)
    assert isinstance(answer(client, "echo", 2), Finished)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_in_native_code_keeps_its_last_words(client: EngineClient) -> None:
    client.call("die")
    last = until(client, Lost)[-1]
    assert isinstance(last, Lost) and "SIGABRT" in str(last.error)
    assert "last words" in last.error.details and "Fatal Python error" in last.error.details


def test_kill_gives_lost_and_close_gives_nothing(client: EngineClient, tmp_path: Path) -> None:
    client.kill()
    assert isinstance(until(client, Lost)[-1], Lost)
    client.start(tmp_path)
    until(client, Ready)
    client.close(timeout=PATIENCE)
    assert (tmp_path / "closed").exists() and client.poll(0.3) is None and not client.alive


def test_close_does_not_wait_for_a_running_job(client: EngineClient) -> None:
    client.call("spin")  # never ends
    until(client, Progressed)
    process = client._process.process
    client.close(timeout=0.3)
    assert process.poll() == -signal.SIGKILL and client.poll(0.2) is None


def test_the_engine_ends_when_the_window_dies(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from secateur.engine.process.client import EngineClient\n"
        f"client = EngineClient({SLOW!r}, {{}}); client.start(Path({str(tmp_path)!r}))\n"
        "while not client.poll(1): pass\n"
        "client.call('spin'); client.poll(5); print(client.pid, flush=True); import os; os._exit(1)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pid = int(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=180).stdout)
    wait_until(lambda: not runs(pid))


def test_a_process_that_was_prepared_is_the_one_that_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    client = EngineClient(SLOW, {})
    client.prepare()
    prepared = client.pid
    client.start(tmp_path)
    until(client, Ready)
    assert client.pid == prepared and answer(client, "where") == Finished(1, str(tmp_path))
    client.start(tmp_path / "another")
    assert client.pid != prepared and answer(client, "where") == Finished(2, str(tmp_path / "another"))
    client.close()


def test_a_process_that_was_only_prepared_ends_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    client = EngineClient(SLOW, {})
    client.prepare()
    process = client._process.process
    client.close(timeout=PATIENCE)
    assert process.poll() == 0


def test_a_session_starts_without_what_only_some_steps_need() -> None:
    some = {"scipy", "onnx", "jinja2", "torchvision", "torchmetrics"}
    code = f"import sys, secateur.engine.process.window_session; print({some!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_the_client_loads_no_torch() -> None:
    code = "import sys, secateur.engine.process.client; sys.exit('torch' in sys.modules or 'PySide6' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=180).returncode == 0
