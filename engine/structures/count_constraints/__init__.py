"""Constraints on counts: sets that must keep equal or divisible numbers of structures."""
