"""Tracing: runs a model once and records every operator beneath autograd. Knows nothing of pruning."""
