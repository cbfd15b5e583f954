"""Every model of the large libraries analysed, cut to half, verified, exported. `python -m tests.benchmarks.breadth`."""
