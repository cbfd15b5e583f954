"""Fold a scale that the code computes from a size into weights, where no attribute or literal expresses it."""
