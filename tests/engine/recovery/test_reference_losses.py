"""Reference losses are read as written, fitted by a law that gives back what it was made by, and lead the mixing."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit

from secateur.engine.errors import DataError, SecateurError
from secateur.engine.jobs import Job, finish
from secateur.engine.recovery.domain_mixing import reference_losses
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import Mixing, RecoverySettings, require_mixable, require_possible
from secateur.engine.recovery.reference_losses import ReferenceLosses, fit_law, read_references, write_references
from secateur.engine.recovery.training_curve import domain_curves

from .test_domain_mixing import DIGITS, LETTERS, Next, folder, text_task

__all__ = ["folder"]  # a fixture
SIZES = (7_000_000_000, 13_000_000_000, 70_000_000_000)


def chinchilla(parameters: float) -> float:
    """Hoffmann et al. 2022, without the term of the data."""
    return 1.69 + 406.4 / parameters**0.34


def test_a_law_gives_back_what_it_was_made_by_far_below_the_sizes_it_has_seen() -> None:
    law = fit_law(SIZES, [chinchilla(size) for size in SIZES])
    assert law.loss(1.3e9) == pytest.approx(chinchilla(1.3e9), rel=1e-5)
    assert law.exponent == pytest.approx(0.34, rel=1e-3) and law.floor == pytest.approx(1.69, rel=1e-4)


def test_a_law_through_noisy_losses_is_that_of_least_squares() -> None:
    sizes = np.geomspace(1e8, 1e10, 8)
    losses = np.array([chinchilla(size) for size in sizes.tolist()]) + np.random.default_rng(0).normal(0, 0.01, 8)
    law = fit_law([int(one) for one in sizes], losses.tolist())
    units = sizes / sizes[0]
    (floor, scale, exponent), _ = curve_fit(lambda n, e, a, x: e + a * n**-x, units, losses, (1.7, 0.7, 0.3))
    assert law.loss(5e7) == pytest.approx(floor + scale * 0.5**-exponent, rel=1e-4)


def test_two_sizes_make_a_line_in_logarithms_and_a_loss_that_grows_no_law() -> None:
    law = fit_law((100, 400), (4.0, 2.0))
    assert law.loss(1600) == pytest.approx(1.0) and law.loss(200) == pytest.approx(8**0.5)
    assert fit_law((100, 200, 400), (2.0, 2.1, 2.2)).loss(50) == pytest.approx(2.1)
    flat = fit_law((100, 200), (2.0, 2.2))
    assert not flat.falls and flat.loss(50) == flat.loss(5000) == pytest.approx(4.4**0.5)


def test_references_are_read_as_they_are_written() -> None:
    given = read_references("code=0.75, wiki=1.76")
    assert given == (ReferenceLosses((("code", 0.75), ("wiki", 1.76))),)
    sized = read_references('160M:wiki=3.2 "1.4G:wiki=2.4"')
    assert [one.parameters for one in sized] == [160_000_000, 1_400_000_000]
    names = ("my wiki", "a=b", "news, old", "en:wiki", "it's")
    named = (ReferenceLosses(tuple((name, 1.0 + n) for n, name in enumerate(names))),)
    assert read_references(write_references(named)) == named and read_references(write_references(sized)) == sized
    sizes = tuple(ReferenceLosses(named[0].losses, size) for size in (1_500_000, 3_000_000))
    assert read_references(write_references(sizes)) == sizes
    assert read_references("") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wiki", "loss for each domain"),
        ("wiki=1=", "loss for each domain"),
        ("=1", "loss for each domain"),
        ("1.5.M:wiki=1 2M:wiki=1", "not a whole number"),
        ("wiki=low", "loss for each domain"),
        ("wiki=-1", "above 0"),
        ("wiki=nan", "above 0"),
        ("wiki=1,wiki=2", "each once"),
        ("160M:wiki=3", "two or more different sizes"),
        ("160M:wiki=3 160M:wiki=2", "two or more different sizes"),
        ("wiki=3 160M:wiki=2", "two or more different sizes"),
        ("160M:wiki=3 410M:code=2", "the same domains"),
    ],
)
def test_what_leads_to_no_reference_is_refused(text: str, says: str) -> None:
    with pytest.raises(SecateurError, match=says):
        read_references(text)


def test_references_are_those_of_the_domains_in_their_order_at_the_size_asked_for() -> None:
    given = read_references("wiki=1.76,code=0.75")
    assert reference_losses(given, ("code", "wiki"), 100).tolist() == [0.75, 1.76]
    pairs = [f"{size}:wiki={chinchilla(size)!r},code={2 * chinchilla(size)!r}" for size in SIZES]
    found = reference_losses(read_references(" ".join(pairs)), ("code", "wiki"), 1_300_000_000)
    assert found == pytest.approx([2 * chinchilla(1.3e9), chinchilla(1.3e9)], rel=1e-5)


def test_a_law_that_does_not_fall_says_so_and_of_which_domain(folder: Path) -> None:
    said = list[str]()
    given = read_references("100:digits=2,letters=3 400:digits=2.1,letters=2")
    settings = RecoverySettings(epochs=1, threads=1, mixing=Mixing.DYNAMIC, references=given, distillation=0)
    finish(fine_tune(Next(LETTERS), Next(DIGITS), text_task(folder), settings), lambda one: said.append(str(one.text)))
    (told,) = [one for one in said if "scaling law" in one]
    assert "In digits the larger models given do not lose less" in told and "letters the" not in told


def test_references_of_other_domains_are_refused_by_their_names(folder: Path) -> None:
    task = text_task(folder)

    def asked(text: str) -> RecoverySettings:
        return RecoverySettings(mixing=Mixing.DYNAMIC, references=read_references(text))

    require_mixable(asked("digits=1,letters=2"), task)
    with pytest.raises(DataError, match=r"no domain wiki\. Give losses for digits, letters"):
        require_mixable(asked("digits=1,letters=2,wiki=3"), task)
    with pytest.raises(DataError, match="no reference loss for letters"):
        require_mixable(asked("digits=1"), task)
    with pytest.raises(DataError, match="the data has no domains"):
        require_mixable(asked("digits=1"), object())
    with pytest.raises(SecateurError, match="Choose a dynamic mixing"):
        require_possible(RecoverySettings(references=read_references("digits=1")))


def curve_of(job: Job[object]) -> list[dict[str, float]]:
    points = list[dict[str, float]]()
    finish(job, lambda progress: points.append(progress.values))
    return points


def test_given_references_lead_the_mixture_and_the_curve_tells_it_by_domain(folder: Path) -> None:
    def shares(text: str) -> list[float]:
        given = read_references(text)
        settings = RecoverySettings(
            epochs=2, learning_rate=1e-3, threads=1, mixing=Mixing.DYNAMIC, references=given, distillation=0
        )
        curves = domain_curves(curve_of(fine_tune(Next(LETTERS), Next(DIGITS), text_task(folder), settings)))
        assert list(curves) == ["digits", "letters"]
        first, *later = curves["digits"]
        assert first[0] == 0 and first[1].share == 0.5 and np.isnan(first[1].loss)
        assert [step for step, _ in later] == [10, 20] and all(one.loss > 5 for _, one in later)
        assert {one.reference for _, one in curves["digits"]} == {dict(given[0].losses)["digits"]}
        return [one.share for _, one in curves["digits"]]

    behind, ahead = shares("digits=0.1,letters=0.1"), shares("digits=20,letters=0.1")
    assert behind[-1] > behind[0] > ahead[-1]  # the same losses, but of one much more is asked
