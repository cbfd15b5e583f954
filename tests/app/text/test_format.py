"""Numbers as people read them."""

import math

import pytest

from secateur.app.text import format


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0571, "0.0571"),
        (5.714, "5.71"),
        (57.14, "57.1"),
        (999.6, "1,000"),
        (5714, "5,710"),
        (-12.34, "\u221212.3"),
        (1.234e-6, "1.23e\u22126"),
        (math.nan, "\u2013"),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert format.three_digits(value) == text


def test_units() -> None:
    assert format.scaled(25_557_032) == "25.6 M"
    assert format.scaled(4_120_000_000) == "4.12 G"
    assert format.scaled(999_950) == "1.00 M"
    assert format.size(49_900_000) == "49.9 MB"
    assert format.milliseconds(12.71) == "12.7 ms"


def test_small_counts_are_whole_and_large_ones_scaled() -> None:
    assert format.count(1412) == "1,412"
    assert format.count(-1412) == "\u22121,412"
    assert format.count(26_560) == "26.6 k"


def test_per_cents_and_changes_have_a_space_and_a_real_minus() -> None:
    assert format.percent(0.874) == "87.4 %"
    assert format.change(25.6, 13.02) == "\u221249.1 %"
    assert format.change(2, 3) == "+50.0 %"
    assert format.change(0, 3) == ""
    assert format.signed(-0.04, 1) == "0.0"
    assert [format.difference(v) for v in (2.5, -0.0031, 0)] == ["+2.50", "\u22120.00310", "0"]


def test_shares_get_digits_where_they_are_small() -> None:
    assert [format.share(v) for v in (0.274, 0.0084, 0.008, 0.0997, 0.00001, 0)] == [
        "27 %", "0.84 %", "0.80 %", "10 %", "<0.01 %", "0 %",
    ]  # fmt: skip


def test_durations() -> None:
    assert [format.duration(s) for s in (12.4, 130, 3900)] == ["12 s", "2 min 10 s", "1 h 5 min"]


def test_estimates_claim_no_precision_that_they_have_not() -> None:
    assert [format.about(s) for s in (0.2, 3.4, 38, 188, 9000)] == ["1 s", "3 s", "40 s", "3 min", "2 h"]
