"""What to remove, how much, and how to get the accuracy back: the benchmarks of choosing and recovering."""
