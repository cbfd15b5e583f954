"""Texts for people and for Python: formats of numbers and names, and literals that are safe to write into code."""
