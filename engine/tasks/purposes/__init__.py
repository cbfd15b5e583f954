"""Purposes of a model: a loss and a metric each. To add one, add a file and a line in `table.py`."""
