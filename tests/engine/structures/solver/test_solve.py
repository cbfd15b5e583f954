"""Components are those of scipy, numbered alike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csgraph

from secateur.engine.structures.solver.solve import merged_components


@st.composite
def pairs(draw):
    count = draw(st.integers(1, 60))
    return count, draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=80))


def _expected(count, first, second):
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count)).tocsr()
    return csgraph.connected_components(graph, directed=False)[1]


@given(pairs())
def test_they_are_those_of_scipy(drawn):
    count, some = drawn
    first, second = np.array(some, dtype=np.int64).reshape(-1, 2).T
    assert merged_components(count, first, second).tolist() == _expected(count, first, second).tolist()


def test_a_long_chain_in_any_order_is_one_component():
    order = np.random.default_rng(0).permutation(20_000)
    assert not merged_components(len(order), order[:-1], order[1:]).any()


def test_nothing_is_nothing():
    assert merged_components(0, np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0,)
