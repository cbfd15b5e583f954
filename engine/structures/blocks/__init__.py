"""Finds residual branches and blocks that can be removed as a whole."""
