"""Tests of engine/sensitivity."""
