"""Tables of latencies of an opened model: measured once, kept by content, gone on with after a stop."""

import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Cancelled, Job, NeverCancelled, Progress, finish, followed
from secateur.engine.planning.sample_plans import SAMPLES, STEPS
from secateur.engine.session.session import Session
from secateur.engine.structures.costs import costs
from secateur.engine.subprocesses.ssh import Address
from secateur.engine.targets.latency_table import LatencyTable
from secateur.engine.targets.measure import Profile
from secateur.engine.targets.protocol import Kernel, TargetSpec
from secateur.engine.targets.remote import target_over_ssh
from secateur.engine.workflows import latency_table as latency_tables
from secateur.engine.workflows.latency_table import latency_table, liked_multiple, measured_table, measuring_for
from tests.app.remote.sshd import SSH, SSHD, account_is_locked, loopback
from tests.engine.session.small import write_project

TORCH = TargetSpec("torch", multiple=8)
"""Needs no export of its own to be measured."""
BASE, EACH = 1e-4, 1e-8


@pytest.fixture
def session(tmp_path):
    with closing(Session(tmp_path / "session", cache=tmp_path / "cache")) as session:
        finish(session.open(replace(write_project(tmp_path / "user"), task=None, input_shape=(2, 1, 8, 8))))
        yield session


@pytest.fixture
def runtime(monkeypatch):
    """A runtime that counts the parameters in the files it is given; returns what was measured, in order."""
    measured: list[int] = []

    def profile(original, model, inputs, target, token, usual=0.0):
        from safetensors.numpy import load_file

        size, whole = (sum(a.size for a in load_file(f / "weights.safetensors").values()) for f in (model, original))
        measured.append(size)
        kernels = (Kernel("all", "Net", ((size,),), EACH * size),)
        return Profile(BASE + EACH * size, BASE + EACH * whole, 1.0, 1.0, kernels)
        yield

    monkeypatch.setattr(latency_tables, "profile", profile)
    return measured


def test_the_share_of_the_work_rises_evenly_while_files_are_written_and_measured(session, monkeypatch):
    def written(_measuring, plans, folder, token):
        folder.mkdir()
        yield from (Progress("Exporting", number, len(plans)) for number in range(len(plans)))
        return [folder / str(number) for number in range(len(plans))]

    def profile(*_):
        yield Progress("Measuring", 1, 2)
        return Profile(BASE, BASE, 1.0, 1.0, (Kernel("all", "Net", ((1,),), BASE),))

    monkeypatch.setattr(latency_tables, "cut_models", written)
    monkeypatch.setattr(latency_tables, "profile", profile)
    told: list[float] = []
    finish(latency_table(session, TORCH), lambda one: told.append(one.share))
    shares = [one for one in told if not np.isnan(one)]
    assert len(shares) >= SAMPLES and shares == sorted(shares) and shares[0] == 0
    assert max(np.diff([*shares, 1.0])) < 2 / SAMPLES


def test_samples_are_measured_once_and_other_weights_do_not_matter(session, runtime, tmp_path):
    table = finish(latency_table(session, TORCH))
    count = len(runtime)
    assert SAMPLES / 2 < count <= SAMPLES  # a plan that is drawn twice is one
    assert table.original == pytest.approx(1e9 * (BASE + EACH * runtime[0]), rel=0.01)
    assert table.target == TORCH and table.multiple == 8 and "torch" in table.machine
    again = finish(latency_table(session, TORCH))
    assert len(runtime) == count and again.trust == table.trust
    assert finish(liked_multiple(session, TORCH)) == 1  # the time is proportional to the weights
    assert count < len(runtime) <= count + len(STEPS)
    with closing(Session(cache=tmp_path / "cache")) as other:
        model = (tmp_path / "user" / "model.py").read_text().replace("manual_seed(0)", "manual_seed(1)")
        (tmp_path / "user" / "model.py").write_text(model)
        finish(other.open(replace(write_project(tmp_path / "elsewhere"), task=None, input_shape=(2, 1, 8, 8))))
        before = len(runtime)
        finish(latency_table(other, TORCH))
        assert len(runtime) == before
        finish(latency_table(other, replace(TORCH, batch=2)))
        assert len(runtime) > before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.stem = nn.Conv2d(1, 16, 3, padding=1)", "self.stem = nn.Conv2d(1, 16, 3, padding=1, stride=2)"),
        ("conv1 = nn.Conv2d(width, 24, 3, padding=1", "conv1 = nn.Conv2d(width, 24, 3, padding=2, dilation=2"),
        ("self.stem(x).relu()", "nn.functional.max_pool2d(self.stem(x).relu(), 2)"),
    ],
)
def test_code_that_computes_something_else_has_samples_of_its_own(session, tmp_path, before, after):
    spec = replace(write_project(tmp_path / "user"), task=None, input_shape=(2, 1, 8, 8))
    code = tmp_path / "user" / "model.py"
    for text in (code.read_text() + "\n# a comment\n", code.read_text().replace(before, after)):
        code.write_text(text)
        with closing(Session(tmp_path / "other", cache=tmp_path / "cache")) as other:
            finish(other.open(spec))
            same = measuring_for(other, TORCH).file == measuring_for(session, TORCH).file
        assert same == (after not in text)


def test_a_stop_keeps_what_was_measured(session, runtime, monkeypatch):
    stop, measured = threading.Event(), latency_tables.profile

    def stops(*arguments):
        found = yield from measured(*arguments)
        if len(runtime) == 6:
            stop.set()
        return found

    monkeypatch.setattr(latency_tables, "profile", stops)
    with pytest.raises(Cancelled):
        finish(latency_table(session, TORCH, stop))
    assert len(runtime) == 8  # those that were written already are measured: the runtime here is never asked to stop
    first = list(runtime)
    finish(latency_table(session, TORCH))
    assert len(set(runtime[len(first) :]) & set(first)) == 0


def test_what_is_damaged_in_a_cache_is_measured_anew_and_no_more(session, runtime, tmp_path):
    finish(latency_table(session, TORCH))
    (file,) = (tmp_path / "cache" / "latency").glob("*.jsonl")
    lines, count = file.read_text().splitlines(), len(runtime)
    lines[2:5] = [lines[2][:20], '{"kept": 1}', '{"key": "a", "value": {"seconds": "long"}}']
    file.write_text("\n".join(lines) + "\n")
    finish(latency_table(session, TORCH))
    again = len(runtime)
    assert count < again <= count + 3
    finish(latency_table(session, TORCH))
    assert len(runtime) == again


@pytest.mark.end_to_end
@pytest.mark.skipif(SSHD is None or SSH is None, reason="needs sshd and ssh (openssh-server, openssh-client)")
@pytest.mark.skipif(account_is_locked(), reason="sshd lets nobody in as a user whose password is locked")
def test_a_table_of_another_machine_is_measured_there_once(session, tmp_path, monkeypatch):
    """Over a real connection; half as many cut models, each for a moment: this is about the way there and back."""
    monkeypatch.setattr(latency_tables, "SECONDS", 0.02)
    target, said = target_over_ssh(TargetSpec(multiple=8), Address("loop", program=sys.executable)), list[str]()

    def measured(target: TargetSpec) -> Job[LatencyTable]:
        return measured_table(measuring_for(session, target), NeverCancelled(), 8, count=6)

    def heard(progress: Progress) -> Iterator[Progress]:
        said.append(str(progress.message))
        yield progress

    (tmp_path / "ssh").mkdir()
    with loopback(tmp_path / "ssh"):
        table = finish(followed(measured(target), heard))
        again = finish(measured(target))
    assert [kind for _, kind in table.blocks].count("Conv") == 3 and "cores, onnxruntime" in table.machine
    assert table.original > 0 and np.isfinite(table.trust.errors).all() and table.target.machine == "loop"
    assert any(one.startswith("Cut models 1 to 4 of") and "Measuring on loop" in one for one in said)
    assert again.original == table.original
    assert finish(measured(replace(target, address="ssh://nobody"))).original == table.original  # nobody is asked again
    with pytest.raises(SecateurError, match="loop is another machine"):
        finish(measured(replace(target, batch=2, address="")))


@pytest.mark.slow
def test_a_real_table_is_of_convolutions_and_says_how_far_it_is_off(session):
    """Slow: a dozen models are cut, exported and measured."""
    table = finish(latency_table(session, TargetSpec("onnxruntime", multiple=8)))
    assert [kind for _, kind in table.blocks].count("Conv") == 3
    assert len(table.trust.errors) > 4 and np.isfinite(table.trust.errors).all()
    assert costs(session.analysis).macs > 0 < table.original
