"""Points of our benchmarks, written by `python -m tests.benchmarks.choose --expectations`; not by hand."""

from .measured_points import Point

POINTS: tuple[Point, ...] = ()
