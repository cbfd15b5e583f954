"""The real session in its own process: killed in the middle of fine-tuning it comes back, cancelled it falls idle."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secateur.engine.jobs import Cancelled
from secateur.engine.process.client import EngineClient
from secateur.engine.process.events import Failed, Finished, Lost, Progressed, Ready
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import OpenedModel, State
from tests.waiting import cpu_seconds
from tests.warm_start import process_behind

from ..session.small import write_project
from .test_client import until

LONG = RecoverySettings(epochs=10_000, threads=1)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EngineClient]:
    client = EngineClient()
    client.start(tmp_path / "session")
    until(client, Ready)
    yield client
    client.close()


def answer(client: EngineClient, method: str, *arguments: object) -> object:
    client.call(method, *arguments)
    last = until(client, (Finished, Failed))[-1]
    assert isinstance(last, Finished), last
    return last.result


def tuned(client: EngineClient, tmp_path: Path) -> tuple[int, tuple[State, ...]]:
    """Open, cut, recover, and begin a fine-tuning that would last for hours; its number and the states so far."""
    opened = answer(client, "open", write_project(tmp_path / "mine"))
    assert isinstance(opened, OpenedModel)
    marked = opened.analysis.empty()
    marked[:4] = True
    cut = answer(client, "cut", "s0", marked)
    assert isinstance(cut, State)
    answer(client, "recover", cut.id, RecoverySettings(epochs=1, threads=1))
    states = answer(client, "states")
    call = client.call("recover", cut.id, LONG)
    while not any(e.points for e in until(client, Progressed) if isinstance(e, Progressed)):
        pass
    return call, states  # type: ignore[return-value]


def test_killed_in_the_middle_of_fine_tuning_it_restores_every_state(client: EngineClient, tmp_path: Path) -> None:
    call, states = tuned(client, tmp_path)
    weights = {path.name: path.read_bytes() for path in (tmp_path / "session" / "weights").iterdir()}
    os.kill(client.pid, signal.SIGKILL)
    lost = until(client, Lost)[-1]
    assert isinstance(lost, Lost) and lost.calls == (call,) and "SIGKILL" in str(lost.error)
    client.start(tmp_path / "session")
    again = answer(client, "restore")
    assert isinstance(again, OpenedModel) and again.task is not None and again.state == states[0]
    assert answer(client, "states") == states and [s.kind for s in states] == ["original", "cut", "recovered"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "session" / "weights").iterdir()} == weights
    assert isinstance(answer(client, "recover", "s1", RecoverySettings(epochs=1, threads=1)), State)


def test_a_cancelled_fine_tuning_computes_no_second_longer_and_leaves_the_process_idle(
    client: EngineClient, tmp_path: Path
) -> None:
    call, states = tuned(client, tmp_path)
    engine = process_behind(client.pid)
    before = cpu_seconds(engine)
    client.cancel(call)
    failed = until(client, Failed)[-1]
    assert isinstance(failed, Failed) and isinstance(failed.error, Cancelled)
    after = cpu_seconds(engine)
    assert after - before < 1.0
    time.sleep(0.5)
    assert cpu_seconds(engine) - after < 0.02
    assert answer(client, "states") == states
