"""Scoring: how much each structure matters, by one of several criteria; nothing is left behind in the model."""
