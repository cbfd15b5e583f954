"""What the tests of the house share ends with them: trees of all files are half a gigabyte."""

from collections.abc import Iterator

import pytest

from . import parsed


@pytest.fixture(autouse=True, scope="package")
def trees_until_the_end() -> Iterator[None]:
    yield
    parsed.nodes_of.cache_clear()
