"""Sensitivity: how the metric falls when a share of one coupled set is removed."""
