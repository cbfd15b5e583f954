"""The Sensitivity panel: the metric against the removed share of each layer."""
