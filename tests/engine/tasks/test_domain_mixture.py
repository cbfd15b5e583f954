"""Domains are mixed by the rule of LLM-Shearing, drawn by their proportions, and gone through to the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from secateur.engine.errors import DataError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.domain_mixture import DomainMixture, DomainTask, mixture_of, updated_proportions
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, TaskSpec

NAMES = ("cc", "github", "book", "stackexchange", "wiki", "arxiv", "c4")
REFERENCES = np.array([1.9643, 0.7459, 2.1393, 1.6117, 1.7590, 1.4449, 2.1251])
FIRST = np.array([0.67, 0.045, 0.045, 0.02, 0.045, 0.025, 0.15])
"""Of the published 1.3B run."""


def test_the_rule_is_that_of_the_published_run() -> None:
    assert updated_proportions(FIRST, REFERENCES, REFERENCES, smoothing=0.0) == pytest.approx(FIRST)
    losses = REFERENCES + np.array([0.10, 0.60, 0.05, 0.30, -0.20, 0.0, 0.15])
    found = updated_proportions(FIRST, losses, REFERENCES)
    assert found == pytest.approx((1 - 1e-4) * softmax(np.log(FIRST) + losses - REFERENCES) + 1e-4 / 7)
    by_hand = [0.65361, 0.07238, 0.04176, 0.02383, 0.03252, 0.02207, 0.15383]  # w e^d over the sum 1.13288
    assert found == pytest.approx(by_hand, abs=1e-4)
    assert found.sum() == pytest.approx(1) and found[1] > FIRST[1] and found[4] < FIRST[4]
    clamped = updated_proportions(FIRST, losses, REFERENCES, clamped=True)
    assert clamped[4] > found[4]  # being below the reference takes nothing away
    assert (updated_proportions(np.full(2, 0.5), np.array([np.nan, 9.0]), np.array([1.0, np.nan])) == 0.5).all()


def test_a_domain_that_reached_its_reference_long_ago_is_never_forgotten() -> None:
    proportions = np.array([0.5, 0.5])
    for _ in range(50):
        proportions = updated_proportions(proportions, np.array([3.0, 0.0]), np.array([1.0, 1.0]))
    assert proportions[1] == pytest.approx(0.5e-4, rel=0.2)


def test_sequences_are_drawn_by_their_proportions_and_every_one_before_any_again() -> None:
    rows = (np.arange(10), np.arange(10, 40))
    mixture = DomainMixture(("a", "b"), np.array([0.25, 0.75]), np.zeros(2, np.int64), np.zeros(2), seed=3)
    batches = list(mixture.batches(rows, 32, 8))
    assert [len(one) for one in batches] == [8] * 4 and all((one < 10).sum() == 2 for one in batches)
    drawn = np.concatenate(batches)
    assert len(set(drawn.tolist())) == 32
    later = mixture.after(32)
    assert later.cursors.tolist() == [8, 24]
    again = np.concatenate(list(later.batches(rows, 8, 8)))  # two of the first domain are left
    assert set(again[again < 10].tolist()) == set(range(10)) - set(drawn.tolist())
    halves = [*mixture.batches(rows, 16, 8), *mixture.after(16).batches(rows, 16, 8)]
    assert np.array_equal(np.concatenate(halves), drawn)  # a cursor, not a replay
    assert not np.array_equal(np.concatenate(list(replace(mixture, seed=4).batches(rows, 32, 8))), drawn)


def test_a_state_is_restored() -> None:
    one = DomainMixture(("a", "b"), np.array([0.2, 0.8]), np.array([3, 4]), np.array([1.0, np.nan]), seed=7)
    other = DomainMixture(("a", "b"), np.array([0.5, 0.5]), np.zeros(2, np.int64), np.zeros(2), seed=7)
    assert other.restored(one.state_dict()).state_dict()["cursors"] == [3, 4]
    assert np.array_equal(other.restored(one.state_dict()).proportions, one.proportions)


def opened(folder: Path, **texts: str) -> DomainTask:
    """A task of texts by the names of their files, __ for a dash."""
    for name, text in texts.items():
        (folder / f"{name.replace('__', '-')}.txt").write_text(text)
    options = (("tokenizer", "bytes"), ("length", "8"), ("purpose", "causal"))
    task = open_task(TaskSpec("text", str(folder), batch=4, options=options))
    assert isinstance(task, DomainTask)
    return task


def test_files_name_domains_and_no_sequence_is_of_two(tmp_path: Path) -> None:
    named = {"train__wiki": "a" * 83, "train__code": "b" * 171, "val__wiki": "a" * 40, "val__code": "b" * 24}
    task = opened(tmp_path, **named, test="c" * 40)
    mixture = task.mixture()
    assert mixture is not None and mixture.names == ("code", "wiki")
    assert mixture.proportions == pytest.approx([21 / 31, 10 / 31])
    for inputs, _ in task.mixed_batches(mixture):
        assert all(len(set(row)) == 1 for row in inputs.tolist())

    def says_a(tokens: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.full_like(tokens, ord("a")), 256).float()

    losses = finish(task.domain_losses(says_a, Split.VAL, NeverCancelled()))
    whole = np.log(255 + np.e)
    assert losses == pytest.approx([whole, whole - 1])


def test_text_without_a_name_is_a_domain_of_its_own_beside_named_ones(tmp_path: Path) -> None:
    task = opened(tmp_path, train__wiki="a" * 80, train="c" * 240, val__wiki="a" * 40, val="c" * 40, test="a" * 40)
    mixture = task.mixture()
    assert mixture is not None and mixture.names == ("unnamed", "wiki")
    assert mixture.proportions == pytest.approx([0.75, 0.25])
    drawn = torch.cat([inputs for inputs, _ in task.mixed_batches(mixture)])
    assert (drawn == ord("c")).float().mean() == pytest.approx(0.75)


def test_domains_that_the_val_split_lacks_are_refused_by_their_files(tmp_path: Path) -> None:
    task = opened(tmp_path, train__wiki="a" * 80, train__code="b" * 80, val="a" * 40, test="a" * 40)
    with pytest.raises(DataError, match=r"val-code\.txt, val-wiki\.txt"):
        task.mixture()


def test_parts_of_a_split_are_no_domains(tmp_path: Path) -> None:
    text = {"train__00001-of-00002": "a" * 80, "train__00002-of-00002": "b" * 80, "val": "a" * 40, "test": "a" * 40}
    assert opened(tmp_path, **text).mixture() is None


def test_a_domain_of_one_sequence_is_drawn_again_and_again(tmp_path: Path) -> None:
    task = opened(
        tmp_path, train__wiki="a" * 80, train__code="b" * 8, val__wiki="a" * 8, val__code="b" * 8, test="a" * 40
    )
    mixture = task.mixture()
    assert mixture is not None
    even = replace(mixture, proportions=np.array([0.5, 0.5]))
    drawn = torch.cat([inputs for inputs, _ in task.mixed_batches(even)])
    assert 1 < int((drawn == ord("b")).all(1).sum()) < len(drawn)


def test_a_domain_without_a_sequence_is_refused_by_its_name(tmp_path: Path) -> None:
    task = opened(tmp_path, train__wiki="a" * 80, train__code="b" * 7, val="a" * 40, test="a" * 40)
    with pytest.raises(DataError, match="domain code has no sequence"):
        task.mixture()
    assert mixture_of(("a",), (np.arange(3),)).proportions.tolist() == [1.0]
