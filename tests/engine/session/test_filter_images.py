"""The first convolution's filters as images, of states of a session."""

from pathlib import Path

import numpy as np
import pytest

from secateur.engine.jobs import finish
from secateur.engine.session.filter_images import first_convolution, images_of
from secateur.engine.session.session import Session

from .small import write_project


@pytest.fixture
def session(tmp_path: Path):
    session = Session()
    finish(session.open(write_project(tmp_path / "mine"), evaluate=False))
    yield session
    session.close()


def test_images_are_the_weights_around_grey():
    weights = np.array([[[[-2.0, 0.0], [1.0, 2.0]]], [[[0.0, 0.0], [0.0, np.nan]]]], np.float32)
    images = images_of(weights)
    assert images.shape == (2, 2, 2, 3)
    assert images[0, :, :, 0].tolist() == [[0, 128], [191, 255]]
    assert set(images[1].ravel().tolist()) == {128}


def test_the_filters_of_a_cut_state_are_those_that_are_left(session: Session):
    analysis = session.analysis
    number = first_convolution(analysis)
    assert analysis.tensors[number].name == "stem.weight"
    whole = session.filters("s0")
    assert whole is not None and whole.images.shape == (16, 3, 3, 3) and whole.index.tolist() == list(range(16))
    one = next(s for s in analysis.sets if (number, 0) in s.touches and s.count > 1)
    removed = analysis.empty()
    removed[one.first + np.array([2, 7])] = True
    state = finish(session.cut("s0", removed))
    left = session.filters(state.id)
    assert left is not None and left.index.tolist() == [n for n in range(16) if n not in (2, 7)]
    assert (left.images == whole.images[left.index]).all()
