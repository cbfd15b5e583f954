"""Sensitivity: how the metric falls as one coupled set after the other is cut on trial."""
