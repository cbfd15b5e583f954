"""What structures of a state do crosses to the window as it was; of a cut state it is that of what is left."""

from collections.abc import Iterator
from dataclasses import fields
from threading import Event
from typing import Any

import numpy as np
import pytest

from secateur.engine.inspection.response_data import LayerResponses
from secateur.engine.jobs import Progress, finish
from secateur.engine.process.answers import RESULTS
from secateur.engine.process.events import Finished, Progressed
from secateur.engine.process.messages import event_bytes, read_event
from secateur.engine.process.window_session import CALLS
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.workflows.responses import read_responses


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session()
    finish(session.open(ModelSpec("bundled:vit"), evaluate=False))
    yield session
    session.close()


def _same(one: Any, other: Any) -> None:
    for field in fields(one):
        mine, yours = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, yours)
            assert mine.dtype == yours.dtype
        elif hasattr(mine, "entropy"):
            _same(mine, yours)
        else:
            assert mine == yours


def test_they_cross_to_the_window_whole_and_on_the_way(session: Session) -> None:
    heads = next(one for one in session.analysis.sets if one.kind is Kind.HEAD)
    made: list[Any] = []
    job = CALLS["responses"](session, "s0", heads.key, heads.module, 40, Event())
    found = finish(job, lambda progress: made.append(progress.made) if progress.made is not None else None)
    assert found.attention is not None
    assert [one.seen for one in made] == sorted({one.seen for one in made})
    assert 0 < made[0].seen < found.seen == 40
    again = read_event(event_bytes(Finished(3, found)), lambda _: RESULTS["responses"])
    assert isinstance(again, Finished)
    _same(found, again.result)
    on_the_way = read_event(event_bytes(Progressed(3, Progress("Looking"), (), (made[0],))), lambda _: None)
    assert isinstance(on_the_way, Progressed)
    assert isinstance(on_the_way.made[0], LayerResponses)
    _same(made[0], on_the_way.made[0])


def test_those_of_the_whole_model_cross_to_the_window(session: Session) -> None:
    found = finish(CALLS["activity"](session, "s0", Event()))
    again = read_event(event_bytes(Finished(3, found)), lambda _: RESULTS["activity"])
    assert isinstance(again, Finished)
    assert found.seen == 256
    _same(found, again.result)


def test_a_cut_state_has_the_responses_of_what_is_left(session: Session) -> None:
    neurons = next(one for one in session.analysis.sets if one.kind is Kind.NEURON)
    removed = session.analysis.empty()
    removed[neurons.first : neurons.first + 10] = True
    state = finish(session.cut("s0", removed))
    found = finish(read_responses(session, state.id, neurons.key, neurons.module, 20))
    assert found.structures.tolist() == list(range(neurons.first + 10, neurons.first + neurons.count))
    before = finish(read_responses(session, "s0", neurons.key, neurons.module, 20))
    np.testing.assert_allclose(found.values, before.values[10:], atol=1e-4)
    assert found.classes
    assert set(found.classes) <= set(session.loaded.info.classes if session.loaded.info else ())
