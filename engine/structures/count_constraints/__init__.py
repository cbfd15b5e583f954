"""Sets that must keep equal or divisible counts: found, and extended over an analysis."""
