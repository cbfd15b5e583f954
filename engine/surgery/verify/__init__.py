"""Verifies that a cut did exactly what was planned, by comparing the masked original with the cut model."""
