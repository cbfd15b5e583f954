"""Prove that a cut did exactly what was planned: masked original and cut model side by side."""
