"""Parts of one size keep equal counts and choose their own indices; what follows for sets, steps, plans and cuts."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from secateur.engine.errors import PlanError
from secateur.engine.jobs import finish
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures import reasons
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, CountRule
from secateur.engine.structures.count_constraints import CountStatement, bundles
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle
from tests.engine.structures.rules.proof import prove

ROWS = (torch.randn(3, 9, generator=torch.Generator().manual_seed(0)),)


class Chunks(nn.Module):
    """Each of three parts of a layer has a reader of its own."""

    def __init__(self, count: int = 3, readers: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(9, 4 * count)
        self.readers = nn.ModuleList(nn.Linear(4, 5) for _ in range(readers or count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.first(x).tanh().chunk(len(self.readers), 1)
        return torch.cat([read(part) for read, part in zip(self.readers, parts, strict=True)], 1)


class Gated(Chunks):
    """Two parts meet again index by index, the third one does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c = self.first(x).tanh().chunk(3, 1)
        return torch.cat([self.readers[0](a * b), self.readers[1](c)], 1)


class Passing(nn.Module):
    """ShuffleNet's units: half passes by, the other half is made anew, both are shuffled together."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.stem, self.end = nn.Linear(9, width), nn.Linear(width, 4)
        self.units = nn.ModuleList(nn.Linear(width // 2, width // 2) for _ in range(units))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).tanh()
        for unit in self.units:
            left, right = x.chunk(2, 1)
            x = torch.cat([left, unit(right).tanh()], 1)
            x = x.view(len(x), 2, -1).transpose(1, 2).reshape(len(x), -1)
        return self.end(x)


def counts(analysis: Analysis) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """(sets' counts, sizes of a step, steps) of each bundle."""
    return [(tuple(analysis.sets[n].count for n in b.sets), b.sizes, b.most) for b in analysis.bundles]


def test_parts_of_a_split_lose_as_many_but_not_the_same() -> None:
    analysis = prove(Chunks(), ROWS, "first.weight", *(f"readers.{n}.weight:1" for n in range(3)))
    assert counts(analysis) == [((4, 4, 4), (1, 1, 1), 3)]
    (constraint,) = analysis.constraints
    assert (
        constraint.kind is CountRule.EQUAL
        and str(constraint.reason) == "The 3 parts of aten.split must keep equal sizes."
    )


def test_parts_that_meet_again_keep_their_pairs() -> None:
    analysis = prove(Gated(readers=2), ROWS, "first.weight", "readers.0.weight:1", "readers.1.weight:1")
    assert counts(analysis) == [((4, 4), (1, 1), 3)]
    pair = analysis.sets[analysis.bundles[0].sets[0]]
    assert {s.tensor: s.indices.tolist() for s in analysis.slices(pair.first + 1)}["first.weight"] == [1, 5]


def test_parts_with_one_reader_are_counted_apart() -> None:
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.reader = nn.Linear(9, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b = self.first(x).tanh().chunk(2, 1)
            return self.reader(torch.cat([b, a], 1))

    analysis = prove(Swapped(), ROWS, "first.weight", "reader.weight:1")
    assert counts(analysis) == [((4, 4), (1, 1), 3)]


def test_a_shorter_last_part_stays_and_is_never_the_longest() -> None:
    class Uneven(Chunks):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b, c = self.first(x).tanh().narrow(1, 0, 11).split(4, 1)
            return torch.cat([self.readers[0](a), self.readers[1](b), c], 1)

    analysis = prove(Uneven(readers=2), ROWS, "readers.0.weight:1", "readers.1.weight:1")
    assert counts(analysis) == [((4, 4), (1, 1), 1)]


def test_a_plan_with_uneven_parts_is_refused_in_words() -> None:
    model = Chunks(2)
    analysis = analyse(model, ROWS)
    for gone, refused in (([0, 1, 4], True), ([0, 1, 4, 7], False)):
        mask = analysis.empty()
        mask[gone] = True
        if not refused:
            smaller = cut(model, analysis, mask, ROWS).model
            assert smaller.get_parameter("first.weight").shape[0] == 4
            continue
        with pytest.raises(PlanError, match=r"keeps 2 and 3 in first\. The 2 parts of aten\.split must keep equal"):
            cut(model, analysis, mask, ROWS)


def test_channels_that_pass_by_go_in_steps_that_all_units_can_halve() -> None:
    torch.manual_seed(0)
    analysis = prove(Passing(16, 2), ROWS, "stem.weight", "units.0.weight", "units.1.weight")
    assert counts(analysis) == [((4, 4, 8), (1, 1, 2), 3)]


def test_what_no_number_leaves_even_is_fixed_with_that_as_the_reason() -> None:
    analysis = analyse(Passing(8, 4), ROWS)  # the first channel passes all units, and with it stays everything
    why = {str(f.reason) for f in analysis.fixed if analysis.tensors[f.tensor].name == "stem.weight" and f.dim == 0}
    assert not analysis.bundles
    assert any("The 2 parts of aten.split must keep equal sizes" in one for one in why)


def test_a_trial_takes_from_all_parts_and_what_one_part_cannot_none_can() -> None:
    class Stubborn(Chunks):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.get_parameter("readers.1.weight").shape[1] != 4:
                raise ValueError("not the second")
            return super().forward(x)

    analysis = finish(settle(Stubborn(), ROWS, name="stubborn"))
    assert not analysis.sets and len(finish(settle(Chunks(), ROWS, name="")).sets) == 3


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.data())
@settings(max_examples=60, deadline=None)
def test_every_step_is_even_and_small_groups_without_one_have_none(sizes: list[int], data: st.DataObject) -> None:
    """Against all numbers that could go."""
    kinds = st.lists(st.integers(0, 2), min_size=len(sizes), max_size=len(sizes))
    rows = [np.array([data.draw(kinds), data.draw(kinds)], np.int64) for _ in range(data.draw(st.integers(1, 2)))]
    reason = reasons.equal_parts("aten.split", 2)
    made = [CountStatement(CountRule.EQUAL, 0, 0, reason, "", (0, 1), weights) for weights in rows]
    given_counts = [one for one in made if len(one.sets)]
    found, stay = bundles(given_counts, np.array(sizes, np.int64))
    told = {int(n) for one in given_counts for n in one.sets}
    assert {n for one in found for n in one.sets}.isdisjoint(n for n, _ in stay)
    assert {n for one in found for n in one.sets} | {n for n, _ in stay} == told
    for one in found:
        step = np.zeros(len(sizes), np.int64)
        step[list(one.sets)] = one.sizes
        assert all((c.differences @ step == 0).all() for c in given_counts)
        assert (step * one.most < sizes).all() and one.most > 0
    if not found and told and np.prod(sizes) < 3000:
        ways = product(*(range(size) if n in told else (0,) for n, size in enumerate(sizes)))
        assert not any(all(way[n] for n in told) and _even(given_counts, way) for way in ways)


def _even(given_counts: list[CountStatement], way: tuple[int, ...]) -> bool:
    return all((c.differences @ np.array(way) == 0).all() for c in given_counts)


def test_halves_of_everything_are_even() -> None:
    analysis = analyse(Passing(16, 2), ROWS)
    mask = analysis.empty()
    for one in analysis.sets:
        mask[one.first + np.random.default_rng(one.first).permutation(one.count)[: one.count // 2]] = True
    even = balanced(analysis, mask)
    assert [int(even[s.structures].sum()) for s in analysis.sets if s.count > 1] == [2, 2, 4]
