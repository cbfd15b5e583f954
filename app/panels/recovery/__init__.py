"""The Recovery panel: curves of a training while it runs and afterwards."""
