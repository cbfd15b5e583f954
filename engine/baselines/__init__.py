"""Baselines that a pruned model has to beat."""
