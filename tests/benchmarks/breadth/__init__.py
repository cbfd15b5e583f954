"""Every model of the large libraries: analysed, cut, verified, exported. `python -m tests.benchmarks.breadth`."""
