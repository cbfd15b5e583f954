"""Residual branches and blocks that can go as a whole."""
