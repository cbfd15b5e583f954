"""Tests of the engine's targets."""
