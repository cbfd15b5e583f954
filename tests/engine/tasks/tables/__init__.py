"""Data in columns."""
