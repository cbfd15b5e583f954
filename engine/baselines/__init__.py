"""Baselines: what a pruned model has to be better than, to have been worth the pruning."""
