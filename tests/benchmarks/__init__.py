"""Benchmarks: measured on demand, not part of the test run."""
