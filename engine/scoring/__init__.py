"""Scoring: rates how much each structure matters, by one of several criteria. The model is left as it was."""
