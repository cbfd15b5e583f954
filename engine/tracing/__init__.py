"""Run a model once and write down every operator beneath autograd. Knows nothing of pruning."""
